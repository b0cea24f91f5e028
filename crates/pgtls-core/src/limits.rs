//! How much input the core takes, and why that much.
//!
//! Everything else in the core is linear in the size of what it is given, so these few bounds are
//! what keeps hostile input cheap. Passing one is
//! [`Error::TooLarge`](crate::error::Error::TooLarge), never a silent cut.

/// Bytes of one certificate. A TLS peer can send at most 100 kB of certificates (OpenSSL's
/// `SSL_MAX_CERT_LIST_DEFAULT`, which PostgreSQL leaves alone); from SQL, 10,000 subject
/// alternative names of DNS length need some 700 kB.
pub const MAX_CERTIFICATE_BYTES: usize = 2 << 20;

/// Bytes of a text or DER bundle of certificates. The bundle of a public root programme is 0.3 MB.
pub const MAX_BUNDLE_BYTES: usize = 32 << 20;

/// Bytes of a text or DER file of revocation lists: room for six million entries in PEM, and a
/// quarter of the largest value that the server itself can hold.
pub const MAX_CRL_BYTES: usize = 256 << 20;

/// Certificates of one bundle; sixty times the size of a public root programme.
pub const MAX_CERTIFICATES: usize = 10_000;

/// Certificates of one chain: OpenSSL's default verification depth, so nothing that it verified is
/// cut short.
pub const MAX_CHAIN: usize = 100;

/// Bytes of a serial number. RFC 5280 allows 20; its decimal form costs time quadratic in this,
/// which at the limit is a few milliseconds.
pub const MAX_SERIAL_BYTES: usize = 8 << 10;

/// Content bytes of an object identifier that is written out in dotted form, as in OpenSSL's
/// `OBJ_obj2txt`: 128 sub-identifiers of 32 bits (RFC 2578, section 3.5). A longer one is shown in
/// hexadecimal.
pub const MAX_OID_BYTES: usize = 586;

/// Extensions of one certificate. Public ones have ten or so; a list of thousands can only be there
/// to make work.
pub const MAX_EXTENSIONS: usize = 10_000;

/// Depth to which BER of indefinite length is followed, as OpenSSL's `ASN1_MAX_CONSTRUCTED_NEST`.
pub const MAX_NESTING: usize = 30;

/// Bytes that the strict reader is given at once: 2.5 times what a TLS peer can send. What it makes
/// of them, and the document made of that, may take 60 MB.
pub const MAX_STRICT_BYTES: usize = 256 << 10;

/// Distribution points of one extension that are put into a document, where an empty one takes 1.5
/// kB.
pub(crate) const MAX_DISTRIBUTION_POINTS: usize = 1_000;

/// 10000-01-01 00:00:00 UTC, the first second that RFC 3339 has no form for.
pub(crate) const YEAR_10000: i64 = 253_402_300_800;
