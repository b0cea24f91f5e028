//! Certificate requests (PKCS #10, RFC 2986) as plain data.
//!
//! Owns the structure of a request and its columns. Takes what OpenSSL takes, such as one without
//! attributes; what a strict reader refuses in it is one of [`Request::problems`]. The signature is
//! verified with the key in the request, which shows that whoever made it holds that key, and
//! nothing more.

use std::ops::Range;

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::sha::sha256;
use openssl::x509::X509Req;

use crate::asn1::ber;
use crate::asn1::der::{self, Element, Fault, Reader};
use crate::asn1::oid::{self, Oid};
use crate::asn1::template;
use crate::crl::Crl;
use crate::error::{Error, OtherInput};
use crate::form::{self, Form};
use crate::value::Value;
use crate::work;
use crate::x509::algorithm::Algorithm;
use crate::x509::certificate::{Certificate, ExtensionAt, PublicKey, read_extension_list};
use crate::x509::extension::{self, Extension};
use crate::x509::general_name::{self, GeneralName};
use crate::x509::name::Name;
use crate::x509::{decoded, strict};
use crate::{limits, pem, text};

/// What an error says that was looked for.
pub const EXPECTED: &str = pem::REQUEST.expected;

/// A certificate request, with its DER.
#[derive(Debug, Clone)]
pub struct Request {
    der: Box<[u8]>,
    /// All of a request that came as BER, as DER, which is what the ranges below count from.
    definite: Option<Box<[u8]>>,
    parts: Parts,
    /// Bytes that followed the request in its PEM block.
    trailing: usize,
}

#[derive(Debug, Clone)]
struct Parts {
    version: Result<i64, Fault>,
    subject: Name,
    public_key: PublicKey,
    extensions: Vec<ExtensionAt>,
    /// Why there may be more or other wanted extensions than these.
    attribute_problems: Vec<String>,
    signature_algorithm: Range<usize>,
}

/// The requests of a text with PEM blocks or of DER one after the other, in their order. A broken
/// one makes the whole an error that names it.
pub fn parse_requests(input: &[u8]) -> Result<Vec<Request>, Error> {
    if input.len() > limits::MAX_BUNDLE_BYTES {
        return Err(Error::TooLarge {
            what: "input with requests",
            limit: limits::MAX_BUNDLE_BYTES,
        });
    }
    let mut results = Vec::new();
    match form::of(input) {
        Form::Der => {
            let mut rest = input;
            while !rest.is_empty() && results.len() <= limits::MAX_CERTIFICATES {
                work::between();
                work::push(&mut results, Request::take_der(&mut rest));
            }
        }
        Form::Pem => {
            for block in pem::blocks(input, pem::REQUEST).take(limits::MAX_CERTIFICATES + 1) {
                work::between();
                let request = block.and_then(|block| Request::from_block(&block));
                work::push(&mut results, request);
            }
        }
    }
    if results.len() > limits::MAX_CERTIFICATES {
        let limit = limits::MAX_CERTIFICATES;
        return Err(Error::TooLarge { what: "number of requests", limit });
    }
    let is_alone = results.len() == 1;
    // Something else altogether is told apart from a request that is broken.
    let no_request = matches!(results[..], [] | [Err(Error::Der { .. })]);
    if let Some(found) = other_input(input).filter(|_| no_request) {
        return Err(Error::OtherInput { expected: EXPECTED, found });
    }
    if results.is_empty() {
        return Err(Error::NoPemBlock { expected: EXPECTED });
    }
    let member = |(position, result): (usize, Result<Request, Error>)| {
        result.map_err(|source| match is_alone {
            true => source,
            false => Error::Member { expected: EXPECTED, position, source: Box::new(source) },
        })
    };
    (1..).zip(results).map(member).collect()
}

