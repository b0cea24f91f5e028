//! X.509 certificates (RFC 5280, section 4.1) as plain data.
//!
//! Owns the structure of a certificate and every *certificate column*. Takes whatever OpenSSL
//! takes, and refuses only bytes whose structure cannot be walked; a date or an extension that
//! makes no sense is absent and listed in [`Certificate::problems`]. Nothing here verifies
//! anything: signatures and paths are for `trust`.
//!
//! Invariants: the DER kept is what OpenSSL would write; its structure has been walked to the end.

use std::fmt;
use std::ops::Range;

use openssl::ec::EcGroup;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::sha::sha256;

use crate::asn1::ber;
use crate::asn1::der::{self, Element, Fault, Reader};
use crate::asn1::oid::{self, Oid};
use crate::asn1::template;
use crate::error::Error;
use crate::time::UnixTime;
use crate::value::Value;
use crate::x509::algorithm::Algorithm;
use crate::x509::distribution_point::DistributionPoint;
use crate::x509::extension::{self, AuthorityKeyId, Extension, RawExtension};
use crate::x509::general_name::{self, GeneralName};
use crate::x509::name::Name;
use crate::x509::serial::Serial;
use crate::{limits, pem, text, work};

pub(crate) const EXPECTED: &str = "certificate";

/// How much memory a certificate and its columns take at most, in multiples of its size: an
/// alternative name of three bytes becomes a value and two texts.
const MEMORY_FACTOR: usize = 64;

/// A certificate, with its DER.
#[derive(Clone)]
pub struct Certificate {
    der: Box<[u8]>,
    /// All of a certificate that came as BER, as DER, which is what the ranges below count from.
    definite: Option<Box<[u8]>>,
    parts: Parts,
    /// Bytes that followed the certificate in its PEM block.
    trailing: usize,
}

#[derive(Clone)]
struct Parts {
    version: Result<i64, Fault>,
    serial: Serial,
    issuer: Name,
    subject: Name,
    not_before: Result<UnixTime, Fault>,
    not_after: Result<UnixTime, Fault>,
    public_key: PublicKey,
    extensions: Vec<ExtensionAt>,
    signature_algorithm: Range<usize>,
    /// The same with its parameters, in the signed part and outside it.
    signed_algorithm: Range<usize>,
    outer_algorithm: Range<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct PublicKey {
    /// All of the SubjectPublicKeyInfo.
    pub(crate) whole: Range<usize>,
    pub(crate) algorithm: Range<usize>,
    /// All of the parameters of the algorithm.
    parameters: Range<usize>,
    /// The content of the BIT STRING.
    key: Range<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct ExtensionAt {
    pub(crate) oid: Range<usize>,
    pub(crate) critical: bool,
    pub(crate) value: Range<usize>,
}

/// Something in a certificate that makes no sense; the column it would have filled is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which part, such as `notAfter` or `extension subjectAltName`.
    pub part: String,
    /// Where and why.
    pub error: Error,
}

/// `part: error`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.error)
    }
}

