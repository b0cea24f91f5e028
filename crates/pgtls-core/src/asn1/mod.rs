//! ASN.1: DER and BER as leniently as OpenSSL reads them, object identifiers, times.

pub(crate) mod ber;
pub(crate) mod der;
pub mod oid;
pub(crate) mod template;
pub mod time;
