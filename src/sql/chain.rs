//! `ssl_client_chain` and its kin: the certificates of both ends of this session, and where they
//! come from.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::json;
use pgtls_core::value::Value;
use pgtls_core::x509::bundle::parse_certificates;
use pgtls_core::x509::certificate::Certificate;
use pgtls_core::x509::general_name::GeneralName;
use pgtls_core::x509::tree;

use crate::checks::session_certificate::{client_certificate, client_chain};
use crate::error::{Error, Form, Result};
use crate::pg::connection::port::Session;
use crate::pg::datum::json::Json;
use crate::pg::datum::rows::{Row, Rows, row};
use crate::pg::datum::time;

#[pg_extern(sql = false)]
fn ssl_client_chain() -> Result<Rows, ErrorReport> {
    let Some(chain) = client_chain()? else { return Ok(Rows::none()) };
    Ok(chain.entries().iter().map(|entry| row(entry.columns())).collect())
}

#[pg_extern(sql = false)]
fn ssl_client_chain_json() -> Result<Option<Json>, ErrorReport> {
    Ok(client_chain()?.map(|chain| Json::new(json::chain(&chain))))
}

#[pg_extern(sql = false)]
fn ssl_client_chain_text() -> Result<Option<String>, ErrorReport> {
    let Some(chain) = client_chain()? else { return Ok(None) };
    let sources: Vec<_> = chain.entries().iter().map(|entry| entry.source.to_string()).collect();
    let certificates: Vec<_> =
        chain.entries().iter().map(|entry| entry.certificate.clone()).collect();
    Ok(Some(tree::text(&certificates, time::now(), |place| sources.get(place).cloned())))
}

#[pg_extern(sql = false)]
fn pgtls_chain_text(pem: &[u8]) -> Result<String, ErrorReport> {
    let certificates = parse_certificates(pem).map_err(Error::argument(Form::Text))?;
    Ok(tree::text(&certificates, time::now(), |_| None))
}

#[pg_extern(sql = false)]
fn ssl_client_san() -> Result<Rows, ErrorReport> {
    let Some(certificate) = client_certificate()? else { return Ok(Rows::none()) };
    let name = |name: &GeneralName| -> Row {
        vec![
            ("type".into(), Value::Text(name.kind().label().to_owned())),
            ("value".into(), Value::Text(name.value())),
        ]
    };
    Ok(certificate.san().unwrap_or_default().iter().map(name).collect())
}

#[pg_extern(sql = false)]
fn ssl_server_certificate() -> Result<Rows, ErrorReport> {
    let session = Session::current();
    let der = session.as_ref().and_then(Session::tls).and_then(|tls| tls.server_certificate_der());
    let Some(der) = der else { return Ok(Rows::none()) };
    let certificate = Certificate::from_openssl(&der).map_err(Error::SessionCertificate)?;
    Ok(Rows::one(row(certificate.columns())))
}
