//! X.501 names, in the exact forms that OpenSSL and PostgreSQL make of them.
//!
//! Owns the DER of a name and its three readings: the oneline form of `pg_stat_ssl` and sslinfo,
//! the RFC 2253 form that `clientname=DN` maps match on, and the canonical form in which OpenSSL
//! compares issuers. Refuses only what is not a name at all: a value that is no valid string of its
//! type is shown as a hexadecimal dump, so that it can neither fail a query nor pass for another
//! value.
//!
//! Invariant: the bytes kept have been walked once, to the end, without a fault.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use crate::asn1::ber;
use crate::asn1::der::{self, Fault, Reader};
use crate::asn1::oid::{self, Oid};
use crate::error::Error;
use crate::work;
use crate::{limits, text};

const UTF8_STRING: u8 = 12;
const NUMERIC_STRING: u8 = 18;
const PRINTABLE_STRING: u8 = 19;
const T61_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const VISIBLE_STRING: u8 = 26;
const UNIVERSAL_STRING: u8 = 28;
const BMP_STRING: u8 = 30;

/// What OpenSSL writes for the type of an attribute has room for this many bytes in
/// `X509_NAME_print_ex`.
const PRINTED_OID_BYTES: usize = 79;

/// A distinguished name (RFC 5280, section 4.1.2.4).
///
/// Two names are equal when their DER is; [`Name::matches`] compares as OpenSSL does.
#[derive(Clone)]
pub struct Name {
    der: Box<[u8]>,
    oneline: OnceLock<Box<str>>,
    rfc2253: OnceLock<Box<str>>,
}

/// One attribute of a name, in the order of the DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Which relative distinguished name it belongs to, from 0; attributes of a multi-valued one
    /// share it.
    pub rdn: usize,
    /// Its type.
    pub oid: Oid<'a>,
    /// The identifier octet of its value, such as 12 for UTF8String.
    pub tag: u8,
    /// Content bytes of its value.
    content: &'a [u8],
    /// The value with tag and length.
    raw: &'a [u8],
}

