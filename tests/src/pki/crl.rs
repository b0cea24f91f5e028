//! Certificate revocation lists.

use super::certificate::{
    Cert, CertBuilder, DAY, Identity, authority_key_identifier, extension, full_name, sign,
};
use super::key::{Digest, Key};
use super::name::Name;
use crate::der::{self, UnixTime, now};

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

    /// The name under which a CRL directory has it, without the `.rN`: OpenSSL's hash of the issuer.
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

/// Makes a CRL. Unless told otherwise: issued yesterday, next update in 30 days, number 1, version 2, empty.
#[derive(Clone)]
pub struct CrlBuilder {
    issuer: Vec<u8>,
    key: Key,
    authority: Key,
    digest: Digest,
    version: bool,
    this_update: Vec<u8>,
    next_update: Option<Vec<u8>>,
    entries: Vec<u8>,
    number: Option<Vec<u8>>,
    authority_key: bool,
    extensions: Vec<Vec<u8>>,
    bad_signature: bool,
}

impl CrlBuilder {
    /// Starts a CRL of this CA.
    pub fn new(ca: &Identity) -> Self {
        Self {
            issuer: ca.cert.subject_der(),
            key: ca.key.clone(),
            authority: ca.key.clone(),
            digest: Digest::default(),
            version: true,
            this_update: der::time(now() - DAY),
            next_update: Some(der::time(now() + 30 * DAY)),
            entries: Vec::new(),
            number: Some(vec![1]),
            authority_key: true,
            extensions: Vec::new(),
            bad_signature: false,
        }
    }

    /// Revokes a certificate an hour ago, giving no reason.
    pub fn revoke(self, cert: &Cert) -> Self {
        self.entry(&cert.serial_bytes(), now() - 3_600, &[])
    }

    /// Revokes a certificate for this reason at this time.
    pub fn revoke_for(self, cert: &Cert, reason: Reason, at: UnixTime) -> Self {
        self.entry(&cert.serial_bytes(), at, &[reason_code(reason)])
    }

    /// Revokes a certificate for this reason, saying also since when it was to be distrusted.
    pub fn revoke_since(
        self,
        cert: &Cert,
        reason: Reason,
        at: UnixTime,
        invalidity: UnixTime,
    ) -> Self {
        let invalidity = extension("2.5.29.24", false, &der::generalized_time(invalidity));
        self.entry(&cert.serial_bytes(), at, &[reason_code(reason), invalidity])
    }

    /// Adds an entry from the serial's content octets and encoded entry extensions.
    pub fn entry(mut self, serial: &[u8], at: UnixTime, extensions: &[Vec<u8>]) -> Self {
        let serial = der::integer_raw(serial);
        let extensions =
            if extensions.is_empty() { Vec::new() } else { der::tlv(0x30, &extensions.concat()) };
        der::put(&mut self.entries, 0x30, &[serial, der::time(at), extensions].concat());
        self
    }

    /// Adds so many entries quickly; [`many_serial`] tells their serials.
    pub fn many(mut self, count: u32) -> Self {
        let time = der::time(now() - DAY);
        self.entries.reserve(count as usize * 36);
        for index in 0..count {
            self.entries.extend_from_slice(&[0x30, 18 + time.len() as u8, 0x02, 16]);
            self.entries.extend_from_slice(&many_serial(index));
            self.entries.extend_from_slice(&time);
        }
        self
    }

    /// Issued at this time.
    pub fn this_update(mut self, at: UnixTime) -> Self {
        self.this_update = der::time(at);
        self
    }

    /// To be replaced by this time.
    pub fn next_update(mut self, at: UnixTime) -> Self {
        self.next_update = Some(der::time(at));
        self
    }

    /// Without a next update.
    pub fn no_next_update(mut self) -> Self {
        self.next_update = None;
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
        self.number = Some(content.to_vec());
        self
    }

    /// Without a CRL number.
    pub fn no_number(mut self) -> Self {
        self.number = None;
        self
    }

