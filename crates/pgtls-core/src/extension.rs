//! What the standard certificate extensions say (RFC 5280, section 4.2.1).
//!
//! Owns their syntax. Each is read when asked for, so a broken one spoils its own answer and no other.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::der::{self, Fault, Reader};
use crate::name::Name;
use crate::oid::{self, Oid};
use crate::serial::Serial;
use crate::text;

/// One extension as the certificate carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Its type; [`Oid::short`] is the name that `openssl` uses in configuration and sslinfo in its rows.
    pub oid: Oid<'a>,
    /// Whether who does not understand it has to reject the certificate.
    pub critical: bool,
    /// The content of its OCTET STRING: the DER of what the extension says.
    pub value: &'a [u8],
}

/// The kinds of a `GeneralName` (RFC 5280, section 4.2.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GeneralNameKind {
    /// A type of its own, such as the user principal name of Active Directory.
    OtherName,
    /// A mail address.
    Email,
    /// A host name.
    Dns,
    /// An X.400 address.
    X400,
    /// A distinguished name.
    DirName,
    /// A name of an EDI party.
    EdiParty,
    /// A URI.
    Uri,
    /// An IPv4 or IPv6 address.
    Ip,
    /// An object identifier.
    RegisteredId,
}

impl GeneralNameKind {
    /// The word in front of the value, as in OpenSSL's configuration syntax: `DNS`, `URI`, `email`, `IP`, `dirName`,
    /// `otherName`, `RID`; for the two without such a syntax what OpenSSL prints: `X400Name`, `EdiPartyName`.
    pub fn label(self) -> &'static str {
        match self {
            Self::OtherName => "otherName",
            Self::Email => "email",
            Self::Dns => "DNS",
            Self::X400 => "X400Name",
            Self::DirName => "dirName",
            Self::EdiParty => "EdiPartyName",
            Self::Uri => "URI",
            Self::Ip => "IP",
            Self::RegisteredId => "RID",
        }
    }
}

/// A name of one of several kinds, as in a subject alternative name or a distribution point.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GeneralName {
    kind: GeneralNameKind,
    content: Box<[u8]>,
}

impl GeneralName {
    pub(crate) fn new(kind: GeneralNameKind, content: &[u8]) -> Self {
        Self { kind, content: content.into() }
    }

    /// Its kind.
    pub fn kind(&self) -> GeneralNameKind {
        self.kind
    }

