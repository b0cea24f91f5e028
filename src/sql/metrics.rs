//! `pgtls_metrics` and `pgtls_collection_errors`: what an exporter is given.

use pgrx::pg_extern;
use pgtls_core::metrics::Sample;
use pgtls_core::value::Value;

use crate::checks::metrics::{self, Problem};
use crate::pg::datum::rows::{Row, Rows};

fn row(sample: Sample) -> Row {
    let names: Vec<String> = sample.group.labels.iter().map(|name| (*name).to_owned()).collect();
    vec![
        ("name".into(), sample.name().into()),
        ("label_names".into(), names.into()),
        ("value".into(), Value::Float(sample.value.to_bits())),
        ("type".into(), sample.column.kind.as_str().into()),
        ("help".into(), sample.column.help.into()),
        ("label_values".into(), sample.labels.into()),
    ]
}

#[pg_extern(sql = false)]
fn pgtls_metrics(metric_group: Option<&str>) -> Rows {
    metrics::samples(metric_group).into_iter().map(row).collect()
}

#[pg_extern(sql = false)]
fn pgtls_collection_errors() -> Rows {
    let row = |problem: Problem| -> Row {
        vec![("source".into(), problem.source.into()), ("detail".into(), problem.detail.into())]
    };
    metrics::problems().into_iter().map(row).collect()
}
