//! A revocation list of a million entries, in a backend of a real server, against
//! `openssl crl -noout` on the same file.

use std::process::{Command, Stdio};
use std::time::Duration;

use pgtls_e2e::prelude::*;

use crate::measure::{
    heading, medians, peak_memory, processor_time_of, report, report_memory, wall_time,
};

const ENTRIES: u32 = 1_000_000;

/// How often each side has its turn.
const ROUNDS: usize = 5;

pub(crate) fn run() {
    let pki = Pki::standard();
    let large = pki.crl(pki.intermediate()).many(ENTRIES).revoke(&pki.revoked().cert).build();
    fresh_backends(pki, &large);
    status(pki, &large);
}

/// Who is connected, asked by a session that has just come, as an exporter asks: with the list in
/// force and without it.
fn fresh_backends(pki: &Pki, large: &Crl) {
    let start = |crls: &[&Crl]| {
        let cluster = Cluster::builder().roles(&["alice"]).crl_file(crls).preloaded().start();
        let client = cluster.client("alice").with(pki.alice()).login();
        // What is known of the client's certificate is written down.
        cluster.reload();
        let written = cluster.data_dir().join("pg_stat_tmp/pgtls_ext.verdicts");
        let is_written =
            || std::fs::read_to_string(&written).is_ok_and(|it| it.contains("Trusted"));
        eventually("a verdict is written down", is_written);
        (cluster, client)
    };
    let small = start(&pki.crls());
    let large = start(&[pki.root_crl(), large]);
    let sql = "select count(s) from pgtls_sessions s where credential_status = 'valid'";
    let ask = |cluster: &Cluster| {
        let session = cluster.admin();
        session.run("select 1");
        processor_time_of(session.pid(), || assert_eq!(session.value(sql), "1"))
    };
    let [without, with] = medians(15, [&small.0, &large.0].map(|c| move || ask(c)));
    heading("a CRL of 1,000,000 entries", "without", "with it");
    report("pgtls_sessions, fresh", without, with, Some(1.2));
}

fn status(pki: &Pki, large: &Crl) {
    // The root alone in the CA file would leave nobody to check the signature of the intermediate's
    // list.
    let cluster = Cluster::builder()
        .trust(&[pki.root(), pki.intermediate()])
        .crl_file(&[pki.root_crl(), large])
        .extension()
        .start();
    let question = |identity: &Identity| {
        let pem = quote(&identity.cert.pem());
        format!("select status from pgtls_crl_status({pem}) where depth = 0")
    };
    let (good, revoked) = (question(pki.alice()), question(pki.revoked()));

    let file = cluster.dir().join("large.pem");
    std::fs::write(&file, large.pem()).expect("the cluster's directory can be written to");
    let openssl = || {
        let mut command = Command::new("openssl");
        command.args(["crl", "-noout", "-in"]).arg(&file).stdin(Stdio::null());
        command.spawn().expect("openssl can be started")
    };
    let ask_first = || {
        let session = cluster.admin();
        session.run("select 1");
        let before = peak_memory(session.pid());
        let time = wall_time(|| assert_eq!(session.value(&revoked), "revoked"));
        (session, before, time)
    };
    let [their_time, our_time] = medians::<2, Box<dyn Fn() -> f64 + '_>>(
        ROUNDS,
        [
            Box::new(|| wall_time(|| assert!(openssl().wait().expect("it ends").success()))),
            Box::new(|| ask_first().2),
        ],
    );
    let mut child = openssl();
    let mut their_memory: f64 = 0.0;
    while child.try_wait().expect("it is ours").is_none() {
        their_memory = their_memory.max(peak_memory(child.id()));
        std::thread::sleep(Duration::from_micros(500));
    }
    let (session, before, _) = ask_first();
    let our_memory = peak_memory(session.pid()) - before;

    heading("a CRL of 1,000,000 entries", "openssl", "pgtls_ext");
    report("first answer, time", their_time, our_time, Some(0.25));
    report_memory("first answer, peak memory", their_memory, our_memory, Some(0.25));
    assert_eq!(session.value(&good), "good");
    let [nothing, next] = medians(
        15,
        ["select 1".to_owned(), revoked].map(|sql| {
            let session = &session;
            move || wall_time(|| session.run(&sql))
        }),
    );
    heading("the next answers", "select 1", "pgtls_ext");
    report("a query for one status", nothing, next, None);
}
