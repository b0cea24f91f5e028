//! Certificates and revocation lists field by field, each of them encoded already, right or wrong.
//!
//! Nothing else writes one: the builders fill these parts as a CA does.

use crate::der::{
    self, UnixTime, bit_string, context, from_hex, integer_of, integer_raw, oid, seq, seq_of, time,
    tlv,
};
use crate::key::{Digest, Key};
use crate::name::name;
use crate::x509::{algorithm, basic_constraints, reason, subject_key_id};

/// The parts of a certificate.
#[derive(Debug, Clone)]
pub struct CertificateParts {
    /// Content of the version's INTEGER, if it is there.
    pub version: Option<Vec<u8>>,
    /// Content of the serial number's INTEGER.
    pub serial: Vec<u8>,
    /// A whole AlgorithmIdentifier, which is written twice.
    pub signature_algorithm: Vec<u8>,
    /// The issuer's name.
    pub issuer: Vec<u8>,
    /// A Time.
    pub not_before: Vec<u8>,
    /// A Time.
    pub not_after: Vec<u8>,
    /// The subject's name.
    pub subject: Vec<u8>,
    /// A SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// Whole elements, of which there may be two.
    pub unique_ids: Vec<Vec<u8>>,
    /// Whole extensions; without any the field is left out.
    pub extensions: Vec<Vec<u8>>,
}

impl CertificateParts {
    /// Parts of a certificate for `key`; the serial number in big-endian bytes.
    pub fn new(subject: &[u8], key: &Key, issuer: &[u8], serial: &[u8]) -> Self {
        Self {
            serial: der::unsigned(serial),
            issuer: issuer.to_vec(),
            not_before: time(1_000_000_000),
            not_after: time(2_000_000_000),
            subject: subject.to_vec(),
            public_key: key.public_der(),
            ..Self::default()
        }
    }

    /// With one more extension.
    pub fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Basic constraints that make a CA of it.
    pub fn ca(self) -> Self {
        self.with(basic_constraints(true, None))
    }

    /// With this subject key identifier.
    pub fn key_id(self, id: &[u8]) -> Self {
        self.with(subject_key_id(id))
    }

    /// The part that is signed.
    pub fn tbs(&self) -> Vec<u8> {
        let version = self.version.as_ref().map(|version| context(0, &integer_raw(version)));
        seq(&[
            &version.unwrap_or_default(),
            &integer_raw(&self.serial),
            &self.signature_algorithm,
            &self.issuer,
            &seq(&[&self.not_before, &self.not_after]),
            &self.subject,
            &self.public_key,
            &self.unique_ids.concat(),
            &extensions(3, &self.extensions),
        ])
    }

    /// The certificate signed with this key and SHA-256, whatever its algorithm says.
    pub fn sign(&self, key: &Key) -> Vec<u8> {
        let tbs = self.tbs();
        self.sealed(&tbs, &key.sign(Digest::Sha256, &tbs))
    }

    /// The certificate with these bytes for the signed part and the signature.
    pub fn sealed(&self, tbs: &[u8], signature: &[u8]) -> Vec<u8> {
        seq(&[tbs, &self.signature_algorithm, &bit_string(signature)])
    }

    /// The certificate with a signature that is none, which nothing that only reads it minds.
    pub fn to_der(&self) -> Vec<u8> {
        self.sealed(&self.tbs(), &[0x5a; 70])
    }
}

