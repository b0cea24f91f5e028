//! Private keys and what they sign.

use std::sync::{Mutex, PoisonError};

use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;

use crate::der;

/// A private key. Cheap to clone.
#[derive(Clone)]
pub struct Key(PKey<Private>);

/// The digest of a signature; Ed25519 has none and ignores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// Too weak for OpenSSL's default security level: what a server has to refuse.
    Sha1,
    /// What everybody uses.
    #[default]
    Sha256,
    /// The larger one.
    Sha384,
}

/// RSA keys already generated in this process, by size: they take a tenth of a second each.
static RSA_POOL: Mutex<Vec<(u32, Key)>> = Mutex::new(Vec::new());

impl Key {
    /// A new key on P-256.
    pub fn ec() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("OpenSSL has P-256");
        let key = EcKey::generate(&group).expect("an EC key can be generated");
        Self(PKey::from_ec_key(key).expect("an EC key is a key"))
    }

    /// A new Ed25519 key.
    pub fn ed25519() -> Self {
        Self(PKey::generate_ed25519().expect("an Ed25519 key can be generated"))
    }

    /// The RSA key of 2048 bits that leaves of this process share: generating one is slow.
    pub fn rsa() -> Self {
        Self::rsa_of(2048)
    }

    /// The RSA key of this size that leaves of this process share.
    pub fn rsa_of(bits: u32) -> Self {
        let mut pool = RSA_POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = pool.iter().find(|(size, _)| *size == bits) {
            return key.clone();
        }
        let key = Self::fresh_rsa(bits);
        pool.push((bits, key.clone()));
        key
    }

    /// A new RSA key that nobody else uses.
    pub fn fresh_rsa(bits: u32) -> Self {
        let key = Rsa::generate(bits).expect("an RSA key can be generated");
        Self(PKey::from_rsa(key).expect("an RSA key is a key"))
    }

    /// The key in an unencrypted PEM file.
    ///
    /// # Panics
    /// If it holds none.
    pub fn from_pem(pem: &str) -> Self {
        Self(PKey::private_key_from_pem(pem.as_bytes()).expect("a private key in PEM"))
    }

    /// PKCS#8 PEM, unencrypted.
    pub fn pem(&self) -> String {
        let pem = self.0.private_key_to_pem_pkcs8().expect("a private key has a PEM form");
        String::from_utf8(pem).expect("PEM is ASCII")
    }

    /// PKCS#8 PEM, encrypted with a passphrase.
    pub fn encrypted_pem(&self, passphrase: &str) -> String {
        let cipher = openssl::symm::Cipher::aes_256_cbc();
        let pem = self
            .0
            .private_key_to_pem_pkcs8_passphrase(cipher, passphrase.as_bytes())
            .expect("a private key can be encrypted");
        String::from_utf8(pem).expect("PEM is ASCII")
    }

    /// The SubjectPublicKeyInfo.
    pub fn public_der(&self) -> Vec<u8> {
        self.0.public_key_to_der().expect("a public key has a DER form")
    }

    /// The key for the `openssl` crate.
    pub fn openssl(&self) -> &PKey<Private> {
        &self.0
    }

    /// SHA-1 of the public key's bits, the usual key identifier.
    pub fn identifier(&self) -> Vec<u8> {
        // SEQUENCE { AlgorithmIdentifier, BIT STRING }: the bits are what follows the first inner element.
        let spki = self.public_der();
        let (body, _) = der::split(&spki);
        let (_, after_algorithm) = der::split(body);
        let (bits, _) = der::split(after_algorithm);
        openssl::sha::sha1(&bits[1..]).to_vec()
    }

    /// The AlgorithmIdentifier of this key's signatures.
    pub(super) fn signature_algorithm(&self, digest: Digest) -> Vec<u8> {
        let (oid, parameters) = match (self.0.id(), digest) {
            (Id::RSA, Digest::Sha1) => ("1.2.840.113549.1.1.5", der::null()),
            (Id::RSA, Digest::Sha256) => ("1.2.840.113549.1.1.11", der::null()),
            (Id::RSA, Digest::Sha384) => ("1.2.840.113549.1.1.12", der::null()),
            (Id::EC, Digest::Sha1) => ("1.2.840.10045.4.1", Vec::new()),
            (Id::EC, Digest::Sha256) => ("1.2.840.10045.4.3.2", Vec::new()),
            (Id::EC, Digest::Sha384) => ("1.2.840.10045.4.3.3", Vec::new()),
            (Id::ED25519, _) => ("1.3.101.112", Vec::new()),
            (other, _) => panic!("keys of type {other:?} are not made here"),
        };
        der::seq(&[&der::oid(oid), &parameters])
    }

    /// The signature of `message`.
    pub(super) fn sign(&self, digest: Digest, message: &[u8]) -> Vec<u8> {
        let signer = match (self.0.id(), digest) {
            (Id::ED25519, _) => Signer::new_without_digest(&self.0),
            (_, Digest::Sha1) => Signer::new(MessageDigest::sha1(), &self.0),
            (_, Digest::Sha256) => Signer::new(MessageDigest::sha256(), &self.0),
            (_, Digest::Sha384) => Signer::new(MessageDigest::sha384(), &self.0),
        };
        signer
            .and_then(|mut signer| signer.sign_oneshot_to_vec(message))
            .expect("a private key can sign")
    }
}