/// What input without a request is instead, if that is plain to see.
fn other_input(input: &[u8]) -> Option<OtherInput> {
    if form::of(input) == Form::Der {
        return other_der(input);
    }
    let text = std::str::from_utf8(input).ok()?.trim_start_matches('\u{feff}').trim();
    if let Some((_, label)) = text.split_once("-----BEGIN ") {
        let label = label.split_once("-----")?.0;
        return match label {
            _ if label.contains("PRIVATE KEY") => Some(OtherInput::PrivateKey),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                Some(OtherInput::Certificate)
            }
            "X509 CRL" => Some(OtherInput::Crl),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Some(OtherInput::PublicKey),
            "PKCS7" | "CMS" => Some(OtherInput::Pkcs7),
            // Line ends that were written as the characters backslash and n.
            _ if pem::REQUEST.labels.contains(&label) && !text.contains('\n') => {
                Some(OtherInput::SingleLine)
            }
            _ => None,
        };
    }
    let is_path =
        text.starts_with('/') || [".csr", ".req", ".pem", ".der"].iter().any(|e| text.ends_with(e));
    (is_path && !text.contains('\n')).then_some(OtherInput::FileName)
}

fn other_der(der: &[u8]) -> Option<OtherInput> {
    if Certificate::from_der(der).is_ok() {
        return Some(OtherInput::Certificate);
    }
    if Crl::from_der(der.to_vec()).is_ok() {
        return Some(OtherInput::Crl);
    }
    // The first element of a SEQUENCE tells the others: a type, or a version as only these have it.
    let mut inside = Reader::new(der, 0).any().ok()?.inside();
    let (first, second) = (inside.any().ok()?, inside.any().ok()?);
    match (first.tag, first.content, second.tag) {
        (der::OBJECT, ..) => Some(OtherInput::Pkcs7),
        (der::INTEGER, [3], der::SEQUENCE) => Some(OtherInput::Pkcs12),
        (der::INTEGER, [0 | 1], der::SEQUENCE | der::INTEGER | der::OCTET_STRING) => {
            Some(OtherInput::PrivateKey)
        }
        _ => None,
    }
}

impl Request {
    /// Reads the request at the start of a PEM block. OpenSSL lets anything follow there.
    fn from_block(block: &pem::Block) -> Result<Self, Error> {
        let mut rest = block.der.as_slice();
        let mut request = Self::take_der(&mut rest)?;
        request.trailing = rest.len();
        Ok(request)
    }

    /// Reads one request and leaves in `rest` what follows it; nothing after an error.
    fn take_der(rest: &mut &[u8]) -> Result<Self, Error> {
        let input = std::mem::take(rest);
        template::check(input, &template::REQUEST).map_err(|fault| fault.into_error(EXPECTED))?;
        let (request, used) = match Parts::read(input, false) {
            Ok((parts, used)) => {
                (Self { der: input[..used].into(), definite: None, parts, trailing: 0 }, used)
            }
            Err(fault) if fault.is_ber() => Self::read_ber(input)?,
            Err(fault) => return Err(fault.into_error(EXPECTED)),
        };
        *rest = &input[used..];
        Ok(request)
    }

    /// Reads a request at the start of `ber`, and gives the bytes it took.
    fn read_ber(ber: &[u8]) -> Result<(Self, usize), Error> {
        // There may be no length up front, so the limit cuts the input instead.
        let scope = &ber[..ber.len().min(limits::MAX_STRICT_BYTES)];
        let (definite, used) =
            ber::to_definite(scope).map_err(|fault| fault.into_error(EXPECTED))?;
        let (parts, _) =
            Parts::read(&definite, true).map_err(|fault| fault.into_error(EXPECTED))?;
        // The signed part as it came, because it is signed, around it DER: `i2d_X509_REQ`.
        let der = drained(X509Req::from_der(&scope[..used]).and_then(|request| request.to_der()))
            .map_err(|_| {
            Fault::new(0, "BER that OpenSSL does not read").into_error(EXPECTED)
        })?;
        let definite = Some(definite.into());
        Ok((Self { der: der.into(), definite, parts, trailing: 0 }, used))
    }

