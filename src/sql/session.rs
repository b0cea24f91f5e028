//! `ssl_*`: what this session's own connection is.
//!
//! Without TLS, without a client certificate and in a process without a client, everything is NULL or no row, except
//! `ssl_is_used()` and `ssl_client_cert_present()`, which are false.

use std::cell::OnceCell;
use std::rc::Rc;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::TimestampWithTimeZone;
use pgrx::{AnyNumeric, pg_extern};
use pgtls_core::column::Value;
use pgtls_core::{Certificate, Name, Oid};

use crate::error::{Error, Result};
use crate::pg::port::Session;
use crate::pg::rows::{Row, Rows};
use crate::pg::text::{Text, lossless};
use crate::pg::time::timestamp;
use crate::pg::tls::Tls;

thread_local! {
    /// The client's certificate, read once: it cannot change during a session. `None` inside: there is none.
    static CLIENT: OnceCell<Option<Rc<Certificate>>> = const { OnceCell::new() };
}

/// The verified certificate of this session's client.
pub(super) fn client_certificate() -> Result<Option<Rc<Certificate>>> {
    CLIENT.with(|cell| {
        if let Some(known) = cell.get() {
            return Ok(known.clone());
        }
        let der = Session::current().and_then(|session| session.client_certificate_der());
        let certificate = der
            .map(|der| Certificate::from_der(&der).map(Rc::new))
            .transpose()
            .map_err(Error::SessionCertificate)?;
        Ok(cell.get_or_init(|| certificate).clone())
    })
}

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

fn non_empty(text: &str) -> Option<Text> {
    (!text.is_empty()).then(|| Text::new(text))
}

#[pg_extern(sql = false)]
fn ssl_is_used() -> bool {
    Session::current().is_some_and(|session| session.tls_in_use())
}

#[pg_extern(sql = false)]
fn ssl_version() -> Option<Text> {
    tls(|tls| Some(Text::new(tls.version())))
}

#[pg_extern(sql = false)]
fn ssl_cipher() -> Option<Text> {
    tls(|tls| tls.cipher().map(Text::new))
}

#[pg_extern(sql = false)]
fn ssl_cipher_bits() -> Option<i32> {
    tls(|tls| tls.cipher_bits())
}

#[pg_extern(sql = false)]
fn ssl_key_exchange_group() -> Option<Text> {
    tls(|tls| tls.key_exchange_group().map(|name| Text::new(&name)))
}

#[pg_extern(sql = false)]
fn ssl_sni() -> Option<Text> {
    tls(|tls| tls.server_name().map(Text::from_bytes))
}

#[pg_extern(sql = false)]
fn ssl_alpn() -> Option<Text> {
    tls(|tls| tls.application_protocol().map(Text::from_bytes))
}

#[pg_extern(sql = false)]
fn ssl_client_cert_present() -> bool {
    Session::current().is_some_and(|session| session.client_certificate_verified())
}

#[pg_extern(sql = false)]
fn ssl_client_serial() -> Result<Option<AnyNumeric>, ErrorReport> {
    certificate(|certificate| AnyNumeric::try_from(certificate.serial().decimal().as_str()).ok())
}

#[pg_extern(sql = false)]
fn ssl_client_dn() -> Result<Option<Text>, ErrorReport> {
    certificate(|certificate| non_empty(certificate.subject().oneline()))
}

#[pg_extern(sql = false)]
fn ssl_issuer_dn() -> Result<Option<Text>, ErrorReport> {
    certificate(|certificate| non_empty(certificate.issuer().oneline()))
}

#[pg_extern(sql = false)]
fn ssl_client_dn_rfc2253() -> Option<Text> {
    let session = Session::current()?;
    session.client_distinguished_name().filter(|name| !name.is_empty()).map(Text::from_bytes)
}

#[pg_extern(sql = false)]
fn ssl_client_cn() -> Option<Text> {
    let session = Session::current()?;
    session.client_common_name().filter(|name| !name.is_empty()).map(Text::from_bytes)
}

#[pg_extern(sql = false)]
fn ssl_client_dn_field(field: &str) -> Result<Option<Text>, ErrorReport> {
    name_field(field, Certificate::subject)
}

#[pg_extern(sql = false)]
fn ssl_issuer_field(field: &str) -> Result<Option<Text>, ErrorReport> {
    name_field(field, Certificate::issuer)
}

/// The first value of a field of one of the certificate's names. As in sslinfo, the field's name is not looked at when
/// there is no certificate.
fn name_field(
    field: &str,
    name: impl FnOnce(&Certificate) -> &Name,
) -> Result<Option<Text>, ErrorReport> {
    let Some(certificate) = client_certificate()? else { return Ok(None) };
    let oid = Oid::from_text(field).ok_or_else(|| Error::UnknownFieldName(field.to_owned()))?;
    Ok(name(&certificate).field(&oid).map(|value| Text::new(&value)))
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
fn ssl_client_fingerprint() -> Result<Option<Text>, ErrorReport> {
    certificate(|certificate| Some(Text::new(&certificate.fingerprint())))
}

#[pg_extern(sql = false)]
fn ssl_client_pem() -> Result<Option<Text>, ErrorReport> {
    certificate(|certificate| Some(Text::new(&certificate.to_pem())))
}

#[pg_extern(sql = false)]
fn ssl_session() -> Result<Rows, ErrorReport> {
    let session = Session::current();
    let tls = session.as_ref().and_then(Session::tls);
    let tls = tls.as_ref();
    let text = |value: Option<&[u8]>| {
        value.map_or(Value::Null, |value| Value::Text(lossless(value).into_owned()))
    };
    let mut row: Row = vec![
        ("ssl".into(), Value::Bool(ssl_is_used())),
        ("version".into(), text(tls.map(|tls| tls.version().as_bytes()))),
        ("cipher".into(), text(tls.and_then(Tls::cipher).map(str::as_bytes))),
        (
            "bits".into(),
            tls.and_then(Tls::cipher_bits).map_or(Value::Null, |bits| Value::Int(bits.into())),
        ),
        (
            "key_exchange_group".into(),
            tls.and_then(Tls::key_exchange_group).map_or(Value::Null, Value::Text),
        ),
        ("sni".into(), text(tls.and_then(Tls::server_name))),
        ("alpn".into(), text(tls.and_then(Tls::application_protocol))),
        ("client_cert_present".into(), Value::Bool(ssl_client_cert_present())),
    ];
    let certificate = client_certificate()?;
    row.extend(Certificate::column_names().map(|name| {
        let value = certificate.as_ref().and_then(|certificate| certificate.column(name));
        (format!("client_{name}").into(), value.unwrap_or(Value::Null))
    }));
    Ok(Rows::one(row))
}
