//! The files in `monitoring/` that repeat the table of metrics in the form of one exporter each.
//!
//! They are made from the table, so that they cannot differ from it: `make monitoring` writes them,
//! and a test compares.

use std::fmt::Write;

use pgtls_core::metrics::{Column, GROUPS, Group, Kind};

const GENERATED: &str =
    "Made by `make monitoring` from the table of metrics; see docs/monitoring.md.";

/// Each file's name below `monitoring/`, and its content.
#[must_use]
pub fn files() -> [(&'static str, String); 7] {
    [
        ("postgres_exporter.yml", postgres_exporter()),
        ("sql_exporter.justwatch.yml", justwatch()),
        ("pgtls.collector.yml", burningalchemist()),
        ("pgwatch.yml", pgwatch()),
        ("telegraf.conf", telegraf()),
        ("otel-sqlquery.yml", open_telemetry()),
        ("datadog.yml", datadog()),
    ]
}

/// The query of a group: its columns by name.
fn query(group: &Group) -> String {
    let columns =
        group.labels.iter().copied().chain(group.columns.iter().map(|column| column.name));
    let columns: Vec<&str> = columns.collect();
    format!("SELECT {} FROM pgtls_metrics_{}", columns.join(", "), group.name)
}

fn metric(group: &Group, column: &Column) -> String {
    format!("{}_{}", group.prefix, column.name)
}

fn label_help(label: &str) -> String {
    label.replace('_', " ")
}

/// As each file is written.
fn made(write: impl FnOnce(&mut String) -> std::fmt::Result) -> String {
    let mut out = format!("# {GENERATED}\n");
    write(&mut out).expect("a String takes everything");
    out
}

fn postgres_exporter() -> String {
    made(|out| {
        writeln!(out, "# For postgres_exporter (--extend.query-path) and CloudNativePG.")?;
        for group in &GROUPS {
            // The name of a metric is that of its entry and that of its column. Entries need names
            // of their own, and several groups have one prefix; the exporter goes on where an entry
            // is named as another, so the name is cut where the groups differ.
            let (entry, cut) = entry(group);
            writeln!(out, "{entry}:\n  query: |")?;
            let columns = group.columns.iter().map(|column| {
                let short = &metric(group, column)[cut..];
                match short == column.name {
                    true => column.name.to_owned(),
                    false => format!("{} AS {short}", column.name),
                }
            });
            let columns: Vec<_> =
                group.labels.iter().map(|label| (*label).to_owned()).chain(columns).collect();
            writeln!(out, "    SELECT {} FROM pgtls_metrics_{}", columns.join(", "), group.name)?;
            writeln!(out, "  master: true\n  cache_seconds: 30\n  metrics:")?;
            for label in group.labels {
                let help = label_help(label);
                writeln!(out, "    - {label}: {{usage: \"LABEL\", description: \"{help}\"}}")?;
            }
            for column in group.columns {
                let usage = if column.kind == Kind::Counter { "COUNTER" } else { "GAUGE" };
                let (short, help) = (&metric(group, column)[cut..], column.help);
                writeln!(out, "    - {short}: {{usage: \"{usage}\", description: \"{help}\"}}")?;
            }
        }
        Ok(())
    })
}

/// The name of a group's entry, which no other has, and where the names of its columns begin in
/// those of its metrics.
fn entry(group: &Group) -> (String, usize) {
    let is_first = GROUPS.iter().find(|one| one.prefix == group.prefix) == Some(group);
    if is_first {
        return (group.prefix.to_owned(), group.prefix.len() + 1);
    }
    // The longest beginning of the first metric's name that ends before a `_` and is nobody's.
    let name = metric(group, &group.columns[0]);
    let cut = name.rfind('_').expect("names have parts");
    (name[..cut].to_owned(), cut + 1)
}

fn justwatch() -> String {
    made(|out| {
        writeln!(out, "# For sql_exporter of justwatch; set the connection.")?;
        writeln!(out, "jobs:\n  - name: pgtls\n    interval: 30s\n    connections:")?;
        writeln!(
            out,
            "      - \"postgres://pgtls_exporter@localhost/postgres?sslmode=verify-full\""
        )?;
        writeln!(out, "    queries:")?;
        for group in &GROUPS {
            for column in group.columns {
                let name = metric(group, column);
                // This exporter puts `sql_` before the name.
                writeln!(out, "      - name: {name}\n        help: \"{}\"", column.help)?;
                let labels: Vec<_> = group.labels.iter().map(|l| format!("\"{l}\"")).collect();
                writeln!(out, "        labels: [{}]", labels.join(", "))?;
                writeln!(
                    out,
                    "        values: [\"{}\"]\n        allow_zero_rows: true",
                    column.name
                )?;
                writeln!(out, "        query: \"{}\"", query(group))?;
            }
        }
        Ok(())
    })
}

fn burningalchemist() -> String {
    made(|out| {
        writeln!(out, "# For sql_exporter of burningalchemist.\ncollector_name: pgtls\nmetrics:")?;
        for group in &GROUPS {
            for column in group.columns {
                writeln!(out, "  - metric_name: {}", metric(group, column))?;
                writeln!(out, "    type: {}\n    help: \"{}\"", column.kind.as_str(), column.help)?;
                if !group.labels.is_empty() {
                    writeln!(out, "    key_labels: [{}]", group.labels.join(", "))?;
                }
                writeln!(out, "    values: [{}]\n    query_ref: {}", column.name, group.name)?;
            }
        }
        writeln!(out, "queries:")?;
        for group in &GROUPS {
            writeln!(out, "  - query_name: {}\n    query: \"{}\"", group.name, query(group))?;
        }
        Ok(())
    })
}

fn pgwatch() -> String {
    made(|out| {
        writeln!(out, "# For pgwatch 3.\nmetrics:")?;
        for group in &GROUPS {
            let labels = group.labels.iter().map(|label| format!("{label} AS tag_{label}"));
            let columns = group.columns.iter().map(|column| column.name.to_owned());
            let epoch = "(extract(epoch FROM now()) * 1e9)::int8 AS epoch_ns".to_owned();
            let columns: Vec<_> = [epoch].into_iter().chain(labels).chain(columns).collect();
            let view = format!("pgtls_metrics_{}", group.name);
            writeln!(out, "  {view}:\n    description: \"{}\"", group.columns[0].help)?;
            writeln!(out, "    sqls:\n      15: \"SELECT {} FROM {view}\"", columns.join(", "))?;
            writeln!(out, "    gauges: ['*']\n    is_instance_level: true")?;
        }
        Ok(())
    })
}

fn telegraf() -> String {
    made(|out| {
        writeln!(out, "# For Telegraf; set the address.\n[[inputs.postgresql_extensible]]")?;
        writeln!(
            out,
            "  address = \"host=localhost user=pgtls_exporter dbname=postgres sslmode=verify-full\""
        )?;
        for group in &GROUPS {
            writeln!(out, "  [[inputs.postgresql_extensible.query]]")?;
            writeln!(out, "    measurement = \"{}\"", group.prefix)?;
            writeln!(out, "    sqlquery = \"{}\"", query(group))?;
            writeln!(out, "    tagvalue = \"{}\"\n    withdbname = false", group.labels.join(","))?;
        }
        Ok(())
    })
}

fn open_telemetry() -> String {
    made(|out| {
        writeln!(out, "# For the sqlquery receiver of the OpenTelemetry Collector.\nreceivers:")?;
        writeln!(
            out,
            "  sqlquery/pgtls:\n    driver: postgres\n    datasource: \"host=localhost user=pgtls_exporter dbname=postgres sslmode=verify-full\""
        )?;
        writeln!(out, "    queries:")?;
        for group in &GROUPS {
            writeln!(out, "      - sql: \"{}\"\n        metrics:", query(group))?;
            for column in group.columns {
                writeln!(out, "          - metric_name: {}", metric(group, column))?;
                writeln!(out, "            description: \"{}\"", column.help)?;
                writeln!(
                    out,
                    "            value_column: {}\n            value_type: double",
                    column.name
                )?;
                match column.kind {
                    Kind::Gauge => writeln!(out, "            data_type: gauge")?,
                    Kind::Counter => writeln!(
                        out,
                        "            data_type: sum\n            monotonic: true\n            aggregation: cumulative"
                    )?,
                }
                if !group.labels.is_empty() {
                    writeln!(out, "            attribute_columns: [{}]", group.labels.join(", "))?;
                }
            }
        }
        Ok(())
    })
}

fn datadog() -> String {
    made(|out| {
        writeln!(out, "# For Datadog's postgres check: to go below `instances`.\ncustom_queries:")?;
        for group in &GROUPS {
            writeln!(
                out,
                "  - metric_prefix: {}\n    query: \"{}\"\n    columns:",
                group.prefix,
                query(group)
            )?;
            for label in group.labels {
                writeln!(out, "      - {{name: {label}, type: tag}}")?;
            }
            for column in group.columns {
                let kind = if column.kind == Kind::Counter { "monotonic_count" } else { "gauge" };
                writeln!(out, "      - {{name: {}, type: {kind}}}", column.name)?;
            }
        }
        Ok(())
    })
}

/// The queries in such a file, as the exporter reads them, however it writes them.
#[must_use]
pub fn queries(content: &str) -> Vec<String> {
    content
        .lines()
        .filter_map(|line| {
            let start = line.find("SELECT ")?;
            Some(line[start..].trim_end_matches('"').to_owned())
        })
        .collect()
}
