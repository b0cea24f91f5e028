//! Pure core of pgtls_ext: certificates, names, chains and revocation lists as plain data.
//!
//! No server, no I/O, no clock, no unsafe code. Everything here takes bytes or text and gives owned
//! data back, so that it can be tested and fuzzed without PostgreSQL.
//!
//! Input is taken wherever OpenSSL takes it, because OpenSSL decides who gets in: what the server
//! has accepted can be shown. OpenSSL itself is asked where the answer has to be its own, and only
//! through its safe bindings: the names of object identifiers, the size of unusual keys, SHA-256.
#![forbid(unsafe_code)]
#![deny(clippy::as_conversions)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod asn1;
pub mod crl;
pub mod error;
pub mod form;
pub mod json;
pub mod limits;
pub mod login;
pub mod metrics;
pub mod offer;
pub mod pem;
pub mod recorder;
pub mod reserve;
pub mod text;
pub mod time;
pub mod value;
pub mod verify;
pub mod work;
pub mod x509;
