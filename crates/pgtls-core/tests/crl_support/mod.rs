//! A writer for revocation lists: any field, any extension, any number of entries, right or wrong.
//!
//! Shared by tests and benches, each of which uses a part of it.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;

/// DER of an element.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    let length = content.len();
    if length < 128 {
        der.push(u8::try_from(length).unwrap());
    } else {
        let octets: Vec<u8> =
            length.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
        der.push(0x80 | u8::try_from(octets.len()).unwrap());
        der.extend(octets);
    }
    der.extend(content);
    der
}

pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// INTEGER of a number that is not negative, given in big endian octets.
pub fn integer(octets: &[u8]) -> Vec<u8> {
    let start = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
    let octets = &octets[start..];
    match octets {
        [] => tlv(2, &[0]),
        [0x80..=0xff, ..] => tlv(2, &[&[0], octets].concat()),
        _ => tlv(2, octets),
    }
}

/// OID from its content octets.
pub fn oid(octets: &[u8]) -> Vec<u8> {
    tlv(6, octets)
}

/// Name of one common name, as UTF8String.
pub fn name(common_name: &str) -> Vec<u8> {
    name_of(&[(3, 0x0c, common_name)])
}

/// Name of RDNs, each an attribute type 2.5.4.x, a string type and the text.
pub fn name_of(rdns: &[(u8, u8, &str)]) -> Vec<u8> {
    let rdns: Vec<_> = rdns
        .iter()
        .map(|(kind, tag, text)| {
            let attribute = seq(&[&oid(&[0x55, 4, *kind]), &tlv(*tag, text.as_bytes())]);
            tlv(0x31, &attribute)
        })
        .collect();
    tlv(0x30, &rdns.concat())
}

/// A Time in the form RFC 5280 asks for.
pub fn time(unix: i64) -> Vec<u8> {
    let text = openssl::asn1::Asn1Time::from_unix(unix).unwrap().to_string();
    // "Jan  1 00:00:00 2025 GMT"
    let parts: Vec<&str> = text.split_whitespace().collect();
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|month| *month == parts[0]).unwrap() + 1;
    let rest = format!("{month:02}{:0>2}{}Z", parts[1], parts[2].replace(':', ""));
    let year: u32 = parts[3].parse().unwrap();
    if (1950..2050).contains(&year) {
        tlv(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        tlv(0x18, format!("{year:04}{rest}").as_bytes())
    }
}

/// Extension 2.5.29.x, or of any OID content.
pub fn extension(oid_octets: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(1, &[0xff]) } else { Vec::new() };
    seq(&[&oid(oid_octets), &critical, &tlv(4, value)])
}

pub fn ce(number: u8) -> [u8; 3] {
    [0x55, 0x1d, number]
}

pub fn uri(text: &str) -> Vec<u8> {
    tlv(0x86, text.as_bytes())
}

pub fn directory(name: &[u8]) -> Vec<u8> {
    tlv(0xa4, name)
}

/// `[0]` of a distribution point with a full name.
pub fn full_name(names: &[Vec<u8>]) -> Vec<u8> {
    tlv(0xa0, &tlv(0xa0, &names.concat()))
}

/// `[0]` of a distribution point with a name relative to the issuer: one attribute.
pub fn relative_name(kind: u8, text: &str) -> Vec<u8> {
    let attribute = seq(&[&oid(&[0x55, 4, kind]), &tlv(0x0c, text.as_bytes())]);
    tlv(0xa0, &tlv(0xa1, &attribute))
}

pub fn number_extension(number: u8) -> Vec<u8> {
    extension(&ce(20), false, &integer(&[number]))
}

pub fn delta_extension(base: u8) -> Vec<u8> {
    extension(&ce(27), true, &integer(&[base]))
}

/// Issuing distribution point of these fields, critical as it must be.
pub fn idp(fields: &[Vec<u8>]) -> Vec<u8> {
    extension(&ce(28), true, &tlv(0x30, &fields.concat()))
}

pub const ONLY_USER: [u8; 3] = [0x81, 1, 0xff];
pub const ONLY_CA: [u8; 3] = [0x82, 1, 0xff];
pub const INDIRECT: [u8; 3] = [0x84, 1, 0xff];
pub const ONLY_ATTRIBUTE: [u8; 3] = [0x85, 1, 0xff];

/// Authority key identifier with these fields.
pub fn authority_key_id(fields: &[Vec<u8>]) -> Vec<u8> {
    extension(&ce(35), false, &tlv(0x30, &fields.concat()))
}

pub fn reason(code: u8) -> Vec<u8> {
    extension(&ce(21), false, &[0x0a, 1, code])
}

/// An entry; the serial number in big endian octets.
pub fn entry(serial: &[u8], revoked_at: i64, extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions =
        if extensions.is_empty() { Vec::new() } else { tlv(0x30, &extensions.concat()) };
    seq(&[&integer(serial), &time(revoked_at), &extensions])
}

/// Signature algorithms.
pub mod algorithm {
    use super::{oid, seq};

    pub fn sha256_rsa() -> Vec<u8> {
        seq(&[&oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]), &[5, 0]])
    }

    pub fn sha256_ecdsa() -> Vec<u8> {
        seq(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])])
    }

    pub fn ed25519() -> Vec<u8> {
        seq(&[&oid(&[0x2b, 0x65, 0x70])])
    }

    pub fn ed448() -> Vec<u8> {
        seq(&[&oid(&[0x2b, 0x65, 0x71])])
    }
}

/// A list to be signed.
#[derive(Clone)]
pub struct CrlWriter {
    pub version: Option<u8>,
    pub algorithm: Vec<u8>,
    pub issuer: Vec<u8>,
    pub this_update: Vec<u8>,
    pub next_update: Option<Vec<u8>>,
    /// Entries, one behind the other; `None` leaves the field out.
    pub entries: Option<Vec<u8>>,
    pub extensions: Vec<Vec<u8>>,
}

