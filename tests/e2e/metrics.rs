//! `pgtls_metrics` and the flat views: what an exporter reads.

use std::collections::BTreeMap;

use pgtls_core::metrics::GROUPS;
use pgtls_e2e::prelude::*;

/// A server with everything that metrics are made of, and a monitor that asks as an exporter does.
fn server() -> (Cluster, Session) {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "bob", "plain", "monitor"])
        .hba("local all monitor trust")
        .hba("host all plain 127.0.0.1/32 trust")
        .hba("hostssl all all all cert")
        .trust(&[pki.root(), pki.intermediate()])
        .crl_file(&[pki.root_crl(), pki.intermediate_crl()])
        .preloaded()
        .start();
    cluster.sql("grant pg_monitor to monitor");
    let monitor = cluster.client("monitor").unix().login();
    monitor.run("set default_transaction_read_only = on");
    (cluster, monitor)
}

fn value(monitor: &Session, name: &str, label: &str) -> Option<String> {
    let filter =
        if label.is_empty() { String::new() } else { format!(" and labels @> {}", quote(label)) };
    monitor
        .maybe(&format!("select min(value)::text from pgtls_metrics where name = '{name}'{filter}"))
}

#[test]
fn every_metric_is_there_and_true() {
    let pki = Pki::standard();
    let (cluster, monitor) = server();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let _plain = cluster.client("plain").no_tls().login();
    cluster.client("bob").with(pki.expired()).refused();
    cluster.reload();
    eventually("the failure is counted", || {
        value(&monitor, "pgtls_login_failures_total", r#"{"reason": "expired"}"#).as_deref()
            == Some("1")
    });
    let said = |name: &str, label: &str| value(&monitor, name, label);
    for (name, label, expected) in [
        ("pgtls_tcp_connections", r#"{"encryption": "none"}"#, "1"),
        ("pgtls_tcp_connections", r#"{"version": "TLSv1.3"}"#, "1"),
        ("pgtls_session_credentials", r#"{"status": "valid"}"#, "1"),
        ("pgtls_session_credentials", r#"{"status": "revoked"}"#, "0"),
        ("pgtls_client_certificates", r#"{"status": "valid"}"#, "1"),
        ("pgtls_client_certificates_expiring", r#"{"within": "75d"}"#, "0"),
        ("pgtls_certificate_key_matches", "", "1"),
        ("pgtls_certificate_in_force", r#"{"role": "server"}"#, "1"),
        ("pgtls_configuration_in_force", r#"{"item": "ssl_ca_file"}"#, "1"),
        ("pgtls_reload_success", "", "1"),
        ("pgtls_recorder_inventory_entries", "", "1"),
        ("pgtls_recorder_in_force_known", "", "1"),
        ("pgtls_worker_up", "", "1"),
        ("pgtls_worker_sessions_terminated_total", "", "0"),
        ("pgtls_build_info", r#"{"preloaded": "true"}"#, "1"),
        ("pgtls_collection_error", r#"{"source": "crls"}"#, "0"),
        ("pgtls_ca_clients_refused", r#"{"subject_cn": "pgtls test root"}"#, "0"),
    ] {
        assert_eq!(said(name, label).as_deref(), Some(expected), "{name} {label}");
    }
    let not_after = "select value = extract(epoch from not_after) from pgtls_metrics, ssl_cert \
                     where name = 'pgtls_certificate_not_after_timestamp_seconds' \
                     and labels->>'role' = 'server'";
    let not_after =
        not_after.replace("ssl_cert", "pgtls_server_certificates s") + " and s.role = 'server'";
    assert_eq!(monitor.value(&not_after), "t");

    // The names are those of the table that exporters' files are made from, and every view has them.
    let names = monitor.column("select distinct name from pgtls_metrics");
    for group in &GROUPS {
        let view = format!("pgtls_metrics_{}", group.name);
        let columns = monitor.column(&format!(
            "select attname from pg_attribute where attrelid = '{view}'::regclass and attnum > 0 order by attnum"
        ));
        let expected: Vec<_> = group
            .labels
            .iter()
            .copied()
            .chain(group.columns.iter().map(|column| column.name))
            .collect();
        assert_eq!(
            columns,
            expected.iter().map(|name| Some((*name).to_owned())).collect::<Vec<_>>()
        );
        for column in group.columns {
            let name = format!("{}_{}", group.prefix, column.name);
            assert!(names.contains(&Some(name.clone())), "{name}");
            let both = format!(
                "select (select sum(value) from pgtls_metrics where name = '{name}') = \
                 (select sum({}) from {view})",
                column.name
            );
            // What is connected and when it is asked may differ between two queries.
            if group.name != "connections" {
                assert_eq!(monitor.value(&both), "t", "{name}");
            }
            let nulls = format!("select count(*) from {view} where {} is null", column.name);
            assert_eq!(monitor.value(&nulls), "0", "{name}");
        }
    }
    assert_eq!(alice.error("select * from pgtls_metrics").sqlstate, "42501");
    assert_eq!(alice.error("select * from pgtls_metrics_crl").sqlstate, "42501");
    assert_eq!(monitor.value("select count(*) from pgtls_collection_errors"), "0");
    monitor.run("set search_path = ''");
    assert_ne!(monitor.value("select count(*) from public.pgtls_metrics_certificate"), "0");
}

#[test]
fn a_source_that_fails_takes_only_its_own_away() {
    let (cluster, monitor) = server();
    let counts = || -> BTreeMap<String, String> {
        let rows = monitor.rows("select name, count(*)::text from pgtls_metrics group by 1");
        rows.into_iter().map(|mut row| (row[0].take().unwrap(), row[1].take().unwrap())).collect()
    };
    let before = counts();
    std::fs::remove_file(cluster.crl_file()).unwrap();
    std::fs::write(cluster.tls_path("ca.crt"), "nonsense").unwrap();
    let after = counts();
    let errors = monitor.column("select distinct source from pgtls_collection_errors order by 1");
    assert_eq!(errors, ["certificates", "coverage", "crls"].map(|word| Some(word.to_owned())));
    for source in ["certificates", "crls", "coverage"] {
        let label = format!("{{\"source\": \"{source}\"}}");
        assert_eq!(value(&monitor, "pgtls_collection_error", &label).as_deref(), Some("1"));
    }
    for name in ["pgtls_certificate_key_matches", "pgtls_worker_up", "pgtls_login_failures_total"] {
        assert_eq!(after.get(name), before.get(name), "{name}");
    }
    // What is in force is known all the same.
    assert_eq!(
        value(&monitor, "pgtls_certificate_in_force", r#"{"role": "ca"}"#).as_deref(),
        Some("1")
    );
}

/// An exporter loses everything where two samples have the same labels.
#[test]
fn no_two_samples_have_the_same_labels_and_there_are_not_many() {
    let pki = Pki::standard();
    let (cluster, monitor) = server();
    let three = [pki.root(), pki.root(), pki.root()].map(|one| &one.cert);
    cluster.replace_ca(&three);
    cluster.replace_crl(&[pki.root_crl(), pki.root_crl(), pki.intermediate_crl()]);
    cluster.reload();
    for number in 0..40 {
        let identity = pki.issue(format!("/O=Acme {number}/CN=alice").as_str()).build();
        drop(cluster.client("alice").with(&identity).login());
    }
    let twice = "select name, labels from pgtls_metrics group by 1, 2 having count(*) > 1";
    assert!(monitor.rows(twice).is_empty());
    let count: u32 = monitor.value("select count(*) from pgtls_metrics").parse().unwrap();
    assert!(count <= 400, "{count}");
    assert_eq!(value(&monitor, "pgtls_recorder_inventory_entries", "").as_deref(), Some("40"));
}

#[test]
fn without_preloading_the_files_are_still_watched() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    let errors = admin.column("select source from pgtls_collection_errors order by 1");
    let expected = ["failures", "inventory", "logins", "recorder", "sessions"];
    assert_eq!(errors, expected.map(|word| Some(word.to_owned())));
    assert!(
        value(&admin, "pgtls_certificate_not_after_timestamp_seconds", r#"{"role": "server"}"#)
            .is_some()
    );
    assert_eq!(
        value(&admin, "pgtls_build_info", r#"{"preloaded": "false"}"#).as_deref(),
        Some("1")
    );
    assert_eq!(value(&admin, "pgtls_worker_up", ""), None);
}

/// No label names a client, and none repeats: as many samples with many clients, a CA three times in
/// its file and two databases.
#[test]
fn the_number_of_metrics_does_not_grow_with_clients() {
    let pki = Pki::standard();
    let (cluster, monitor) = server();
    let count = || -> i64 { monitor.value("select count(*) from pgtls_metrics").parse().unwrap() };
    let repeated = "select count(*) from (select name, labels from pgtls_metrics group by 1, 2 \
                    having count(*) > 1) s";
    cluster.reload();
    let session = cluster.client("alice").with(pki.alice()).login();
    let before = count();
    let _many: Vec<_> = (0..30)
        .map(|_| cluster.client("alice").with(&pki.issue("/CN=alice").build()).login())
        .collect();
    assert_eq!(monitor.value("select count(*) from pgtls_client_certificates"), "31");
    assert_eq!(count(), before);
    assert!(before < 400, "{before}");
    drop(session);
    let ca = &pki.root().cert;
    cluster.replace_ca(&[ca, ca, &pki.intermediate().cert, ca]);
    cluster.reload();
    assert_eq!(monitor.value(repeated), "0");
    assert_eq!(count(), before);
    cluster.database("second", "UTF8");
    cluster.admin_in("second").run("create extension pgtls_ext");
    let second = cluster.client("monitor").database("second").unix().login();
    assert_eq!(second.value("select count(*) from pgtls_metrics"), before.to_string());
}

#[test]
fn a_standby_has_its_own_metrics() {
    let (cluster, _) = server();
    let standby = cluster.standby();
    let monitor = standby.client("monitor").unix().login();
    monitor.run("set search_path = ''");
    for group in &GROUPS {
        monitor.run(&format!("select * from public.pgtls_metrics_{}", group.name));
    }
    assert_eq!(monitor.value("select up from public.pgtls_metrics_worker"), "1");
}