impl Name {
    /// Reads a DER `Name` that is all of `der`.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let read = || {
            let mut reader = Reader::new(der, 0);
            let element = reader.expect_list(der::SEQUENCE, "a name")?;
            reader.end()?;
            Self::from_element(&element)
        };
        read().map_err(|fault: Fault| fault.into_error("name"))
    }

    pub(crate) fn from_element(element: &der::Element<'_>) -> Result<Self, Fault> {
        let mut attributes = Attributes::of(element);
        let mut count = 0;
        while attributes.advance()?.is_some() {
            work::between_some(count);
            count += 1;
        }
        Ok(Self { der: element.raw.into(), oneline: OnceLock::new(), rfc2253: OnceLock::new() })
    }

    /// The DER this name was read from.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the name has no attribute, as a certificate may that is known by its alternative
    /// names alone.
    pub fn is_empty(&self) -> bool {
        self.attributes().next().is_none()
    }

    /// The first attribute type that OpenSSL has no name for. PostgreSQL cannot write such a name
    /// down (`X509_NAME_to_cstring`) and ends the connection where it tries to.
    pub fn unnamed_attribute_type(&self) -> Option<Oid<'_>> {
        self.attributes().map(|attribute| attribute.oid).find(|oid| oid.short_name().is_none())
    }

    /// The attributes in the order of the DER, which is the reverse of the RFC 2253 order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        // `from_element` has been through here, so nothing can break.
        let element = Reader::new(&self.der, 0).any().ok();
        let mut attributes = element.map(|element| Attributes::of(&element));
        std::iter::from_fn(move || attributes.as_mut()?.advance().ok()?)
    }

    /// `/O=Acme/CN=alice`, as PostgreSQL's `X509_NAME_to_cstring` builds it for `pg_stat_ssl` and
    /// sslinfo.
    ///
    /// Never cut. Where PostgreSQL raises an error, this has a form: an attribute type that OpenSSL
    /// has no name for is dotted, and a value that cannot be text is `#` and its DER in
    /// hexadecimal.
    pub fn oneline(&self) -> &str {
        self.oneline.get_or_init(|| {
            let mut out = String::with_capacity(self.der.len());
            for attribute in self.attributes() {
                out.push('/');
                out.push_str(&attribute.oid.short());
                out.push('=');
                push_value(&mut out, &attribute, Escape::Ascii);
            }
            out.into()
        })
    }

    /// `CN=alice,O=Acme`, byte for byte as OpenSSL's `X509_NAME_print_ex` with `XN_FLAG_RFC2253`;
    /// always ASCII.
    ///
    /// A BMPString or UniversalString that is none, which OpenSSL refuses to print, is `#` and its
    /// DER in hexadecimal.
    pub fn rfc2253(&self) -> &str {
        self.rfc2253.get_or_init(|| {
            let attributes: Vec<_> = self.attributes().collect();
            let mut out = String::with_capacity(self.der.len());
            let mut previous = None;
            for attribute in attributes.iter().rev() {
                match previous.replace(attribute.rdn) {
                    None => {}
                    Some(rdn) if rdn == attribute.rdn => out.push('+'),
                    Some(_) => out.push(','),
                }
                push_rfc2253_attribute(&mut out, attribute);
            }
            out.into()
        })
    }

    /// The first common name as text, without any escapes; `None` if there is none.
    ///
    /// A value that PostgreSQL's `text` cannot hold (not decodable, or with a NUL) is `#` and its
    /// DER in hexadecimal.
    pub fn common_name(&self) -> Option<String> {
        let attribute = self.first(&oid::ids::COMMON_NAME)?;
        let text = attribute.text().filter(|text| !text.contains('\0'));
        Some(text.unwrap_or_else(|| dump(&attribute)))
    }

    /// The raw bytes of the first common name, as `X509_NAME_get_text_by_NID` yields them: what
    /// PostgreSQL compares with the role name, whatever the string type. `None` if there is none.
    pub fn common_name_bytes(&self) -> Option<Vec<u8>> {
        Some(self.first(&oid::ids::COMMON_NAME)?.value())
    }

    /// The first value of an attribute as sslinfo's `ssl_client_dn_field` gives it, that is,
    /// escaped as in [`Name::oneline`]; `None` if there is none.
    pub fn field(&self, oid: &Oid<'_>) -> Option<String> {
        let mut out = String::new();
        push_value(&mut out, &self.first(oid)?, Escape::Ascii);
        Some(out)
    }

    /// Whether OpenSSL takes the two names to be the same (`X509_NAME_cmp`): case, surrounding and
    /// repeated spaces and the string type do not count, except in a NumericString.
    pub fn matches(&self, other: &Self) -> bool {
        self.der == other.der || self.canonical() == other.canonical()
    }

    /// The form in which OpenSSL compares names (`x509_name_canon`); equal exactly where
    /// [`Name::matches`].
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.der.len());
        let mut rdn: Vec<Vec<u8>> = Vec::new();
        let mut current = 0;
        for attribute in self.attributes() {
            if attribute.rdn != current {
                flush_rdn(&mut out, &mut rdn);
                current = attribute.rdn;
            }
            rdn.push(canonical_attribute(&attribute));
        }
        flush_rdn(&mut out, &mut rdn);
        out
    }

    /// The hash that OpenSSL names files of a directory with, in eight hex digits
    /// (`X509_NAME_hash_ex`).
    pub fn hash(&self) -> String {
        let digest = openssl::sha::sha1(&self.canonical());
        digest.iter().take(4).rev().map(|byte| format!("{byte:02x}")).collect()
    }

    fn first(&self, oid: &Oid<'_>) -> Option<Attribute<'_>> {
        self.attributes().find(|attribute| attribute.oid.as_bytes() == oid.as_bytes())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.der.hash(state);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.rfc2253())
    }
}

