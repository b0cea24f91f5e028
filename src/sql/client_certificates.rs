//! `pgtls_client_certificates`: every client certificate that was ever seen, and what it is worth now.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;
use pgtls_core::verify::credential::Standing;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::credentials::{Credential, Evaluators};
use crate::error::Error;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::text::lossless;
use crate::pg::datum::time::unix_microseconds;
use crate::pg::recorder::inventory::{self, Known};
use crate::sql::columns::certificate_columns;

fn number(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn texts(names: &[Vec<u8>]) -> Value {
    let mut texts: Vec<_> = names.iter().map(|name| lossless(name).into_owned()).collect();
    texts.sort_unstable();
    Value::TextArray(texts)
}

fn columns(known: &Known, (credential, on_file): &(Credential, Standing)) -> Row {
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
        ("connected".into(), Value::Int(known.connected)),
        ("status".into(), credential.assessment.standing.label().into()),
        ("status_detail".into(), credential.assessment.detail.clone().into()),
        ("status_on_file".into(), on_file.label().into()),
        ("ends_at".into(), credential.assessment.ends_at.into()),
    ]);
    row
}

#[pg_extern(sql = false)]
fn pgtls_certificate_inventory() -> Result<Rows, ErrorReport> {
    let known = inventory::known().ok_or(Error::NotPreloaded)?;
    let mut evaluators = Evaluators::new();
    Ok(Rows::new(known.map(move |known| {
        let credential = evaluators.of_chain(&known.chain);
        Ok(columns(&known, &credential))
    })))
}