    /// The content bytes of its DER: the characters of a DNS name, mail address or URI, the bytes of an address, the DER
    /// of a `Name`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.content
    }

    /// The value as text, on one line and without control characters.
    ///
    /// - DNS, email, URI: printable ASCII as it is, a backslash doubled, any other byte as `\` and two hexadecimal
    ///   digits (`\00`). An entry is an element of its own, so commas need no escape.
    /// - IP: `192.0.2.1`, `2001:db8::1` (RFC 5952); with eight or thirty-two bytes address and mask, as in name
    ///   constraints.
    /// - dirName: the RFC 2253 form of [`Name::rfc2253`].
    /// - RID: dotted.
    /// - otherName: `1.2.3.4;UTF8:text` in OpenSSL's configuration syntax if the value is a UTF8String, else
    ///   `1.2.3.4;#` and its DER in hexadecimal. Characters outside ASCII stay; control characters are escaped.
    ///
    /// What cannot be read so is `#` and the content bytes in hexadecimal.
    pub fn value(&self) -> String {
        let value = match self.kind {
            GeneralNameKind::Email | GeneralNameKind::Dns | GeneralNameKind::Uri => {
                Some(text::escape_ascii(&self.content))
            }
            GeneralNameKind::Ip => address(&self.content),
            GeneralNameKind::DirName => {
                Name::from_der(&self.content).ok().map(|name| name.rfc2253().to_owned())
            }
            GeneralNameKind::RegisteredId => self.registered_id(),
            GeneralNameKind::OtherName => self.other_name(),
            GeneralNameKind::X400 | GeneralNameKind::EdiParty => None,
        };
        value.unwrap_or_else(|| text::dump(&self.content))
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let element = reader.any()?;
        let kind = match element.tag {
            0xa0 => GeneralNameKind::OtherName,
            0x81 => GeneralNameKind::Email,
            0x82 => GeneralNameKind::Dns,
            0xa3 => GeneralNameKind::X400,
            0xa4 => GeneralNameKind::DirName,
            0xa5 => GeneralNameKind::EdiParty,
            0x86 => GeneralNameKind::Uri,
            0x87 => GeneralNameKind::Ip,
            0x88 => GeneralNameKind::RegisteredId,
            tag => return Err(element.fault(format!("no general name has tag 0x{tag:02x}"))),
        };
        Ok(Self { kind, content: element.content.into() })
    }

    fn registered_id(&self) -> Option<String> {
        let element = der::Element {
            tag: der::OBJECT,
            raw: &self.content,
            content: &self.content,
            offset: 0,
        };
        Some(Oid::from_element(&element).ok()?.dotted())
    }

    fn other_name(&self) -> Option<String> {
        let mut reader = Reader::new(&self.content, 0);
        let oid = Oid::from_element(&reader.expect(der::OBJECT, "a type").ok()?).ok()?;
        let mut inside = reader.expect(0xa0, "a value").ok()?.inside();
        reader.end().ok()?;
        let value = inside.any().ok()?;
        inside.end().ok()?;
        let text = match value.tag {
            0x0c => std::str::from_utf8(value.content).ok(),
            _ => None,
        };
        let dotted = oid.dotted();
        Some(match text {
            Some(text) => format!("{dotted};UTF8:{}", text::escape_utf8(text)),
            None => format!("{dotted};{}", text::dump(value.raw)),
        })
    }
}

/// `kind:value`, such as `DNS:db.example.com`.
impl fmt::Display for GeneralName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.label(), self.value())
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let one = |bytes: &[u8]| match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        _ => None,
    };
    match bytes.len() {
        8 | 32 => {
            let (address, mask) = bytes.split_at(bytes.len() / 2);
            Some(format!("{}/{}", one(address)?, one(mask)?))
        }
        _ => one(bytes),
    }
}

/// Reads the content of an extension, which has to be one element of this kind and nothing more.
fn whole<'a>(
    value: &'a [u8],
    offset: usize,
    tag: u8,
    what: &'static str,
) -> Result<der::Element<'a>, Fault> {
    let mut reader = Reader::new(value, offset);
    let element = reader.expect(tag, what)?;
    reader.end()?;
    Ok(element)
}

fn sequence_of<T>(
    value: &[u8],
    offset: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut list = Reader::new(value, offset);
    let mut reader = list.expect_list(der::SEQUENCE, "a SEQUENCE")?.inside();
    list.end()?;
    let mut out = Vec::new();
    while !reader.is_empty() {
        out.push(read(&mut reader)?);
    }
    Ok(out)
}

/// `SubjectAltName` or any other `GeneralNames`.
pub(crate) fn general_names(value: &[u8], offset: usize) -> Result<Vec<GeneralName>, Fault> {
    sequence_of(value, offset, GeneralName::read)
}

fn implicit_general_names(element: &der::Element<'_>) -> Result<Vec<GeneralName>, Fault> {
    let mut reader = element.inside();
    let mut out = Vec::new();
    while !reader.is_empty() {
        out.push(GeneralName::read(&mut reader)?);
    }
    Ok(out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) is_ca: bool,
    pub(crate) path_length: Option<i64>,
}

pub(crate) fn basic_constraints(value: &[u8], offset: usize) -> Result<BasicConstraints, Fault> {
    let mut reader = whole(value, offset, der::SEQUENCE, "a SEQUENCE")?.inside();
    let is_ca = match reader.optional(der::BOOLEAN)? {
        Some(element) => element.boolean()?,
        None => false,
    };
    let path_length = match reader.optional(der::INTEGER)? {
        Some(element) => match element.small_integer()? {
            length @ 0.. => Some(length),
            _ => return Err(element.fault("path length is negative")),
        },
        None => None,
    };
    reader.end()?;
    Ok(BasicConstraints { is_ca, path_length })
}

