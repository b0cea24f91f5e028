//! `pgtls_status` and `pgtls_reset`: the TLS of the instance and the recorder, in one row.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;

use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::time::unix_microseconds;
use crate::pg::openssl::{libssl, verify};
use crate::pg::recorder::{failures, in_force, sessions, status};
use crate::pg::server::guc;
use crate::pg::server::tls_settings::TlsSettings;

fn moment(moment: Option<i64>) -> Value {
    moment.map(unix_microseconds).map_or(Value::Null, Value::Moment)
}

fn count(count: impl TryInto<i64>) -> Value {
    Value::Int(count.try_into().unwrap_or(i64::MAX))
}

/// OpenSSL's security level for new logins, by what is in force if that is known.
fn security_level() -> Option<i32> {
    match in_force::current() {
        Ok(in_force) => Some(in_force.security_level),
        Err(_) => verify::security_level(&TlsSettings::current()).ok(),
    }
}

#[pg_extern(sql = false)]
fn pgtls_status() -> Rows {
    let recorder = status::recorder();
    let recorder = recorder.as_ref();
    let failed: Option<u64> =
        failures::counts().map(|counts| counts.iter().map(|count| count.count).sum());
    let row: Row = vec![
        ("preloaded".into(), Value::Bool(recorder.is_some())),
        ("ssl_on".into(), Value::Bool(status::ssl_on())),
        ("openssl_built".into(), env!("PGTLS_OPENSSL_BUILT").into()),
        ("openssl_runtime".into(), libssl::version().into()),
        ("openssl_security_level".into(), security_level().map(i64::from).into()),
        ("fips_enabled".into(), libssl::fips_enabled().into()),
        ("fips_provider".into(), libssl::has_fips_provider().into()),
        ("stats_reset".into(), moment(recorder.and_then(|r| r.reset))),
        ("context_loaded_at".into(), moment(recorder.and_then(|r| r.context_loaded))),
        ("last_reload_at".into(), moment(recorder.and_then(|r| r.last_reload))),
        ("last_reload_ok".into(), recorder.and_then(|r| r.last_reload_ok).into()),
        ("in_force_known".into(), Value::Bool(in_force::current().is_ok())),
        ("last_reload_error".into(), recorder.and_then(|r| r.last_reload_error.clone()).into()),
        ("worker_pid".into(), recorder.and_then(|r| r.worker_pid).map(i64::from).into()),
        ("worker_last_check".into(), moment(recorder.and_then(|r| r.worker_checked))),
        ("termination_held_back_at".into(), moment(recorder.and_then(|r| r.held_back))),
        (
            "sessions_terminated".into(),
            recorder.map_or(Value::Null, |r| count(r.sessions_terminated)),
        ),
        ("tracking".into(), recorder.map(|_| guc::track()).into()),
        ("session_slots".into(), recorder.map_or(Value::Null, |r| count(r.slots))),
        (
            "tracked_sessions".into(),
            recorder.map_or(Value::Null, |_| count(sessions::recorded().len())),
        ),
        ("failures".into(), failed.map_or(Value::Null, count)),
        ("client_certificates".into(), recorder.map_or(Value::Null, |r| count(r.certificates))),
        (
            "max_client_certificates".into(),
            recorder.map_or(Value::Null, |r| count(r.certificates_room)),
        ),
        ("evicted_client_certificates".into(), recorder.map_or(Value::Null, |r| count(r.evicted))),
        ("evicted_expired".into(), recorder.map_or(Value::Null, |r| count(r.evictions.expired))),
        (
            "evicted_superseded".into(),
            recorder.map_or(Value::Null, |r| count(r.evictions.superseded)),
        ),
        ("evicted_valid".into(), recorder.map_or(Value::Null, |r| count(r.evictions.valid))),
        (
            "unrecorded_client_certificates".into(),
            recorder.map_or(Value::Null, |r| count(r.evictions.turned_away)),
        ),
        ("dropped_records".into(), recorder.map_or(Value::Null, |r| count(r.dropped))),
    ];
    Rows::one(row)
}

#[pg_extern(sql = false)]
fn pgtls_reset() -> Result<(), ErrorReport> {
    Ok(status::reset()?)
}
