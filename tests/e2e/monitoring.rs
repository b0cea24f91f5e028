//! The files in `monitoring/` and their documentation: made from the table of metrics, every query
//! runs, and every alert is tested and explained.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pgtls_core::metrics::GROUPS;
use pgtls_e2e::dashboard;
use pgtls_e2e::monitoring;
use pgtls_e2e::prelude::*;

/// A file of the project.
pub(super) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// A healthy server with a role for exporters.
pub(super) fn server() -> Cluster {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "plain", "exporter"])
        .hba("local all exporter trust")
        .hba("host all plain 127.0.0.1/32 trust")
        .hba("hostssl all all all cert")
        .trust(&[pki.root(), pki.intermediate()])
        .crl_file(&[pki.root_crl(), pki.intermediate_crl()])
        .preloaded()
        .start();
    cluster.sql("grant pg_monitor to exporter");
    drop(cluster.client("alice").with(pki.alice()).login());
    cluster.reload();
    cluster
}

/// The names of all metrics. They are there while a client is connected by TCP.
pub(super) fn documented() -> BTreeSet<String> {
    let columns = GROUPS.iter().flat_map(|group| group.columns.iter().map(move |it| (group, it)));
    columns.map(|(group, column)| format!("{}_{}", group.prefix, column.name)).collect()
}

#[test]
fn the_files_are_those_of_the_table() {
    let dashboard = ("grafana/pgtls.json", dashboard::dashboard());
    for (name, content) in monitoring::files().into_iter().chain([dashboard]) {
        let found = std::fs::read_to_string(file("monitoring").join(name)).unwrap_or_default();
        assert!(found == content, "monitoring/{name} is not what `make monitoring` makes");
    }
    let page = std::fs::read_to_string(file("docs/monitoring.md")).unwrap();
    for name in documented() {
        assert!(page.contains(&format!("| `{name}` |")), "docs/monitoring.md lacks {name}");
    }
}

#[test]
fn every_query_runs_for_a_monitor() {
    let cluster = server();
    let monitor = cluster.client("exporter").unix().login();
    monitor.run("set default_transaction_read_only = on");
    for (name, content) in monitoring::files() {
        let queries = monitoring::queries(&content);
        assert!(queries.len() >= GROUPS.len(), "{name}: {}", queries.len());
        for query in queries {
            monitor.run(&query);
        }
    }
    let page = std::fs::read_to_string(file("docs/monitoring.md")).unwrap();
    let lines = page.lines().filter_map(|line| Some(line.split_once("| `SELECT ")?.1));
    let lines: Vec<_> = lines.filter_map(|line| line.strip_suffix("` |")).collect();
    assert_eq!(lines.len(), 7);
    for line in lines {
        let rows = monitor.rows(&format!("SELECT {line}"));
        let number = rows[0][0].as_ref().and_then(|cell| cell.parse::<i64>().ok());
        assert!(rows.len() == 1 && number.is_some(), "{line}: {rows:?}");
    }
    let runbook = std::fs::read_to_string(file("docs/runbook.md")).unwrap();
    let rules = std::fs::read_to_string(file("monitoring/prometheus/pgtls.rules.yml")).unwrap();
    let alerts: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    let tests = std::fs::read_to_string(file("monitoring/prometheus/pgtls.test.yml")).unwrap();
    for alert in alerts {
        let (_, entry) = runbook
            .split_once(&format!("## {alert}\n"))
            .unwrap_or_else(|| panic!("{alert}: not in the runbook"));
        let (_, sql) = entry.split_once("```sql\n").expect("an entry has a query");
        monitor.run(sql.split("```").next().unwrap_or_default());
        for word in ["fires", "is silent"] {
            assert!(
                tests.contains(&format!("# {alert}: {word}\n")),
                "{alert}: no test that it {word}"
            );
        }
    }
}

/// Names of metrics in an expression.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    words.filter(|word| word.starts_with("pgtls_")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_ask_for_what_is_there() {
    let known = documented();
    let rules = std::fs::read_to_string(file("monitoring/prometheus/pgtls.rules.yml")).unwrap();
    let rules = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let expressions: Vec<_> = rules.map(str::to_owned).chain(dashboard::expressions()).collect();
    assert!(expressions.len() > 30, "{}", expressions.len());
    for expression in &expressions {
        let names = metrics_in(expression);
        assert!(!names.is_empty(), "{expression}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{expression}: {unknown:?}");
    }
}
