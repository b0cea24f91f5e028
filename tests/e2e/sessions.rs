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
    let expected = [
        ["alice", "pg_stat_ssl", "t"],
        ["bob", "pg_stat_ssl", "t"],
        ["postgres", "own", "f"],
    ];
    let expected =
        expected.map(|row| row.map(|value| Some(value.to_owned())).into_iter().chain([None]).collect::<Vec<_>>());
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
fn other_roles_rows_show_what_pg_stat_activity_shows() {
    let cluster = cluster();
    let alice = cluster.client("alice").with(Pki::standard().alice()).login();
    let bob = cluster.client("bob").with(Pki::standard().bob()).login();
    let hidden = format!(
        "select source, ssl, version, cipher, client_addr, client_subject from pgtls_sessions where pid = {}",
        bob.pid()
    );
    assert_eq!(alice.row(&hidden), vec![None; 6]);
    cluster.sql("grant pg_read_all_stats to alice");
    assert_eq!(
        alice.row(&hidden)[..3],
        ["pg_stat_ssl", "t", "TLSv1.3"].map(|value| Some(value.to_owned())),
    );
    // A member of the other role sees its rows as well.
    cluster.sql("revoke pg_read_all_stats from alice");
    cluster.sql("grant bob to alice");
    assert_eq!(alice.row(&hidden)[0].as_deref(), Some("pg_stat_ssl"));
}
