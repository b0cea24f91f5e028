//! Functions of a session against contrib/sslinfo, and certificates as an argument against
//! `openssl`.

use std::fs;
use std::process::Command;

use pgtls_e2e::prelude::*;

use crate::measure::{heading, medians, processor_time, report, wall_time};

/// How often each side has its turn.
const ROUNDS: usize = 15;

/// Calls of a function in one row: so many that the row itself hardly counts.
const CALLS_IN_ROW: usize = 50;

/// Rows in one query.
const ROWS: usize = 4_000;

/// The same for a function that returns a set.
const SETS: usize = 5_000;

/// Every CA that Debian trusts.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The functions of contrib/sslinfo, and how much of its time each may take.
const FUNCTIONS: [(&str, Option<f64>); 9] = [
    ("ssl_is_used()", Some(1.1)),
    ("ssl_version()", Some(1.1)),
    ("ssl_cipher()", Some(1.1)),
    ("ssl_client_cert_present()", None),
    ("ssl_client_serial()", Some(0.5)),
    ("ssl_client_dn()", Some(0.5)),
    ("ssl_issuer_dn()", Some(0.5)),
    ("ssl_client_dn_field('CN')", Some(0.5)),
    ("ssl_issuer_field('CN')", None),
];

pub(crate) fn run() {
    let cluster = Cluster::builder().roles(&["alice"]).extension().start();
    cluster.sql(
        "create schema s; create extension sslinfo schema s; grant usage on schema s to alice",
    );
    let alice = Pki::standard().issue("/C=DE/O=Acme GmbH/OU=Payments/CN=alice").build();
    let session = cluster.client("alice").with(&alice).login();
    session.run("set jit = off; set max_parallel_workers_per_gather = 0");

    heading("per call", "sslinfo", "pgtls_ext");
    for (function, goal) in FUNCTIONS {
        compare_function(&session, function, goal);
    }
    compare_set(&session, "ssl_extension_info()");
    heading("the bundle of all CAs", "openssl", "pgtls_ext");
    compare_bundle(&session);
}

/// A function of both extensions, in the same queries.
fn compare_function(session: &Session, function: &str, goal: Option<f64>) {
    assert_eq!(session.value(&format!("select {function} is not distinct from s.{function}")), "t");
    let query = |calls: &str| {
        format!("select count(num_nulls({calls})) from generate_series(1, {ROWS}) as row")
    };
    let often = |call: &str| query(&[call; CALLS_IN_ROW].join(", "));
    let [nothing, theirs, ours] = [query("row"), often(&format!("s.{function}")), often(function)];
    let [nothing, theirs, ours] =
        medians(ROUNDS, [nothing, theirs, ours].map(|sql| move || processor_time(session, &sql)));
    let per_call = |time: f64| (time - nothing) / (ROWS * CALLS_IN_ROW) as f64;
    report(function, per_call(theirs), per_call(ours), goal);
}

/// A function that returns a set; the call in the select list runs anew for each row.
fn compare_set(session: &Session, function: &str) {
    let (ours, theirs) =
        (format!("select * from {function}"), format!("select * from s.{function}"));
    let differ = format!("({ours} except {theirs}) union all ({theirs} except {ours})");
    assert_eq!(session.rows(&differ), [[]; 0], "{function} differs from sslinfo");
    let query = |call: &str| {
        format!("select count(*) from (select {call} from generate_series(1, {SETS})) as all_rows")
    };
    let [theirs, ours] = [format!("s.{function}"), function.to_owned()].map(|call| query(&call));
    let [theirs, ours] =
        medians(ROUNDS, [theirs, ours].map(|sql| move || processor_time(session, &sql)));
    report(function, theirs / SETS as f64, ours / SETS as f64, None);
}

/// All certificates of a bundle, each with all that is known of it.
fn compare_bundle(session: &Session) {
    let Ok(bundle) = fs::read_to_string(BUNDLE) else {
        println!("{BUNDLE} is not there: not measured");
        return;
    };
    let openssl = || {
        let mut command = Command::new("openssl");
        command.args(["storeutl", "-noout", "-text", "-certs", BUNDLE]);
        let output = command.output().expect("openssl can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let sql = "select count(*) from pgtls_parse_certificates($1)";
    let ours = || -> i64 {
        let row = session.raw().query_one(sql, &[&bundle]).expect("the bundle can be read");
        row.get(0)
    };
    let count = ours();
    assert!(openssl().contains(&format!("Total found: {count}")), "openssl does not find {count}");
    let [theirs, ours] = medians::<2, Box<dyn Fn() -> f64 + '_>>(
        ROUNDS,
        [
            Box::new(|| wall_time(|| drop(openssl()))),
            Box::new(|| wall_time(|| assert_eq!(ours(), count))),
        ],
    );
    report(&format!("{count} certificates"), theirs, ours, None);
}
