//! `make bench`: what the extension costs, as ratios within one run, beside the goals.
//!
//! What is compared runs in turns, so that a busy machine slows both sides, and medians are reported; times of functions
//! are those that the backend had on a processor. A goal that is missed is printed as missed, not a failure; answers
//! that differ are one.

use std::fs;
use std::process::Command;
use std::time::Instant;

use pgtls_e2e::prelude::*;

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

fn main() {
    let cluster = Cluster::builder().roles(&["alice"]).extension().start();
    cluster.sql(
        "create schema s; create extension sslinfo schema s; grant usage on schema s to alice",
    );
    let alice = Pki::standard().issue("/C=DE/O=Acme GmbH/OU=Payments/CN=alice").build();
    let session = cluster.client("alice").with(&alice).login();
    session.run("set jit = off; set max_parallel_workers_per_gather = 0");

    println!("PostgreSQL {}\n", session.value("show server_version"));
    heading("per call", "sslinfo", "pgtls_ext");
    for (function, goal) in FUNCTIONS {
        compare_function(&session, function, goal);
    }
    compare_set(&session, "ssl_extension_info()");
    println!();
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
        medians([nothing, theirs, ours].map(|sql| move || processor_time(session, &sql)));
    let per_call = |time: f64| (time - nothing) / (ROWS * CALLS_IN_ROW) as f64;
    report(function, per_call(theirs), per_call(ours), goal);
}

/// A function that returns a set; the call in the select list runs anew for each row.
fn compare_set(session: &Session, function: &str) {
    let differ = "(table_ours except table_theirs) union all (table_theirs except table_ours)"
        .to_string()
        .replace("table_ours", &format!("select * from {function}"))
        .replace("table_theirs", &format!("select * from s.{function}"));
    assert_eq!(session.rows(&differ), [[]; 0], "{function} differs from sslinfo");
    let query = |call: &str| {
        format!("select count(*) from (select {call} from generate_series(1, {SETS})) as all_rows")
    };
    let [theirs, ours] = [format!("s.{function}"), function.to_owned()].map(|call| query(&call));
    let [theirs, ours] = medians([theirs, ours].map(|sql| move || processor_time(session, &sql)));
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
    let [theirs, ours] = medians::<2, Box<dyn Fn() -> f64 + '_>>([
        Box::new(|| wall_time(|| drop(openssl()))),
        Box::new(|| wall_time(|| assert_eq!(ours(), count))),
    ]);
    report(&format!("{count} certificates"), theirs, ours, None);
}

/// Nanoseconds until it is done.
fn wall_time(run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_nanos() as f64
}

/// Nanoseconds that the session's backend is on a processor for a query: what others do meanwhile does not count.
fn processor_time(session: &Session, sql: &str) -> f64 {
    let statistics = format!("/proc/{}/schedstat", session.pid());
    let spent = || -> u64 {
        let statistics = fs::read_to_string(&statistics).unwrap_or_default();
        let first = statistics.split_whitespace().next().and_then(|first| first.parse().ok());
        first.expect("Linux keeps statistics of its scheduler")
    };
    let before = spent();
    session.run(sql);
    (spent() - before) as f64
}

/// The median time of each, run in turns after one round that does not count.
fn medians<const N: usize, F: Fn() -> f64>(runs: [F; N]) -> [f64; N] {
    let mut times = [(); N].map(|()| Vec::with_capacity(ROUNDS));
    for round in 0..=ROUNDS {
        for (run, times) in runs.iter().zip(&mut times) {
            let time = run();
            if round > 0 {
                times.push(time);
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn heading(what: &str, theirs: &str, ours: &str) {
    println!("{what:<28}{theirs:>12}{ours:>12}{:>8}  goal", "ratio");
}

fn report(what: &str, theirs: f64, ours: f64, goal: Option<f64>) {
    let ratio = ours / theirs;
    let goal = goal.map_or_else(String::new, |goal| {
        format!("at most {goal}: {}", if ratio <= goal { "met" } else { "missed" })
    });
    println!("{what:<28}{:>12}{:>12}{ratio:>8.2}  {goal}", show(theirs), show(ours));
}

fn show(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.1} ns"),
        ..1e6 => format!("{:.1} µs", nanoseconds / 1e3),
        _ => format!("{:.1} ms", nanoseconds / 1e6),
    }
}
