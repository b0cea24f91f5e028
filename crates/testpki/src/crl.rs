//! Certificate revocation lists.

use crate::certificate::{Cert, CertBuilder, DAY, Identity, sign};
use crate::der::{self, UnixTime, now};
use crate::key::{Digest, Key};
use crate::name::Name;
use crate::parts::{CrlParts, Order, entry, many_entries};
use crate::x509::{
    INDIRECT, ONLY_CA, ONLY_USER, authority_key, crl_number, delta_of, extension, full_name, idp,
    invalidity_date, reason, uri,
};

/// Why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// unspecified
    Unspecified = 0,
    /// keyCompromise
    KeyCompromise = 1,
    /// cACompromise
    CaCompromise = 2,
    /// affiliationChanged
    AffiliationChanged = 3,
    /// superseded
    Superseded = 4,
    /// cessationOfOperation
    CessationOfOperation = 5,
    /// certificateHold
    CertificateHold = 6,
    /// removeFromCRL, for delta CRLs
    RemoveFromCrl = 8,
    /// privilegeWithdrawn
    PrivilegeWithdrawn = 9,
    /// aACompromise
    AaCompromise = 10,
}

/// A CRL: its DER, whatever that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    issuer: Vec<u8>,
}

impl Crl {
    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM form.
    pub fn pem(&self) -> String {
        der::pem("X509 CRL", &self.der)
    }

    /// The name under which a CRL directory has it, without the `.rN`: OpenSSL's hash of the
    /// issuer.
    pub fn issuer_hash(&self) -> String {
        name_hash(&self.issuer)
    }

    /// Takes the DER encoding of a well-formed CRL.
    ///
    /// # Panics
    /// If it is too short to hold an issuer.
    pub fn from_der(der: impl Into<Vec<u8>>) -> Self {
        let der = der.into();
        // CertificateList { TBSCertList { version OPTIONAL, algorithm, issuer, …
        let (tbs, _) = der::split(der::split(&der).0);
        let algorithm = if tbs[0] == 0x02 { der::split(tbs).1 } else { tbs };
        let (_, issuer) = der::split(algorithm);
        let length = issuer.len() - der::split(issuer).1.len();
        let issuer = issuer[..length].to_vec();
        Self { der, issuer }
    }
}

/// Makes a CRL. Unless told otherwise: issued yesterday, next update in 30 days, number 1, version
/// 2, empty.
#[derive(Clone)]
pub struct CrlBuilder {
    /// What it comes to, except for the extensions that are not there yet and the algorithm.
    parts: CrlParts,
    key: Key,
    digest: Digest,
    number: Option<Vec<u8>>,
    authority: Option<Key>,
    bad_signature: bool,
}

impl CrlBuilder {
    /// Starts a CRL of this CA.
    pub fn new(ca: &Identity) -> Self {
        Self {
            parts: CrlParts::new(&ca.cert.subject_der(), now() - DAY, now() + 30 * DAY),
            key: ca.key.clone(),
            digest: Digest::default(),
            number: Some(crl_number(1)),
            authority: Some(ca.key.clone()),
            bad_signature: false,
        }
    }

    /// Revokes a certificate an hour ago, giving no reason.
    pub fn revoke(self, cert: &Cert) -> Self {
        self.entry(&cert.serial_bytes(), now() - 3_600, &[])
    }

    /// Revokes a certificate for this reason at this time.
    pub fn revoke_for(self, cert: &Cert, why: Reason, at: UnixTime) -> Self {
        self.entry(&cert.serial_bytes(), at, &[reason(why as u8)])
    }

    /// Revokes a certificate for this reason, saying also since when it was to be distrusted.
    pub fn revoke_since(
        self,
        cert: &Cert,
        why: Reason,
        at: UnixTime,
        invalidity: UnixTime,
    ) -> Self {
        let extensions = [reason(why as u8), invalidity_date(invalidity)];
        self.entry(&cert.serial_bytes(), at, &extensions)
    }

    /// Adds an entry from the serial's content octets and encoded entry extensions.
    pub fn entry(mut self, serial: &[u8], at: UnixTime, extensions: &[Vec<u8>]) -> Self {
        let entry = entry(&der::integer_raw(serial), at, extensions);
        self.parts.entries.get_or_insert_default().extend(entry);
        self
    }

    /// Adds so many entries quickly; [`many_serial`](crate::many_serial) tells their serials.
    pub fn many(mut self, count: u32) -> Self {
        let entries = many_entries(count, Order::Shuffled, now() - DAY, false);
        self.parts.entries.get_or_insert_default().extend(entries);
        self
    }

