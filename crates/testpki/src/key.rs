//! Private keys and what they sign.

use std::sync::{Mutex, PoisonError};

use openssl::dsa::Dsa;
use openssl::ec::{Asn1Flag, EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Rsa;
use openssl::sign::Signer;

use crate::der;
use crate::x509::{algorithm, algorithm_null};

/// A private key. Cheap to clone.
#[derive(Clone)]
pub struct Key(PKey<Private>);

/// An elliptic curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256, what everybody uses.
    P256,
    /// P-384.
    P384,
    /// P-384 with all its parameters written out instead of its name.
    P384Explicit,
    /// P-521.
    P521,
    /// secp256k1.
    K256,
    /// sect233k1, over a binary field.
    B233,
    /// brainpoolP256r1.
    Brainpool256,
}

/// The digest of a signature; Ed25519 and Ed448 have none and ignore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// Too weak for OpenSSL's default security level: what a server has to refuse.
    Sha1,
    /// What everybody uses.
    #[default]
    Sha256,
    /// A larger one.
    Sha384,
    /// The largest one.
    Sha512,
}

/// RSA keys already generated in this process, by size: they take a tenth of a second each.
static RSA_POOL: Mutex<Vec<(u32, Key)>> = Mutex::new(Vec::new());

impl Key {
    /// A new key on P-256.
    pub fn ec() -> Self {
        Self::on(Curve::P256)
    }

    /// A new key on this curve.
    pub fn on(curve: Curve) -> Self {
        let name = match curve {
            Curve::P256 => Nid::X9_62_PRIME256V1,
            Curve::P384 | Curve::P384Explicit => Nid::SECP384R1,
            Curve::P521 => Nid::SECP521R1,
            Curve::K256 => Nid::SECP256K1,
            Curve::B233 => Nid::SECT233K1,
            Curve::Brainpool256 => Nid::BRAINPOOL_P256R1,
        };
        let mut group = EcGroup::from_curve_name(name).expect("OpenSSL has the curve");
        if curve == Curve::P384Explicit {
            group.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
        }
        let key = EcKey::generate(&group).expect("an EC key can be generated");
        Self(PKey::from_ec_key(key).expect("an EC key is a key"))
    }

    /// A new Ed25519 key.
    pub fn ed25519() -> Self {
        Self(PKey::generate_ed25519().expect("an Ed25519 key can be generated"))
    }

    /// A new Ed448 key.
    pub fn ed448() -> Self {
        Self(PKey::generate_ed448().expect("an Ed448 key can be generated"))
    }

    /// A new DSA key of this size.
    pub fn dsa(bits: u32) -> Self {
        let key = Dsa::generate(bits).expect("a DSA key can be generated");
        Self(PKey::from_dsa(key).expect("a DSA key is a key"))
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

    /// A new RSA key for RSASSA-PSS alone.
    pub fn rsa_pss() -> Self {
        let key = PkeyCtx::new_id(Id::RSA_PSS).and_then(|mut context| {
            // Of 2048 bits; OpenSSL 1.1.1 lets only ordinary keys have another size.
            context.keygen_init()?;
            context.keygen()
        });
        Self(key.expect("an RSA key can be generated"))
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
        // SEQUENCE { AlgorithmIdentifier, BIT STRING }: the bits are what follows the first inner
        // element.
        let spki = self.public_der();
        let (body, _) = der::split(&spki);
        let (_, after_algorithm) = der::split(body);
        let (bits, _) = der::split(after_algorithm);
        openssl::sha::sha1(&bits[1..]).to_vec()
    }

    /// The AlgorithmIdentifier of this key's signatures.
    ///
    /// # Panics
    /// If no certificate is signed so: DSA goes with SHA-256 alone.
    pub fn signature_algorithm(&self, digest: Digest) -> Vec<u8> {
        let name = match (self.0.id(), digest) {
            (Id::RSA, Digest::Sha1) => "sha1WithRSAEncryption",
            (Id::RSA, Digest::Sha256) => "sha256WithRSAEncryption",
            (Id::RSA, Digest::Sha384) => "sha384WithRSAEncryption",
            (Id::RSA, Digest::Sha512) => "sha512WithRSAEncryption",
            (Id::EC, Digest::Sha1) => "ecdsa-with-SHA1",
            (Id::EC, Digest::Sha256) => "ecdsa-with-SHA256",
            (Id::EC, Digest::Sha384) => "ecdsa-with-SHA384",
            (Id::EC, Digest::Sha512) => "ecdsa-with-SHA512",
            (Id::DSA, Digest::Sha256) => "dsa_with_SHA256",
            (Id::ED25519, _) => "ED25519",
            (Id::ED448, _) => "ED448",
            other => panic!("{other:?} signs no certificate"),
        };
        match self.0.id() {
            Id::RSA => algorithm_null(name),
            _ => algorithm(name),
        }
    }

    /// The signature of `message`.
    pub fn sign(&self, digest: Digest, message: &[u8]) -> Vec<u8> {
        let digest = match digest {
            Digest::Sha1 => MessageDigest::sha1(),
            Digest::Sha256 => MessageDigest::sha256(),
            Digest::Sha384 => MessageDigest::sha384(),
            Digest::Sha512 => MessageDigest::sha512(),
        };
        let signer = match self.0.id() {
            Id::ED25519 | Id::ED448 => Signer::new_without_digest(&self.0),
            _ => Signer::new(digest, &self.0),
        };
        signer
            .and_then(|mut signer| signer.sign_oneshot_to_vec(message))
            .expect("a private key can sign")
    }
}