/// The bits of `KeyUsage` in order, with OpenSSL's short names for them.
const KEY_USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

pub(crate) fn key_usage(value: &[u8], offset: usize) -> Result<Vec<&'static str>, Fault> {
    let (_, bytes) = whole(value, offset, der::BIT_STRING, "a BIT STRING")?.bits()?;
    let is_set = |bit: usize| bytes.get(bit / 8).is_some_and(|byte| byte << (bit % 8) & 0x80 != 0);
    let set = KEY_USAGES.iter().enumerate().filter(|(bit, _)| is_set(*bit));
    Ok(set.map(|(_, name)| *name).collect())
}

pub(crate) fn extended_key_usage(value: &[u8], offset: usize) -> Result<Vec<String>, Fault> {
    sequence_of(value, offset, |reader| {
        let purpose = Oid::from_element(&reader.expect(der::OBJECT, "a purpose")?)?;
        Ok(purpose.short().into_owned())
    })
}

pub(crate) fn subject_key_id(value: &[u8], offset: usize) -> Result<&[u8], Fault> {
    Ok(whole(value, offset, der::OCTET_STRING, "an OCTET STRING")?.content)
}

pub(crate) struct AuthorityKeyId<'a> {
    pub(crate) key_id: Option<&'a [u8]>,
    pub(crate) issuer: Vec<GeneralName>,
    pub(crate) serial: Option<Serial>,
}

pub(crate) fn authority_key_id(value: &[u8], offset: usize) -> Result<AuthorityKeyId<'_>, Fault> {
    let mut reader = whole(value, offset, der::SEQUENCE, "a SEQUENCE")?.inside();
    let key_id = reader.optional(0x80)?.map(|element| element.content);
    let issuer = match reader.optional(0xa1)? {
        Some(element) => implicit_general_names(&element)?,
        None => Vec::new(),
    };
    let serial = match reader.optional(0x82)? {
        Some(element) => Some(Serial::from_element(&element)?),
        None => None,
    };
    reader.end()?;
    Ok(AuthorityKeyId { key_id, issuer, serial })
}

/// The URIs among the full names of `CRLDistributionPoints`.
pub(crate) fn crl_urls(value: &[u8], offset: usize) -> Result<Vec<String>, Fault> {
    let points = sequence_of(value, offset, |reader| {
        let mut point = reader.expect(der::SEQUENCE, "a distribution point")?.inside();
        let names = match point.optional(0xa0)? {
            Some(name) => match name.inside().optional(0xa0)? {
                Some(full_name) => implicit_general_names(&full_name)?,
                // Relative to the issuer's name, which is no URI.
                None => Vec::new(),
            },
            None => Vec::new(),
        };
        Ok(names)
    })?;
    Ok(uris(points.iter().flatten()))
}

/// The URIs of the OCSP responders in `AuthorityInfoAccessSyntax`.
pub(crate) fn ocsp_urls(value: &[u8], offset: usize) -> Result<Vec<String>, Fault> {
    let places = sequence_of(value, offset, |reader| {
        let mut description = reader.expect(der::SEQUENCE, "an access description")?.inside();
        let method = Oid::from_element(&description.expect(der::OBJECT, "an access method")?)?;
        let place = GeneralName::read(&mut description)?;
        description.end()?;
        Ok((method == oid::ids::OCSP).then_some(place))
    })?;
    Ok(uris(places.iter().flatten()))
}

fn uris<'a>(names: impl Iterator<Item = &'a GeneralName>) -> Vec<String> {
    names.filter(|name| name.kind() == GeneralNameKind::Uri).map(GeneralName::value).collect()
}