    /// In the name of another issuer.
    pub fn issuer_name(mut self, name: impl Into<Name>) -> Self {
        self.issuer = name.into().der();
        self
    }

    /// Signed with a key that is not the CA's, while the authority key identifier still names the CA's.
    pub fn signed_with(mut self, key: &Key) -> Self {
        self.key = key.clone();
        self
    }

    /// With an authority key identifier that names this key.
    pub fn authority_key(mut self, key: &Key) -> Self {
        self.authority = key.clone();
        self
    }

    /// Without an authority key identifier.
    pub fn no_authority_key(mut self) -> Self {
        self.authority_key = false;
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
        self.version = false;
        self.number = None;
        self.authority_key = false;
        self
    }

    /// With an issuing distribution point at this URL.
    pub fn idp_url(self, url: &str) -> Self {
        self.idp(&der::context(0, &full_name(url)))
    }

    /// For end-entity certificates alone.
    pub fn idp_only_user(self) -> Self {
        self.idp(&der::context_primitive(1, &[0xff]))
    }

    /// For CA certificates alone.
    pub fn idp_only_ca(self) -> Self {
        self.idp(&der::context_primitive(2, &[0xff]))
    }

    /// An indirect CRL.
    pub fn idp_indirect(self) -> Self {
        self.idp(&der::context_primitive(4, &[0xff]))
    }

    /// With an issuing distribution point of these encoded fields.
    pub fn idp(self, fields: &[u8]) -> Self {
        self.extension("2.5.29.28", true, &der::tlv(0x30, fields))
    }

    /// A delta CRL on the base with this number.
    pub fn delta_of(self, base: u64) -> Self {
        self.extension("2.5.29.27", true, &der::integer(base))
    }

    /// With a critical extension nobody knows.
    pub fn unknown_critical(self) -> Self {
        self.extension(super::UNKNOWN_OID, true, &der::utf8("unknown"))
    }

    /// Adds an extension with this encoded value.
    pub fn extension(mut self, oid: &str, critical: bool, value: &[u8]) -> Self {
        self.extensions.push(extension(oid, critical, value));
        self
    }

    /// Signs it.
    pub fn build(self) -> Crl {
        let algorithm = self.key.signature_algorithm(self.digest);
        let version = if self.version { der::integer(1) } else { Vec::new() };
        let entries =
            if self.entries.is_empty() { Vec::new() } else { der::tlv(0x30, &self.entries) };
        let mut extensions = Vec::new();
        if self.authority_key {
            extensions.push(authority_key_identifier(&self.authority));
        }
        if let Some(number) = &self.number {
            extensions.push(extension("2.5.29.20", false, &der::integer_raw(number)));
        }
        extensions.extend(self.extensions);
        let extensions = if extensions.is_empty() {
            Vec::new()
        } else {
            der::context(0, &der::tlv(0x30, &extensions.concat()))
        };
        let tbs = der::seq(&[
            &version,
            &algorithm,
            &self.issuer,
            &self.this_update,
            &self.next_update.unwrap_or_default(),
            &entries,
            &extensions,
        ]);
        Crl::from_der(sign(&tbs, &algorithm, &self.key, self.digest, self.bad_signature))
    }
}

/// Serial number, as content octets, of the entry with this index in [`CrlBuilder::many`].
pub fn many_serial(index: u32) -> [u8; 16] {
    // A multiplicative hash spreads the serials: an index that only works on sorted input is found out.
    let spread = u64::from(index).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut serial = [0x40; 16];
    serial[1..9].copy_from_slice(&spread.to_be_bytes());
    serial[12..].copy_from_slice(&index.to_be_bytes());
    serial
}

/// The reasonCode entry extension.
pub fn reason_code(reason: Reason) -> Vec<u8> {
    extension("2.5.29.21", false, &der::enumerated(reason as u8))
}

/// The certificateIssuer entry extension, for indirect CRLs.
pub fn certificate_issuer(name: impl Into<Name>) -> Vec<u8> {
    let directory_name = der::context(4, &name.into().der());
    extension("2.5.29.29", true, &der::tlv(0x30, &directory_name))
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
