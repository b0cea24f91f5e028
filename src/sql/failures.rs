//! `pgtls_failures` and `pgtls_recent_failures`: why clients were turned away.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::text::{hex, on_one_line};
use pgtls_core::value::Value;
use pgtls_core::x509::name::Name;
use pgtls_core::x509::serial::Serial;

use crate::error::Error;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::text::lossless;
use crate::pg::datum::time::unix_microseconds;
use crate::pg::openssl::verify;
use crate::pg::recorder::failure_ring::{self, Recent, Shown};
use crate::pg::recorder::failures;

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

/// Text that an unauthenticated client had a hand in.
fn escaped(bytes: &[u8]) -> String {
    on_one_line(&lossless(bytes))
}

/// A name out of a certificate, as everywhere.
fn oneline(der: Option<&[u8]>) -> Option<String> {
    let name = Name::from_der(der?).ok()?;
    Some(name.oneline().to_owned()).filter(|name| !name.is_empty())
}

fn columns(recent: &Recent) -> Row {
    let moment = |at| Value::Moment(unix_microseconds(at));
    let subject = |shown: Option<&Shown>| oneline(shown?.subject.as_deref());
    let issuer = |shown: Option<&Shown>| oneline(shown?.issuer.as_deref());
    let fingerprint = |shown: Option<&Shown>| shown.map(|shown| hex(&shown.fingerprint));
    let (offending, client) = (recent.offending.as_ref(), recent.client.as_ref());
    let serial = recent.serial.as_deref().and_then(|der| Serial::from_der(der).ok());
    let hint = recent.reason.hint(
        subject(offending).as_deref(),
        issuer(offending).as_deref(),
        recent.offered.as_deref(),
    );
    vec![
        ("last_at".into(), moment(recent.last_at)),
        ("reason".into(), recent.reason.label().into()),
        ("count".into(), Value::Int(i64::try_from(recent.count).unwrap_or(i64::MAX))),
        ("client_addr".into(), recent.address.map(|address| address.to_string()).into()),
        ("usename".into(), recent.role.as_deref().map(escaped).into()),
        ("datname".into(), recent.database.as_deref().map(escaped).into()),
        ("client_subject".into(), subject(client).into()),
        ("client_issuer".into(), issuer(client).into()),
        ("client_not_after".into(), recent.client_not_after.map_or(Value::Null, Value::Timestamp)),
        ("subject".into(), subject(offending).into()),
        ("issuer".into(), issuer(offending).into()),
        ("serial".into(), serial.map_or(Value::Null, |serial| Value::Numeric(serial.decimal()))),
        ("depth".into(), recent.depth.map(i64::from).into()),
        (
            "verify_error".into(),
            recent.verify_result.map(|code| verify::error_text(code).to_owned()).into(),
        ),
        (
            "message".into(),
            Some(escaped(&recent.message)).filter(|message| !message.is_empty()).into(),
        ),
        ("hint".into(), hint.into()),
        ("offered".into(), recent.offered.clone().into()),
        ("first_at".into(), moment(recent.first_at)),
        ("fingerprint".into(), fingerprint(offending).into()),
        ("client_fingerprint".into(), fingerprint(client).into()),
    ]
}

#[pg_extern(sql = false)]
fn pgtls_recent_failures() -> Result<Rows, ErrorReport> {
    let recent = failure_ring::recent().ok_or(Error::NotPreloaded)?;
    Ok(Rows::new(recent.map(|recent| Ok(columns(&recent)))))
}
