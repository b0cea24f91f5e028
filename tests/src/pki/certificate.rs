//! Certificates, and identities made of a certificate, its chain and its key.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::x509::X509;

use super::key::{Digest, Key};
use super::name::Name;
use crate::der::{self, UnixTime, now};

/// One day, in seconds.
pub const DAY: UnixTime = 86_400;

/// An extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eku {
    /// serverAuth.
    Server,
    /// clientAuth.
    Client,
    /// Any other, by its OID.
    Oid(&'static str),
}

impl Eku {
    fn oid(self) -> &'static str {
        match self {
            Self::Server => "1.3.6.1.5.5.7.3.1",
            Self::Client => "1.3.6.1.5.5.7.3.2",
            Self::Oid(oid) => oid,
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
    pub(crate) fn try_openssl(&self) -> Result<X509, ErrorStack> {
        X509::from_der(&self.der)
    }

    /// SHA-256 of the DER, in lower-case hex.
    pub fn fingerprint(&self) -> String {
        hex(&openssl::sha::sha256(&self.der))
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

/// Makes a certificate. Unless told otherwise: version 3, random serial, EC key of its own, valid from yesterday
/// for a year, for client authentication, with key identifiers.
#[derive(Clone)]
pub struct CertBuilder {
    subject: Vec<u8>,
    issuer: Option<Identity>,
    issuer_name: Option<Vec<u8>>,
    key: Option<Key>,
    signing_key: Option<Key>,
    digest: Digest,
    serial: Vec<u8>,
    not_before: Vec<u8>,
    not_after: Vec<u8>,
    version: Option<u8>,
    path_length: Option<u8>,
    is_ca: bool,
    standard_extensions: bool,
    key_identifiers: bool,
    key_usage: Option<Vec<u8>>,
    eku: Vec<Eku>,
    eku_critical: bool,
    san: Vec<u8>,
    crl_urls: Vec<String>,
    ocsp_urls: Vec<String>,
    extensions: Vec<Vec<u8>>,
    bad_signature: bool,
}

impl CertBuilder {
    /// Starts a certificate for `subject`; self-signed unless [`by`](Self::by) names an issuer.
    pub fn new(subject: impl Into<Name>) -> Self {
        let mut serial = [0u8; 16];
        openssl::rand::rand_bytes(&mut serial).expect("OpenSSL has random bytes");
        serial[0] = serial[0] & 0x7f | 0x40;
        Self {
            subject: subject.into().der(),
            issuer: None,
            issuer_name: None,
            key: None,
            signing_key: None,
            digest: Digest::default(),
            serial: serial.to_vec(),
            not_before: der::time(now() - DAY),
            not_after: der::time(now() + 365 * DAY),
            version: Some(2),
            path_length: None,
            is_ca: false,
            standard_extensions: true,
            key_identifiers: true,
            key_usage: None,
            eku: vec![Eku::Client],
            eku_critical: false,
            san: Vec::new(),
            crl_urls: Vec::new(),
            ocsp_urls: Vec::new(),
            extensions: Vec::new(),
            bad_signature: false,
        }
    }

    /// With these bytes as its subject.
    pub fn subject_raw(mut self, name: &[u8]) -> Self {
        self.subject = name.to_vec();
        self
    }

    /// Issued by this identity, CA or not; the chain to send is the issuer's, without a self-signed root.
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

    /// For a new Ed25519 key.
    pub fn ed25519(self) -> Self {
        self.key(&Key::ed25519())
    }

    /// With this serial number.
    pub fn serial(self, serial: u64) -> Self {
        self.serial_raw(&der::unsigned(&serial.to_be_bytes()))
    }

    /// With these content octets as the serial number: may be negative, empty or longer than 20 bytes.
    pub fn serial_raw(mut self, content: &[u8]) -> Self {
        self.serial = content.to_vec();
        self
    }

    /// Valid from this moment.
    pub fn not_before(mut self, at: UnixTime) -> Self {
        self.not_before = der::time(at);
        self
    }

    /// Valid until this moment.
    pub fn not_after(mut self, at: UnixTime) -> Self {
        self.not_after = der::time(at);
        self
    }

    /// Valid until the end of the year 9999, which RFC 5280 says for "no end".
    pub fn no_end(self) -> Self {
        self.not_after(253_402_300_799)
    }

    /// With these encoded times, such as a date that does not exist.
    pub fn validity_raw(mut self, not_before: &[u8], not_after: &[u8]) -> Self {
        self.not_before = not_before.to_vec();
        self.not_after = not_after.to_vec();
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
        self.san_raw(&der::context_primitive(2, name.as_bytes()))
    }

    /// Adds a URI.
    pub fn san_uri(self, uri: &str) -> Self {
        self.san_raw(&der::context_primitive(6, uri.as_bytes()))
    }

    /// Adds an email address.
    pub fn san_email(self, address: &str) -> Self {
        self.san_raw(&der::context_primitive(1, address.as_bytes()))
    }

    /// Adds an IP address.
    pub fn san_ip(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.san_raw(&der::context_primitive(7, &v4.octets())),
            IpAddr::V6(v6) => self.san_raw(&der::context_primitive(7, &v6.octets())),
        }
    }

    /// Adds a directory name.
    pub fn san_dir(self, name: impl Into<Name>) -> Self {
        self.san_raw(&der::context(4, &name.into().der()))
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
        self.crl_urls.push(url.to_owned());
        self
    }

    /// Adds an OCSP responder.
    pub fn ocsp_url(mut self, url: &str) -> Self {
        self.ocsp_urls.push(url.to_owned());
        self
    }

    /// Adds an extension with this encoded value.
    pub fn extension(mut self, oid: &str, critical: bool, value: &[u8]) -> Self {
        self.extensions.push(extension(oid, critical, value));
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
        self.version = None;
        self.bare()
    }

    /// Signs it.
    pub fn build(self) -> Identity {
        let key = self.key.clone().unwrap_or_else(Key::ec);
        let issuer_key = self.issuer.as_ref().map_or(&key, |issuer| &issuer.key);
        let signing_key = self.signing_key.as_ref().unwrap_or(issuer_key);
        let issuer_name = match (&self.issuer_name, &self.issuer) {
            (Some(name), _) => name.clone(),
            (None, Some(issuer)) => issuer.cert.subject_der(),
            (None, None) => self.subject.clone(),
        };
        let algorithm = signing_key.signature_algorithm(self.digest);
        let version = self.version.map(|v| der::context(0, &der::integer(v.into())));
        let extensions = self.extensions(&key, issuer_key);
        let extensions = if extensions.is_empty() {
            Vec::new()
        } else {
            der::context(3, &der::tlv(0x30, &extensions.concat()))
        };
        let tbs = der::seq(&[
            &version.unwrap_or_default(),
            &der::integer_raw(&self.serial),
            &algorithm,
            &issuer_name,
            &der::seq(&[&self.not_before, &self.not_after]),
            &self.subject,
            &key.public_der(),
            &extensions,
        ]);
        let signed = sign(&tbs, &algorithm, signing_key, self.digest, self.bad_signature);
        let chain = match &self.issuer {
            Some(issuer) if !issuer.cert.is_self_issued() => {
                std::iter::once(&issuer.cert).chain(&issuer.chain).cloned().collect()
            }
            _ => Vec::new(),
        };
        Identity { cert: Cert::from_der(signed), chain, key }
    }

    fn extensions(&self, key: &Key, issuer_key: &Key) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.standard_extensions || self.is_ca {
            out.push(self.basic_constraints());
        }
        let default_usage: &[u8] = if self.is_ca { &[5, 6] } else { &[0] };
        match &self.key_usage {
            Some(bits) => out.push(extension("2.5.29.15", true, &der::named_bits(bits))),
            None if self.standard_extensions => {
                out.push(extension("2.5.29.15", true, &der::named_bits(default_usage)));
            }
            None => {}
        }
        if !self.eku.is_empty() && !self.is_ca {
            let oids: Vec<Vec<u8>> = self.eku.iter().map(|eku| der::oid(eku.oid())).collect();
            let value = der::tlv(0x30, &oids.concat());
            out.push(extension("2.5.29.37", self.eku_critical, &value));
        }
        if self.key_identifiers {
            let subject = der::octet_string(&key.identifier());
            out.push(extension("2.5.29.14", false, &subject));
            out.push(authority_key_identifier(issuer_key));
        }
        if !self.san.is_empty() {
            // Critical when it is all the name there is (RFC 5280, 4.2.1.6).
            let critical = self.subject == Name::empty().der();
            out.push(extension("2.5.29.17", critical, &der::tlv(0x30, &self.san)));
        }
        if !self.crl_urls.is_empty() {
            let points: Vec<Vec<u8>> = self
                .crl_urls
                .iter()
                .map(|url| der::tlv(0x30, &der::context(0, &full_name(url))))
                .collect();
            out.push(extension("2.5.29.31", false, &der::tlv(0x30, &points.concat())));
        }
        if !self.ocsp_urls.is_empty() {
            let access: Vec<Vec<u8>> = self
                .ocsp_urls
                .iter()
                .map(|url| {
                    let location = der::context_primitive(6, url.as_bytes());
                    der::seq(&[&der::oid("1.3.6.1.5.5.7.48.1"), &location])
                })
                .collect();
            out.push(extension("1.3.6.1.5.5.7.1.1", false, &der::tlv(0x30, &access.concat())));
        }
        out.extend(self.extensions.iter().cloned());
        out
    }

    fn basic_constraints(&self) -> Vec<u8> {
        let ca = if self.is_ca { der::boolean(true) } else { Vec::new() };
        let length = self.path_length.map(|length| der::integer(length.into()));
        extension("2.5.29.19", self.is_ca, &der::seq(&[&ca, &length.unwrap_or_default()]))
    }
}

/// An Extension.
pub(super) fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { der::boolean(true) } else { Vec::new() };
    der::seq(&[&der::oid(oid), &critical, &der::octet_string(value)])
}

/// The authority key identifier that names `key`.
pub(super) fn authority_key_identifier(key: &Key) -> Vec<u8> {
    let identifier = der::context_primitive(0, &key.identifier());
    extension("2.5.29.35", false, &der::tlv(0x30, &identifier))
}

/// DistributionPointName of one URL.
pub(super) fn full_name(url: &str) -> Vec<u8> {
    der::context(0, &der::context_primitive(6, url.as_bytes()))
}

/// `SEQUENCE { tbs, algorithm, signature }`.
pub(super) fn sign(
    tbs: &[u8],
    algorithm: &[u8],
    key: &Key,
    digest: Digest,
    flip_a_bit: bool,
) -> Vec<u8> {
    let mut signature = key.sign(digest, tbs);
    if flip_a_bit {
        // The last byte: an ECDSA signature stays well-formed DER.
        *signature.last_mut().expect("a signature has bytes") ^= 1;
    }
    der::seq(&[tbs, algorithm, &der::bit_string(&signature)])
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
