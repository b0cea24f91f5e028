//! `pgtls_lint_certificate`: what strict readers and current rules object to in a certificate.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::x509::bundle::each_certificate;
use pgtls_core::x509::lint::{Finding, lint};

use crate::error::{Error, Form};
use crate::pg::datum::rows::{Row, Rows};

#[pg_extern(sql = false)]
fn pgtls_lint_certificate(pem: &[u8]) -> Result<Rows, ErrorReport> {
    // The first one alone, as in pgtls_certificate_json.
    let mut members = each_certificate(pem).map_err(Error::argument(Form::Text))?;
    let Some(certificate) = members.next() else { return Ok(Rows::none()) };
    let certificate = certificate.map_err(Error::argument(Form::Text))?;
    let finding = |finding: &Finding| -> Row {
        vec![
            ("severity".into(), finding.rule.severity().as_str().into()),
            ("finding".into(), finding.rule.as_str().into()),
            ("detail".into(), finding.detail.as_str().into()),
            ("reference".into(), finding.rule.reference().into()),
        ]
    };
    Ok(lint(&certificate).iter().map(finding).collect())
}
