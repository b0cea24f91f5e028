//! `pgtls_rehearse` and `pgtls_rehearse_summary`: whom would this change lock out, or let in?

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::TimestampWithTimeZone;
use pgtls_core::login::rehearsal::Summary;
use pgtls_core::value::Value;

use crate::checks::access::Server;
use crate::checks::rehearsal::{Changes, Outcome, Rehearsal};
use crate::error::{Error, Result};
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::text::lossless;
use crate::pg::datum::time::{moment, unix_microseconds};
use crate::sql::columns::hex;

/// The arguments, as SQL has them.
fn changes<'a>(
    [ca, crl, hba, ident]: [Option<&'a [u8]>; 4],
    at: Option<TimestampWithTimeZone>,
) -> Result<Changes<'a>> {
    let at = at.map(|at| moment(at).ok_or(Error::MomentOutOfRange)).transpose()?;
    Ok(Changes { ca, crl, hba, ident, at })
}

fn row(Outcome { client, change }: Outcome) -> Row {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let name = |name: &[u8]| Value::from(lossless(name).into_owned());
    vec![
        ("identity".into(), client.identity.into()),
        ("rolname".into(), name(&client.role)),
        ("datname".into(), name(&client.database)),
        ("client_addr".into(), client.address.map(|address| address.to_string()).into()),
        ("verdict".into(), change.verdict.as_str().into()),
        ("verdict_after".into(), change.after.as_str().into()),
        ("step".into(), change.step.map(|step| step.to_string()).into()),
        ("reason".into(), change.reason.into()),
        ("hint".into(), change.hint.into()),
        ("last_seen".into(), client.last_seen.map(unix_microseconds).map(Value::Moment).into()),
        ("logins".into(), client.logins.map(number).into()),
        ("connected".into(), Value::Int(client.connected)),
        ("fingerprint".into(), client.fingerprint.as_ref().map(hex).into()),
    ]
}

#[pg_extern(sql = false)]
fn pgtls_rehearse(
    ca: Option<&[u8]>,
    crl: Option<&[u8]>,
    hba: Option<&[u8]>,
    ident: Option<&[u8]>,
    at: Option<TimestampWithTimeZone>,
    everybody: Option<bool>,
) -> Result<Rows, ErrorReport> {
    let server = Server::new();
    let rehearsal = Rehearsal::new(&changes([ca, crl, hba, ident], at)?, &server)?;
    let everybody = everybody.unwrap_or_default();
    let outcomes = rehearsal.outcomes()?;
    Ok(outcomes.filter(|outcome| everybody || outcome.change.matters()).map(row).collect())
}

#[pg_extern(sql = false)]
fn pgtls_rehearse_summary(
    ca: Option<&[u8]>,
    crl: Option<&[u8]>,
    hba: Option<&[u8]>,
    ident: Option<&[u8]>,
    at: Option<TimestampWithTimeZone>,
) -> Result<String, ErrorReport> {
    let server = Server::new();
    let rehearsal = Rehearsal::new(&changes([ca, crl, hba, ident], at)?, &server)?;
    let mut summary = Summary::default();
    for outcome in rehearsal.outcomes()? {
        summary.add(&outcome.change, outcome.client.connected > 0);
    }
    Ok(summary.sentence())
}
