//! The second reader: x509-parser, which is stricter than OpenSSL.
//!
//! Owns every use of that crate; none of its types leaves this file. What OpenSSL has accepted is
//! read by the core's own reader, so a refusal here is only ever shown: as an undecoded value, or
//! as a finding of the linter. The crate skips what follows inside of a value that it has
//! understood; what it has understood is counted here, and the rest is told.
//!
//! It needs some 200 bytes for each general name, so input above [`limits::MAX_STRICT_BYTES`] is
//! not given to it.

use std::fmt;

use serde_json::{Value, json};
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::extensions::{
    self as parsed, GeneralSubtree, ParsedExtension, PolicyInformation, PolicyQualifierInfo,
    SignedCertificateTimestamp, X509Extension,
};
use x509_parser::nom::Err as Refused;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::validate::{Logger, Validator, X509CertificateValidator, X509StructureValidator};

use crate::asn1::der::{self, Reader};
use crate::asn1::oid::Oid;
use crate::time::UnixTime;
use crate::x509::general_name::{GeneralName, GeneralNameKind};
use crate::{limits, text};

/// What the reader makes of the value of an extension.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// It does not know the extension.
    Unknown,
    /// The value makes no sense to it: why not.
    Unreadable(String),
    /// The value.
    Read {
        value: Value,
        /// Parts that the value has and `value` does not show.
        left_out: Option<String>,
    },
}

/// What the reader says of a whole certificate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opinion {
    /// Why it does not read the certificate at all.
    pub(super) refusal: Option<String>,
    /// What its validator calls errors and warnings.
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Reads the value of an extension.
pub(super) fn extension(oid: &Oid<'_>, value: &[u8]) -> Reading {
    if value.len() > limits::MAX_STRICT_BYTES {
        return Reading::Unreadable(too_large());
    }
    // Some of the readers of single values are not public; that of an extension is.
    let whole = tlv_of(
        der::SEQUENCE,
        &[&tlv_of(der::OBJECT, &[oid.as_bytes()]), &tlv_of(der::OCTET_STRING, &[value])],
    );
    let extension = match X509Extension::from_der(&whole) {
        Ok((_, extension)) => extension,
        Err(error) => return Reading::Unreadable(said(&error)),
    };
    let read = match extension.parsed_extension() {
        ParsedExtension::ParseError { error } => {
            return Reading::Unreadable(said(error));
        }
        ParsedExtension::NameConstraints(constraints) => name_constraints(constraints),
        ParsedExtension::CertificatePolicies(policies) => certificate_policies(policies),
        ParsedExtension::PolicyMappings(mappings) => Ok(policy_mappings(mappings)),
        ParsedExtension::PolicyConstraints(constraints) => Ok(policy_constraints(constraints)),
        ParsedExtension::InhibitAnyPolicy(policy) => {
            Ok((policy.skip_certs.into(), integer_size(policy.skip_certs)))
        }
        ParsedExtension::IssuerAlternativeName(names) => {
            general_names(&names.general_names).map(|(names, size)| (names, tlv(size)))
        }
        ParsedExtension::AuthorityInfoAccess(access) => information_access(&access.accessdescs),
        ParsedExtension::SubjectInfoAccess(access) => information_access(&access.accessdescs),
        ParsedExtension::SCT(timestamps) => signed_timestamps(timestamps),
        ParsedExtension::NSCertType(kinds) => Ok(netscape_types(*kinds)),
        ParsedExtension::NsCertComment(comment) => netscape_comment(comment, value),
        _ => return Reading::Unknown,
    };
    match read {
        Ok((json, size)) if size == value.len() => Reading::Read { value: json, left_out: None },
        Ok((json, size)) => {
            let left_out = match value.len().checked_sub(size) {
                Some(rest) => format!("{rest} bytes of it are not shown"),
                None => "it is not in its shortest form".to_owned(),
            };
            Reading::Read { value: json, left_out: Some(left_out) }
        }
        Err(problem) => Reading::Unreadable(problem),
    }
}

