//! A harness for end-to-end tests.
pub mod der;
pub mod pki;