    /// The DER it was read from; of a request that came as BER, what OpenSSL's `i2d_X509_REQ` makes
    /// of it.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The request as a PEM block.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.der)
    }

    /// Whom the certificate shall be about; may be empty.
    pub fn subject(&self) -> &Name {
        &self.parts.subject
    }

    /// The wanted extensions in the order of the request.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.parts.extensions.iter().map(|at| Extension {
            oid: Oid::borrowed(self.at(&at.oid)),
            critical: at.critical,
            value: self.at(&at.value),
        })
    }

    /// The wanted subject alternative names; `None` without any.
    pub fn san(&self) -> Option<Vec<GeneralName>> {
        self.answer(&oid::ids::SUBJECT_ALT_NAME, general_name::read_alternative_names)
    }

    /// Whether the key in the request made its signature; `None` if this OpenSSL does not know
    /// the key or the algorithm.
    pub fn signature_valid(&self) -> Option<bool> {
        let verify = || {
            let request = X509Req::from_der(&self.der)?;
            let key = request.public_key()?;
            request.verify(&key)
        };
        drained(verify()).ok()
    }

    /// What is broken or will not do for strict readers. Empty for nearly all requests.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.parts.version {
            Ok(0) => {}
            Ok(version) => problems.push(format!("version: {version} instead of 0")),
            Err(fault) => problems.push(format!("version: {}", fault.clone().into_error(EXPECTED))),
        }
        problems.extend(self.parts.attribute_problems.iter().map(|p| format!("attributes: {p}")));
        let decoded = decoded::extensions(self.extensions(), self.der.len());
        problems.extend(decoded.problems.into_iter().map(|(part, why)| format!("{part}: {why}")));
        if let Some(refusal) = strict::request_refusal(&self.der) {
            problems.push(format!("a strict reader refuses it: {refusal}"));
        }
        if self.trailing > 0 {
            problems.push(format!("end: {} bytes after the request are ignored", self.trailing));
        }
        problems
    }

    /// The columns of a request, in their order.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        let texts = |names: Vec<GeneralName>| names.iter().map(ToString::to_string).collect();
        let san: Option<Vec<String>> = self.san().map(texts);
        let key_usage = self.answer(&oid::ids::KEY_USAGE, extension::key_usage);
        let key_usage: Option<Vec<String>> =
            key_usage.map(|usages| usages.into_iter().map(str::to_owned).collect());
        let names: Vec<String> =
            self.extensions().map(|extension| extension.oid.short().into_owned()).collect();
        let problems = self.problems();
        let spki = self.at(&self.parts.public_key.whole);
        let name = |name: &str| Value::from(Some(name).filter(|name| !name.is_empty()));
        vec![
            ("subject", name(self.subject().oneline())),
            ("subject_rfc2253", name(self.subject().rfc2253())),
            ("cn", self.subject().common_name().into()),
            ("san", san.into()),
            ("signature_valid", self.signature_valid().into()),
            ("problems", Some(problems).filter(|problems| !problems.is_empty()).into()),
            ("key_algorithm", self.oid(&self.parts.public_key.algorithm).long().as_ref().into()),
            ("key_bits", self.key_bits().into()),
            (
                "signature_algorithm",
                self.oid(&self.parts.signature_algorithm).long().as_ref().into(),
            ),
            ("is_ca", self.is_ca().into()),
            ("key_usage", key_usage.into()),
            (
                "extended_key_usage",
                self.answer(&oid::ids::EXTENDED_KEY_USAGE, extension::extended_key_usage).into(),
            ),
            ("extensions", Some(names).filter(|names| !names.is_empty()).into()),
            ("spki_fingerprint", text::hex(&sha256(spki)).into()),
            ("pem", self.to_pem().into()),
        ]
    }

    /// Whether a certificate is wanted that may issue others; `None` if that is broken.
    fn is_ca(&self) -> Option<bool> {
        match self.known(&oid::ids::BASIC_CONSTRAINTS, extension::basic_constraints) {
            Ok(constraints) => Some(constraints.is_some_and(|constraints| constraints.is_ca)),
            Err(_) => None,
        }
    }

    fn key_bits(&self) -> Option<i64> {
        let key = PKey::public_key_from_der(self.at(&self.parts.public_key.whole));
        Some(i64::from(drained(key).ok()?.bits())).filter(|bits| *bits > 0)
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        let der = self.definite.as_deref().unwrap_or(&self.der);
        // Every range was found in these very bytes.
        der.get(range.clone()).unwrap_or_default()
    }

    fn oid(&self, range: &Range<usize>) -> Oid<'_> {
        Oid::borrowed(self.at(range))
    }

    /// What a wanted extension says; `Ok(None)` without it.
    fn known<T>(
        &self,
        oid: &Oid<'_>,
        read: fn(Reader<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let wanted = |at: &&ExtensionAt| self.at(&at.oid) == oid.as_bytes();
        let mut found = self.parts.extensions.iter().filter(wanted);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => {
                let value = Reader::new(self.at(&one.value), one.value.start);
                extension::decode(value, read).map(Some)
            }
            (_, Some(second)) => Err(Fault::new(second.value.start, "extension is there twice")),
        }
    }

    fn answer<T>(&self, oid: &Oid<'_>, read: fn(Reader<'_>) -> Result<T, Fault>) -> Option<T> {
        self.known(oid, read).ok().flatten()
    }
}

