//! `pgtls_sessions` without preload: every client backend, with the own session's certificate.

use pgtls_e2e::prelude::*;

fn cluster() -> Cluster {
    Cluster::builder().roles(&["alice", "bob"]).extension().start()
}

#[test]
fn every_client_backend_is_a_row_and_ones_own_is_whole() {
    let pki = Pki::standard();
    let cluster = cluster();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let bob = cluster.client("bob").with(pki.bob()).login();
    let row = alice.row(&format!(
        "select source, usename, ssl, version, client_cn, client_fingerprint from pgtls_sessions where pid = {}",
        alice.pid()
    ));
    let expected = ["own", "alice", "t", "TLSv1.3", "alice", &pki.alice().cert.fingerprint()];
    assert_eq!(row, expected.map(|value| Some(value.to_owned())));

    // A superuser on the Unix socket sees the others as pg_stat_ssl has them.
    let admin = cluster.admin();
    let rows = admin.rows(
        "select usename, source, ssl, client_fingerprint from pgtls_sessions order by usename",
    );
    let expected =
        [["alice", "pg_stat_ssl", "t"], ["bob", "pg_stat_ssl", "t"], ["postgres", "own", "f"]];
    let expected = expected.map(|row| {
        row.map(|value| Some(value.to_owned())).into_iter().chain([None]).collect::<Vec<_>>()
    });
    assert_eq!(rows, expected);
    assert_eq!(bob.value("select count(*) from pgtls_sessions where source = 'own'"), "1");
}

#[test]
fn the_columns_of_the_server_views_are_theirs() {
    let cluster = cluster();
    let _alice = cluster.client("alice").with(Pki::standard().alice()).login();
    assert_eq!(
        cluster.admin().value(
            "select count(*) from \
             (select pid, datname, usename, application_name, client_addr, client_port, backend_start, \
                     backend_type, ssl, version, cipher, bits \
              from pg_stat_activity left join pg_stat_ssl using (pid) \
              where backend_type in ('client backend', 'walsender') \
              except \
              select pid, datname, usename, application_name, client_addr, client_port, backend_start, \
                     backend_type, ssl, version, cipher, bits \
              from pgtls_sessions) missing"
        ),
        "0",
    );
}

#[test]
fn sessions_of_other_roles_are_invisible_without_the_privilege() {
    let cluster = cluster();
    let alice = cluster.client("alice").with(Pki::standard().alice()).login();
    let bob = cluster.client("bob").with(Pki::standard().bob()).login();
    let visible = format!("select source from pgtls_sessions where pid = {}", bob.pid());
    let seen = [[Some("pg_stat_ssl".to_owned())]];
    assert!(alice.rows(&visible).is_empty());
    assert_eq!(alice.value("select count(*) from pgtls_sessions"), "1");
    cluster.sql("grant pg_read_all_stats to alice");
    assert_eq!(alice.rows(&visible), seen);
    cluster.sql("revoke pg_read_all_stats from alice");
    assert!(alice.rows(&visible).is_empty());
    // A member of the other role sees its sessions as well.
    cluster.sql("grant bob to alice");
    assert_eq!(alice.rows(&visible), seen);
}
