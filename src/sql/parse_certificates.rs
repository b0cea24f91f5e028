//! `pgtls_parse_certificates` and `pgtls_certificate_json`: certificates given as an argument.
//!
//! Functions of their argument alone. Bad input is an error that says what was expected and where it broke.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::json;
use pgtls_core::x509::bundle::parse_certificates;
use pgtls_core::x509::certificate::Certificate;

use crate::error::{Error, Form, Result};
use crate::pg::datum::json::Json;
use crate::pg::datum::rows::{Row, Rows, row};

/// All certificates of an argument.
fn parse(input: &[u8], form: Form) -> Result<Vec<Certificate>> {
    parse_certificates(input).map_err(Error::argument(form))
}

/// The certificate columns, and what makes no sense in the certificate.
fn parsed_row(certificate: &Certificate) -> Row {
    let problems: Vec<String> = certificate.problems().iter().map(ToString::to_string).collect();
    let mut row = row(certificate.columns());
    row.push(("problems".into(), Some(problems).filter(|all| !all.is_empty()).into()));
    row
}

// The text arguments are taken as bytes: PEM is ASCII, and what stands around it may be in any encoding.

#[pg_extern(sql = false)]
fn pgtls_parse_certificates_text(pem: &[u8]) -> Result<Rows, ErrorReport> {
    Ok(parse(pem, Form::Text)?.iter().map(parsed_row).collect())
}

#[pg_extern(sql = false)]
fn pgtls_parse_certificates_bytea(der: &[u8]) -> Result<Rows, ErrorReport> {
    Ok(parse(der, Form::Binary)?.iter().map(parsed_row).collect())
}

#[pg_extern(sql = false)]
fn pgtls_certificate_json(pem: &[u8]) -> Result<Option<Json>, ErrorReport> {
    Ok(parse(pem, Form::Text)?.first().map(|certificate| Json::new(json::certificate(certificate))))
}
