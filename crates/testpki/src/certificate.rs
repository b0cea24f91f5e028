//! Certificates, and identities made of a certificate, its chain and its key.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::x509::X509;

use crate::der::{self, UnixTime, now};
use crate::key::{Curve, Digest, Key};
use crate::name::Name;
use crate::parts::CertificateParts;
use crate::x509::{
    authority_key, basic_constraints, crl_points, directory, dns, extension, information_access,
    key_usage, point, subject_key_id, uri,
};

/// One day, in seconds.
pub const DAY: UnixTime = 86_400;

/// An extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eku {
    /// serverAuth.
    Server,
    /// clientAuth.
    Client,
    /// Any other, by its OID or OpenSSL's name for it.
    Oid(&'static str),
}

impl Eku {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
            Self::Oid(name) => name,
        }
    }
}

/// A certificate: its DER, whatever that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cert {
    der: Vec<u8>,
}

impl Cert {
    /// Takes any bytes for a certificate.
    pub fn from_der(der: impl Into<Vec<u8>>) -> Self {
        Self { der: der.into() }
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM form.
    pub fn pem(&self) -> String {
        der::pem("CERTIFICATE", &self.der)
    }

    /// The certificate for the `openssl` crate.
    ///
    /// # Panics
    /// If OpenSSL cannot read it, which some odd certificates are made for.
    pub fn openssl(&self) -> X509 {
        self.try_openssl().expect("OpenSSL reads the certificate")
    }

    /// The same, for callers that hand OpenSSL's complaint on.
    pub fn try_openssl(&self) -> Result<X509, ErrorStack> {
        X509::from_der(&self.der)
    }

    /// SHA-256 of the DER, in lower-case hex.
    pub fn fingerprint(&self) -> String {
        der::hex(&openssl::sha::sha256(&self.der))
    }

    /// The serial number in decimal, as `pg_stat_ssl` has it.
    pub fn serial(&self) -> String {
        let number = self.openssl().serial_number().to_bn().expect("a serial is a number");
        number.to_dec_str().expect("a number has a decimal form").to_string()
    }

    /// Content octets of the serial number.
    pub fn serial_bytes(&self) -> Vec<u8> {
        // Certificate { TBSCertificate { [0] version OPTIONAL, INTEGER serial, …
        let (certificate, _) = der::split(&self.der);
        let (tbs, _) = der::split(certificate);
        let serial = if tbs[0] == 0xa0 { der::split(tbs).1 } else { tbs };
        der::split(serial).0.to_vec()
    }

    /// Subject and issuer are the same: nothing above it has to be sent.
    pub fn is_self_issued(&self) -> bool {
        self.try_openssl().is_ok_and(|cert| {
            let (subject, issuer) = (cert.subject_name().to_der(), cert.issuer_name().to_der());
            matches!((subject, issuer), (Ok(subject), Ok(issuer)) if subject == issuer)
        })
    }

    /// The encoded subject.
    pub fn subject_der(&self) -> Vec<u8> {
        self.openssl().subject_name().to_der().expect("a subject has a DER form")
    }
}

/// A certificate with its private key and what is sent along with it.
#[derive(Clone)]
pub struct Identity {
    /// The leaf, or the CA's own certificate.
    pub cert: Cert,
    /// The certificates sent after `cert`, in this order.
    pub chain: Vec<Cert>,
    /// The key that belongs to `cert`.
    pub key: Key,
}

impl Identity {
    /// Puts an identity together from parts, right or wrong.
    pub fn new(cert: Cert, chain: Vec<Cert>, key: Key) -> Self {
        Self { cert, chain, key }
    }

    /// The same, sending the leaf alone.
    pub fn leaf_only(&self) -> Self {
        self.sending(&[])
    }

    /// The same, sending exactly these certificates after the leaf, superfluous ones included.
    pub fn sending(&self, chain: &[&Cert]) -> Self {
        Self { chain: chain.iter().map(|cert| (*cert).clone()).collect(), ..self.clone() }
    }

    /// The same certificate with another private key, which does not belong to it.
    pub fn with_key(&self, key: &Key) -> Self {
        Self { key: key.clone(), ..self.clone() }
    }

