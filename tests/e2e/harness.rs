//! The harness itself, on a real server.

use pgtls_e2e::prelude::*;

#[test]
fn smoke() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(
        alice.value("select client_dn from pg_stat_ssl where pid=pg_backend_pid()"),
        "/CN=alice"
    );
    let e = cluster.client("alice").refused();
    println!("{e}");
    let e = cluster.client("alice").with(&pki.alice().leaf_only()).refused();
    println!("{e}");
    println!("{}", cluster.psql("alice").with(pki.alice()).output("select version()"));
    println!("{}", cluster.log().tail());
}
