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

/// Of sessions that are not recorded there is what pg_stat_ssl has, and it is not NULL what their
/// certificates are worth.
#[test]
fn a_session_that_is_not_recorded_is_as_pg_stat_ssl_has_it() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "long_dn", "plain"])
        .hba("host all plain 127.0.0.1/32 trust")
        .hba("hostssl all all all cert")
        .extension()
        .start();
    let _alice = cluster.client("alice").with(pki.alice()).login();
    let _long = cluster.client("long_dn").with(pki.long_dn()).login();
    let _plain = cluster.client("plain").no_tls().login();
    let _tls = cluster.client("plain").login();
    let rows = cluster.admin().rows(
        "select s.usename, s.credential_status, s.credential_status_on_file, \
         (s.credential_detail ~ 'not recorded')::text, \
         (s.client_subject = t.client_dn)::text, (s.client_serial = t.client_serial)::text \
         from pgtls_sessions s join pg_stat_ssl t using (pid) \
         where s.source = 'pg_stat_ssl' order by 1, 2",
    );
    let rows = rows.iter().map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or_default()));
    let rows: Vec<Vec<&str>> = rows.map(Iterator::collect).collect();
    assert_eq!(
        rows,
        [
            ["alice", "unknown", "unknown", "true", "true", "true"],
            // The server has cut it.
            ["long_dn", "unknown", "unknown", "true", "", "true"],
            ["plain", "none", "none", "", "", ""],
            ["plain", "none", "none", "", "", ""],
        ]
    );
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
