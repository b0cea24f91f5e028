//! Writes what the fuzz targets start from, made from the fixtures of the tests: `fuzz_seeds <corpus directory>`.
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs;
use std::path::PathBuf;

fn main() {
    let corpus =
        PathBuf::from(std::env::args_os().nth(1).expect("the corpus directory is missing"));
    for target in ["certificate", "name", "pem_bundle"] {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory).unwrap();
        for (index, seed) in common::fixtures::seeds(target).iter().enumerate() {
            fs::write(directory.join(format!("seed-{index}")), seed).unwrap();
        }
    }
}
