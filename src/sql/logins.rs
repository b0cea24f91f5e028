//! `pgtls_logins`: how clients log in, by encryption.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;

use crate::error::Error;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::time::unix_microseconds;
use crate::pg::recorder::logins::{self, Logins};

/// What stands for a protocol version.
const NO_TLS: &str = "none";
const OTHER: &str = "other";

#[pg_extern(sql = false)]
fn pgtls_logins() -> Result<Rows, ErrorReport> {
    let counts = logins::counts().ok_or(Error::NotPreloaded)?;
    Ok(counts.into_iter().map(columns).collect())
}

fn columns(logins: Logins) -> Row {
    let last_at = logins.last_at.map(unix_microseconds).map_or(Value::Null, Value::Moment);
    let kind = logins.kind;
    let has_certificate = kind.as_ref().map(|kind| kind.has_certificate);
    let [version, cipher, group] = match kind {
        Some(kind) => {
            [Some(kind.version.unwrap_or_else(|| NO_TLS.to_owned())), kind.cipher, kind.group]
        }
        None => [Some(OTHER.to_owned()), None, None],
    };
    vec![
        ("protocol_version".into(), version.into()),
        ("cipher".into(), cipher.into()),
        ("key_exchange_group".into(), group.into()),
        ("client_certificate".into(), has_certificate.into()),
        ("logins".into(), Value::Int(i64::try_from(logins.count).unwrap_or(i64::MAX))),
        ("last_at".into(), last_at),
    ]
}
