//! `pgtls_sessions` of a busy server, against the server's own views.

use pgtls_e2e::prelude::*;

use crate::measure::{heading, medians, processor_time, report};

/// Sessions over TLS.
const SESSIONS: usize = 500;

/// How many different certificates they use.
const CERTIFICATES: usize = 50;

/// How often each side has its turn.
const ROUNDS: usize = 15;

/// Entries of the inventory.
const KNOWN: usize = 1_000;

pub(crate) fn run() {
    inventory();
    busy();
}

/// A full inventory, asked by a session that has just come, against the server's view of its
/// sessions.
fn inventory() {
    let pki = Pki::standard();
    let crls = pki.crls();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .set("max_connections", 120)
        .crl_file(&crls)
        .preloaded()
        .start();
    for _ in 0..KNOWN {
        let identity = pki.issue("/O=Acme/CN=alice").by(pki.intermediate()).build();
        drop(cluster.client("alice").with(&identity).login());
    }
    let alice = pki.alice();
    let _sessions: Vec<Session> =
        (0..100).map(|_| cluster.client("alice").with(alice).login()).collect();
    cluster.reload();
    let written = cluster.data_dir().join("pg_stat_tmp/pgtls_ext.verdicts");
    let count = || std::fs::read_to_string(&written).unwrap_or_default().matches("Trusted").count();
    eventually("verdicts are written down", || count() >= KNOWN);
    let whole = |view: &str| format!("select count(v) from {view} v");
    let [theirs, ours] = medians(
        ROUNDS,
        ["pg_stat_activity", "pgtls_client_certificates"].map(whole).map(|sql| {
            let cluster = &cluster;
            move || {
                let session = cluster.admin();
                session.run("select 1");
                processor_time(&session, &sql)
            }
        }),
    );
    heading("1,000 certificates", "server", "pgtls_ext");
    report("pgtls_client_certificates", theirs, ours, Some(5.0));
}

fn busy() {
    let pki = Pki::standard();
    let crls = pki.crls();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .set("max_connections", SESSIONS + 20)
        .crl_file(&crls)
        .preloaded()
        .start();
    let issue = |_| pki.issue("/O=Acme/CN=alice").by(pki.intermediate()).build();
    let identities: Vec<Identity> = (0..CERTIFICATES).map(issue).collect();
    let clients = identities.iter().cycle().take(SESSIONS);
    let sessions: Vec<Session> =
        clients.map(|identity| cluster.client("alice").with(identity).login()).collect();
    let admin = cluster.admin();
    assert_eq!(
        admin.value("select count(*) from pgtls_sessions where credential_status = 'valid'"),
        sessions.len().to_string(),
    );

    // Counting whole rows makes the server work out every column that a query names, and no other.
    let count = |columns: &str, from: &str| {
        format!("select count(all_rows) from (select {columns} from {from}) as all_rows")
    };
    let theirs = count(
        "pid, usename, ssl, version, cipher, bits, client_dn, client_serial, issuer_dn",
        "pg_stat_ssl join pg_stat_activity using (pid)",
    );
    let same = count(
        "pid, usename, ssl, version, cipher, bits, client_subject, client_serial, client_issuer",
        "pgtls_sessions",
    );
    let numbers = count("pid, usename, ssl, version, cipher, bits", "pgtls_sessions");
    let everything = count("*", "pgtls_sessions");
    let [theirs, numbers, same, everything] = medians(
        ROUNDS,
        [theirs, numbers, same, everything].map(|sql| {
            let admin = &admin;
            move || processor_time(admin, &sql)
        }),
    );
    heading(&format!("{SESSIONS} sessions, {CERTIFICATES} certificates"), "server", "pgtls_ext");
    report("ssl, version, cipher, bits", theirs, numbers, Some(1.3));
    report("columns of pg_stat_ssl", theirs, same, Some(1.3));
    report("all columns", theirs, everything, Some(3.0));
}
