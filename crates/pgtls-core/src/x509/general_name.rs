//! General names (RFC 5280, section 4.2.1.6), as subject alternative names, distribution points and
//! key identifiers carry them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::asn1::der::{self, Element, Fault, Reader};
use crate::asn1::oid::Oid;
use crate::asn1::template;
use crate::text;
use crate::work;
use crate::x509::name::Name;

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
    /// The word in front of the value, as in OpenSSL's configuration syntax: `DNS`, `URI`, `email`,
    /// `IP`, `dirName`, `otherName`, `RID`; for the two without such a syntax what OpenSSL prints:
    /// `X400Name`, `EdiPartyName`.
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

    /// The content bytes of its DER: the characters of a DNS name, mail address or URI, the bytes
    /// of an address, the DER of a `Name`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.content
    }

    /// The value as text, on one line and without control characters.
    ///
    /// - DNS, email, URI: printable ASCII as it is, a backslash doubled, any other byte as `\` and
    ///   two hexadecimal digits (`\00`). An entry is an element of its own, so commas need no
    ///   escape.
    /// - IP: `192.0.2.1`, `2001:db8::1` (RFC 5952); with eight or thirty-two bytes address and
    ///   mask, as in name constraints.
    /// - dirName: the RFC 2253 form of [`Name::rfc2253`].
    /// - RID: dotted.
    /// - otherName: `1.2.3.4;UTF8:text` in OpenSSL's configuration syntax if the value is a
    ///   UTF8String, else `1.2.3.4;#` and its DER in hexadecimal. Characters outside ASCII stay;
    ///   control characters are escaped.
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

/// Whether a general name is the directory name `name`.
pub(crate) fn is_directory_name(general: &GeneralName, name: &Name) -> bool {
    general.kind() == GeneralNameKind::DirName
        && Name::from_der(general.as_bytes()).is_ok_and(|general| general.matches(name))
}

/// Equality as `GENERAL_NAME_cmp` has it.
pub(crate) fn same_general_name(a: &GeneralName, b: &GeneralName) -> bool {
    a == b
        || Name::from_der(b.as_bytes())
            .is_ok_and(|name| b.kind() == GeneralNameKind::DirName && is_directory_name(a, &name))
}

/// The value of a subject alternative name. One that OpenSSL does not read is shown as it is:
/// nobody decides by it.
pub(crate) fn read_alternative_names(mut value: Reader<'_>) -> Result<Vec<GeneralName>, Fault> {
    der::sequence_of(&mut value, GeneralName::read)
}

/// The names inside a GeneralNames, whatever its tag.
pub(crate) fn general_names(names: &Element<'_>) -> Result<Vec<GeneralName>, Fault> {
    let mut reader = names.inside();
    let mut read = Vec::new();
    while !reader.is_empty() {
        work::between_some(read.len());
        let start = reader.offset();
        let name = GeneralName::read(&mut reader)?;
        check_general_name(&name, start)?;
        read.push(name);
    }
    Ok(read)
}

/// Refuses a general name whose content OpenSSL does not read, which makes it drop the whole
/// extension.
fn check_general_name(name: &GeneralName, offset: usize) -> Result<(), Fault> {
    let mut inside = Reader::new(name.as_bytes(), offset);
    match name.kind() {
        GeneralNameKind::DirName => {
            return match template::check(name.as_bytes(), &template::NAME) {
                Ok(size) if size == name.as_bytes().len() => Ok(()),
                _ => Err(Fault::new(offset, "directory name that OpenSSL does not read")),
            };
        }
        GeneralNameKind::OtherName => {
            Oid::from_element(&inside.expect(der::OBJECT, "the type of a name")?)?;
            let mut value = inside.expect(0xa0, "the value of a name")?.inside();
            value.any()?;
            value.end()?;
        }
        GeneralNameKind::EdiParty => {
            // Each of the two is a choice of strings, tagged explicitly.
            inside.optional(0xa0)?;
            inside.expect(0xa1, "an EDI party")?;
        }
        _ => return Ok(()),
    }
    inside.end()
}