    /// The leaf and its chain, as one PEM bundle.
    pub fn bundle_pem(&self) -> String {
        std::iter::once(&self.cert).chain(&self.chain).map(Cert::pem).collect()
    }

    /// Writes `NAME.crt` (leaf and chain) and `NAME.key` (0600) into `dir`.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&self, dir: &Path, name: &str) -> IdentityFiles {
        let files = IdentityFiles {
            cert: dir.join(format!("{name}.crt")),
            key: dir.join(format!("{name}.key")),
        };
        fs::write(&files.cert, self.bundle_pem()).expect("a certificate file can be written");
        write_private(&files.key, &self.key.pem());
        files
    }

    /// Starts a certificate issued by this one.
    pub fn issue(&self, subject: impl Into<Name>) -> CertBuilder {
        CertBuilder::new(subject).by(self)
    }
}

/// Where [`Identity::write`] put an identity.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// The leaf followed by its chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Writes a file that only its owner can read.
///
/// # Panics
/// If that fails.
pub fn write_private(path: &Path, text: &str) {
    use std::io::Write;
    let _ = fs::remove_file(path);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
}

/// Makes a certificate. Unless told otherwise: version 3, random serial, EC key of its own, valid
/// from yesterday for a year, for client authentication, with key identifiers.
#[derive(Clone)]
pub struct CertBuilder {
    /// What it comes to, except for the issuer's name, the key, the algorithm, and the extensions
    /// that others come before.
    parts: CertificateParts,
    issuer: Option<Identity>,
    issuer_name: Option<Vec<u8>>,
    key: Option<Key>,
    signing_key: Option<Key>,
    digest: Digest,
    is_ca: bool,
    path_length: Option<u8>,
    standard_extensions: bool,
    key_identifiers: bool,
    key_usage: Option<Vec<u8>>,
    eku: Vec<Eku>,
    eku_critical: bool,
    san: Vec<u8>,
    crl_points: Vec<Vec<u8>>,
    ocsp_urls: Vec<String>,
    bad_signature: bool,
}

impl CertBuilder {
    /// Starts a certificate for `subject`; self-signed unless [`by`](Self::by) names an issuer.
    pub fn new(subject: impl Into<Name>) -> Self {
        let mut serial = vec![0u8; 16];
        openssl::rand::rand_bytes(&mut serial).expect("OpenSSL has random bytes");
        serial[0] = serial[0] & 0x7f | 0x40;
        Self {
            parts: CertificateParts {
                subject: subject.into().der(),
                serial,
                not_before: der::time(now() - DAY),
                not_after: der::time(now() + 365 * DAY),
                ..CertificateParts::default()
            },
            issuer: None,
            issuer_name: None,
            key: None,
            signing_key: None,
            digest: Digest::default(),
            is_ca: false,
            path_length: None,
            standard_extensions: true,
            key_identifiers: true,
            key_usage: None,
            eku: vec![Eku::Client],
            eku_critical: false,
            san: Vec::new(),
            crl_points: Vec::new(),
            ocsp_urls: Vec::new(),
            bad_signature: false,
        }
    }

    /// With these bytes as its subject.
    pub fn subject_raw(mut self, name: &[u8]) -> Self {
        self.parts.subject = name.to_vec();
        self
    }

    /// Issued by this identity, CA or not; the chain to send is the issuer's, without a self-signed
    /// root.
    pub fn by(mut self, issuer: &Identity) -> Self {
        self.issuer = Some(issuer.clone());
        self
    }

    /// Signed with its own key.
    pub fn self_signed(mut self) -> Self {
        self.issuer = None;
        self
    }

    /// Names another issuer than the one that signs.
    pub fn issuer_name(mut self, name: impl Into<Name>) -> Self {
        self.issuer_name = Some(name.into().der());
        self
    }

