//! What OpenSSL's decoder takes, for the structures that this crate reads (OpenSSL: `tasn_dec.c`).
//!
//! OpenSSL decodes by templates, and is lenient in some places (lengths with leading zeroes, a
//! SEQUENCE OF without the constructed bit, strings in pieces of any type, indefinite lengths) and
//! strict in others (integers, object identifiers, what a name may hold). The templates here are
//! the same, walked by the same rules, so [`check`] refuses what the server and libpq refuse, and
//! says where. It keeps nothing: who wants the fields reads them afterwards.

use super::der::{self, CLASS_MASK, CONSTRUCTED, Element, Fault, Header, LONG_TAG};
use super::oid::Oid;

/// What a field holds.
pub(crate) enum Item {
    Sequence(&'static [Field]),
    /// A universal type, by its tag.
    Type(u8),
    /// One of several universal types (`MSTRING`), as bits by tag.
    OneOf(u32),
    /// As many as the field says, which has no tag of its own.
    Many(&'static Field),
    /// The value of an attribute of a name.
    NameValue,
    /// Any one element; what is in a SEQUENCE, a SET or a tag of another class is not looked at.
    Any,
    /// An X.501 name.
    Name,
}

/// A field of a SEQUENCE.
pub(crate) struct Field {
    /// What an error calls it; empty if it says nothing that the field around it does not say.
    name: &'static str,
    item: &'static Item,
    of: Of,
    tag: Tag,
    is_optional: bool,
}

/// How many of its item a field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    One,
    Sequence,
    Set,
}

/// A context-specific tag.
#[derive(Clone, Copy)]
enum Tag {
    Own,
    Implicit(u8),
    Explicit(u8),
}

impl Field {
    const fn new(name: &'static str, item: &'static Item) -> Self {
        Self { name, item, of: Of::One, tag: Tag::Own, is_optional: false }
    }

    const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    const fn sequence_of(self) -> Self {
        Self { of: Of::Sequence, ..self }
    }

    const fn set_of(self) -> Self {
        Self { of: Of::Set, ..self }
    }

    const fn implicit(self, number: u8) -> Self {
        Self { tag: Tag::Implicit(0x80 | number), ..self }
    }

