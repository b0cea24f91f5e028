//! How long a function goes on after it was told to stop, on the largest input it takes.

use std::time::Duration;

use pgtls_e2e::prelude::*;

use crate::measure::wall_time;

/// Moments at which each function is stopped, spread over the time it takes.
const MOMENTS: u32 = 20;

/// The largest delay that is meant to be, in milliseconds.
const GOAL: f64 = 200.0;

pub(crate) fn run() {
    let pki = Pki::standard();
    let large = pki.crl(pki.intermediate()).many(1_000_000).build();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .trust(&[pki.root(), pki.intermediate()])
        .crl_file(&[pki.root_crl(), &large])
        .preloaded()
        .start();
    let rules: String = (0..50_000).map(|n| format!("hostssl db{n} all all cert\n")).collect();
    cluster.write_hba(&format!("local all all trust\n{rules}"));
    let file = |name: &str, text: String| {
        let path = cluster.dir().join(name);
        std::fs::write(&path, text).expect("the cluster's directory can be written to");
        format!("pg_read_file({})", quote(&path.display().to_string()))
    };
    let alice = pki.alice().cert.pem();
    let certificates = file("many.pem", alice.repeat(10_000));
    let crls = file("crls.pem", large.pem());
    let alice = quote(&alice);
    println!("\n{:<36}{:>10}{:>10}{:>10}", "delay of a timeout", "runs for", "median", "longest");
    for (what, sql) in [
        ("pgtls_parse_certificates, 10,000", format!("pgtls_parse_certificates({certificates})")),
        ("pgtls_lint_certificate, of the same", format!("pgtls_lint_certificate({certificates})")),
        ("pgtls_parse_crls, 48 MB", format!("pgtls_parse_crls({crls})")),
        ("pgtls_crls, the same in ssl_crl_file", "pgtls_crls".to_owned()),
        ("pgtls_crl_coverage", "pgtls_crl_coverage".to_owned()),
        ("pgtls_crl_status", format!("pgtls_crl_status({alice})")),
        ("pgtls_sessions", "pgtls_sessions".to_owned()),
        ("pgtls_check_reload", "pgtls_check_reload()".to_owned()),
        ("50,000 rules: pg_hba_file_rules", "pg_hba_file_rules".to_owned()),
        ("50,000 rules: pgtls_hba_rules", "pgtls_hba_rules".to_owned()),
        (
            "50,000 rules: pgtls_explain_login",
            format!("pgtls_explain_login({alice}, 'alice', 'postgres', '127.0.0.1')"),
        ),
    ] {
        delays(&cluster, what, &format!("select count(*) from {sql}"));
    }
}

/// Prints the delays with which a query ends, each in a session of its own.
fn delays(cluster: &Cluster, what: &str, sql: &str) {
    let session = || {
        let session = cluster.admin();
        session.run("select 1");
        session
    };
    let fresh = session();
    let whole = wall_time(|| drop(fresh.query(sql))) / 1e6;
    let mut delays = Vec::new();
    for moment in 1..=MOMENTS {
        let timeout = (whole * f64::from(moment) / f64::from(MOMENTS + 1)).floor().max(1.0);
        let session = session();
        session.run(&format!("set statement_timeout = {timeout}"));
        let mut ended = None;
        let time = wall_time(|| ended = Some(session.query(sql))) / 1e6;
        // A query that was done before its time has nothing to say here.
        if matches!(ended, Some(Err(error)) if error.sqlstate == "57014") {
            delays.push((time - timeout).max(0.0));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    delays.sort_by(f64::total_cmp);
    let show = |value: Option<&f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
    let (median, longest) = (delays.get(delays.len() / 2), delays.last());
    let goal = if median.is_none_or(|median| *median <= GOAL) { "met" } else { "missed" };
    println!(
        "{what:<36}{:>10}{:>10}{:>10}  median at most {GOAL} ms: {goal}",
        format!("{whole:.0} ms"),
        show(median),
        show(longest),
    );
}