impl Certificate {
    /// Reads one certificate that is all of `der`, and refuses what OpenSSL's `d2i_X509` refuses.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let mut rest = der;
        let certificate = Self::take_der(&mut rest)?;
        Self::check_end(certificate, der, rest)
    }

    /// Reads one certificate that OpenSSL has read already, in whatever version: the one of a
    /// session. Only bytes whose structure cannot be walked are refused.
    pub fn from_openssl(der: &[u8]) -> Result<Self, Error> {
        let mut rest = der;
        let certificate = Self::read(&mut rest)?;
        Self::check_end(certificate, der, rest)
    }

    fn check_end(certificate: Self, der: &[u8], rest: &[u8]) -> Result<Self, Error> {
        if rest.is_empty() {
            return Ok(certificate);
        }
        let offset = der.len() - rest.len();
        Err(Fault::new(offset, "bytes after the certificate").into_error(EXPECTED))
    }

    /// Reads the certificate at the start of a PEM block. OpenSSL lets anything follow there; in a
    /// `TRUSTED CERTIFICATE` these are trust settings.
    pub(crate) fn from_block(
        block: &pem::Block,
        read: fn(&mut &[u8]) -> Result<Self, Error>,
    ) -> Result<Self, Error> {
        let mut rest = block.der.as_slice();
        let mut certificate = read(&mut rest)?;
        if block.label != pem::TRUSTED_CERTIFICATE {
            certificate.trailing = rest.len();
        }
        Ok(certificate)
    }

    /// Reads one certificate as OpenSSL's `d2i_X509` does, and leaves in `rest` what follows it;
    /// nothing after an error.
    pub(crate) fn take_der(rest: &mut &[u8]) -> Result<Self, Error> {
        if let Err(fault) = template::check(rest, &template::CERTIFICATE) {
            *rest = &[];
            return Err(fault.into_error(EXPECTED));
        }
        Self::read(rest)
    }

    /// As [`Certificate::take_der`], but takes what OpenSSL refuses, too, if only its structure can
    /// be walked.
    pub(crate) fn read(rest: &mut &[u8]) -> Result<Self, Error> {
        let der = std::mem::take(rest);
        let size = Reader::new(der, 0).any().map_or(der.len(), |element| element.raw.len());
        work::expect(size.min(limits::MAX_CERTIFICATE_BYTES).saturating_mul(MEMORY_FACTOR));
        let (certificate, used) = match Parts::read(der) {
            Ok((parts, used)) => {
                (Self { der: der[..used].into(), definite: None, parts, trailing: 0 }, used)
            }
            Err(fault) if fault.is_ber() => {
                Self::read_ber(der).map_err(|fault| fault.into_error(EXPECTED))?
            }
            Err(fault) => return Err(fault.into_error(EXPECTED)),
        };
        *rest = &der[used..];
        Ok(certificate)
    }

    /// Reads a certificate at the start of `ber`, and gives the bytes it took.
    fn read_ber(ber: &[u8]) -> Result<(Self, usize), Fault> {
        // There may be no length up front, so the limit cuts the input instead.
        let scope = &ber[..ber.len().min(limits::MAX_CERTIFICATE_BYTES)];
        work::expect(scope.len().saturating_mul(ber::MEMORY_FACTOR));
        let (definite, used) = ber::to_definite(scope)?;
        let (parts, _) = Parts::read(&definite)?;
        // As `i2d_X509` writes it: the signed part as it came, because it is signed, around it DER.
        let (_, signed) = scope.split_at(der::header_size(scope)?);
        let (_, signed_size) = ber::to_definite(signed)?;
        let mut reader = Reader::new(&definite, 0).any()?.inside();
        reader.any()?;
        let unsigned = &definite[reader.offset()..];
        let mut der = Vec::with_capacity(used);
        der::push_header(&mut der, der::SEQUENCE, signed_size + unsigned.len());
        der.extend_from_slice(&signed[..signed_size]);
        der.extend_from_slice(unsigned);
        let definite = Some(definite.into());
        Ok((Self { der: der.into(), definite, parts, trailing: 0 }, used))
    }

    /// Why a server, or a client that loads it, refuses to read it.
    pub fn refusal(&self) -> Option<Error> {
        let checked = template::check(&self.der, &template::CERTIFICATE).map(drop);
        checked.and_then(|()| self.check_trailing()).err().map(|fault| fault.into_error(EXPECTED))
    }

    /// How many bytes followed it in its PEM block, which are no trust settings.
    pub fn trailing_bytes(&self) -> usize {
        self.trailing
    }

    fn check_trailing(&self) -> Result<(), Fault> {
        match self.trailing {
            0 => Ok(()),
            count => {
                let problem = format!(
                    "{count} bytes after the certificate, with which neither libpq loads it nor a server takes it"
                );
                Err(Fault::new(self.der.len(), problem))
            }
        }
    }

    /// The DER it was read from; of a certificate that came as BER, what OpenSSL's `i2d_X509` makes
    /// of it.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as a PEM block.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// Whom the certificate is about; may be empty.
    pub fn subject(&self) -> &Name {
        &self.parts.subject
    }

    /// Who issued it.
    pub fn issuer(&self) -> &Name {
        &self.parts.issuer
    }

    /// The serial number.
    pub fn serial(&self) -> &Serial {
        &self.parts.serial
    }

    /// The first second of validity; `None` if the date is none.
    pub fn not_before(&self) -> Option<UnixTime> {
        self.parts.not_before.as_ref().ok().copied()
    }

    /// The last second of validity; `None` if the date is none.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.parts.not_after.as_ref().ok().copied()
    }

    /// The version as people count it: 3 for nearly all. `None` if it is out of all proportion.
    pub fn version(&self) -> Option<i64> {
        self.parts.version.as_ref().ok().copied()
    }

    /// The extensions in the order of the certificate, known or not, repeated or not.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.parts.extensions.iter().map(|at| Extension {
            oid: self.oid(&at.oid),
            critical: at.critical,
            value: self.at(&at.value),
        })
    }

    /// The subject alternative names in their order; `None` without that extension.
    pub fn san(&self) -> Option<Vec<GeneralName>> {
        self.answer(&oid::ids::SUBJECT_ALT_NAME, general_name::read_alternative_names)
    }

    /// Whether the basic constraints say that it is a certification authority; false without that
    /// extension, which makes a version 1 root no authority, whatever OpenSSL lets pass. `None` if
    /// the extension is broken.
    pub fn is_ca(&self) -> Option<bool> {
        match self.known(&oid::ids::BASIC_CONSTRAINTS, extension::basic_constraints) {
            Ok(constraints) => Some(constraints.is_some_and(|constraints| constraints.is_ca)),
            Err(_) => None,
        }
    }

    /// How many authorities may follow below it in a path; `None` if the basic constraints set no
    /// limit.
    pub fn path_length(&self) -> Option<i64> {
        self.answer(&oid::ids::BASIC_CONSTRAINTS, extension::basic_constraints)?.path_length
    }

    /// The key usages, by the names of OpenSSL's configuration (`digitalSignature`), in the order
    /// of their bits; `None` without that extension, which then limits nothing.
    pub fn key_usage(&self) -> Option<Vec<&'static str>> {
        self.answer(&oid::ids::KEY_USAGE, extension::key_usage)
    }

    /// The extended key usages by OpenSSL's short names (`clientAuth`), unknown ones dotted, in the
    /// order of the certificate; `None` without that extension, which then limits nothing.
    pub fn extended_key_usage(&self) -> Option<Vec<String>> {
        self.answer(&oid::ids::EXTENDED_KEY_USAGE, extension::extended_key_usage)
    }

    /// The public key algorithm as `openssl x509 -text` names it: OpenSSL's long name, such as
    /// `rsaEncryption` or `id-ecPublicKey`; dotted if unknown.
    pub fn key_algorithm(&self) -> String {
        self.oid(&self.parts.public_key.algorithm).long().into_owned()
    }

    /// The size of the public key in bits as OpenSSL's `EVP_PKEY_get_bits` counts it: of the
    /// modulus for RSA, of the prime for DSA and DH, of the group order for elliptic curves. `None`
    /// if the key cannot be read.
    pub fn key_bits(&self) -> Option<i64> {
        match self.key_nid() {
            Nid::RSAENCRYPTION | Nid::RSASSAPSS => self.rsa_bits(),
            Nid::X9_62_ID_ECPUBLICKEY => self.curve_bits().or_else(|| self.openssl_key_bits()),
            _ => self.openssl_key_bits(),
        }
    }

    /// The signature algorithm as `openssl x509 -text` names it: OpenSSL's long name, such as
    /// `sha256WithRSAEncryption` or `ecdsa-with-SHA256`; dotted if unknown. It is the one in the
    /// signed part.
    pub fn signature_algorithm(&self) -> String {
        self.oid(&self.parts.signature_algorithm).long().into_owned()
    }

    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        text::hex(&self.fingerprint_bytes())
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint_bytes(&self) -> [u8; 32] {
        sha256(&self.der)
    }

    /// SHA-256 of the SubjectPublicKeyInfo, in lower-case hexadecimal: equal for all certificates
    /// of one key.
    pub fn spki_fingerprint(&self) -> String {
        text::hex(&sha256(self.public_key_der()))
    }

    /// The DER of the SubjectPublicKeyInfo.
    pub fn public_key_der(&self) -> &[u8] {
        self.at(&self.parts.public_key.whole)
    }

    /// The subject key identifier in lower-case hexadecimal without separators; `None` without that
    /// extension.
    pub fn subject_key_id(&self) -> Option<String> {
        self.key_id().map(|id| text::hex(&id))
    }

    /// The authority key identifier, if it can be read.
    pub(crate) fn authority(&self) -> Option<AuthorityKeyId> {
        self.answer(&oid::ids::AUTHORITY_KEY_ID, AuthorityKeyId::read)
    }

    /// The subject key identifier, if it can be read.
    pub(crate) fn key_id(&self) -> Option<Box<[u8]>> {
        self.answer(&oid::ids::SUBJECT_KEY_ID, extension::subject_key_id)
    }

    /// Where its CRLs are published; `None` without that extension or if it cannot be read.
    pub(crate) fn distribution_points(&self) -> Option<Vec<DistributionPoint>> {
        self.answer(&oid::ids::CRL_DISTRIBUTION_POINTS, DistributionPoint::read_all)
    }

    /// The key identifier of the authority key identifier, in lower-case hexadecimal without
    /// separators; `None` if it has none, even when it names the issuer's certificate by name and
    /// serial number.
    pub fn authority_key_id(&self) -> Option<String> {
        self.authority()?.key_id_hex()
    }

    /// The URIs of the CRL distribution points, escaped as in [`GeneralName::value`]; `None` if
    /// there are none.
    pub fn crl_urls(&self) -> Option<Vec<String>> {
        self.answer(&oid::ids::CRL_DISTRIBUTION_POINTS, extension::crl_urls)
            .filter(|urls| !urls.is_empty())
    }

    /// The URIs of the OCSP responders, escaped as in [`GeneralName::value`]; `None` if there are
    /// none.
    pub fn ocsp_urls(&self) -> Option<Vec<String>> {
        self.answer(&oid::ids::AUTHORITY_INFO_ACCESS, extension::ocsp_urls)
            .filter(|urls| !urls.is_empty())
    }

    /// Whether OpenSSL takes it for self-signed (`EXFLAG_SS`): subject and issuer match, the
    /// authority key identifier, if there is one, means this certificate, and the signature
    /// algorithm goes with its own key. The signature is not verified.
    pub fn self_signed(&self) -> bool {
        self.subject().matches(self.issuer()) && self.is_own_authority() && self.could_sign_itself()
    }

    fn problem_texts(&self) -> Vec<String> {
        self.problems().iter().map(ToString::to_string).collect()
    }

    /// What makes no sense in it. Empty for nearly all certificates.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems(Vec::new());
        let parts = &self.parts;
        problems.check("version", parts.version.as_ref());
        problems.check("notBefore", parts.not_before.as_ref());
        problems.check("notAfter", parts.not_after.as_ref());
        let signed = self.at(&parts.signed_algorithm);
        if signed != self.at(&parts.outer_algorithm) {
            let offset = parts.outer_algorithm.start;
            let problem = "differs from the algorithm in the signed part";
            problems.check::<()>("signatureAlgorithm", Err(&Fault::new(offset, problem)));
        }
        problems.extension(
            self.known(&oid::ids::SUBJECT_ALT_NAME, general_name::read_alternative_names),
        );
        problems.extension(self.known(&oid::ids::BASIC_CONSTRAINTS, extension::basic_constraints));
        problems.extension(self.known(&oid::ids::KEY_USAGE, extension::key_usage));
        problems
            .extension(self.known(&oid::ids::EXTENDED_KEY_USAGE, extension::extended_key_usage));
        problems.extension(self.known(&oid::ids::SUBJECT_KEY_ID, extension::subject_key_id));
        problems.extension(self.known(&oid::ids::AUTHORITY_KEY_ID, AuthorityKeyId::read));
        problems.extension(self.known(&oid::ids::CRL_DISTRIBUTION_POINTS, extension::crl_urls));
        problems.extension(self.known(&oid::ids::AUTHORITY_INFO_ACCESS, extension::ocsp_urls));
        for at in &self.parts.extensions {
            let mut value = Reader::new(self.at(&at.value), at.value.start);
            if value.any().is_ok() && !value.is_empty() {
                let fault = Fault::new(value.offset(), "bytes after the value are ignored");
                problems.extension::<()>(Err((self.oid(&at.oid).into_owned(), fault)));
            }
        }
        problems.check("end", self.check_trailing().as_ref());
        problems.0
    }

    /// The certificate columns, in their order.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        COLUMNS.iter().map(|(name, value)| (*name, value(self))).collect()
    }

    /// One certificate column; `None` if there is none of this name.
    pub fn column(&self, name: &str) -> Option<Value> {
        COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, value)| value(self))
    }

    /// The names of the certificate columns, in their order.
    pub fn column_names() -> impl Iterator<Item = &'static str> {
        COLUMNS.iter().map(|(name, _)| *name)
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        let der = self.definite.as_deref().unwrap_or(&self.der);
        // Every range was found in these very bytes.
        der.get(range.clone()).unwrap_or_default()
    }

    fn oid(&self, range: &Range<usize>) -> Oid<'_> {
        Oid::borrowed(self.at(range))
    }

    /// What a known extension says; `Ok(None)` without it. One that comes twice says nothing:
    /// OpenSSL takes such a certificate for invalid.
    fn known<T>(
        &self,
        oid: &Oid<'_>,
        read: fn(Reader<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, (Oid<'static>, Fault)> {
        let wanted = oid.as_bytes();
        let mut found = self.parts.extensions.iter().filter(|at| self.at(&at.oid) == wanted);
        let Some(first) = found.next() else { return Ok(None) };
        let result = match found.next() {
            None => extension::decode(Reader::new(self.at(&first.value), first.value.start), read),
            Some(second) => Err(Fault::new(second.value.start, "extension is there twice")),
        };
        result.map(Some).map_err(|fault| (oid.clone().into_owned(), fault))
    }

    fn answer<T>(&self, oid: &Oid<'_>, read: fn(Reader<'_>) -> Result<T, Fault>) -> Option<T> {
        self.known(oid, read).ok().flatten()
    }

    /// OpenSSL's number for the algorithm of the public key.
    pub fn key_nid(&self) -> Nid {
        self.oid(&self.parts.public_key.algorithm).nid()
    }

    /// The type and the parameters of the signature algorithm in the signed part.
    pub(crate) fn signed_algorithm(&self) -> &[u8] {
        self.at(&self.parts.signed_algorithm)
    }

    fn rsa_bits(&self) -> Option<i64> {
        let (_, key) = self.at(&self.parts.public_key.key).split_first()?;
        let mut reader = Reader::new(key, 0).expect(der::SEQUENCE, "a key").ok()?.inside();
        let modulus = reader.expect(der::INTEGER, "a modulus").ok()?.content;
        bit_length(modulus)
    }

    /// The named curve of an elliptic key by OpenSSL's short name, such as `prime256v1`; `None` for
    /// other keys and for a curve that is spelt out.
    pub fn key_curve(&self) -> Option<&'static str> {
        if self.key_nid() != Nid::X9_62_ID_ECPUBLICKEY {
            return None;
        }
        self.curve_nid()?.short_name().ok()
    }

    /// The same by OpenSSL's number.
    pub fn curve_nid(&self) -> Option<Nid> {
        let parameters = self.at(&self.parts.public_key.parameters);
        let curve = Reader::new(parameters, 0).expect(der::OBJECT, "a curve").ok()?;
        Some(Oid::from_element(&curve).ok()?.nid())
    }

    fn curve_bits(&self) -> Option<i64> {
        match self.curve_nid()? {
            Nid::X9_62_PRIME256V1 => Some(256),
            Nid::SECP384R1 => Some(384),
            Nid::SECP521R1 => Some(521),
            other => Some(i64::from(EcGroup::from_curve_name(other).ok()?.order_bits())),
        }
    }

    fn openssl_key_bits(&self) -> Option<i64> {
        Some(i64::from(self.openssl_key()?.bits())).filter(|bits| *bits > 0)
    }

    fn openssl_key(&self) -> Option<PKey<Public>> {
        PKey::public_key_from_der(self.public_key_der()).ok()
    }

    /// Whether what it says of its issuer's key and serial number is true of a certificate with its
    /// issuer's name (`X509_check_akid`).
    pub(crate) fn may_be_issued_by(&self, issuer: &Self) -> bool {
        let key_id = issuer.key_id();
        self.authority().is_none_or(|authority| {
            authority.may_mean(issuer.serial(), issuer.issuer(), key_id.as_deref())
        })
    }

    /// OpenSSL's `X509_check_akid` with the certificate as its own issuer.
    fn is_own_authority(&self) -> bool {
        // One that cannot be read says nothing against it.
        let Some(authority) = self.authority() else { return true };
        authority.may_mean(self.serial(), self.issuer(), self.key_id().as_deref())
    }

    fn could_sign_itself(&self) -> bool {
        let signature = self.oid(&self.parts.signature_algorithm).nid();
        let Some(algorithms) = signature.signature_algorithms() else { return false };
        let key = self.key_nid();
        let fits = algorithms.pkey == key
            || (algorithms.pkey, key) == (Nid::RSASSAPSS, Nid::RSAENCRYPTION);
        // Some keys go by other names as well.
        fits || self.openssl_key().is_some_and(|key| key.id().as_raw() == algorithms.pkey.as_raw())
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl std::hash::Hash for Certificate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.der.hash(state);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.subject().rfc2253(), self.serial().hex())
    }
}