    const fn explicit(self, number: u8) -> Self {
        Self { tag: Tag::Explicit(0x80 | number), ..self }
    }
}

static OBJECT: Item = Item::Type(der::OBJECT);
static INTEGER: Item = Item::Type(der::INTEGER);
static BOOLEAN: Item = Item::Type(der::BOOLEAN);
static BIT_STRING: Item = Item::Type(der::BIT_STRING);
static OCTET_STRING: Item = Item::Type(der::OCTET_STRING);
static ANY: Item = Item::Any;

/// `X509_NAME`.
pub(crate) static NAME: Item = Item::Name;

/// `ASN1_TIME`.
static TIME: Item = Item::OneOf(1 << der::UTC_TIME | 1 << der::GENERALIZED_TIME);

/// `X509_ALGOR`.
pub(crate) static ALGORITHM: Item =
    Item::Sequence(&[Field::new("", &OBJECT), Field::new("parameters", &ANY).optional()]);

/// `X509_PUBKEY`. A key that cannot be decoded is found out when it is used.
static PUBLIC_KEY: Item =
    Item::Sequence(&[Field::new("algorithm", &ALGORITHM), Field::new("", &BIT_STRING)]);

/// `X509_EXTENSION`.
static EXTENSION: Item = Item::Sequence(&[
    Field::new("type", &OBJECT),
    Field::new("critical", &BOOLEAN).optional(),
    Field::new("value", &OCTET_STRING),
]);

/// `X509_VAL`.
static VALIDITY: Item =
    Item::Sequence(&[Field::new("notBefore", &TIME), Field::new("notAfter", &TIME)]);

/// `X509`.
pub(crate) static CERTIFICATE: Item = Item::Sequence(&[
    Field::new("", &SIGNED_CERTIFICATE),
    Field::new("signatureAlgorithm", &ALGORITHM),
    Field::new("signatureValue", &BIT_STRING),
]);

/// `X509_CINF`.
static SIGNED_CERTIFICATE: Item = Item::Sequence(&[
    Field::new("version", &INTEGER).explicit(0).optional(),
    Field::new("serialNumber", &INTEGER),
    Field::new("signature", &ALGORITHM),
    Field::new("issuer", &NAME),
    Field::new("validity", &VALIDITY),
    Field::new("subject", &NAME),
    Field::new("subjectPublicKeyInfo", &PUBLIC_KEY),
    Field::new("issuerUniqueID", &BIT_STRING).implicit(1).optional(),
    Field::new("subjectUniqueID", &BIT_STRING).implicit(2).optional(),
    Field::new("extensions", &EXTENSION).sequence_of().explicit(3).optional(),
]);

/// `X509_CRL`.
pub(crate) static CRL: Item = Item::Sequence(&[
    Field::new("", &SIGNED_CRL),
    Field::new("signatureAlgorithm", &ALGORITHM),
    Field::new("signatureValue", &BIT_STRING),
]);

/// `X509_CRL_INFO`.
static SIGNED_CRL: Item = Item::Sequence(&[
    Field::new("version", &INTEGER).optional(),
    Field::new("signature", &ALGORITHM),
    Field::new("issuer", &NAME),
    Field::new("thisUpdate", &TIME),
    Field::new("nextUpdate", &TIME).optional(),
    Field::new("revokedCertificates", &REVOKED).sequence_of().optional(),
    Field::new("crlExtensions", &EXTENSION).sequence_of().explicit(0).optional(),
]);

/// `X509_REVOKED`.
static REVOKED: Item = Item::Sequence(&[
    Field::new("userCertificate", &INTEGER),
    Field::new("revocationDate", &TIME),
    Field::new("crlEntryExtensions", &EXTENSION).sequence_of().optional(),
]);

/// `X509_REQ`.
pub(crate) static REQUEST: Item = Item::Sequence(&[
    Field::new("", &SIGNED_REQUEST),
    Field::new("signatureAlgorithm", &ALGORITHM),
    Field::new("signature", &BIT_STRING),
]);

/// `X509_REQ_INFO`.
static SIGNED_REQUEST: Item = Item::Sequence(&[
    Field::new("version", &INTEGER),
    Field::new("subject", &NAME),
    Field::new("subjectPublicKeyInfo", &PUBLIC_KEY),
    Field::new("attributes", &ATTRIBUTE).set_of().implicit(0).optional(),
]);

/// `X509_ATTRIBUTE`.
static ATTRIBUTE: Item =
    Item::Sequence(&[Field::new("type", &OBJECT), Field::new("values", &ANY).set_of()]);

/// `X509_NAME_INTERNAL`.
static RELATIVE_NAMES: Field = Field::new("", &RELATIVE_NAME).sequence_of();

/// `X509_NAME_ENTRIES`.
static RELATIVE_NAME: Item = Item::Many(&NAME_ENTRIES);
static NAME_ENTRIES: Field = Field::new("", &NAME_ENTRY).set_of();

/// `X509_NAME_ENTRY`.
static NAME_ENTRY: Item =
    Item::Sequence(&[Field::new("type", &OBJECT), Field::new("value", &Item::NameValue)]);

/// The types of `B_ASN1_PRINTABLE`: most strings, BIT STRING, SEQUENCE, and those without a
/// meaning.
const NAME_TYPES: u32 = 1 << der::BIT_STRING
    | 1 << 7
    | 1 << 8
    | 1 << 9
    | 1 << 11
    | 1 << UTF8_STRING
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 16
    | 1 << 18
    | 1 << 19
    | 1 << 20
    | 1 << 22
    | 1 << UNIVERSAL_STRING
    | 1 << 29
    | 1 << BMP_STRING;

const ENUMERATED: u8 = 10;
const NULL: u8 = 5;
const UTF8_STRING: u8 = 12;
const UNIVERSAL_STRING: u8 = 28;
const BMP_STRING: u8 = 30;

/// Longest name that OpenSSL looks at: its `X509_NAME_MAX`.
const MAX_NAME_BYTES: usize = 1024 * 1024;

/// How deep strings in pieces may nest: OpenSSL's `ASN1_MAX_STRING_NEST`.
const MAX_STRING_NEST: usize = 5;

/// Checks the element that `data` starts with, and gives how many bytes it takes.
pub(crate) fn check(data: &[u8], item: &'static Item) -> Result<usize, Fault> {
    let input = Input { data, offset: 0 };
    match read(input, item, None, false)? {
        Some(size) => Ok(size),
        // Nothing that has to be there is found to be absent.
        None => Err(Fault::new(0, "element is missing")),
    }
}

/// What may be read, and where it starts.
#[derive(Clone, Copy)]
struct Input<'a> {
    data: &'a [u8],
    offset: usize,
}

impl<'a> Input<'a> {
    fn skip(self, count: usize) -> Self {
        Self { data: self.data.get(count..).unwrap_or_default(), offset: self.offset + count }
    }