impl Attribute<'_> {
    /// The bytes that OpenSSL keeps as the value: the content of a string, all of a SEQUENCE, and a
    /// BIT STRING without the count of unused bits, which are zeroed.
    pub fn value(&self) -> Vec<u8> {
        match self.bits() {
            Some((unused, bytes)) => {
                let mut bytes = bytes.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last &= 0xff << unused;
                }
                bytes
            }
            None if self.tag == der::SEQUENCE => self.raw.to_vec(),
            None => self.content.to_vec(),
        }
    }

    /// The unused bits and the bytes of a BIT STRING.
    fn bits(&self) -> Option<(u8, &[u8])> {
        let (unused, bytes) = self.content.split_first()?;
        (self.tag == der::BIT_STRING && *unused < 8).then_some((*unused, bytes))
    }

    /// The value as text, by its string type; `None` if it is no valid string.
    pub fn text(&self) -> Option<String> {
        match self.characters()? {
            Characters::Utf8(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            Characters::Fixed(width, bytes) => decode(width, bytes),
        }
    }

    fn characters(&self) -> Option<Characters<'_>> {
        match self.tag {
            UTF8_STRING => Some(Characters::Utf8(self.content)),
            NUMERIC_STRING
            | PRINTABLE_STRING
            | T61_STRING
            | IA5_STRING
            | VISIBLE_STRING
            | der::UTC_TIME
            | der::GENERALIZED_TIME => Some(Characters::Fixed(1, self.content)),
            BMP_STRING => Some(Characters::Fixed(2, self.content)),
            UNIVERSAL_STRING => Some(Characters::Fixed(4, self.content)),
            _ => None,
        }
    }
}

