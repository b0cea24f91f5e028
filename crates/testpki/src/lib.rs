//! Keys, certificates and revocation lists for tests: what an authority issues, and what none
//! would.
//!
//! Each layer uses only those above it in this list:
//!
//! - [`der`]: elements of DER, whatever is in them; PEM.
//! - [`Name`], [`Key`]: distinguished names; keys and what they sign.
//! - [`x509`]: extensions, general names, distribution points.
//! - [`CertificateParts`], [`CrlParts`]: every field as encoded bytes. Nothing else writes a
//!   certificate or a revocation list.
//! - [`CertBuilder`], [`CrlBuilder`]: fill the parts as a CA does, unless told otherwise.
//!
//! Which certificates and authorities a test suite has is its own affair. A call that cannot be
//! carried out panics: a test fails so.

pub mod der;
pub mod x509;

mod certificate;
mod crl;
mod key;
mod name;
mod parts;

pub use certificate::{Cert, CertBuilder, DAY, Eku, Identity, IdentityFiles, write_private};
pub use crl::{Crl, CrlBuilder, Reason, name_hash};
pub use key::{Curve, Digest, Key};
pub use name::{Name, Text, name};
pub use parts::{CertificateParts, CrlParts, Order, entry, many_entries, many_serial};

/// An OID that OpenSSL has no name for (the arc reserved for examples).
pub const UNKNOWN_OID: &str = "2.999.42.1";