    fn cut(self, length: usize) -> Self {
        Self { data: self.data.get(..length).unwrap_or(self.data), ..self }
    }

    fn fault(self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
        Fault::new(self.offset, problem)
    }

    /// Whether the end of contents of an indefinite length is next (`asn1_check_eoc`).
    fn is_end(self) -> bool {
        self.data.starts_with(&[0, 0])
    }

    /// The header that is next (`asn1_check_tlen` that expects nothing).
    fn header(self) -> Result<Head<'a>, Fault> {
        let header = Header::parse(self.data).map_err(|problem| self.fault(problem))?;
        let content = self.skip(header.size);
        let content = match header.length {
            None => content,
            Some(length) if length <= content.data.len() => content.cut(length),
            Some(_) => return Err(self.fault("data ends before the element does")),
        };
        Ok(Head {
            tag: header.tag,
            size: header.size,
            is_indefinite: header.length.is_none(),
            content,
        })
    }

    /// As [`Input::header`], for an element with this class and number; `None` if it is another and
    /// may be missing.
    fn expect(self, tag: u8, is_optional: bool) -> Result<Option<Head<'a>>, Fault> {
        let Some(first) = self.data.first() else {
            return Err(self.fault("data ends where an element should be"));
        };
        // The header of something else may be broken, too, but that is not what is wrong.
        if !is_optional && first & LONG_TAG != LONG_TAG && first & !CONSTRUCTED != tag {
            return Err(self.fault(format!("unexpected element with tag 0x{first:02x}")));
        }
        let head = self.header()?;
        match head.tag & !CONSTRUCTED == tag && tag & LONG_TAG != LONG_TAG {
            true => Ok(Some(head)),
            false if is_optional => Ok(None),
            false => Err(self.fault(format!("unexpected element with tag 0x{:02x}", head.tag))),
        }
    }
}

/// Tag and length of an element, and what is in it: of one of indefinite length, all that is left.
struct Head<'a> {
    /// The identifier octet.
    tag: u8,
    size: usize,
    is_indefinite: bool,
    content: Input<'a>,
}

impl Head<'_> {
    fn is_constructed(&self) -> bool {
        self.tag & CONSTRUCTED != 0
    }
}

/// Reads one item (`asn1_item_embed_d2i`): gives the bytes it takes, or `None` if it is not there
/// and may be missing.
fn read(
    input: Input<'_>,
    item: &'static Item,
    tag: Option<u8>,
    is_optional: bool,
) -> Result<Option<usize>, Fault> {
    match item {
        Item::Sequence(fields) => read_sequence(input, fields, tag, is_optional),
        Item::Type(own) => read_primitive(input, *own, tag.unwrap_or(*own), is_optional),
        Item::OneOf(types) => match one_of(input, *types)? {
            Ok(own) => read_primitive(input, own, own, false),
            Err(_) if is_optional => Ok(None),
            Err(fault) => Err(fault),
        },
        Item::NameValue => {
            let own = one_of(input, NAME_TYPES)??;
            let mut content = Vec::new();
            let size = read_content(input, own, own, false, &mut |piece| content.push(piece))?;
            check_text(input, own, &content.concat())?;
            Ok(size)
        }
        Item::Many(field) => read_inside(input, field, false),
        Item::Any => {
            let head = input.header()?;
            let tag = head.tag & !CONSTRUCTED;
            if tag & CLASS_MASK == 0 && tag != LONG_TAG {
                return read_primitive(input, tag, tag, false);
            }
            left_alone(&head).map(Some)
        }
        Item::Name => read_name(input).map(Some),
    }
}

/// The tag of an element that has one of these universal types, or the fault that it has none of
/// them.
fn one_of(input: Input<'_>, types: u32) -> Result<Result<u8, Fault>, Fault> {
    let tag = input.header()?.tag;
    let number = tag & LONG_TAG;
    let is_one = tag & CLASS_MASK == 0 && number != LONG_TAG && types >> number & 1 == 1;
    let problem = || input.fault(format!("type with tag 0x{tag:02x} is not allowed"));
    Ok(if is_one { Ok(number) } else { Err(problem()) })
}

