//! `pgtls_client_certificates`: every client certificate that was ever seen, and what it is worth
//! now.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;
use pgtls_core::verify::credential::Standing;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::credentials::{Credential, Evaluators};
use crate::checks::inventory::Usage;
use crate::error::{Error, Result};
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::text::lossless;
use crate::pg::datum::time::unix_microseconds;
use crate::pg::recorder::inventory::{self, Known};
use crate::sql::columns::{certificate_columns, hex};

fn number(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn texts(names: &[Vec<u8>]) -> Value {
    let mut texts: Vec<_> = names.iter().map(|name| lossless(name).into_owned()).collect();
    texts.sort_unstable();
    Value::TextArray(texts)
}

fn columns(known: &Known, (credential, on_file): &(Credential, Standing), usage: &Usage) -> Row {
    let names = Certificate::column_names();
    let mut row: Row = certificate_columns(credential, Some(&known.fingerprint), names).collect();
    row.extend([
        ("first_seen".into(), Value::Moment(unix_microseconds(known.first_seen))),
        ("last_seen".into(), Value::Moment(unix_microseconds(known.last_seen))),
        ("logins".into(), number(known.logins)),
        ("failed_logins".into(), number(known.failed_logins)),
        ("roles".into(), texts(&known.roles)),
        ("databases".into(), texts(&known.databases)),
        ("last_client_addr".into(), known.address.map(|address| address.to_string()).into()),
        ("connected".into(), Value::Int(usage.connected(&known.fingerprint))),
        ("superseded_by".into(), usage.superseded_by(&known.chain).as_ref().map(hex).into()),
        ("status".into(), credential.assessment.standing.label().into()),
        ("status_detail".into(), credential.assessment.detail.clone().into()),
        ("status_on_file".into(), on_file.label().into()),
        ("ends_at".into(), credential.assessment.ends_at.into()),
    ]);
    row
}

#[pg_extern(sql = false)]
fn pgtls_client_certificates() -> Result<Rows, ErrorReport> {
    let known = inventory::known().ok_or(Error::NotPreloaded)?;
    let (mut evaluators, usage) = (Evaluators::new(), Usage::now());
    Ok(Rows::new(known.map(move |known| {
        let credential = evaluators.of_chain(&known.chain);
        Ok(columns(&known, &credential, &usage))
    })))
}

/// 32 bytes in hexadecimal, in small letters or large, as OpenSSL prints them with colons, or
/// without.
fn fingerprint(text: &str) -> Result<[u8; 32]> {
    let digits =
        text.bytes().filter(|byte| *byte != b':').map(|byte| char::from(byte).to_digit(16));
    let digits: Option<Vec<u32>> = digits.collect();
    let digits = digits.filter(|digits| digits.len() == 64).ok_or(Error::NotAFingerprint)?;
    let mut fingerprint = [0; 32];
    for (byte, pair) in fingerprint.iter_mut().zip(digits.chunks(2)) {
        *byte = pair.iter().fold(0, |value, digit| value << 4 | u8::try_from(*digit).unwrap_or(0));
    }
    Ok(fingerprint)
}

#[pg_extern(sql = false)]
fn pgtls_forget(given: &str) -> Result<bool, ErrorReport> {
    Ok(inventory::forget(&fingerprint(given)?)?)
}
