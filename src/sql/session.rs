//! `ssl_*`: what this session's own connection is.
//!
//! Without TLS, without a client certificate and in a process without a client, everything is NULL
//! or no row, except `ssl_is_used()` and `ssl_client_cert_present()`, which are false.
//!
//! Those two are in `src/pg/flags.rs`.
//!
//! None of it can change during a session, so what takes work is worked out at the first call.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::thread::LocalKey;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::TimestampWithTimeZone;
use pgrx::{AnyNumeric, pg_extern};
use pgtls_core::asn1::oid::Oid;
use pgtls_core::value::Value;
use pgtls_core::x509::certificate::Certificate;
use pgtls_core::x509::name::Name;

use crate::checks::session_certificate::client_certificate;
use crate::error::{Error, Result};
use crate::pg::connection::port::Session;
use crate::pg::connection::tls::Tls;
use crate::pg::datum::cached::Kept;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::text::{Text, lossless};
use crate::pg::datum::time::timestamp;

/// What `ask` says of the TLS layer; `None` without one.
fn tls<T>(ask: impl FnOnce(&Tls<'_>) -> Option<T>) -> Option<T> {
    let session = Session::current()?;
    let tls = session.tls()?;
    ask(&tls)
}

/// What `ask` says of the client's certificate; `None` without one.
fn certificate<T>(ask: impl FnOnce(&Certificate) -> Option<T>) -> Result<Option<T>, ErrorReport> {
    Ok(client_certificate()?.and_then(|certificate| ask(&certificate)))
}

/// The result of an expression, an `Option<Kept>`, which is evaluated once.
macro_rules! kept {
    ($value:expr) => {{
        thread_local! {
            static KEPT: OnceCell<Option<Kept>> = const { OnceCell::new() };
        }
        KEPT.with(|kept| *kept.get_or_init(|| $value))
    }};
}

fn text(text: &str) -> Option<Kept> {
    Kept::new(Text::new(text))
}

fn bytes(bytes: &[u8]) -> Option<Kept> {
    Kept::new(Text::from_bytes(bytes))
}

fn number(digits: &str) -> Option<Kept> {
    AnyNumeric::try_from(digits).ok().and_then(Kept::new)
}

fn non_empty(name: &str) -> Option<Kept> {
    if name.is_empty() { None } else { text(name) }
}

#[pg_extern(sql = false)]
fn ssl_version() -> Option<Kept> {
    tls(|tls| kept!(text(tls.version())))
}

#[pg_extern(sql = false)]
fn ssl_cipher() -> Option<Kept> {
    tls(|tls| kept!(tls.cipher().and_then(text)))
}

#[pg_extern(sql = false)]
fn ssl_cipher_bits() -> Option<i32> {
    tls(|tls| tls.cipher_bits())
}

#[pg_extern(sql = false)]
fn ssl_key_exchange_group() -> Option<Kept> {
    tls(|tls| kept!(tls.key_exchange_group().and_then(|name| text(&name))))
}

#[pg_extern(sql = false)]
fn ssl_sni() -> Option<Kept> {
    tls(|tls| kept!(tls.server_name().and_then(bytes)))
}

#[pg_extern(sql = false)]
fn ssl_alpn() -> Option<Kept> {
    tls(|tls| kept!(tls.application_protocol().and_then(bytes)))
}

#[pg_extern(sql = false)]
fn ssl_client_serial() -> Result<Option<Kept>, ErrorReport> {
    certificate(|certificate| kept!(number(&certificate.serial().decimal())))
}

#[pg_extern(sql = false)]
fn ssl_client_dn() -> Result<Option<Kept>, ErrorReport> {
    certificate(|certificate| kept!(non_empty(certificate.subject().oneline())))
}

#[pg_extern(sql = false)]
fn ssl_issuer_dn() -> Result<Option<Kept>, ErrorReport> {
    certificate(|certificate| kept!(non_empty(certificate.issuer().oneline())))
}

#[pg_extern(sql = false)]
fn ssl_client_dn_rfc2253() -> Option<Kept> {
    let session = Session::current()?;
    kept!(session.client_distinguished_name().filter(|name| !name.is_empty()).and_then(bytes))
}

#[pg_extern(sql = false)]
fn ssl_client_cn() -> Option<Kept> {
    let session = Session::current()?;
    kept!(session.client_common_name().filter(|name| !name.is_empty()).and_then(bytes))
}

/// Fields of a name that were asked for; no more than the name has.
type Fields = RefCell<BTreeMap<Oid<'static>, Kept>>;

thread_local! {
    static SUBJECT_FIELDS: Fields = const { RefCell::new(BTreeMap::new()) };
    static ISSUER_FIELDS: Fields = const { RefCell::new(BTreeMap::new()) };
}

#[pg_extern(sql = false)]
fn ssl_client_dn_field(field: &str) -> Result<Option<Kept>, ErrorReport> {
    name_field(field, Certificate::subject, &SUBJECT_FIELDS)
}

#[pg_extern(sql = false)]
fn ssl_issuer_field(field: &str) -> Result<Option<Kept>, ErrorReport> {
    name_field(field, Certificate::issuer, &ISSUER_FIELDS)
}

/// The first value of a field of one of the certificate's names. As in sslinfo, the field's name is
/// not looked at when there is no certificate.
fn name_field(
    field: &str,
    name: impl FnOnce(&Certificate) -> &Name,
    known: &'static LocalKey<Fields>,
) -> Result<Option<Kept>, ErrorReport> {
    let Some(certificate) = client_certificate()? else { return Ok(None) };
    let oid = Oid::from_text(field).ok_or_else(|| Error::UnknownFieldName(field.to_owned()))?;
    if let Some(value) = known.with_borrow(|known| known.get(&oid).copied()) {
        return Ok(Some(value));
    }
    let value = name(&certificate).field(&oid).and_then(|value| text(&value));
    if let Some(value) = value {
        known.with_borrow_mut(|known| known.insert(oid, value));
    }
    Ok(value)
}

#[pg_extern(sql = false)]
fn ssl_extension_info() -> Rows {
    tls(|tls| Some(tls.peer_extensions()))
        .unwrap_or_default()
        .into_iter()
        .map(|extension| -> Row {
            vec![
                ("name".into(), Value::Text(extension.name)),
                ("value".into(), Value::Text(extension.value)),
                ("critical".into(), Value::Bool(extension.critical)),
            ]
        })
        .collect()
}

#[pg_extern(sql = false)]
fn ssl_client_not_before() -> Result<Option<TimestampWithTimeZone>, ErrorReport> {
    certificate(|certificate| certificate.not_before().and_then(timestamp))
}

#[pg_extern(sql = false)]
fn ssl_client_not_after() -> Result<Option<TimestampWithTimeZone>, ErrorReport> {
    certificate(|certificate| certificate.not_after().and_then(timestamp))
}

#[pg_extern(sql = false)]
fn ssl_client_fingerprint() -> Result<Option<Kept>, ErrorReport> {
    certificate(|certificate| kept!(text(&certificate.fingerprint())))
}

#[pg_extern(sql = false)]
fn ssl_client_pem() -> Result<Option<Kept>, ErrorReport> {
    certificate(|certificate| kept!(text(&certificate.to_pem())))
}

#[pg_extern(sql = false)]
fn ssl_session() -> Result<Rows, ErrorReport> {
    let session = Session::current();
    let tls = session.as_ref().and_then(Session::tls);
    let tls = tls.as_ref();
    let lossless_text = |value: Option<&[u8]>| {
        value.map_or(Value::Null, |value| Value::Text(lossless(value).into_owned()))
    };
    let mut row: Row = vec![
        ("ssl".into(), Value::Bool(tls.is_some())),
        ("version".into(), lossless_text(tls.map(|tls| tls.version().as_bytes()))),
        ("cipher".into(), lossless_text(tls.and_then(Tls::cipher).map(str::as_bytes))),
        (
            "bits".into(),
            tls.and_then(Tls::cipher_bits).map_or(Value::Null, |bits| Value::Int(bits.into())),
        ),
        (
            "key_exchange_group".into(),
            tls.and_then(Tls::key_exchange_group).map_or(Value::Null, Value::Text),
        ),
        ("sni".into(), lossless_text(tls.and_then(Tls::server_name))),
        ("alpn".into(), lossless_text(tls.and_then(Tls::application_protocol))),
        (
            "client_cert_present".into(),
            Value::Bool(session.as_ref().is_some_and(Session::client_certificate_verified)),
        ),
    ];
    let certificate = client_certificate()?;
    row.extend(Certificate::column_names().map(|name| {
        let value = certificate.as_ref().and_then(|certificate| certificate.column(name));
        (format!("client_{name}").into(), value.unwrap_or(Value::Null))
    }));
    Ok(Rows::one(row))
}