impl Default for CertificateParts {
    fn default() -> Self {
        // The generator of P-256: a point on the curve, and the key whose private half is 1.
        let point = [
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        ];
        let point = from_hex(&point.concat());
        Self {
            version: Some(vec![2]),
            serial: vec![1],
            signature_algorithm: algorithm("ecdsa-with-SHA256"),
            issuer: name("/O=Acme/CN=Acme Root"),
            not_before: tlv(0x17, b"250101000000Z"),
            not_after: tlv(0x17, b"350101000000Z"),
            subject: name("/O=Acme/CN=alice"),
            public_key: seq(&[
                &seq(&[&oid("id-ecPublicKey"), &oid("prime256v1")]),
                &bit_string(&point),
            ]),
            unique_ids: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

/// The parts of a revocation list.
#[derive(Debug, Clone)]
pub struct CrlParts {
    /// Content of the version's INTEGER, if it is there.
    pub version: Option<Vec<u8>>,
    /// A whole AlgorithmIdentifier, which is written twice.
    pub signature_algorithm: Vec<u8>,
    /// The issuer's name.
    pub issuer: Vec<u8>,
    /// A Time.
    pub this_update: Vec<u8>,
    /// A Time, if it is there.
    pub next_update: Option<Vec<u8>>,
    /// Entries, one behind the other; `None` leaves the field out.
    pub entries: Option<Vec<u8>>,
    /// Whole extensions; without any the field is left out.
    pub extensions: Vec<Vec<u8>>,
}

impl CrlParts {
    /// Parts of an empty list of version 2, to be signed with ECDSA and SHA-256.
    pub fn new(issuer: &[u8], this_update: UnixTime, next_update: UnixTime) -> Self {
        Self {
            version: Some(vec![1]),
            signature_algorithm: algorithm("ecdsa-with-SHA256"),
            issuer: issuer.to_vec(),
            this_update: time(this_update),
            next_update: Some(time(next_update)),
            entries: None,
            extensions: Vec::new(),
        }
    }

    /// With one more entry; the serial number in big-endian bytes.
    pub fn revoke(mut self, serial: &[u8], at: UnixTime, extensions: &[Vec<u8>]) -> Self {
        let entry = entry(&integer_of(serial), at, extensions);
        self.entries.get_or_insert_default().extend(entry);
        self
    }

    /// With one more extension.
    pub fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The part that is signed.
    pub fn tbs(&self) -> Vec<u8> {
        let optional = |field: Option<Vec<u8>>| field.unwrap_or_default();
        seq(&[
            &optional(self.version.as_deref().map(integer_raw)),
            &self.signature_algorithm,
            &self.issuer,
            &self.this_update,
            self.next_update.as_deref().unwrap_or_default(),
            &optional(self.entries.as_deref().map(|entries| tlv(der::SEQUENCE, entries))),
            &extensions(0, &self.extensions),
        ])
    }

    /// The list signed with this key and SHA-256, whatever its algorithm says.
    pub fn sign(&self, key: &Key) -> Vec<u8> {
        let tbs = self.tbs();
        self.sealed(&tbs, &key.sign(Digest::Sha256, &tbs))
    }

    /// The list with these bytes for the signed part and the signature.
    pub fn sealed(&self, tbs: &[u8], signature: &[u8]) -> Vec<u8> {
        seq(&[tbs, &self.signature_algorithm, &bit_string(signature)])
    }
}

/// `[tag]` of the extensions, or nothing without any.
fn extensions(tag: u8, extensions: &[Vec<u8>]) -> Vec<u8> {
    if extensions.is_empty() { Vec::new() } else { context(tag, &seq_of(extensions)) }
}

/// An entry of a revocation list; the serial number as an element.
pub fn entry(serial: &[u8], at: UnixTime, extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = if extensions.is_empty() { Vec::new() } else { seq_of(extensions) };
    seq(&[serial, &time(at), &extensions])
}

/// How the serial numbers of many entries are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each is larger than the one before it.
    Sorted,
    /// Neighbours are far apart: an index that only works on sorted input is found out.
    Shuffled,
}

/// Serial number, 16 bytes, of the entry with this index in the order of the numbers.
pub fn many_serial(index: u32) -> [u8; 16] {
    let mut serial = [0x5a; 16];
    serial[..8].copy_from_slice(&(0x1000_0000_0000_0000 | u64::from(index) << 8).to_be_bytes());
    serial[8..12].copy_from_slice(&index.wrapping_mul(0x9e37_79b9).to_be_bytes());
    serial
}

/// So many entries, one behind the other; every eighth for key compromise if there are reasons.
///
/// # Panics
/// If `count` has the divisor 7, 239 or 4649 and the order is to be shuffled.
pub fn many_entries(count: u32, order: Order, at: UnixTime, with_reasons: bool) -> Vec<u8> {
    // A step without a common divisor with `count` meets each number once.
    const STEP: u64 = 7_777_777;
    let count = u64::from(count);
    assert!(order == Order::Sorted || [7, 239, 4649].iter().all(|divisor| count % divisor != 0));
    let without = entry(&integer_of(&many_serial(0)), at, &[]);
    let with = entry(&integer_of(&many_serial(0)), at, &[reason(1)]);
    let place = without.windows(16).position(|bytes| bytes == many_serial(0));
    let place = place.expect("an entry has its serial number");
    let mut entries = Vec::with_capacity(without.len() * count as usize * 3 / 2);
    for index in 0..count {
        let index = if order == Order::Sorted { index } else { index * STEP % count };
        let form = if with_reasons && index % 8 == 0 { &with } else { &without };
        // Both forms have a short header, so the serial number is at the same place.
        let start = entries.len() + place;
        entries.extend_from_slice(form);
        entries[start..start + 16].copy_from_slice(&many_serial(index as u32));
    }
    entries
}
