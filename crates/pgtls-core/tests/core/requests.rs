//! Certificate requests.

use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

use crate::prelude::*;

/// What a request is made of.
pub(crate) struct RequestParts {
    pub(crate) version: u8,
    pub(crate) public_key: Option<Vec<u8>>,
    /// All of the attributes with their tag; `None` leaves them out.
    pub(crate) attributes: Option<Vec<u8>>,
}

impl Default for RequestParts {
    fn default() -> Self {
        let wanted = [
            extension("subjectAltName", false, &seq_of(&[tlv(0x82, b"db.example.com")])),
            extension("keyUsage", false, &[3, 2, 7, 0x80]),
            extension("extendedKeyUsage", false, &seq_of(&[oid("clientAuth")])),
        ];
        Self { version: 0, public_key: None, attributes: Some(attributes(&[wants(&wanted)])) }
    }
}

/// The attribute of wanted extensions.
pub(crate) fn wants(extensions: &[Vec<u8>]) -> Vec<u8> {
    seq_of(&[oid("extReq"), tlv(0x31, &seq_of(extensions))])
}

pub(crate) fn attributes(attributes: &[Vec<u8>]) -> Vec<u8> {
    tlv(0xa0, &attributes.concat())
}

impl RequestParts {
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key: PKey<Private> = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let spki = key.public_key_to_der().unwrap();
        let signed = seq_of(&[
            tlv(2, &[self.version]),
            name("/O=Acme/CN=alice"),
            self.public_key.clone().unwrap_or(spki),
            self.attributes.clone().unwrap_or_default(),
        ]);
        let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
        let signature = signer.sign_oneshot_to_vec(&signed).unwrap();
        seq_of(&[signed, seq_of(&[oid("ecdsa-with-SHA256")]), bit_string(&signature)])
    }
}

pub(crate) fn der() -> Vec<u8> {
    RequestParts::default().to_der()
}