/// How a value spells characters. OpenSSL takes every string type of one byte a character for
/// Latin-1.
enum Characters<'a> {
    Utf8(&'a [u8]),
    /// So many bytes a character, big-endian.
    Fixed(usize, &'a [u8]),
}

/// Characters of `width` bytes; `None` if one is no Unicode character or the last one is cut.
/// OpenSSL refuses such a name as a whole, because it has no canonical form.
fn decode(width: usize, bytes: &[u8]) -> Option<String> {
    let chunks = bytes.chunks_exact(width);
    if !chunks.remainder().is_empty() {
        return None;
    }
    chunks
        .map(|chunk| char::from_u32(chunk.iter().fold(0, |c, byte| (c << 8) | u32::from(*byte))))
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// The special and control characters of ASCII: `ASN1_STRFLGS_RFC2253 & ~ASN1_STRFLGS_ESC_MSB`.
    Ascii,
    /// Bytes outside ASCII as well: `ASN1_STRFLGS_RFC2253`.
    AllBytes,
}

/// Appends a value as `ASN1_STRING_print_ex` does with these flags.
fn push_value(out: &mut String, attribute: &Attribute<'_>, escape: Escape) {
    match (attribute.characters(), attribute.text(), escape) {
        // OpenSSL passes the bytes of a UTF8String through; when all are escaped, any byte can be
        // shown.
        (Some(Characters::Utf8(bytes)), _, Escape::AllBytes) => push_bytes(out, bytes),
        (_, Some(text), Escape::AllBytes) => push_bytes(out, text.as_bytes()),
        (_, Some(text), Escape::Ascii) => push_escaped(out, text.chars(), escape),
        (_, None, _) => out.push_str(&dump(attribute)),
    }
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    push_escaped(out, bytes.iter().map(|byte| char::from(*byte)), Escape::AllBytes);
}

/// Appends characters, or with [`Escape::AllBytes`] bytes in the guise of characters.
fn push_escaped(out: &mut String, units: impl Iterator<Item = char>, escape: Escape) {
    let mut units = units.peekable();
    let mut is_first = true;
    while let Some(unit) = units.next() {
        let is_last = units.peek().is_none();
        match unit {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', unit]),
            ' ' if is_first || is_last => out.push_str("\\ "),
            // OpenSSL lets the rule for the last character replace that for the first: a lone `#`
            // stays.
            '#' if is_first && !is_last => out.push_str("\\#"),
            '\0'..='\x1f' | '\x7f' => push_hex_pair(out, unit),
            '\u{80}'..='\u{ff}' if escape == Escape::AllBytes => push_hex_pair(out, unit),
            _ => out.push(unit),
        }
        is_first = false;
    }
}

fn push_hex_pair(out: &mut String, unit: char) {
    out.push('\\');
    let [.., byte] = u32::from(unit).to_be_bytes();
    text::push_upper_hex(out, &[byte]);
}

fn push_rfc2253_attribute(out: &mut String, attribute: &Attribute<'_>) {
    match attribute.oid.short_name() {
        Some(name) => {
            out.push_str(name);
            out.push('=');
            push_value(out, attribute, Escape::AllBytes);
        }
        // A type without a name: its number, in the room that OpenSSL has for it, and the value as
        // DER. One that is too long to print leaves that room empty.
        None => {
            if attribute.oid.as_bytes().len() <= limits::MAX_OID_BYTES {
                let dotted = attribute.oid.dotted();
                out.push_str(dotted.get(..PRINTED_OID_BYTES).unwrap_or(&dotted));
            }
            out.push('=');
            out.push_str(&dump(attribute));
        }
    }
}

/// `#` and the DER of the value, as `ASN1_STRFLGS_DUMP_DER` has it: encoded anew, with the shortest
/// length.
fn dump(attribute: &Attribute<'_>) -> String {
    let value = attribute.value();
    if attribute.tag == der::SEQUENCE {
        return text::dump(&value);
    }
    let mut encoded = Vec::with_capacity(value.len() + 6);
    match attribute.bits() {
        Some((unused, _)) => {
            der::push_header(&mut encoded, attribute.tag, value.len() + 1);
            encoded.push(if value.is_empty() { 0 } else { unused });
        }
        None => der::push_header(&mut encoded, attribute.tag, value.len()),
    }
    encoded.extend_from_slice(&value);
    text::dump(&encoded)
}

/// Sorted, because the attributes of a relative distinguished name are a set.
fn flush_rdn(out: &mut Vec<u8>, rdn: &mut Vec<Vec<u8>>) {
    if rdn.is_empty() {
        return;
    }
    rdn.sort();
    der::push_header(out, der::SET, rdn.iter().map(Vec::len).sum());
    rdn.drain(..).for_each(|attribute| out.extend_from_slice(&attribute));
}

/// The attribute with its value as OpenSSL's `asn1_string_canon` simplifies it.
fn canonical_attribute(attribute: &Attribute<'_>) -> Vec<u8> {
    let is_simplified = matches!(
        attribute.tag,
        UTF8_STRING
            | PRINTABLE_STRING
            | T61_STRING
            | IA5_STRING
            | VISIBLE_STRING
            | UNIVERSAL_STRING
            | BMP_STRING
    );
    let (tag, value) = match attribute.text().filter(|_| is_simplified) {
        Some(text) => (UTF8_STRING, simplify(&text)),
        None => (attribute.tag, attribute.value()),
    };
    let oid = attribute.oid.as_bytes();
    let mut content = Vec::with_capacity(oid.len() + value.len() + 8);
    der::push_header(&mut content, der::OBJECT, oid.len());
    content.extend_from_slice(oid);
    der::push_header(&mut content, tag, value.len());
    content.extend_from_slice(&value);
    let mut out = Vec::with_capacity(content.len() + 4);
    der::push_header(&mut out, der::SEQUENCE, content.len());
    out.extend_from_slice(&content);
    out
}

/// Without surrounding white space, inner white space as one space, ASCII letters in lower case.
fn simplify(text: &str) -> Vec<u8> {
    let is_space = |c: char| matches!(c, ' ' | '\t'..='\r');
    let mut out = Vec::with_capacity(text.len());
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend(word.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    out
}

/// The walk over an RDNSequence.
struct Attributes<'a> {
    rdns: Reader<'a>,
    rdn: Option<(usize, Reader<'a>)>,
}

impl<'a> Attributes<'a> {
    fn of(name: &der::Element<'a>) -> Self {
        Self { rdns: name.inside(), rdn: None }
    }

    fn advance(&mut self) -> Result<Option<Attribute<'a>>, Fault> {
        loop {
            let next = match &mut self.rdn {
                Some((rdn, set)) if !set.is_empty() => {
                    return read_attribute(*rdn, set).map(Some);
                }
                Some((rdn, _)) => *rdn + 1,
                None => 0,
            };
            if self.rdns.is_empty() {
                return Ok(None);
            }
            let set = self.rdns.expect_list(der::SET, "a relative distinguished name")?;
            self.rdn = Some((next, set.inside()));
        }
    }
}

fn read_attribute<'a>(rdn: usize, set: &mut Reader<'a>) -> Result<Attribute<'a>, Fault> {
    let mut pair = set.expect(der::SEQUENCE, "an attribute")?.inside();
    let oid = Oid::from_element(&pair.expect(der::OBJECT, "an attribute type")?)?;
    let value = pair.any()?;
    pair.end()?;
    if ber::is_string_in_pieces(value.tag) {
        return Err(Fault::ber(value.offset, "string in pieces"));
    }
    Ok(Attribute { rdn, oid, tag: value.tag, content: value.content, raw: value.raw })
}
