//! `pgtls_configuration`: what is in force against what is on file.

use pgrx::pg_extern;
use pgtls_core::value::Value;

use crate::checks::configuration::{self, Item};
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::time::unix_microseconds;

#[pg_extern(sql = false)]
fn pgtls_configuration() -> Rows {
    configuration::all_items().into_iter().map(row).collect()
}

fn row(item: Item) -> Row {
    let moment =
        |at: Option<i64>| at.map_or(Value::Null, |at| Value::Moment(unix_microseconds(at)));
    vec![
        ("item".into(), item.name.into()),
        ("in_force".into(), item.in_force.into()),
        ("value_in_force".into(), item.value_in_force.into()),
        ("value_on_file".into(), item.value_on_file.into()),
        ("problem".into(), item.problem.into()),
        ("loaded_at".into(), moment(item.loaded_at)),
        ("changed_at".into(), moment(item.changed_at)),
    ]
}
