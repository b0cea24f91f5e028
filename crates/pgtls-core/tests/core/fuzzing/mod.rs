//! What the fuzz targets do with their input; the tests do the same with what they start from and
//! have found.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each target and test uses its part")]

mod access;
mod certificate;
mod crl;
mod strict;

pub use access::{hba, ident};
pub use certificate::{assert_consistent, certificate, name, pem_bundle};
pub use crl::{crl, revocation};
pub use strict::{STRICTLY_READ, strict};
