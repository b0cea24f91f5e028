//! `pgtls_parse_requests`: certificate requests given as an argument.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;
use pgtls_core::x509::request::parse_requests;

use crate::error::{Error, Form, Result};
use crate::pg::datum::rows::{Rows, row};

/// A row for each request, made when its turn comes: a signature takes long to verify.
fn rows(input: &[u8], form: Form) -> Result<Rows> {
    let requests = parse_requests(input).map_err(Error::argument(form))?;
    Ok(Rows::new((1_i64..).zip(requests).map(|(position, request)| {
        let mut columns = row(request.columns());
        columns.push(("position".into(), Value::Int(position)));
        Ok(columns)
    })))
}

// Text is taken as bytes: PEM is ASCII, and what stands around it may be in any encoding.

#[pg_extern(sql = false)]
fn pgtls_parse_requests_text(pem: &[u8]) -> Result<Rows, ErrorReport> {
    Ok(rows(pem, Form::Text)?)
}

#[pg_extern(sql = false)]
fn pgtls_parse_requests_bytea(der: &[u8]) -> Result<Rows, ErrorReport> {
    Ok(rows(der, Form::Binary)?)
}
