//! Start and stop of a server whose inventory is full at a large setting, against one without the
//! extension.

use std::fs;

use pgtls_e2e::prelude::*;
use pgtls_e2e::state_file;

use crate::measure::{heading, medians, report, wall_time};

/// Certificates, every entry full.
const CERTIFICATES: u32 = 100_000;

/// How often each side has its turn.
const ROUNDS: usize = 7;

pub(crate) fn run() {
    let pki = Pki::standard();
    let plain = Cluster::builder().roles(&["alice"]).start();
    let full = Cluster::builder()
        .set("pgtls_ext.max_client_certificates", CERTIFICATES)
        .roles(&["alice"])
        .preloaded()
        .start();
    full.shut_down(Shutdown::Fast);
    let file = full.data_dir().join("pg_stat/pgtls_ext.stat");
    fs::write(file, state_file(CERTIFICATES)).expect("the data directory can be written to");
    full.start_again();
    let known = || full.admin().value("select client_certificates from pgtls_status");
    assert_eq!(known(), CERTIFICATES.to_string());

    let stop = |cluster: &Cluster, logins: bool| {
        if logins {
            drop(cluster.client("alice").with(pki.alice()).login());
        }
        let time = wall_time(|| cluster.shut_down(Shutdown::Fast));
        cluster.start_again();
        // Nothing is written before all is read.
        if logins {
            eventually("the file is read", || known() == CERTIFICATES.to_string());
        }
        time
    };
    let start = |cluster: &Cluster| {
        cluster.shut_down(Shutdown::Fast);
        wall_time(|| cluster.start_again())
    };
    let title = format!("{CERTIFICATES} certificates");
    heading(&title, "without", "with");
    let [theirs, ours] = medians(ROUNDS, [&plain, &full].map(|cluster| move || start(cluster)));
    report("start", theirs, ours, Some(1.2));
    let [theirs, ours] =
        medians(ROUNDS, [&plain, &full].map(|cluster| move || stop(cluster, false)));
    report("fast stop, nothing new", theirs, ours, Some(1.2));
    let [theirs, ours] =
        medians(ROUNDS, [&plain, &full].map(|cluster| move || stop(cluster, true)));
    report("fast stop, after a login", theirs, ours, Some(1.2));
}