type Column = (&'static str, fn(&Certificate) -> Value);

/// The certificate columns: their names, their order and what is in them.
const COLUMNS: [Column; 25] = [
    ("cn", |c| c.subject().common_name().into()),
    ("subject", |c| name_value(c.subject().oneline())),
    ("issuer", |c| name_value(c.issuer().oneline())),
    ("not_before", |c| c.not_before().into()),
    ("not_after", |c| c.not_after().into()),
    ("san", |c| texts(c.san()).into()),
    ("serial", |c| Value::Numeric(c.serial().decimal())),
    ("serial_hex", |c| c.serial().hex().into()),
    ("subject_rfc2253", |c| name_value(c.subject().rfc2253())),
    ("is_ca", |c| c.is_ca().into()),
    ("path_length", |c| c.path_length().into()),
    ("key_usage", |c| texts(c.key_usage()).into()),
    ("extended_key_usage", |c| c.extended_key_usage().into()),
    ("key_algorithm", |c| c.key_algorithm().into()),
    ("key_bits", |c| c.key_bits().into()),
    ("signature_algorithm", |c| c.signature_algorithm().into()),
    ("self_signed", |c| c.self_signed().into()),
    ("version", |c| c.version().into()),
    ("crl_urls", |c| c.crl_urls().into()),
    ("ocsp_urls", |c| c.ocsp_urls().into()),
    ("fingerprint", |c| c.fingerprint().into()),
    ("spki_fingerprint", |c| c.spki_fingerprint().into()),
    ("subject_key_id", |c| c.subject_key_id().into()),
    ("authority_key_id", |c| c.authority_key_id().into()),
    ("problems", |c| Some(c.problem_texts()).filter(|all| !all.is_empty()).into()),
];

/// An empty name is absent, as in sslinfo.
fn name_value(name: &str) -> Value {
    Some(name).filter(|name| !name.is_empty()).into()
}

fn texts<T: ToString>(items: Option<Vec<T>>) -> Option<Vec<String>> {
    Some(items?.iter().map(T::to_string).collect())
}

struct Problems(Vec<Problem>);

impl Problems {
    fn check<T>(&mut self, part: impl Into<String>, result: Result<T, &Fault>) {
        if let Err(fault) = result {
            let error = fault.clone().into_error(EXPECTED);
            self.0.push(Problem { part: part.into(), error });
        }
    }

    fn extension<T>(&mut self, result: Result<T, (Oid<'static>, Fault)>) {
        if let Err((oid, fault)) = result {
            self.check::<()>(format!("extension {}", oid.short()), Err(&fault));
        }
    }
}

impl Parts {
    /// Reads a certificate at the start of `der`, and gives the bytes it took.
    fn read(der: &[u8]) -> Result<(Self, usize), Fault> {
        let certificate = Reader::new(der, 0).expect(der::SEQUENCE, "a certificate")?;
        if !certificate.has_shortest_header() {
            return Err(Fault::ber(0, "length is not in its shortest form"));
        }
        if certificate.raw.len() > limits::MAX_CERTIFICATE_BYTES {
            return Err(Fault::too_large(0, EXPECTED, limits::MAX_CERTIFICATE_BYTES));
        }
        let mut reader = certificate.inside();
        let signed = reader.expect(der::SEQUENCE, "the signed part")?;
        let outer_algorithm = Algorithm::read(&mut reader, "the signature algorithm")?;
        reader.expect(der::BIT_STRING, "the signature")?.bits()?;
        reader.end()?;

        let mut reader = signed.inside();
        let version = match reader.optional(0xa0)? {
            Some(explicit) => {
                let mut reader = explicit.inside();
                let number = reader.expect(der::INTEGER, "a version")?;
                reader.end()?;
                number.small_integer().and_then(|number| {
                    number.checked_add(1).ok_or_else(|| explicit.fault("INTEGER is too large"))
                })
            }
            None => Ok(1),
        };
        let serial = Serial::from_element(&reader.expect(der::INTEGER, "a serial number")?)?;
        let signed_algorithm = Algorithm::read(&mut reader, "the signature algorithm")?;
        let issuer = Name::from_element(&reader.expect_list(der::SEQUENCE, "the issuer")?)?;
        let (not_before, not_after) =
            read_validity(&reader.expect(der::SEQUENCE, "the validity")?)?;
        let subject = Name::from_element(&reader.expect_list(der::SEQUENCE, "the subject")?)?;
        let public_key = PublicKey::read(&reader.expect(der::SEQUENCE, "the public key")?)?;
        // The unique identifiers of version 2, which nobody uses, in one piece or in several.
        for (whole, in_pieces) in [(0x81, 0xa1), (0x82, 0xa2)] {
            if reader.optional(in_pieces)?.is_none() {
                reader.optional(whole)?;
            }
        }
        let extensions = match reader.optional(0xa3)? {
            Some(explicit) => read_extensions(&explicit)?,
            None => Vec::new(),
        };
        reader.end()?;

        let parts = Self {
            version,
            serial,
            issuer,
            subject,
            not_before: not_before.time(),
            not_after: not_after.time(),
            public_key,
            extensions,
            signature_algorithm: signed_algorithm.oid,
            signed_algorithm: signed_algorithm.element.content_range(),
            outer_algorithm: outer_algorithm.element.content_range(),
        };
        Ok((parts, certificate.raw.len()))
    }
}

impl PublicKey {
    pub(crate) fn read(element: &Element<'_>) -> Result<Self, Fault> {
        let mut reader = element.inside();
        let algorithm = Algorithm::read(&mut reader, "the key algorithm")?;
        let key = reader.expect(der::BIT_STRING, "the key")?;
        key.bits()?;
        reader.end()?;
        let key = key.content_range();
        Ok(Self {
            whole: element.raw_range(),
            algorithm: algorithm.oid,
            parameters: algorithm.parameters,
            key,
        })
    }
}

fn read_validity<'a>(validity: &Element<'a>) -> Result<(Element<'a>, Element<'a>), Fault> {
    let mut reader = validity.inside();
    let times = (reader.expect_time("notBefore")?, reader.expect_time("notAfter")?);
    reader.end()?;
    Ok(times)
}

fn read_extensions(explicit: &Element<'_>) -> Result<Vec<ExtensionAt>, Fault> {
    let mut outer = explicit.inside();
    let list = outer.expect_list(der::SEQUENCE, "the extensions")?;
    outer.end()?;
    read_extension_list(&list)
}

/// The members of an Extensions.
pub(crate) fn read_extension_list(list: &Element<'_>) -> Result<Vec<ExtensionAt>, Fault> {
    let mut reader = list.inside();
    let mut extensions = Vec::new();
    while !reader.is_empty() {
        if extensions.len() == limits::MAX_EXTENSIONS {
            let what = "number of extensions";
            return Err(Fault::too_large(reader.offset(), what, limits::MAX_EXTENSIONS));
        }
        work::between_some(extensions.len());
        let RawExtension { oid, critical, value } = RawExtension::read(&mut reader)?;
        let (oid, value) = (oid.content_range(), value.content_range());
        extensions.push(ExtensionAt { oid, critical, value });
    }
    Ok(extensions)
}

/// The bits of a positive INTEGER.
fn bit_length(integer: &[u8]) -> Option<i64> {
    let significant = &integer[integer.iter().take_while(|byte| **byte == 0).count()..];
    let (first, rest) = significant.split_first()?;
    Some(i64::try_from(rest.len()).ok()? * 8 + i64::from(8 - first.leading_zeros()))
}