/// Reads and validates a certificate.
pub(super) fn certificate(der: &[u8]) -> Opinion {
    let refused = |refusal| Opinion { refusal: Some(refusal), ..Opinion::default() };
    if der.len() > limits::MAX_STRICT_BYTES {
        return refused(too_large());
    }
    let certificate = match X509Certificate::from_der(der) {
        Ok(([], certificate)) => certificate,
        Ok(_) => return refused("bytes after the certificate".to_owned()),
        Err(error) => return refused(said(&error)),
    };
    let mut notes = Notes::default();
    // The validator looks at the first byte of either.
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.modulus.is_empty() || key.exponent.is_empty() => {
            notes.err("Public key: (RSA) empty integer");
        }
        _ => {
            X509StructureValidator.validate(&certificate, &mut notes);
        }
    }
    X509CertificateValidator.validate(&certificate, &mut notes);
    Opinion { refusal: None, errors: notes.errors, warnings: notes.warnings }
}

/// Why the reader does not read a certificate request.
pub(super) fn request_refusal(der: &[u8]) -> Option<String> {
    if der.len() > limits::MAX_STRICT_BYTES {
        return Some(too_large());
    }
    match X509CertificationRequest::from_der(der) {
        Ok(([], _)) => None,
        Ok(_) => Some("bytes after the request".to_owned()),
        Err(error) => Some(said(&error)),
    }
}

fn too_large() -> String {
    format!("larger than the limit of {} for a strict reader", limits::MAX_STRICT_BYTES)
}

/// The error without what `nom` puts around it.
fn said<E: fmt::Display + Into<X509Error> + Clone>(error: &Refused<E>) -> String {
    let message = match error {
        Refused::Error(error) | Refused::Failure(error) => error.clone().into().to_string(),
        Refused::Incomplete(_) => "it ends too early".to_owned(),
    };
    text::escape_utf8(&message)
}

/// What a validator says; each sentence once, and not more of them than anybody reads.
#[derive(Default)]
struct Notes {
    errors: Vec<String>,
    warnings: Vec<String>,
}

/// Sentences of one kind that are kept.
const MAX_NOTES: usize = 100;

impl Notes {
    fn keep(list: &mut Vec<String>, message: &str) {
        let message = text::escape_utf8(message);
        if list.len() < MAX_NOTES && !list.contains(&message) {
            list.push(message);
        }
    }
}

impl Logger for Notes {
    fn warn(&mut self, message: &str) {
        // That this reader does not know an extension says nothing of the certificate.
        if !message.starts_with("Unsupported extension ") {
            Self::keep(&mut self.warnings, message);
        }
    }

    fn err(&mut self, message: &str) {
        Self::keep(&mut self.errors, message);
    }
}

/// A value with the bytes that its DER takes.
type Sized = (Value, usize);

fn name_constraints(constraints: &parsed::NameConstraints<'_>) -> Result<Sized, String> {
    let mut total = 0;
    let mut side = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| {
        let Some(subtrees) = subtrees else { return Ok(Value::Null) };
        let mut names = Vec::new();
        let mut size = 0;
        for subtree in subtrees {
            let name = general_name(&subtree.base)?;
            // The name is all of a subtree: minimum and maximum have to be left out (RFC 5280,
            // section 4.2.1.10).
            size += tlv(tlv(name.as_bytes().len()));
            names.push(name.to_string());
        }
        total += tlv(size);
        Ok::<_, String>(names.into())
    };
    let permitted = side(&constraints.permitted_subtrees)?;
    let excluded = side(&constraints.excluded_subtrees)?;
    Ok((json!({ "permitted": permitted, "excluded": excluded }), tlv(total)))
}