fn read_sequence(
    input: Input<'_>,
    fields: &'static [Field],
    tag: Option<u8>,
    is_optional: bool,
) -> Result<Option<usize>, Fault> {
    let tag = tag.unwrap_or(der::SEQUENCE & !CONSTRUCTED);
    let Some(head) = input.expect(tag, is_optional)? else { return Ok(None) };
    if !head.is_constructed() {
        return Err(input.fault("SEQUENCE that is not constructed"));
    }
    let mut rest = head.content;
    let mut awaits_end = head.is_indefinite;
    let mut fields = fields.iter().peekable();
    while let Some(field) = fields.peek() {
        if rest.data.is_empty() {
            break;
        }
        if rest.is_end() {
            if !awaits_end {
                return Err(rest.fault("unexpected end of contents"));
            }
            rest = rest.skip(2);
            awaits_end = false;
            break;
        }
        let field = *field;
        fields.next();
        // The last field has to be there if anything is.
        let may_be_missing = field.is_optional && fields.peek().is_some();
        if let Some(size) =
            read_field(rest, field, may_be_missing).map_err(|fault| fault.within(field.name))?
        {
            rest = rest.skip(size);
        }
    }
    if awaits_end {
        if !rest.is_end() {
            return Err(rest.fault("end of contents is missing"));
        }
        rest = rest.skip(2);
    }
    if !head.is_indefinite
        && let Some(octet) = rest.data.first()
    {
        return Err(rest.fault(format!("unexpected element with tag 0x{octet:02x}")));
    }
    if let Some(missing) = fields.find(|field| !field.is_optional) {
        let name = if missing.name.is_empty() { "an element" } else { missing.name };
        return Err(rest.fault(format!("{name} is missing")));
    }
    Ok(Some(rest.offset - input.offset))
}

/// Reads a field (`asn1_template_ex_d2i`).
fn read_field(
    input: Input<'_>,
    field: &'static Field,
    is_optional: bool,
) -> Result<Option<usize>, Fault> {
    let Tag::Explicit(tag) = field.tag else { return read_inside(input, field, is_optional) };
    let Some(head) = input.expect(tag, is_optional)? else { return Ok(None) };
    if !head.is_constructed() {
        return Err(input.fault("explicit tag that is not constructed"));
    }
    let size = read_inside(head.content, field, false)?.unwrap_or_default();
    let rest = head.content.skip(size);
    match head.is_indefinite {
        true if rest.is_end() => Ok(Some(head.size + size + 2)),
        true => Err(rest.fault("end of contents is missing")),
        false if rest.data.is_empty() => Ok(Some(head.size + size)),
        false => Err(rest.fault(format!("unexpected element with tag 0x{:02x}", rest.data[0]))),
    }
}

/// Reads what is in an explicit tag (`asn1_template_noexp_d2i`).
fn read_inside(
    input: Input<'_>,
    field: &'static Field,
    is_optional: bool,
) -> Result<Option<usize>, Fault> {
    let implicit = match field.tag {
        Tag::Implicit(tag) => Some(tag),
        _ => None,
    };
    let own = match field.of {
        Of::One => return read(input, field.item, implicit, is_optional),
        Of::Sequence => der::SEQUENCE,
        Of::Set => der::SET,
    };
    let tag = implicit.unwrap_or(own & !CONSTRUCTED);
    let Some(head) = input.expect(tag, is_optional)? else { return Ok(None) };
    let mut rest = head.content;
    let mut awaits_end = head.is_indefinite;
    while !rest.data.is_empty() {
        if rest.is_end() {
            if !awaits_end {
                return Err(rest.fault("unexpected end of contents"));
            }
            rest = rest.skip(2);
            awaits_end = false;
            break;
        }
        rest = rest.skip(read(rest, field.item, None, false)?.unwrap_or_default());
    }
    match awaits_end {
        true => Err(rest.fault("end of contents is missing")),
        false => Ok(Some(rest.offset - input.offset)),
    }
}

/// Reads a name (`x509_name_ex_d2i`), which has to have a canonical form.
fn read_name(input: Input<'_>) -> Result<usize, Fault> {
    let input = input.cut(MAX_NAME_BYTES);
    Ok(read_inside(input, &RELATIVE_NAMES, false)?.unwrap_or_default())
}

/// Reads an element of a universal type.
fn read_primitive(
    input: Input<'_>,
    own: u8,
    tag: u8,
    is_optional: bool,
) -> Result<Option<usize>, Fault> {
    read_content(input, own, tag, is_optional, &mut |_| ())
}

