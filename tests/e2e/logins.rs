//! `pgtls_logins`: logins that succeeded, by how they were encrypted.

use pgtls_e2e::prelude::*;

#[test]
fn logins_are_counted_by_their_encryption() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "plain"])
        .hba("local all all trust")
        .hba("host all plain 127.0.0.1/32 trust")
        .hba("hostssl all all all cert")
        .preloaded()
        .start();
    let admin = cluster.admin();
    assert_eq!(admin.value("select count(*) from pgtls_logins"), "0");
    cluster.client("alice").with(pki.alice()).login();
    cluster.client("alice").with(pki.alice()).tls12().login();
    for _ in 0..2 {
        cluster.client("alice").with(pki.alice()).tls13().login();
        cluster.client("plain").no_tls().login();
    }
    cluster.client("plain").login();
    // Neither those that fail nor those over the Unix socket count.
    cluster.client("alice").with(pki.bob()).refused();
    cluster.client("alice").unix().login();
    let rows = "select protocol_version, client_certificate::text, sum(logins)::text, \
                bool_and(last_at between now() - interval '1 hour' and now() + interval '1 hour')::text, \
                bool_and((cipher is null) = (protocol_version = 'none'))::text \
                from pgtls_logins group by 1, 2 order by 1, 2";
    let expected = [
        ["TLSv1.2", "true", "1", "true", "true"],
        ["TLSv1.3", "false", "1", "true", "true"],
        ["TLSv1.3", "true", "3", "true", "true"],
        ["none", "false", "2", "true", "true"],
    ];
    let expected = expected.map(|row| row.map(|cell| Some(cell.to_owned())).to_vec());
    let mut found = admin.rows(rows);
    found.sort();
    assert_eq!(found, expected);
    let metric = "select sum(value) from pgtls_metrics where name = 'pgtls_logins_total'";
    assert_eq!(admin.value(metric), "7");
    admin.run("select pgtls_reset()");
    assert_eq!(admin.value("select count(*) from pgtls_logins"), "0");
    cluster.client("plain").no_tls().login();
    assert_eq!(admin.value("select sum(logins) from pgtls_logins"), "1");
    cluster.set("pgtls_ext.track", "off");
    cluster.reload();
    cluster.client("plain").no_tls().login();
    assert_eq!(admin.value("select sum(logins) from pgtls_logins"), "1");
    let alice = cluster.client("alice").unix().login();
    assert_eq!(alice.error("select * from pgtls_logins").sqlstate, "42501");
}
