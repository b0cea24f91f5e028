//! The check of a list's signature (RFC 5280 section 5.1.1.3), as OpenSSL's `X509_CRL_verify` makes
//! it.
//!
//! Over the raw bytes of tbsCertList: OpenSSL's own parser would need eight times the memory of the
//! list. What is checked besides the signature is what `def_crl_verify` and `ASN1_item_verify_ex`
//! check.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Verifier};

use crate::asn1::der::{self, Fault, Reader};
use crate::asn1::oid::Oid;
use crate::crl::Crl;

/// How many keys' outcomes are kept with a list: more than a CA has keys at a time.
const MAX_CHECKED: usize = 8;

/// Outcome of checking a list's signature with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureCheck {
    /// The holder of the key signed this list.
    Good,
    /// The key did not make this signature, or not of this list.
    Bad,
    /// The two places that name the signature algorithm differ.
    AlgorithmMismatch,
    /// This OpenSSL does not know the algorithm, or not with a key of this kind.
    AlgorithmUnsupported,
    /// OpenSSL cannot read the issuer's key.
    KeyUnreadable,
}

impl SignatureCheck {
    /// Whether the list may be believed.
    pub fn is_good(self) -> bool {
        self == Self::Good
    }
}

impl Crl {
    /// Checks the signature with the key in this SubjectPublicKeyInfo. The outcome is kept with the
    /// list, so that only the first check of a key reads the whole list.
    pub fn check_signature(&self, spki: &[u8]) -> SignatureCheck {
        let mut checked = match self.0.checked.lock() {
            Ok(checked) => checked,
            // A panic while it was held cannot have left it half written.
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some((_, outcome)) = checked.iter().find(|(key, _)| key == spki) {
            return *outcome;
        }
        let outcome = self.check_signature_anew(spki);
        if checked.len() == MAX_CHECKED {
            checked.remove(0);
        }
        checked.push((spki.to_vec(), outcome));
        outcome
    }

    fn check_signature_anew(&self, spki: &[u8]) -> SignatureCheck {
        let Ok(key) = drained(PKey::public_key_from_der(spki)) else {
            return SignatureCheck::KeyUnreadable;
        };
        let algorithm = self.signature_algorithm_der();
        if self.part(&self.0.tbs_signature_algorithm) != algorithm {
            return SignatureCheck::AlgorithmMismatch;
        }
        // A signature is whole octets; OpenSSL calls anything else bad.
        let [0, signature @ ..] = self.part(&self.0.signature) else { return SignatureCheck::Bad };
        let tbs = self.0.signed.as_deref().unwrap_or_else(|| self.part(&self.0.tbs));
        match Algorithm::read(algorithm) {
            Some(algorithm) => algorithm.check(&key, tbs, signature),
            None => SignatureCheck::AlgorithmUnsupported,
        }
    }
}

/// How to verify.
enum Algorithm {
    /// A digest, signed with a key of this type.
    Digest(MessageDigest, Id),
    /// EdDSA with a key of this type.
    EdDsa(Id),
    /// RSASSA-PSS (RFC 4055 section 3.1).
    Pss { digest: MessageDigest, mask: MessageDigest, salt: i32 },
}

impl Algorithm {
    fn read(der: &[u8]) -> Option<Self> {
        let mut parts = Reader::new(der, 0).any().ok()?.inside();
        let nid = Oid::borrowed(parts.any().ok()?.content).nid();
        match nid {
            Nid::RSASSAPSS => pss(parts).ok()?,
            nid if EDDSA.contains(&Id::from_raw(nid.as_raw())) => {
                Some(Self::EdDsa(Id::from_raw(nid.as_raw())))
            }
            nid => {
                let pair = nid.signature_algorithms()?;
                // Old RSA algorithms name the key type by its X.500 OID, which means the same keys.
                let key = if pair.pkey == Nid::RSA { Nid::RSAENCRYPTION } else { pair.pkey };
                Some(Self::Digest(
                    MessageDigest::from_nid(pair.digest)?,
                    Id::from_raw(key.as_raw()),
                ))
            }
        }
    }

