//! Extensions, and what they are made of.

use crate::der::{
    UnixTime, boolean, concat, context, context_primitive, enumerated, generalized_time, integer,
    named_bits, null, octet_string, oid, seq, seq_of, utf8,
};
use crate::key::Key;

/// An Extension; its type as for [`oid`].
pub fn extension(kind: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { boolean(true) } else { Vec::new() };
    seq(&[&oid(kind), &critical, &octet_string(value)])
}

/// An AlgorithmIdentifier without parameters; its type as for [`oid`].
pub fn algorithm(kind: &str) -> Vec<u8> {
    seq(&[&oid(kind)])
}

/// An AlgorithmIdentifier whose parameters are NULL, as for RSA and digests.
pub fn algorithm_null(kind: &str) -> Vec<u8> {
    seq(&[&oid(kind), &null()])
}

// General names.

/// A DNS name.
pub fn dns(name: &str) -> Vec<u8> {
    context_primitive(2, name.as_bytes())
}

/// A URI.
pub fn uri(text: &str) -> Vec<u8> {
    context_primitive(6, text.as_bytes())
}

/// A directory name, which is encoded already.
pub fn directory(name: &[u8]) -> Vec<u8> {
    context(4, name)
}

// Distribution points, of certificates and of lists.

/// DistributionPointName of these general names.
pub fn full_name<T: AsRef<[u8]>>(names: &[T]) -> Vec<u8> {
    context(0, &context(0, &concat(names)))
}

/// DistributionPointName relative to the issuer: one attribute, a UTF8String.
pub fn relative_name(kind: &str, text: &str) -> Vec<u8> {
    context(0, &context(1, &seq(&[&oid(kind), &utf8(text)])))
}

/// A DistributionPoint at this URL.
pub fn point(url: &str) -> Vec<u8> {
    seq(&[&full_name(&[uri(url)])])
}

/// The cRLDistributionPoints of a certificate.
pub fn crl_points(points: &[Vec<u8>]) -> Vec<u8> {
    extension("crlDistributionPoints", false, &seq_of(points))
}

/// An authority information access of methods, as for [`oid`], and their URLs.
pub fn information_access(methods: &[(&str, &str)]) -> Vec<u8> {
    let methods: Vec<_> =
        methods.iter().map(|(method, url)| seq(&[&oid(method), &uri(url)])).collect();
    extension("authorityInfoAccess", false, &seq_of(&methods))
}

/// The issuing distribution point of these fields, critical as it must be.
pub fn idp(fields: &[Vec<u8>]) -> Vec<u8> {
    extension("issuingDistributionPoint", true, &seq_of(fields))
}

/// A field of [`idp`]: for end-entity certificates alone.
pub const ONLY_USER: [u8; 3] = [0x81, 1, 0xff];
/// A field of [`idp`]: for CA certificates alone.
pub const ONLY_CA: [u8; 3] = [0x82, 1, 0xff];
/// A field of [`idp`]: with certificates of other issuers in it.
pub const INDIRECT: [u8; 3] = [0x84, 1, 0xff];
/// A field of [`idp`]: for attribute certificates alone.
pub const ONLY_ATTRIBUTE: [u8; 3] = [0x85, 1, 0xff];

// Key identifiers.

/// The subject key identifier with these bytes.
pub fn subject_key_id(id: &[u8]) -> Vec<u8> {
    extension("subjectKeyIdentifier", false, &octet_string(id))
}

/// The authority key identifier of these fields.
pub fn authority_key_id<T: AsRef<[u8]>>(fields: &[T]) -> Vec<u8> {
    extension("authorityKeyIdentifier", false, &seq_of(fields))
}

/// A field of [`authority_key_id`]: the key identifier.
pub fn key_id(id: &[u8]) -> Vec<u8> {
    context_primitive(0, id)
}

/// Fields of [`authority_key_id`]: issuer, as general names, and serial number of the authority.
pub fn issuer_and_serial(issuer: &[u8], serial: &[u8]) -> Vec<u8> {
    [context(1, issuer), context_primitive(2, serial)].concat()
}

/// The authority key identifier that names `key`, as CAs make it.
pub fn authority_key(key: &Key) -> Vec<u8> {
    authority_key_id(&[key_id(&key.identifier())])
}

// Certificates.

/// Basic constraints of a CA, or of none, with a path length.
pub fn basic_constraints(is_ca: bool, path_length: Option<u8>) -> Vec<u8> {
    let ca = if is_ca { boolean(true) } else { Vec::new() };
    let length = path_length.map(|length| integer(length.into()));
    extension("basicConstraints", is_ca, &seq(&[&ca, &length.unwrap_or_default()]))
}

/// A key usage of these bits (0 digitalSignature … 5 keyCertSign, 6 cRLSign), critical.
pub fn key_usage(bits: &[u8]) -> Vec<u8> {
    extension("keyUsage", true, &named_bits(bits))
}

// Revocation lists and their entries.

/// The CRL number.
pub fn crl_number(number: u64) -> Vec<u8> {
    extension("crlNumber", false, &integer(number))
}

/// The delta CRL indicator: a list of what has changed since the one with this number.
pub fn delta_of(base: u64) -> Vec<u8> {
    extension("deltaCRL", true, &integer(base))
}

/// The freshest CRL: where the deltas of a list are.
pub fn freshest(critical: bool, url: &str) -> Vec<u8> {
    extension("freshestCRL", critical, &seq_of(&[point(url)]))
}

/// The reasonCode of an entry, which may be one without a name.
pub fn reason(code: u8) -> Vec<u8> {
    extension("CRLReason", false, &enumerated(code))
}

/// The invalidity date of an entry.
pub fn invalidity_date(at: UnixTime) -> Vec<u8> {
    extension("invalidityDate", false, &generalized_time(at))
}

/// The certificate issuer of an entry, for indirect lists.
pub fn certificate_issuer(name: &[u8]) -> Vec<u8> {
    extension("certificateIssuer", true, &seq(&[&directory(name)]))
}
