//! `pgtls_parse_certificates` and `pgtls_certificate_json`: certificates given as an argument.
//!
//! Functions of their argument alone. Bad input is an error that says what was expected and where
//! it broke.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::json;
use pgtls_core::x509::bundle::each_certificate;
use pgtls_core::x509::certificate::Certificate;

use crate::error::{Error, Form, Result};
use crate::pg::datum::json::Json;
use crate::pg::datum::rows::{RowsOf, row};

/// A row for each certificate of an argument, made when its turn comes.
fn rows(input: &[u8], form: Form) -> Result<RowsOf<'_>> {
    let certificates = each_certificate(input).map_err(Error::argument(form))?;
    let columns = move |certificate: std::result::Result<Certificate, _>| {
        Ok(row(certificate.map_err(Error::argument(form))?.columns()))
    };
    Ok(RowsOf::new(certificates.map(columns)))
}

// The text arguments are taken as bytes: PEM is ASCII, and what stands around it may be in any
// encoding.

#[pg_extern(sql = false)]
fn pgtls_parse_certificates_text<'a>(pem: &'a [u8]) -> Result<RowsOf<'a>, ErrorReport> {
    Ok(rows(pem, Form::Text)?)
}

#[pg_extern(sql = false)]
fn pgtls_parse_certificates_bytea<'a>(der: &'a [u8]) -> Result<RowsOf<'a>, ErrorReport> {
    Ok(rows(der, Form::Binary)?)
}

#[pg_extern(sql = false)]
fn pgtls_certificate_json(pem: &[u8]) -> Result<Option<Json>, ErrorReport> {
    let mut first = None;
    // Of all of them, that they are certificates; of the first, what it says.
    for certificate in each_certificate(pem).map_err(Error::argument(Form::Text))? {
        let certificate = certificate.map_err(Error::argument(Form::Text))?;
        first.get_or_insert(certificate);
    }
    Ok(first.map(|certificate| Json::new(json::certificate(&certificate))))
}