    fn check(&self, key: &PKey<Public>, tbs: &[u8], signature: &[u8]) -> SignatureCheck {
        let fits = match self {
            Self::Digest(_, kind) | Self::EdDsa(kind) => *kind == key.id(),
            Self::Pss { .. } => [Id::RSA, Id::RSA_PSS].contains(&key.id()),
        };
        if !fits {
            return SignatureCheck::AlgorithmUnsupported;
        }
        match drained(self.verify(key, tbs, signature)) {
            Ok(true) => SignatureCheck::Good,
            // OpenSSL reports signatures of the wrong form as errors.
            Ok(false) | Err(_) => SignatureCheck::Bad,
        }
    }

    fn verify(&self, key: &PKey<Public>, tbs: &[u8], signature: &[u8]) -> Result<bool, ErrorStack> {
        match self {
            Self::Digest(digest, _) => {
                let mut verifier = Verifier::new(*digest, key)?;
                verifier.update(tbs)?;
                verifier.verify(signature)
            }
            Self::EdDsa(_) => Verifier::new_without_digest(key)?.verify_oneshot(signature, tbs),
            Self::Pss { digest, mask, salt } => {
                let mut verifier = Verifier::new(*digest, key)?;
                verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
                verifier.set_rsa_mgf1_md(*mask)?;
                verifier.set_rsa_pss_saltlen(RsaPssSaltlen::custom(*salt))?;
                verifier.update(tbs)?;
                verifier.verify(signature)
            }
        }
    }
}

/// The EdDSA algorithms; OpenSSL has one number for key type and signature algorithm.
const EDDSA: [Id; 2] = [Id::ED25519, Id::ED448];

/// Reads RSASSA-PSS-params, the rest of the AlgorithmIdentifier. The inner `None` is a combination
/// OpenSSL refuses.
fn pss(mut parts: Reader<'_>) -> Result<Option<Algorithm>, Fault> {
    let mut fields = parts.expect(der::SEQUENCE, "RSASSA-PSS parameters")?.inside();
    let digest = match fields.optional(0xa0)? {
        Some(tagged) => digest_of(&mut tagged.inside())?,
        None => Some(MessageDigest::sha1()),
    };
    let mask = match fields.optional(0xa1)? {
        Some(tagged) => {
            let mut function = tagged.inside().any()?.inside();
            let oid = function.expect(der::OBJECT, "a mask generation function")?;
            if Oid::borrowed(oid.content).nid() == Nid::MGF1 {
                digest_of(&mut function)?
            } else {
                None
            }
        }
        None => Some(MessageDigest::sha1()),
    };
    let salt = match fields.optional(0xa2)? {
        Some(tagged) => small(&mut tagged.inside())?,
        None => Some(20),
    };
    let trailer = match fields.optional(0xa3)? {
        Some(tagged) => small(&mut tagged.inside())?,
        None => Some(1),
    };
    fields.end()?;
    let (Some(digest), Some(mask), Some(salt), Some(1)) = (digest, mask, salt, trailer) else {
        return Ok(None);
    };
    Ok(Some(Algorithm::Pss { digest, mask, salt }))
}

/// The digest that an AlgorithmIdentifier names.
fn digest_of(parts: &mut Reader<'_>) -> Result<Option<MessageDigest>, Fault> {
    let mut algorithm = parts.expect(der::SEQUENCE, "a digest algorithm")?.inside();
    let oid = algorithm.expect(der::OBJECT, "a digest")?;
    Ok(MessageDigest::from_nid(Oid::borrowed(oid.content).nid()))
}

/// A number that is not negative and small.
fn small(parts: &mut Reader<'_>) -> Result<Option<i32>, Fault> {
    let octets = parts.expect(der::INTEGER, "a number")?.integer()?;
    let small = octets.len() <= 3 && octets[0] & 0x80 == 0;
    Ok(small.then(|| octets.iter().fold(0, |number, octet| number << 8 | i32::from(*octet))))
}

/// Drops what a failed call left in OpenSSL's error queue of this thread, where the server would
/// find it later.
fn drained<T>(result: Result<T, ErrorStack>) -> Result<T, ErrorStack> {
    // Making an ErrorStack takes the errors out of the queue; a `false` from a verification leaves
    // them in.
    drop(ErrorStack::get());
    result
}
