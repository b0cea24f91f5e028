//! `pgtls_terminate_invalid`: ends the sessions whose certificate a login would be refused for now.

use std::collections::HashMap;
use std::time::Duration;

use pgrx::datum::Interval;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;

use crate::checks::basis::Basis;
use crate::checks::credentials::{Credential, Sessions};
use crate::checks::termination;
use crate::error::Error;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::recorder::sessions::Recorded;
use crate::pg::recorder::status;
use crate::pg::server::backends::{self, Backend};

/// How long that is; nothing for an interval that is not above zero.
fn duration(grace: Option<&Interval>) -> Duration {
    let micros = grace.map_or(0, Interval::as_micros);
    Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
}

#[pg_extern(sql = false)]
fn pgtls_terminate_invalid(
    dry_run: Option<bool>,
    on_file: Option<bool>,
    grace: Option<Interval>,
) -> Result<Rows, ErrorReport> {
    if status::recorder().is_none() {
        return Err(Error::NotPreloaded.into());
    }
    let backends: HashMap<(i32, i64), Backend> =
        backends::all().into_iter().map(|backend| (backend.key(), backend)).collect();
    let invalid = Sessions::judged(Basis::on_file(on_file.unwrap_or_default())).invalid;
    let ended = match dry_run {
        Some(false) => termination::end(&invalid, duration(grace.as_ref())),
        _ => vec![false; invalid.len()],
    };
    let row = |((recorded, credential), ended): ((Recorded, Credential), bool)| -> Row {
        let backend = backends.get(&recorded.key());
        vec![
            ("pid".into(), Value::Int(recorded.pid.into())),
            ("usename".into(), backend.and_then(Backend::role_name).into()),
            ("credential_status".into(), credential.assessment.standing.label().into()),
            ("credential_detail".into(), credential.assessment.detail.into()),
            ("terminated".into(), Value::Bool(ended)),
        ]
    };
    Ok(invalid.into_iter().zip(ended).map(row).collect())
}
