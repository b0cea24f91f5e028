//! Pure core of pgtls_ext: certificates, names, chains and revocation lists as plain data.
//!
//! No server, no I/O, no clock, no unsafe code. Everything here takes bytes or text and gives owned data back, so that
//! it can be tested and fuzzed without PostgreSQL.
#![forbid(unsafe_code)]

pub mod crl;
mod der;
mod error;
mod time;

pub use error::Error;
pub use time::UnixTime;