impl CrlWriter {
    pub fn new(issuer: &[u8], this_update: i64, next_update: i64) -> Self {
        Self {
            version: Some(1),
            algorithm: algorithm::sha256_ecdsa(),
            issuer: issuer.to_vec(),
            this_update: time(this_update),
            next_update: Some(time(next_update)),
            entries: None,
            extensions: Vec::new(),
        }
    }

    pub fn revoke(mut self, serial: &[u8], at: i64, extensions: &[Vec<u8>]) -> Self {
        self.entries.get_or_insert_default().extend(entry(serial, at, extensions));
        self
    }

    pub fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    pub fn tbs(&self) -> Vec<u8> {
        let version = self.version.map_or(Vec::new(), |version| integer(&[version]));
        let entries = self.entries.as_ref().map_or(Vec::new(), |entries| tlv(0x30, entries));
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            tlv(0xa0, &tlv(0x30, &self.extensions.concat()))
        };
        seq(&[
            &version,
            &self.algorithm,
            &self.issuer,
            &self.this_update,
            self.next_update.as_deref().unwrap_or_default(),
            &entries,
            &extensions,
        ])
    }

    /// The list signed with this key, with SHA-256 if the key takes a digest.
    pub fn sign(&self, key: &PKey<Private>) -> Vec<u8> {
        let tbs = self.tbs();
        let signature = match key.id() {
            Id::ED25519 | Id::ED448 => {
                Signer::new_without_digest(key).unwrap().sign_oneshot_to_vec(&tbs)
            }
            _ => {
                let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
                signer.update(&tbs).unwrap();
                signer.sign_to_vec()
            }
        };
        self.sealed(&tbs, &signature.unwrap())
    }

    /// The list with this for a signature.
    pub fn sealed(&self, tbs: &[u8], signature: &[u8]) -> Vec<u8> {
        seq(&[tbs, &self.algorithm, &tlv(3, &[&[0], signature].concat())])
    }
}

/// A certificate to be signed.
#[derive(Clone)]
pub struct CertificateWriter {
    pub serial: Vec<u8>,
    pub issuer: Vec<u8>,
    pub not_before: i64,
    pub not_after: i64,
    pub subject: Vec<u8>,
    pub spki: Vec<u8>,
    pub extensions: Vec<Vec<u8>>,
}

impl CertificateWriter {
    pub fn new(subject: &[u8], key: &PKey<Private>, issuer: &[u8], serial: &[u8]) -> Self {
        Self {
            serial: serial.to_vec(),
            issuer: issuer.to_vec(),
            not_before: 1_000_000_000,
            not_after: 2_000_000_000,
            subject: subject.to_vec(),
            spki: key.public_key_to_der().unwrap(),
            extensions: Vec::new(),
        }
    }

    pub fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Basic constraints that make a CA of it.
    pub fn ca(self) -> Self {
        self.with(extension(&ce(19), true, &seq(&[&[1, 1, 0xff]])))
    }

    pub fn key_id(self, key_id: &[u8]) -> Self {
        self.with(extension(&ce(14), false, &tlv(4, key_id)))
    }

    /// Signed with an elliptic curve key and SHA-256.
    pub fn sign(&self, key: &PKey<Private>) -> Vec<u8> {
        let algorithm = algorithm::sha256_ecdsa();
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            tlv(0xa3, &tlv(0x30, &self.extensions.concat()))
        };
        let tbs = seq(&[
            &tlv(0xa0, &integer(&[2])),
            &integer(&self.serial),
            &algorithm,
            &self.issuer,
            &seq(&[&time(self.not_before), &time(self.not_after)]),
            &self.subject,
            &self.spki,
            &extensions,
        ]);
        let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
        signer.update(&tbs).unwrap();
        let signature = signer.sign_to_vec().unwrap();
        seq(&[&tbs, &algorithm, &tlv(3, &[&[0], signature.as_slice()].concat())])
    }
}

/// PEM of a list.
pub fn pem(der: &[u8]) -> Vec<u8> {
    pem_of("X509 CRL", der)
}

pub fn pem_of(label: &str, der: &[u8]) -> Vec<u8> {
    let mut pem = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in data_encoding::BASE64.encode(der).as_bytes().chunks(64) {
        pem.extend(line);
        pem.push(b'\n');
    }
    pem.extend(format!("-----END {label}-----\n").as_bytes());
    pem
}

/// How the serial numbers of a big list are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Sorted,
    Shuffled,
}

/// The serial number of entry `i` of a big list: 16 octets.
pub fn big_serial(i: u32) -> [u8; 16] {
    let mut serial = [0x5a; 16];
    serial[..8].copy_from_slice(&(0x1000_0000_0000_0000 | u64::from(i) << 8).to_be_bytes());
    serial[8..12].copy_from_slice(&i.wrapping_mul(0x9e37_79b9).to_be_bytes());
    serial
}

/// Entries of a big list; every eighth has a reason.
pub fn big_entries(count: u32, order: Order) -> Vec<u8> {
    let at = time(1_735_689_600);
    let reason = tlv(0x30, &reason(1));
    let mut entries = Vec::new();
    for i in 0..count {
        // 7 and powers of ten have no common divisor, so this meets each number once.
        let i = match order {
            Order::Sorted => i,
            Order::Shuffled => u32::try_from(u64::from(i) * 7_777_777 % u64::from(count)).unwrap(),
        };
        let extensions: &[u8] = if i % 8 == 0 { &reason } else { &[] };
        entries.extend(seq(&[&integer(&big_serial(i)), &at, extensions]));
    }
    entries
}