impl Parts {
    /// Reads a request at the start of `der`, and gives the bytes it took. In DER that has been
    /// made of BER, what is still BER is broken, and OpenSSL does not look at it.
    fn read(der: &[u8], was_ber: bool) -> Result<(Self, usize), Fault> {
        let request = Reader::new(der, 0).expect(der::SEQUENCE, "a request")?;
        if request.raw.len() > limits::MAX_STRICT_BYTES {
            return Err(Fault::too_large(0, EXPECTED, limits::MAX_STRICT_BYTES));
        }
        let mut reader = request.inside();
        let signed = reader.expect(der::SEQUENCE, "the signed part")?;
        let signature_algorithm = Algorithm::read(&mut reader, "the signature algorithm")?.oid;
        reader.expect(der::BIT_STRING, "the signature")?.bits()?;
        reader.end()?;

        let mut reader = signed.inside();
        let version = reader.expect(der::INTEGER, "a version")?.small_integer();
        let subject = Name::from_element(&reader.expect_list(der::SEQUENCE, "the subject")?)?;
        let public_key = PublicKey::read(&reader.expect(der::SEQUENCE, "the public key")?)?;
        let mut parts = Self {
            version,
            subject,
            public_key,
            extensions: Vec::new(),
            attribute_problems: Vec::new(),
            signature_algorithm,
        };
        // The standard has them always, and empty if there are none; OpenSSL does without.
        if let Some(attributes) = reader.optional_list(0xa0)? {
            parts.read_attributes(&attributes, was_ber)?;
        }
        reader.end()?;
        Ok((parts, request.raw.len()))
    }

    /// Looks for the wanted extensions as OpenSSL's `X509_REQ_get_extensions` does: in the first
    /// attribute of the standard's type, else of Microsoft's, and of its values in the first.
    fn read_attributes(&mut self, attributes: &Element<'_>, was_ber: bool) -> Result<(), Fault> {
        let mut reader = attributes.inside();
        let (mut standard, mut microsoft) = (None, None);
        while !reader.is_empty() {
            let mut attribute = reader.expect(der::SEQUENCE, "an attribute")?.inside();
            let oid = Oid::from_element(&attribute.expect(der::OBJECT, "an attribute type")?)?;
            let mut values =
                attribute.expect_list(der::SET, "the values of an attribute")?.inside();
            attribute.end()?;
            let mut first = None;
            let mut count = 0_usize;
            while !values.is_empty() {
                let value = values.any()?;
                first.get_or_insert(value);
                count += 1;
            }
            let slot = match oid {
                _ if oid == oid::ids::EXTENSION_REQUEST => &mut standard,
                _ if oid == oid::ids::MS_EXTENSION_REQUEST => &mut microsoft,
                _ => continue,
            };
            if count != 1 {
                self.problem("an extension request without exactly one value");
            }
            match slot {
                None => *slot = first,
                Some(_) => self.problem("more than one extension request"),
            }
        }
        if standard.is_some() && microsoft.is_some() {
            self.problem("extension requests of two types; one is ignored");
        }
        if let Some(list) = standard.or(microsoft) {
            match read_extension_list(&list) {
                Ok(extensions) if list.tag == der::SEQUENCE => self.extensions = extensions,
                Ok(_) => self.problem("an extension request that is no SEQUENCE"),
                Err(fault) if fault.is_ber() && !was_ber => return Err(fault),
                Err(fault) => {
                    self.problem(&fault.into_error("extension request").to_string());
                }
            }
        }
        Ok(())
    }

    /// Keeps a problem once.
    fn problem(&mut self, problem: &str) {
        if !self.attribute_problems.iter().any(|known| known == problem) {
            self.attribute_problems.push(problem.to_owned());
        }
    }
}

/// Leaves no error in OpenSSL's queue, where the server's next read or write of a connection would
/// find it.
fn drained<T>(result: Result<T, ErrorStack>) -> Result<T, ErrorStack> {
    drop(ErrorStack::get());
    result
}