    /// Issued at this time.
    pub fn this_update(mut self, at: UnixTime) -> Self {
        self.parts.this_update = der::time(at);
        self
    }

    /// To be replaced by this time.
    pub fn next_update(mut self, at: UnixTime) -> Self {
        self.parts.next_update = Some(der::time(at));
        self
    }

    /// Without a next update.
    pub fn no_next_update(mut self) -> Self {
        self.parts.next_update = None;
        self
    }

    /// Should have been replaced yesterday.
    pub fn stale(self) -> Self {
        self.this_update(now() - 30 * DAY).next_update(now() - DAY)
    }

    /// Issued tomorrow.
    pub fn not_yet_valid(self) -> Self {
        self.this_update(now() + DAY).next_update(now() + 30 * DAY)
    }

    /// With this CRL number.
    pub fn number(self, number: u64) -> Self {
        self.number_raw(&der::unsigned(&number.to_be_bytes()))
    }

    /// With these content octets as its CRL number.
    pub fn number_raw(mut self, content: &[u8]) -> Self {
        let number = der::integer_raw(content);
        self.number = Some(extension("crlNumber", false, &number));
        self
    }

    /// Without a CRL number.
    pub fn no_number(mut self) -> Self {
        self.number = None;
        self
    }

    /// In the name of another issuer.
    pub fn issuer_name(mut self, name: impl Into<Name>) -> Self {
        self.parts.issuer = name.into().der();
        self
    }

    /// Signed with a key that is not the CA's, while the authority key identifier still names the
    /// CA's.
    pub fn signed_with(mut self, key: &Key) -> Self {
        self.key = key.clone();
        self
    }

    /// With an authority key identifier that names this key.
    pub fn authority_key(mut self, key: &Key) -> Self {
        self.authority = Some(key.clone());
        self
    }

    /// Without an authority key identifier.
    pub fn no_authority_key(mut self) -> Self {
        self.authority = None;
        self
    }

    /// With one bit of the signature flipped.
    pub fn bad_signature(mut self) -> Self {
        self.bad_signature = true;
        self
    }

    /// Signed with this digest.
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = digest;
        self
    }

    /// A version 1 CRL: no extensions.
    pub fn version1(mut self) -> Self {
        self.parts.version = None;
        self.number = None;
        self.authority = None;
        self
    }

    /// With an issuing distribution point at this URL.
    pub fn idp_url(self, url: &str) -> Self {
        self.with(idp(&[full_name(&[uri(url)])]))
    }

    /// For end-entity certificates alone.
    pub fn idp_only_user(self) -> Self {
        self.with(idp(&[ONLY_USER.to_vec()]))
    }

    /// For CA certificates alone.
    pub fn idp_only_ca(self) -> Self {
        self.with(idp(&[ONLY_CA.to_vec()]))
    }

    /// An indirect CRL.
    pub fn idp_indirect(self) -> Self {
        self.with(idp(&[INDIRECT.to_vec()]))
    }

    /// A delta CRL on the base with this number.
    pub fn delta_of(self, base: u64) -> Self {
        self.with(delta_of(base))
    }

    /// With a critical extension nobody knows.
    pub fn unknown_critical(self) -> Self {
        self.extension(crate::UNKNOWN_OID, true, &der::utf8("unknown"))
    }

    /// Adds an extension with this encoded value.
    pub fn extension(self, kind: &str, critical: bool, value: &[u8]) -> Self {
        self.with(extension(kind, critical, value))
    }

    /// Adds an encoded extension.
    pub fn with(mut self, extension: Vec<u8>) -> Self {
        self.parts.extensions.push(extension);
        self
    }

    /// Signs it.
    pub fn build(self) -> Crl {
        let mut parts = self.parts;
        let usual = self.authority.as_ref().map(authority_key).into_iter().chain(self.number);
        parts.extensions.splice(0..0, usual);
        parts.signature_algorithm = self.key.signature_algorithm(self.digest);
        let tbs = parts.tbs();
        let signature = sign(&self.key, self.digest, &tbs, self.bad_signature);
        Crl::from_der(parts.sealed(&tbs, &signature))
    }
}

/// OpenSSL's hash of an encoded name, as `openssl crl -hash` prints it.
///
/// # Panics
/// If the name is not well-formed.
pub fn name_hash(name: &[u8]) -> String {
    // OpenSSL hashes names inside certificates alone, so make one.
    let carrier = CertBuilder::new(Name::empty()).bare().subject_raw(name).build();
    format!("{:08x}", carrier.cert.openssl().subject_name_hash())
}
