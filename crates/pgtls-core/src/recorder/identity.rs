//! Whose certificate it is and how long it lives: what the inventory has to know of one to choose
//! which to forget.
//!
//! This runs at a login, so it reads no more of the DER than it needs, and allocates nothing for
//! one that is well-formed. What it cannot read is of nobody and has no end; the columns of a
//! certificate are made elsewhere ([`crate::x509::certificate`]).

use openssl::sha::Sha256;

use crate::asn1::der::{BOOLEAN, Element, Fault, INTEGER, OBJECT, OCTET_STRING, Reader, SEQUENCE};

/// An issuer and the name it gave: the URI of the subject alternative names if there is exactly
/// one, as SPIFFE has it, else the subject. Half of a SHA-256.
pub type Identity = [u8; 16];

/// What is known of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Whose it is.
    pub identity: Identity,
    /// When it begins, in seconds of Unix time.
    pub begins: i64,
    /// When it ends.
    pub ends: i64,
}

/// subjectAltName, 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// A `uniformResourceIdentifier` among the general names.
const URI: u8 = 0x86;
/// The fields of the signed part that need not be there: version, the two unique identifiers,
/// extensions.
const VERSION: u8 = 0xa0;
const UNIQUE_IDS: [u8; 4] = [0xa1, 0x81, 0xa2, 0x82];
const EXTENSIONS: u8 = 0xa3;

/// Reads the certificate at the start of `der`; `None` if it cannot be read so.
pub fn life(der: &[u8]) -> Option<Life> {
    read(der).ok()
}

fn read(der: &[u8]) -> Result<Life, Fault> {
    let certificate = Reader::new(der, 0).expect(SEQUENCE, "certificate")?;
    let mut fields = certificate.inside().expect(SEQUENCE, "signed part")?.inside();
    fields.optional(VERSION)?;
    fields.expect(INTEGER, "serial number")?;
    fields.expect(SEQUENCE, "algorithm")?;
    let issuer = fields.expect(SEQUENCE, "issuer")?;
    let mut validity = fields.expect(SEQUENCE, "validity")?.inside();
    let (begins, ends) = (validity.any()?.time()?, validity.any()?.time()?);
    let subject = fields.expect(SEQUENCE, "subject")?;
    fields.expect(SEQUENCE, "public key")?;
    for tag in UNIQUE_IDS {
        fields.optional(tag)?;
    }
    let uri = match fields.optional(EXTENSIONS)? {
        Some(extensions) => only_uri(extensions)?,
        None => None,
    };
    let mut hash = Sha256::new();
    hash.update(issuer.raw);
    hash.update(uri.unwrap_or(subject).raw);
    let mut identity = Identity::default();
    identity.iter_mut().zip(hash.finish()).for_each(|(to, from)| *to = from);
    Ok(Life { identity, begins: begins.0, ends: ends.0 })
}

/// The URI among the subject alternative names, if there is exactly one.
fn only_uri(extensions: Element<'_>) -> Result<Option<Element<'_>>, Fault> {
    let mut list = extensions.inside().expect(SEQUENCE, "extensions")?.inside();
    while !list.is_empty() {
        let mut extension = list.expect(SEQUENCE, "extension")?.inside();
        let kind = extension.expect(OBJECT, "kind of extension")?;
        extension.optional(BOOLEAN)?;
        let value = extension.expect(OCTET_STRING, "value")?;
        if kind.content != SUBJECT_ALT_NAME {
            continue;
        }
        let mut names = value.inside().expect(SEQUENCE, "names")?.inside();
        let mut found = None;
        while !names.is_empty() {
            let name = names.any()?;
            if name.tag == URI && found.replace(name).is_some() {
                return Ok(None);
            }
        }
        return Ok(found);
    }
    Ok(None)
}