fn certificate_policies(policies: &[PolicyInformation<'_>]) -> Result<Sized, String> {
    let mut total = 0;
    let mut array = Vec::new();
    for policy in policies {
        let mut size = tlv(policy.policy_id.as_bytes().len());
        let mut qualifiers = Vec::new();
        if let Some(found) = &policy.policy_qualifiers {
            let mut sizes = 0;
            for qualifier in found {
                let oid = qualifier.policy_qualifier_id.as_bytes();
                sizes += tlv(tlv(oid.len()) + qualifier.qualifier.len());
                qualifiers.push(policy_qualifier(qualifier)?);
            }
            size += tlv(sizes);
        }
        total += tlv(size);
        array.push(json!({ "policy": dotted(&policy.policy_id), "qualifiers": qualifiers }));
    }
    Ok((array.into(), tlv(total)))
}

/// Where the practice statement is, or a notice to whoever relies on the certificate (RFC 5280,
/// section 4.2.1.4).
fn policy_qualifier(qualifier: &PolicyQualifierInfo<'_>) -> Result<Value, String> {
    let oid = Oid::borrowed(qualifier.policy_qualifier_id.as_bytes());
    let known = match oid.short().as_ref() {
        "id-qt-cps" => one_text(qualifier.qualifier).map(|uri| json!({ "cps": uri })),
        "id-qt-unotice" => user_notice(qualifier.qualifier),
        _ => None,
    };
    let hex = || json!({ "oid": oid.dotted(), "hex": text::hex(qualifier.qualifier) });
    Ok(known.unwrap_or_else(hex))
}

fn user_notice(der: &[u8]) -> Option<Value> {
    let mut outer = Reader::new(der, 0);
    let mut notice = outer.expect(der::SEQUENCE, "a notice").ok()?.inside();
    outer.end().ok()?;
    let (mut organization, mut numbers) = (Value::Null, Value::Null);
    if let Some(reference) = notice.optional(der::SEQUENCE).ok()? {
        let mut reference = reference.inside();
        organization = element_text(&reference.any().ok()?)?.into();
        let mut list = reference.expect(der::SEQUENCE, "numbers").ok()?.inside();
        reference.end().ok()?;
        let mut found = Vec::new();
        while !list.is_empty() {
            let number = list.expect(der::INTEGER, "a number").ok()?;
            found.push(number.small_integer().ok()?);
        }
        numbers = found.into();
    }
    let text = match notice.is_empty() {
        true => Value::Null,
        false => element_text(&notice.any().ok()?)?.into(),
    };
    notice.end().ok()?;
    let notice = json!({ "organization": organization, "numbers": numbers, "text": text });
    Some(json!({ "user_notice": notice }))
}

/// The text of a single string.
fn one_text(der: &[u8]) -> Option<String> {
    let mut reader = Reader::new(der, 0);
    let element = reader.any().ok()?;
    reader.end().ok()?;
    element_text(&element)
}

/// The text of a DisplayText or IA5String, control characters escaped.
fn element_text(element: &der::Element<'_>) -> Option<String> {
    let (utf8, ia5, visible, bmp) = (12, 22, 26, 30);
    match element.tag {
        tag if tag == ia5 || tag == visible => Some(text::escape_ascii(element.content)),
        tag if tag == utf8 => std::str::from_utf8(element.content).ok().map(text::escape_utf8),
        tag if tag == bmp => {
            let (units, rest) = element.content.as_chunks();
            let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty())?;
            Some(text::escape_utf8(&text))
        }
        _ => None,
    }
}

fn policy_mappings(mappings: &parsed::PolicyMappings<'_>) -> Sized {
    let mut total = 0;
    let mut array = Vec::new();
    for mapping in &mappings.mappings {
        let (issuer, subject) = (&mapping.issuer_domain_policy, &mapping.subject_domain_policy);
        total += tlv(tlv(issuer.as_bytes().len()) + tlv(subject.as_bytes().len()));
        array.push(json!({ "issuer": dotted(issuer), "subject": dotted(subject) }));
    }
    (array.into(), tlv(total))
}

fn policy_constraints(constraints: &parsed::PolicyConstraints) -> Sized {
    let explicit = constraints.require_explicit_policy;
    let mapping = constraints.inhibit_policy_mapping;
    let sizes = [explicit, mapping].into_iter().flatten().map(integer_size);
    let value = json!({ "require_explicit_policy": explicit, "inhibit_policy_mapping": mapping });
    (value, tlv(sizes.sum()))
}

