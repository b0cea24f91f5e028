//! Pure core of pgtls_ext: certificates, names, chains and revocation lists as plain data.
//!
//! No server, no I/O, no clock, no unsafe code. Everything here takes bytes or text and gives owned data back, so that
//! it can be tested and fuzzed without PostgreSQL.
//!
//! Input is taken wherever OpenSSL takes it, because OpenSSL decides who gets in: what the server has accepted can be
//! shown. OpenSSL itself is asked where the answer has to be its own, and only through its safe bindings: the names of
//! object identifiers, the size of unusual keys, SHA-256.
#![forbid(unsafe_code)]
#![deny(clippy::as_conversions)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod access;
mod certificate;
mod chain;
pub mod column;
pub mod credential;
pub mod crl;
mod der;
mod error;
mod extension;
pub mod failure;
pub mod hba;
pub mod ident;
pub mod json;
pub mod limits;
pub mod login;
pub mod lru;
mod name;
mod oid;
pub mod pem;
pub mod revocation;
mod serial;
pub mod state;
mod text;
mod time;
pub mod trust;
pub mod x509;

pub use certificate::{Certificate, Problem, each_certificate, parse_certificates};
pub use chain::{Chain, ChainEntry, Source};
pub use error::{Error, OtherInput};
pub use extension::{Extension, GeneralName, GeneralNameKind};
pub use name::{Attribute, Name};
pub use oid::Oid;
pub use serial::Serial;
pub use time::UnixTime;
