//! `ssl_client_crl_status`, `pgtls_crl_status`, `pgtls_crls` and `pgtls_crl_coverage`.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::value::Value;
use pgtls_core::verify::revocation::status::Status;
use pgtls_core::x509::bundle::parse_certificates;

use crate::checks::revocation::{self, Answer, CaCoverage, Checked, CrlState};
use crate::error::{Error, Form};
use crate::pg::datum::rows::{Row, Rows};
use crate::sql::columns::{count, crl_columns};

#[pg_extern(sql = false)]
fn ssl_client_crl_status() -> Result<Rows, ErrorReport> {
    Ok(revocation::of_session()?.iter().map(status_row).collect())
}

#[pg_extern(sql = false)]
fn pgtls_crl_status(certificate: &[u8]) -> Result<Rows, ErrorReport> {
    let given = parse_certificates(certificate).map_err(Error::argument(Form::Text))?;
    let Some((leaf, others)) = given.split_first() else { return Ok(Rows::none()) };
    Ok(revocation::of_certificate(leaf, others).iter().map(status_row).collect())
}

fn status_row(checked: &Checked) -> Row {
    let (revoked_at, reason) = match checked.answer {
        Answer::Status(Status::Revoked { at, reason }) => (at, reason),
        _ => (None, None),
    };
    let certificate = &checked.certificate;
    let mut row: Row = vec![
        ("evaluated".into(), checked.by.as_str().into()),
        ("depth".into(), checked.depth.into()),
        ("subject".into(), certificate.column("subject").unwrap_or(Value::Null)),
        ("serial".into(), Value::Numeric(certificate.serial().decimal())),
        ("status".into(), checked.answer.as_str().into()),
        ("detail".into(), checked.detail.clone().into()),
        ("revoked_at".into(), revoked_at.into()),
        ("reason".into(), reason.map(|reason| reason.as_str()).into()),
        ("crl_source".into(), checked.source.clone().into()),
    ];
    row.extend(crl_columns(checked.crl.as_ref()));
    row
}

#[pg_extern(sql = false)]
fn pgtls_crls() -> Rows {
    revocation::crls().iter().map(crl_row).collect()
}

fn crl_row(state: &CrlState) -> Row {
    let listed = &state.listed;
    let crl = listed.crl.as_ref();
    let problem =
        listed.problem.clone().or_else(|| crl.and_then(|crl| crl.problems().into_iter().next()));
    let mut row: Row = vec![
        ("file_name".into(), state.on_file.then(|| listed.file.display().to_string()).into()),
        ("on_file".into(), Value::Bool(state.on_file)),
        ("position".into(), listed.position.map_or(Value::Null, count)),
        ("revoked_count".into(), crl.map_or(Value::Null, |crl| count(crl.revoked_count()))),
        ("signature_valid".into(), state.signature_valid.into()),
        ("status".into(), state.status.map_or("unreadable", |status| status.as_str()).into()),
        ("in_force".into(), state.in_force.into()),
        ("problem".into(), problem.into()),
    ];
    row.extend(crl_columns(crl));
    row
}

#[pg_extern(sql = false)]
fn pgtls_crl_coverage() -> Rows {
    revocation::coverage().into_iter().map(coverage_row).collect()
}

fn coverage_row(coverage: CaCoverage) -> Row {
    let column = |name: &'static str| {
        let value = coverage.authority.as_ref().and_then(|authority| authority.column(name));
        (name.into(), value.unwrap_or(Value::Null))
    };
    vec![
        column("subject"),
        column("fingerprint"),
        column("not_after"),
        ("crl_status".into(), coverage.in_force.crl_status.into()),
        ("clients_refused".into(), coverage.in_force.clients_refused.into()),
        ("effect".into(), coverage.in_force.effect.into()),
        ("crl_status_on_file".into(), coverage.on_file.crl_status.into()),
        ("clients_refused_on_file".into(), coverage.on_file.clients_refused.into()),
        ("effect_on_file".into(), coverage.on_file.effect.into()),
    ]
}
