//! `pgtls_server_certificates` and `pgtls_expiring`: what the server has, and what ends next.

use pgrx::pg_extern;
use pgtls_core::value::Value;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::expiring::{self, Ending};
use crate::checks::server_certificates::{self, ServerCertificate};
use crate::pg::datum::rows::{Row, Rows};
use crate::sql::columns::count;

#[pg_extern(sql = false)]
fn pgtls_server_certificates() -> Rows {
    server_certificates::all().iter().map(row).collect()
}

fn row(one: &ServerCertificate) -> Row {
    let column = |name: &'static str| {
        let value = one.certificate.as_ref().and_then(|it| it.column(name));
        (name.into(), value.unwrap_or(Value::Null))
    };
    let mut row: Row = Certificate::column_names().map(column).collect();
    row.extend::<Row>(vec![
        ("role".into(), one.role.as_str().into()),
        ("status".into(), one.standing.label().into()),
        ("in_force".into(), one.in_force.into()),
        ("on_file".into(), Value::Bool(one.on_file)),
        ("key_matches".into(), one.key_matches.into()),
        ("problem".into(), one.problem.clone().into()),
        ("file_name".into(), one.file.clone().into()),
        ("position".into(), one.position.map_or(Value::Null, count)),
    ]);
    row
}

#[pg_extern(sql = false)]
fn pgtls_all_endings() -> Rows {
    expiring::all().into_iter().map(ending_row).collect()
}

fn ending_row(ending: Ending) -> Row {
    vec![
        ("ends_at".into(), Value::Timestamp(ending.ends_at)),
        ("kind".into(), ending.kind.into()),
        ("name".into(), ending.name.into()),
        ("status".into(), ending.status.into()),
        ("detail".into(), ending.detail.into()),
    ]
}
