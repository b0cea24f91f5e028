//! `pgtls_failures` and `pgtls_recent_failures`: why clients were turned away.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;
use pgtls_core::x509::name::Name;
use pgtls_core::x509::serial::Serial;

use crate::error::Error;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::text::lossless;
use crate::pg::datum::time::unix_microseconds;
use crate::pg::recorder::failures::{self, Recent};

#[pg_extern(sql = false)]
fn pgtls_failures() -> Result<Rows, ErrorReport> {
    let counts = failures::counts().ok_or(Error::NotPreloaded)?;
    let row = |count: failures::Count| -> Row {
        let last = count.last.map(unix_microseconds);
        vec![
            ("reason".into(), count.reason.label().into()),
            ("count".into(), Value::Int(i64::try_from(count.count).unwrap_or(i64::MAX))),
            ("last_at".into(), last.map_or(Value::Null, Value::Moment)),
        ]
    };
    Ok(counts.into_iter().map(row).collect())
}

/// Text that an unauthenticated client had a hand in: control characters are escaped, so that it
/// stays on its line.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in lossless(bytes).chars() {
        match character {
            _ if character.is_control() => {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    text.push_str(&format!("\\{byte:02X}"));
                }
            }
            _ => text.push(character),
        }
    }
    text
}

fn columns(recent: &Recent) -> Row {
    let subject = recent.subject.as_deref().and_then(|der| Name::from_der(der).ok());
    let serial = recent.serial.as_deref().and_then(|der| Serial::from_der(der).ok());
    let fingerprint = recent
        .fingerprint
        .map(|bytes| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() });
    vec![
        ("at".into(), Value::Moment(unix_microseconds(recent.at))),
        ("reason".into(), recent.reason.label().into()),
        ("client_addr".into(), recent.address.map(|address| address.to_string()).into()),
        ("usename".into(), recent.role.as_deref().map(escaped).into()),
        (
            "subject".into(),
            subject.map(|name| name.oneline().to_owned()).filter(|name| !name.is_empty()).into(),
        ),
        ("serial".into(), serial.map_or(Value::Null, |serial| Value::Numeric(serial.decimal()))),
        ("fingerprint".into(), fingerprint.into()),
        ("depth".into(), recent.depth.map(i64::from).into()),
        (
            "message".into(),
            Some(escaped(&recent.message)).filter(|message| !message.is_empty()).into(),
        ),
    ]
}

#[pg_extern(sql = false)]
fn pgtls_recent_failures() -> Result<Rows, ErrorReport> {
    let recent = failures::recent().ok_or(Error::NotPreloaded)?;
    Ok(Rows::new(recent.map(|recent| Ok(columns(&recent)))))
}
