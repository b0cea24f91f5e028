//! Logins: what recording them costs, and what it costs to ask about them instead.

use pgtls_e2e::prelude::*;

use crate::measure::{heading, medians, processor_time, processor_time_of, report, wall_time};

/// How often each side connects.
const CONNECTIONS: usize = 400;

/// How often each side reloads.
const RELOADS: usize = 60;

/// How often each side has its turn in the rest.
const ROUNDS: usize = 15;

/// Lines of pg_ident.conf, and the role that the last of them leads to.
const MAPPINGS: usize = 10_000;

pub(crate) fn run() {
    connections();
    reloads();
    what_if();
    mappings();
}

/// Connecting and disconnecting over mutual TLS, with the library preloaded and on a server that
/// never heard of it.
fn connections() {
    let plain = Cluster::builder().roles(&["alice"]).start();
    let preloaded = Cluster::builder().roles(&["alice"]).preloaded().start();
    let alice = Pki::standard().alice();
    let connect = |cluster: &Cluster| drop(cluster.client("alice").with(alice).login());
    let [without, with] =
        medians(CONNECTIONS, [&plain, &preloaded].map(|c| move || wall_time(|| connect(c))));
    heading("a login with a certificate", "without", "preloaded");
    report("connect, disconnect", without, with, Some(1.02));
    let recorded = "select logins >= 400 from pgtls_client_certificates";
    assert_eq!(preloaded.admin().value(recorded), "t", "the logins were not recorded");
}

/// What a reload takes of the postmaster's time, with the library preloaded and on a server that
/// never heard of it.
fn reloads() {
    let pki = Pki::standard();
    let crls = pki.crls();
    let plain = Cluster::builder().roles(&["alice"]).crl_file(&crls).start();
    let preloaded = Cluster::builder().roles(&["alice"]).crl_file(&crls).preloaded().start();
    let reload = |cluster: &Cluster| processor_time_of(cluster.pid(), || drop(cluster.reload()));
    let [without, with] = medians(RELOADS, [&plain, &preloaded].map(|c| move || reload(c)));
    heading("a reload", "without", "preloaded");
    report("the postmaster's time", without, with, Some(1.05));
}

/// The question whether a login would succeed, against trying it with psql.
fn what_if() {
    let pki = Pki::standard();
    let crls = pki.crls();
    let builder = || Cluster::builder().roles(&["alice"]).crl_file(&crls);
    what_if_on("would this login succeed", &builder().extension().start());
    what_if_on("the same, preloaded", &builder().preloaded().start());
}

fn what_if_on(title: &str, cluster: &Cluster) {
    let pki = Pki::standard();
    let admin = cluster.admin();
    let certificate = quote(&pki.alice().bundle_pem());
    let question = format!("({certificate}, 'alice', 'postgres', '127.0.0.1')");
    let psql = cluster.psql("alice").with(pki.alice());
    let ask = |function: &str| format!("select count(*) from pgtls_{function}_login{question}");
    let [check, explain] = ["check", "explain"].map(ask);
    assert_eq!(admin.value(&format!("select pgtls_check_login{question}")), "t");
    let [login, check, explain] = medians::<3, Box<dyn Fn() -> f64 + '_>>(
        ROUNDS,
        [
            Box::new(|| wall_time(|| assert_eq!(psql.output("select 1").trim(), "1"))),
            Box::new(|| wall_time(|| admin.run(&check))),
            Box::new(|| wall_time(|| admin.run(&explain))),
        ],
    );
    heading(title, "psql", "pgtls_ext");
    report("pgtls_check_login()", login, check, Some(0.1));
    report("pgtls_explain_login()", login, explain, Some(0.1));
}

/// A long pg_ident.conf, against the server's own view of the file.
fn mappings() {
    let lines: String =
        (0..MAPPINGS).map(|number| format!("m user{number} role{number}\n")).collect();
    let cluster = Cluster::builder().roles(&["alice"]).ident(&lines).extension().start();
    let admin = cluster.admin();
    let last = MAPPINGS - 1;
    let question = format!("select pgtls_check_mapping('user{last}', 'role{last}', 'm')");
    assert_eq!(admin.value(&question), "t");
    let view = "select count(*) from pg_ident_file_mappings".to_owned();
    assert_eq!(admin.value(&view), MAPPINGS.to_string());
    let [theirs, ours] = medians(
        ROUNDS,
        [view, question].map(|sql| {
            let admin = &admin;
            move || processor_time(admin, &sql)
        }),
    );
    heading("10,000 mappings", "server", "pgtls_ext");
    report("pgtls_check_mapping()", theirs, ours, Some(2.0));
}
