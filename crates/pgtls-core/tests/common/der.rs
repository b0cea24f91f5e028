//! Making DER, right or wrong on purpose.

use openssl::asn1::Asn1Object;

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// One element.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(u8::try_from(short).unwrap()),
        long => {
            let bytes = long.to_be_bytes();
            let skip = bytes.iter().take_while(|byte| **byte == 0).count();
            out.push(0x80 | u8::try_from(bytes.len() - skip).unwrap());
            out.extend_from_slice(&bytes[skip..]);
        }
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence<T: AsRef<[u8]>>(elements: &[T]) -> Vec<u8> {
    element(SEQUENCE, &concat(elements))
}

pub(crate) fn concat<T: AsRef<[u8]>>(elements: &[T]) -> Vec<u8> {
    elements.iter().flat_map(|element| element.as_ref()).copied().collect()
}

/// An OBJECT IDENTIFIER by OpenSSL's name for it or dotted.
pub(crate) fn oid(text: &str) -> Vec<u8> {
    element(6, Asn1Object::from_str(text).unwrap().as_slice())
}

/// An attribute: its type and its value as an element.
pub(crate) fn attribute(oid_text: &str, tag: u8, value: &[u8]) -> Vec<u8> {
    sequence(&[oid(oid_text), element(tag, value)])
}

/// A name with one attribute in each relative distinguished name, all of them UTF8Strings.
pub(crate) fn name(attributes: &[(&str, &str)]) -> Vec<u8> {
    let rdns: Vec<_> = attributes
        .iter()
        .map(|(oid, value)| element(SET, &attribute(oid, 12, value.as_bytes())))
        .collect();
    sequence(&rdns)
}

/// A BIT STRING of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(3, &concat(&[&[0][..], bytes]))
}

/// An extension that is not critical.
pub(crate) fn extension(oid_text: &str, value: &[u8]) -> Vec<u8> {
    sequence(&[oid(oid_text), element(4, value)])
}

/// The parts of a certificate. The signature is none, which nothing that reads certificates minds.
#[derive(Debug, Clone)]
pub(crate) struct CertificateParts {
    /// The INTEGER of the version, if it is there.
    pub(crate) version: Option<Vec<u8>>,
    /// Content of the INTEGER.
    pub(crate) serial: Vec<u8>,
    /// A whole AlgorithmIdentifier.
    pub(crate) signature_algorithm: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) not_before: Vec<u8>,
    pub(crate) not_after: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    /// Whole elements, each of which may be there.
    pub(crate) unique_ids: Vec<Vec<u8>>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl CertificateParts {
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let mut signed = Vec::new();
        if let Some(version) = &self.version {
            signed.push(element(0xa0, &element(2, version)));
        }
        signed.push(element(2, &self.serial));
        signed.push(self.signature_algorithm.clone());
        signed.push(self.issuer.clone());
        signed.push(sequence(&[&self.not_before, &self.not_after]));
        signed.push(self.subject.clone());
        signed.push(self.public_key.clone());
        signed.extend_from_slice(&self.unique_ids);
        if !self.extensions.is_empty() {
            signed.push(element(0xa3, &sequence(&self.extensions)));
        }
        sequence(&[sequence(&signed), self.signature_algorithm.clone(), bit_string(&[0x5a; 70])])
    }
}

impl Default for CertificateParts {
    fn default() -> Self {
        // The generator of P-256: a point on the curve, and the key whose private half is 1.
        let point = [
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        ];
        let point = hex(&point.concat());
        Self {
            version: Some(vec![2]),
            serial: vec![0x01],
            signature_algorithm: sequence(&[oid("ecdsa-with-SHA256")]),
            issuer: name(&[("O", "Acme"), ("CN", "Acme Root")]),
            not_before: element(23, b"250101000000Z"),
            not_after: element(23, b"350101000000Z"),
            subject: name(&[("O", "Acme"), ("CN", "alice")]),
            public_key: sequence(&[
                sequence(&[oid("id-ecPublicKey"), oid("prime256v1")]),
                bit_string(&point),
            ]),
            unique_ids: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The same element with indefinite lengths throughout, and strings of more than one byte in two pieces.
pub(crate) fn to_ber(der: &[u8]) -> Vec<u8> {
    let (tag, content) = split(der).0;
    let is_string = matches!(tag, 3 | 4 | 12 | 19 | 22);
    let mut out = Vec::new();
    if tag & 0x20 != 0 {
        out.extend_from_slice(&[tag, 0x80]);
        let mut rest = content;
        while !rest.is_empty() {
            let (_, length) = split(rest);
            out.extend(to_ber(&rest[..length]));
            rest = &rest[length..];
        }
        out.extend_from_slice(&[0, 0]);
    } else if is_string && content.len() > 1 {
        out.extend_from_slice(&[tag | 0x20, 0x80]);
        let (first, second) = content.split_at(content.len() / 2);
        out.extend(element(tag, first));
        out.extend(element(tag, second));
        out.extend_from_slice(&[0, 0]);
    } else {
        out.extend_from_slice(&der[..split(der).1]);
    }
    out
}

/// Tag and content of the first element, and how long it is; for well-formed DER only.
fn split(der: &[u8]) -> ((u8, &[u8]), usize) {
    let (start, length) = match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let octets = &der[2..2 + count];
            (2 + count, octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)))
        }
    };
    ((der[0], &der[start..start + length]), start + length)
}
