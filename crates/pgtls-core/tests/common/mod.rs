//! Shared by the integration tests: the OpenSSL reference and the certificates to compare on.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod der;
pub(crate) mod extensions;
pub(crate) mod fixtures;
pub(crate) mod openssl;
pub(crate) mod requests;

use std::path::PathBuf;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// So many random cases, the same ones in every run, so that a failure is the change's own. `PROPTEST_CASES` asks for
/// another number, and for cases that nobody has tried yet.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = |cases| Config { cases, failure_persistence: None, ..Config::default() };
    match std::env::var("PROPTEST_CASES") {
        Ok(cases) => TestRunner::new(config(cases.parse().unwrap())),
        Err(_) => {
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config(cases), rng)
        }
    }
}

/// The directory of Debian's package ca-certificates.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs";

/// The files of every certificate of Debian's ca-certificates.
pub(crate) fn system_certificate_files() -> Vec<PathBuf> {
    let directory = std::fs::read_dir(SYSTEM_CERTIFICATES)
        .expect("the package ca-certificates has to be installed for this test");
    let mut files: Vec<_> = directory
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .collect();
    files.sort();
    assert!(files.len() > 100, "only {} certificates in {SYSTEM_CERTIFICATES}", files.len());
    files
}

/// The same certificates in one file.
pub(crate) fn system_bundle() -> Vec<u8> {
    std::fs::read(format!("{SYSTEM_CERTIFICATES}/ca-certificates.crt"))
        .expect("the package ca-certificates has to be installed for this test")
}
