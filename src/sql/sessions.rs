//! `pgtls_sessions`: the TLS facts of every client backend, and what its certificate is worth now.
//!
//! What pg_stat_activity and pg_stat_ssl have is taken from there, in SQL; here is what they lack.
//! Without preloading there is a row for the session that asks, and no other.

use std::sync::OnceLock;

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::text::on_one_line;
use pgtls_core::value::Value;
use pgtls_core::verify::credential::Standing;
use pgtls_core::work;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::credentials::{Credential, Evaluators};
use crate::checks::inventory::Usage;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::text::lossless;
use crate::pg::datum::time;
use crate::pg::recorder::sessions::{self, Recorded};
use crate::pg::server::backends::{self, Backend};
use crate::sql::columns::certificate_columns;

/// A session, and where its facts come from.
struct Session {
    recorded: Recorded,
    source: &'static str,
}

/// The sessions of these backends that are known.
fn sessions_of(backends: Vec<Backend>) -> Vec<Session> {
    let mut wanted = work::collect(backends.iter().map(Backend::key));
    wanted.sort_unstable();
    let is_wanted = |recorded: &Recorded| wanted.binary_search(&recorded.key()).is_ok();
    let recorded = sessions::recorded().into_iter().filter(is_wanted);
    let mut sessions =
        work::collect(recorded.map(|recorded| Session { recorded, source: "recorded" }));
    // Without preloading, or when this session began before recording was switched on.
    if let Some(own) = sessions::own().filter(is_wanted)
        && !sessions.iter().any(|session| session.recorded.pid == own.pid)
    {
        work::push(&mut sessions, Session { recorded: own, source: "own" });
    }
    sessions
}

fn text(bytes: Option<&Vec<u8>>) -> Value {
    bytes.map(|bytes| on_one_line(&lossless(bytes))).filter(|text| !text.is_empty()).into()
}

/// The names of the certificate columns in the view, made once in a process.
fn certificate_names() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| {
        Certificate::column_names().map(|name| &*format!("client_{name}").leak()).collect()
    })
}

/// Whether its identity has logged in with a newer certificate; `None` without one, or where the
/// recorder does not know.
fn superseded(session: &Session, usage: &Usage) -> Option<bool> {
    let is_known = session.source == "recorded" && !session.recorded.chain.is_empty();
    is_known.then(|| usage.superseded_by(&session.recorded.chain).is_some())
}

fn columns(
    session: &Session,
    (credential, on_file): &(Credential, Standing),
    usage: &Usage,
    with_files: bool,
) -> Row {
    let recorded = &session.recorded;
    let mut row: Row = vec![
        ("pid".into(), Value::Int(recorded.pid.into())),
        ("backend_start".into(), Value::Moment(time::unix_microseconds(recorded.started))),
        ("source".into(), session.source.into()),
        ("key_exchange_group".into(), text(recorded.group.as_ref())),
        ("sni".into(), text(recorded.server_name.as_ref())),
        ("alpn".into(), text(recorded.alpn.as_ref())),
        ("auth_method".into(), text(recorded.method.as_ref())),
        ("auth_identity".into(), text(recorded.identity.as_ref())),
        ("file_name".into(), text(recorded.hba_file.as_ref().filter(|_| with_files))),
        ("line_number".into(), recorded.hba_line.map(i64::from).into()),
        ("map_name".into(), text(recorded.map.as_ref())),
        ("clientcert".into(), text(recorded.client_cert.as_ref())),
        ("clientname".into(), text(recorded.client_name.as_ref())),
        (
            "context_loaded_at".into(),
            recorded.context_loaded.map(time::unix_microseconds).map_or(Value::Null, Value::Moment),
        ),
        ("chain_length".into(), Value::Int(recorded.chain_length.into())),
        ("chain_recorded".into(), Value::Int(recorded.chain_recorded.into())),
        ("credential_status".into(), credential.assessment.standing.label().into()),
        ("credential_detail".into(), credential.assessment.detail.clone().into()),
        ("credential_status_on_file".into(), on_file.label().into()),
        ("superseded".into(), superseded(session, usage).into()),
        ("credential_ends_at".into(), credential.assessment.ends_at.into()),
    ];
    let names = certificate_names().iter().copied();
    row.extend(certificate_columns(credential, recorded.fingerprint.as_ref(), names));
    row
}

#[pg_extern(sql = false)]
fn pgtls_sessions() -> Result<Rows, ErrorReport> {
    let (mut evaluators, usage) = (Evaluators::new(), Usage::now());
    let with_files = backends::may_see_files();
    let sessions = sessions_of(backends::visible());
    Ok(Rows::new(sessions.into_iter().map(move |session| {
        let credential = evaluators.of_session(&session.recorded);
        Ok(columns(&session, &credential, &usage, with_files))
    })))
}
