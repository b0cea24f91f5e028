//! `make bench`: what the extension costs, as ratios within one run, beside the goals.
//!
//! What is compared runs in turns, so that a busy machine slows both sides, and medians are
//! reported. A goal that is missed is printed as missed, not a failure; answers that differ are
//! one. Arguments pick parts.

mod crl;
mod functions;
mod interrupts;
mod inventory;
mod logins;
mod measure;
mod sessions;

use pgtls_e2e::prelude::*;

const PARTS: [(&str, fn()); 6] = [
    ("functions", functions::run),
    ("logins", logins::run),
    ("sessions", sessions::run),
    ("crl", crl::run),
    ("inventory", inventory::run),
    ("interrupts", interrupts::run),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != name)) {
        eprintln!("{unknown}: the parts are {:?}", PARTS.map(|(part, _)| part));
        std::process::exit(2);
    }
    println!("PostgreSQL {}", Cluster::start().admin().value("show server_version"));
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|part| part == name) {
            run();
        }
    }
}
