//! `pgtls_terminate_invalid`: ends the sessions whose certificate a login would be refused for now.

use std::collections::HashMap;

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;

use crate::checks::credentials::{Credential, invalid_sessions};
use crate::error::Error;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::recorder::sessions::{self, Recorded};
use crate::pg::recorder::status;
use crate::pg::server::backends::{self, Backend};

#[pg_extern(sql = false)]
fn pgtls_terminate_invalid(dry_run: bool) -> Result<Rows, ErrorReport> {
    if status::recorder().is_none() {
        return Err(Error::NotPreloaded.into());
    }
    let backends: HashMap<(i32, i64), Backend> =
        backends::all().into_iter().map(|backend| (backend.key(), backend)).collect();
    let row = |(recorded, credential): (Recorded, Credential)| -> Row {
        let backend = backends.get(&recorded.key());
        // One's own session is shown, but has to finish the statement.
        let end = !dry_run && !sessions::is_own(&recorded);
        vec![
            ("pid".into(), Value::Int(recorded.pid.into())),
            ("usename".into(), backend.and_then(Backend::role_name).into()),
            ("credential_status".into(), credential.assessment.standing.label().into()),
            ("credential_detail".into(), credential.assessment.detail.into()),
            ("terminated".into(), Value::Bool(end && sessions::terminate(&recorded))),
        ]
    };
    Ok(invalid_sessions().into_iter().map(row).collect())
}
