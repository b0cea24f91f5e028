//! Columns that several views have.

use std::borrow::Cow;

use pgtls_core::crl::{Crl, NextUpdate};
use pgtls_core::value::Value;
use pgtls_core::x509::serial::Serial;

use crate::checks::credentials::Credential;
use crate::pg::datum::rows::Row;

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The columns of a credential's certificate under these names. A certificate that was not recorded
/// is at least named by its fingerprint.
pub(super) fn certificate_columns<'a>(
    credential: &'a Credential,
    fingerprint: Option<&'a [u8; 32]>,
    names: impl Iterator<Item = &'static str> + 'a,
) -> impl Iterator<Item = (Cow<'static, str>, Value)> + 'a {
    names.enumerate().map(move |(place, name)| {
        let value = match &credential.certificate {
            Some(columns) => columns.get(place).map_or(Value::Null, |(_, value)| value.clone()),
            None if name.ends_with("fingerprint") && !name.ends_with("spki_fingerprint") => {
                fingerprint.map(hex).into()
            }
            None => Value::Null,
        };
        (Cow::Borrowed(name), value)
    })
}

/// The columns that describe a list wherever one is named.
pub(super) fn crl_columns(crl: Option<&Crl>) -> Row {
    let next_update = crl.and_then(|crl| match crl.next_update() {
        NextUpdate::At(time) => Some(time),
        NextUpdate::Never | NextUpdate::Malformed => None,
    });
    let issuer = crl.map(|crl| crl.issuer().oneline()).filter(|name| !name.is_empty());
    vec![
        ("issuer".into(), issuer.into()),
        ("crl_number".into(), numeric(crl.and_then(Crl::number))),
        ("this_update".into(), crl.and_then(Crl::this_update).into()),
        ("next_update".into(), next_update.into()),
    ]
}

fn numeric(serial: Option<&Serial>) -> Value {
    serial.map_or(Value::Null, |serial| Value::Numeric(serial.decimal()))
}

pub(super) fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
