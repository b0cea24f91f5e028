//! What the fuzzers have found, and what they start from, goes through without a panic.
//!
//! A finding is kept as a file of any name in `fuzz_regressions/<target>/`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

/// Gives every file of a target to what the target runs.
fn replay(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_regressions");
    let mut files = 0;
    for entry in fs::read_dir(directory.join(target)).unwrap() {
        run(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0, "nothing kept for {target}");
    for seed in common::fixtures::seeds(target) {
        run(&seed);
    }
}

#[test]
fn certificate() {
    replay("certificate", common::fuzz::certificate);
}

#[test]
fn name() {
    replay("name", common::fuzz::name);
}

#[test]
fn pem_bundle() {
    replay("pem_bundle", common::fuzz::pem_bundle);
}