/// Reads an element of a universal type (`asn1_d2i_ex_primitive`), and shows the content that it
/// has checked, which of a string in pieces is its pieces.
fn read_content<'a>(
    input: Input<'a>,
    own: u8,
    tag: u8,
    is_optional: bool,
    show: &mut dyn FnMut(&'a [u8]),
) -> Result<Option<usize>, Fault> {
    let Some(head) = input.expect(tag, is_optional)? else { return Ok(None) };
    if own == der::SEQUENCE & !CONSTRUCTED || own == der::SET & !CONSTRUCTED {
        if !head.is_constructed() {
            return Err(input.fault("SEQUENCE or SET that is not constructed"));
        }
        return left_alone(&head).map(Some);
    }
    if !head.is_constructed() {
        check_content(input, own, head.content.data)?;
        show(head.content.data);
        return Ok(Some(head.size + head.content.data.len()));
    }
    if [der::BOOLEAN, der::INTEGER, NULL, der::OBJECT, ENUMERATED].contains(&own) {
        return Err(input.fault("element in pieces that can have none"));
    }
    let mut pieces = Vec::new();
    let size = collect(head.content, head.is_indefinite, 0, &mut pieces)?;
    check_content(input, own, &pieces.concat())?;
    pieces.into_iter().for_each(show);
    Ok(Some(head.size + size))
}

/// The size of an element whose content nobody looks at.
fn left_alone(head: &Head<'_>) -> Result<usize, Fault> {
    match head.is_indefinite {
        true => Ok(head.size + find_end(head.content)?),
        false => Ok(head.size + head.content.data.len()),
    }
}

/// The size of what is up to the end of an indefinite length, with that end (`asn1_find_end`).
fn find_end(content: Input<'_>) -> Result<usize, Fault> {
    let mut rest = content;
    let mut open = 1_usize;
    while !rest.data.is_empty() {
        if rest.is_end() {
            rest = rest.skip(2);
            open -= 1;
            if open == 0 {
                return Ok(rest.offset - content.offset);
            }
            continue;
        }
        let head = rest.header()?;
        rest = rest.skip(head.size);
        match head.is_indefinite {
            true => open += 1,
            false => rest = rest.skip(head.content.data.len()),
        }
    }
    Err(rest.fault("end of contents is missing"))
}

/// Appends the pieces of a string, and gives the size of them all (`asn1_collect`).
fn collect<'a>(
    content: Input<'a>,
    mut awaits_end: bool,
    depth: usize,
    out: &mut Vec<&'a [u8]>,
) -> Result<usize, Fault> {
    let mut rest = content;
    while !rest.data.is_empty() {
        if rest.is_end() {
            if !awaits_end {
                return Err(rest.fault("unexpected end of contents"));
            }
            rest = rest.skip(2);
            awaits_end = false;
            break;
        }
        let head = rest.header()?;
        rest = rest.skip(head.size);
        if head.is_constructed() {
            if depth >= MAX_STRING_NEST {
                return Err(rest.fault("strings nest too deeply"));
            }
            rest = rest.skip(collect(head.content, head.is_indefinite, depth + 1, out)?);
        } else {
            out.push(head.content.data);
            rest = rest.skip(head.content.data.len());
        }
    }
    match awaits_end {
        true => Err(rest.fault("end of contents is missing")),
        false => Ok(rest.offset - content.offset),
    }
}

/// Checks the content of a universal type (`asn1_ex_c2i`).
fn check_content(input: Input<'_>, own: u8, content: &[u8]) -> Result<(), Fault> {
    let element = Element { tag: own, raw: content, content, offset: input.offset };
    match own {
        der::OBJECT => Oid::from_element(&element).map(drop),
        NULL if !content.is_empty() => Err(input.fault("NULL that is not empty")),
        der::BOOLEAN => element.boolean().map(drop),
        der::BIT_STRING => element.bits().map(drop),
        der::INTEGER | ENUMERATED => element.integer().map(drop),
        BMP_STRING if !content.len().is_multiple_of(2) => {
            Err(input.fault("BMPString with half a character"))
        }
        UNIVERSAL_STRING if !content.len().is_multiple_of(4) => {
            Err(input.fault("UniversalString with part of a character"))
        }
        _ => Ok(()),
    }
}

/// Checks that the value of an attribute has a canonical form (`asn1_string_canon`): that its text
/// is text.
fn check_text(input: Input<'_>, own: u8, content: &[u8]) -> Result<(), Fault> {
    let is_text = match own {
        UTF8_STRING => std::str::from_utf8(content).is_ok(),
        BMP_STRING => is_unicode(content, 2),
        UNIVERSAL_STRING => is_unicode(content, 4),
        _ => true,
    };
    match is_text {
        true => Ok(()),
        false => Err(input.fault("text that is not in the encoding of its type")),
    }
}

fn is_unicode(content: &[u8], width: usize) -> bool {
    let number = |c: &[u8]| c.iter().fold(0, |number, octet| number << 8 | u32::from(*octet));
    content.chunks(width).all(|c| char::from_u32(number(c)).is_some())
}