    /// Signed with a key that is not the issuer's: the signature does not verify.
    pub fn signed_with(mut self, key: &Key) -> Self {
        self.signing_key = Some(key.clone());
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

    /// For this key.
    pub fn key(mut self, key: &Key) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// For the shared RSA key.
    pub fn rsa(self) -> Self {
        self.key(&Key::rsa())
    }

    /// For a new key on this curve.
    pub fn on(self, curve: Curve) -> Self {
        self.key(&Key::on(curve))
    }

    /// For a new Ed25519 key.
    pub fn ed25519(self) -> Self {
        self.key(&Key::ed25519())
    }

    /// With this serial number.
    pub fn serial(self, serial: u64) -> Self {
        self.serial_raw(&der::unsigned(&serial.to_be_bytes()))
    }

    /// With these content octets as the serial number: may be negative, empty or longer than 20
    /// bytes.
    pub fn serial_raw(mut self, content: &[u8]) -> Self {
        self.parts.serial = content.to_vec();
        self
    }

    /// Valid from this moment.
    pub fn not_before(mut self, at: UnixTime) -> Self {
        self.parts.not_before = der::time(at);
        self
    }

    /// Valid until this moment.
    pub fn not_after(mut self, at: UnixTime) -> Self {
        self.parts.not_after = der::time(at);
        self
    }

    /// Valid until the end of the year 9999, which RFC 5280 says for "no end".
    pub fn no_end(self) -> Self {
        self.not_after(253_402_300_799)
    }

    /// With these encoded times, such as a date that does not exist.
    pub fn validity_raw(mut self, not_before: &[u8], not_after: &[u8]) -> Self {
        self.parts.not_before = not_before.to_vec();
        self.parts.not_after = not_after.to_vec();
        self
    }

    /// Valid for so many more days.
    pub fn valid_days(self, days: i64) -> Self {
        self.not_after(now() + days * DAY)
    }

    /// Ended yesterday.
    pub fn expired(self) -> Self {
        self.not_before(now() - 30 * DAY).not_after(now() - DAY)
    }

    /// Starts tomorrow.
    pub fn not_yet_valid(self) -> Self {
        self.not_before(now() + DAY).not_after(now() + 30 * DAY)
    }

    /// A CA.
    pub fn ca(mut self) -> Self {
        self.is_ca = true;
        self
    }

    /// A CA that may have so many CAs below it.
    pub fn path_length(mut self, length: u8) -> Self {
        self.path_length = Some(length);
        self.ca()
    }

    /// With these extended key usages; none at all leaves the extension out.
    pub fn eku(mut self, eku: &[Eku]) -> Self {
        self.eku = eku.to_vec();
        self
    }

    /// With the extended key usage marked critical.
    pub fn eku_critical(mut self) -> Self {
        self.eku_critical = true;
        self
    }

    /// For server authentication alone.
    pub fn server_auth(self) -> Self {
        self.eku(&[Eku::Server])
    }

    /// With these bits of keyUsage (0 digitalSignature … 5 keyCertSign, 6 cRLSign).
    pub fn key_usage(mut self, bits: &[u8]) -> Self {
        self.key_usage = Some(bits.to_vec());
        self
    }

    /// Adds a DNS name.
    pub fn san_dns(self, name: &str) -> Self {
        self.san_raw(&dns(name))
    }

    /// Adds a URI.
    pub fn san_uri(self, text: &str) -> Self {
        self.san_raw(&uri(text))
    }

    /// Adds an email address.
    pub fn san_email(self, address: &str) -> Self {
        self.san_raw(&der::context_primitive(1, address.as_bytes()))
    }

    /// Adds an IP address.
    pub fn san_ip(self, address: IpAddr) -> Self {
        self.san_raw(&match address {
            IpAddr::V4(v4) => der::context_primitive(7, &v4.octets()),
            IpAddr::V6(v6) => der::context_primitive(7, &v6.octets()),
        })
    }

    /// Adds a directory name.
    pub fn san_dir(self, name: impl Into<Name>) -> Self {
        self.san_raw(&directory(&name.into().der()))
    }

    /// Adds an otherName of this type with a UTF8String as its value.
    pub fn san_other(self, oid: &str, value: &str) -> Self {
        let value = der::context(0, &der::utf8(value));
        self.san_raw(&der::context(0, &[der::oid(oid), value].concat()))
    }

    /// Adds a registered ID.
    pub fn san_rid(self, oid: &str) -> Self {
        self.san_raw(&der::context_primitive(8, &der::oid_content(oid)))
    }

    /// Adds an encoded GeneralName, or several.
    pub fn san_raw(mut self, general_name: &[u8]) -> Self {
        self.san.extend_from_slice(general_name);
        self
    }

    /// Adds a CRL distribution point.
    pub fn crl_url(mut self, url: &str) -> Self {
        self.crl_points.push(point(url));
        self
    }

    /// Adds an OCSP responder.
    pub fn ocsp_url(mut self, url: &str) -> Self {
        self.ocsp_urls.push(url.to_owned());
        self
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

    /// Leaves out every extension that was not asked for by name.
    pub fn bare(mut self) -> Self {
        self.standard_extensions = false;
        self.key_identifiers = false;
        self.eku.clear();
        self
    }

    /// Leaves out the subject and authority key identifiers.
    pub fn no_key_identifiers(mut self) -> Self {
        self.key_identifiers = false;
        self
    }

    /// A version 1 certificate, which has no extensions.
    pub fn version1(mut self) -> Self {
        self.parts.version = None;
        self.bare()
    }

    /// Signs it.
    pub fn build(self) -> Identity {
        let key = self.key.clone().unwrap_or_else(Key::ec);
        let issuer_key = self.issuer.as_ref().map_or(&key, |issuer| &issuer.key);
        let signing_key = self.signing_key.as_ref().unwrap_or(issuer_key);
        let issuer = match (&self.issuer_name, &self.issuer) {
            (Some(name), _) => name.clone(),
            (None, Some(issuer)) => issuer.cert.subject_der(),
            (None, None) => self.parts.subject.clone(),
        };
        let parts = CertificateParts {
            signature_algorithm: signing_key.signature_algorithm(self.digest),
            issuer,
            public_key: key.public_der(),
            extensions: self.extensions(&key, issuer_key),
            ..self.parts
        };
        let tbs = parts.tbs();
        let signature = sign(signing_key, self.digest, &tbs, self.bad_signature);
        let cert = Cert::from_der(parts.sealed(&tbs, &signature));
        let chain = match &self.issuer {
            Some(issuer) if !issuer.cert.is_self_issued() => {
                std::iter::once(&issuer.cert).chain(&issuer.chain).cloned().collect()
            }
            _ => Vec::new(),
        };
        Identity { cert, chain, key }
    }

    fn extensions(&self, key: &Key, issuer_key: &Key) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.standard_extensions || self.is_ca {
            out.push(basic_constraints(self.is_ca, self.path_length));
        }
        let default_usage: &[u8] = if self.is_ca { &[5, 6] } else { &[0] };
        match &self.key_usage {
            Some(bits) => out.push(key_usage(bits)),
            None if self.standard_extensions => out.push(key_usage(default_usage)),
            None => {}
        }
        if !self.eku.is_empty() && !self.is_ca {
            let oids: Vec<Vec<u8>> = self.eku.iter().map(|eku| der::oid(eku.name())).collect();
            out.push(extension("extendedKeyUsage", self.eku_critical, &der::seq_of(&oids)));
        }
        if self.key_identifiers {
            out.push(subject_key_id(&key.identifier()));
            out.push(authority_key(issuer_key));
        }
        if !self.san.is_empty() {
            // Critical when it is all the name there is (RFC 5280, 4.2.1.6).
            let critical = self.parts.subject == Name::empty().der();
            out.push(extension("subjectAltName", critical, &der::seq(&[&self.san])));
        }
        if !self.crl_points.is_empty() {
            out.push(crl_points(&self.crl_points));
        }
        if !self.ocsp_urls.is_empty() {
            let methods: Vec<_> = self.ocsp_urls.iter().map(|url| ("OCSP", url.as_str())).collect();
            out.push(information_access(&methods));
        }
        out.extend(self.parts.extensions.iter().cloned());
        out
    }
}

/// The signature of a signed part, with one bit flipped if it is to be bad.
pub(crate) fn sign(key: &Key, digest: Digest, tbs: &[u8], flip_a_bit: bool) -> Vec<u8> {
    let mut signature = key.sign(digest, tbs);
    if flip_a_bit {
        // The last byte: an ECDSA signature stays well-formed DER.
        *signature.last_mut().expect("a signature has bytes") ^= 1;
    }
    signature
}
