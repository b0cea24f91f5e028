//! The tests of the core, as one binary: each would link OpenSSL anew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test reads files as it likes")]

mod against_openssl;
mod bundles;
mod certificates;
mod chains;
mod crl;
mod differential;
mod extensions;
mod fixtures;
mod fuzz;
mod fuzzing;
mod identity;
mod login;
mod names;
mod prelude;
mod probe;
mod reference;
mod requests;
mod revocation;
mod trees;
mod work;
mod x509;
