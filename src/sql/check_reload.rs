//! `pgtls_check_reload`: what a reload would do, tried first.

use pgrx::pg_extern;
use pgtls_core::value::Value;

use crate::checks::reload::{self, Step};
use crate::pg::datum::rows::{Row, Rows};

#[pg_extern(sql = false)]
fn pgtls_check_reload() -> Rows {
    reload::steps().into_iter().zip(1..).map(|(step, number)| row(step, number)).collect()
}

fn row(step: Step, number: i64) -> Row {
    vec![
        ("step".into(), Value::Int(number)),
        ("item".into(), step.item.into()),
        ("outcome".into(), step.outcome.as_str().into()),
        ("detail".into(), step.detail.into()),
        ("hint".into(), step.hint.into()),
        ("file_name".into(), step.file.into()),
        ("line_number".into(), step.line.map(i64::from).into()),
    ]
}