fn information_access(places: &[parsed::AccessDescription<'_>]) -> Result<Sized, String> {
    let mut total = 0;
    let mut array = Vec::new();
    for place in places {
        let method = Oid::borrowed(place.access_method.as_bytes());
        let location = general_name(&place.access_location)?;
        total += tlv(tlv(method.as_bytes().len()) + tlv(location.as_bytes().len()));
        array.push(json!({ "method": method.short(), "location": location.to_string() }));
    }
    Ok((array.into(), tlv(total)))
}

/// Promises of logs to publish the certificate (RFC 6962, section 3.3).
fn signed_timestamps(timestamps: &[SignedCertificateTimestamp<'_>]) -> Result<Sized, String> {
    let mut list = 2;
    let mut array = Vec::new();
    for timestamp in timestamps {
        let (extensions, signature) = (timestamp.extensions.0, &timestamp.signature);
        // A length of two bytes each, the version, the log, the time and two bytes for the
        // algorithm.
        list += 2 + 1 + 32 + 8 + 2 + extensions.len() + 2 + 2 + signature.data.len();
        let algorithm = match (signature.hash_alg_id, signature.sign_alg_id) {
            (4, 1) => "sha256WithRSAEncryption".to_owned(),
            (4, 3) => "ecdsa-with-SHA256".to_owned(),
            (hash, other) => text::hex(&[hash, other]),
        };
        array.push(json!({
            "version": u32::from(timestamp.version.0) + 1,
            "log_id": text::hex(timestamp.id.key_id),
            "timestamp": milliseconds(timestamp.timestamp),
            "extensions": text::hex(extensions),
            "signature_algorithm": algorithm,
            "signature": text::hex(signature.data),
        }));
    }
    Ok((array.into(), tlv(list)))
}

/// RFC 3339 in UTC; the plain number where that has no word for it.
fn milliseconds(since_epoch: u64) -> Value {
    let (seconds, fraction) = (since_epoch / 1000, since_epoch % 1000);
    let text = UnixTime(i64::try_from(seconds).unwrap_or(i64::MAX));
    if text >= UnixTime(limits::YEAR_10000) {
        return since_epoch.into();
    }
    let text = text.to_string();
    format!("{}.{fraction:03}Z", text.trim_end_matches('Z')).into()
}

/// The names of OpenSSL's configuration for the kinds of certificate that Netscape knew.
fn netscape_types(kinds: parsed::NSCertType) -> Sized {
    // The one bit without a function of its own.
    let is_reserved = kinds.to_string().contains("Reserved");
    let names = [
        (kinds.ssl_client(), "client"),
        (kinds.ssl_server(), "server"),
        (kinds.smime(), "email"),
        (kinds.object_signing(), "objsign"),
        (is_reserved, "reserved"),
        (kinds.ssl_ca(), "sslCA"),
        (kinds.smime_ca(), "emailCA"),
        (kinds.object_signing_ca(), "objCA"),
    ];
    let set: Vec<_> = names.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
    (set.into(), tlv(2))
}

fn netscape_comment(comment: &str, value: &[u8]) -> Result<Sized, String> {
    // The reader takes a value that is no string of ASN.1 for a comment as a whole, which OpenSSL
    // does not.
    if comment.len() == value.len() {
        return Err("it is no IA5String".to_owned());
    }
    Ok((text::escape_utf8(comment).into(), tlv(comment.len())))
}

fn general_names(names: &[parsed::GeneralName<'_>]) -> Result<Sized, String> {
    let mut size = 0;
    let mut texts = Vec::new();
    for name in names {
        let name = general_name(name)?;
        size += tlv(name.as_bytes().len());
        texts.push(name.to_string());
    }
    Ok((texts.into(), size))
}

/// The name as the core writes it, so that it looks the same here and in the columns.
fn general_name(name: &parsed::GeneralName<'_>) -> Result<GeneralName, String> {
    use GeneralNameKind as Kind;
    use parsed::GeneralName as Name;
    let joined;
    let (kind, content) = match name {
        Name::OtherName(oid, value) => {
            joined = [&tlv_of(der::OBJECT, &[oid.as_bytes()])[..], value].concat();
            (Kind::OtherName, &joined[..])
        }
        Name::RFC822Name(text) => (Kind::Email, text.as_bytes()),
        Name::DNSName(text) => (Kind::Dns, text.as_bytes()),
        Name::X400Address(any) => (Kind::X400, any.data),
        Name::DirectoryName(name) => (Kind::DirName, name.as_raw()),
        Name::EDIPartyName(any) => (Kind::EdiParty, any.data),
        Name::URI(text) => (Kind::Uri, text.as_bytes()),
        Name::IPAddress(bytes) => (Kind::Ip, *bytes),
        Name::RegisteredID(oid) => (Kind::RegisteredId, oid.as_bytes()),
        Name::Invalid(tag, _) => return Err(format!("a name of kind {} is broken", tag.0)),
    };
    Ok(GeneralName::new(kind, content))
}

fn dotted(oid: &x509_parser::asn1_rs::Oid<'_>) -> String {
    Oid::borrowed(oid.as_bytes()).dotted()
}

/// Bytes of an element with so many bytes of content.
fn tlv(content: usize) -> usize {
    let mut header = Vec::with_capacity(10);
    der::push_header(&mut header, der::SEQUENCE, content);
    header.len() + content
}

/// Bytes of an INTEGER.
fn integer_size(number: u32) -> usize {
    let bits = usize::try_from(u32::BITS - number.leading_zeros()).unwrap_or(32);
    // One bit for the sign.
    tlv(bits / 8 + 1)
}

fn tlv_of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 10);
    der::push_header(&mut out, tag, length);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}
