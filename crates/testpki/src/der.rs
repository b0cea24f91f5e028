//! A small DER writer.
//!
//! Knows tags, lengths and the few types that certificates and CRLs are made of, and nothing of
//! X.509. It writes whatever it is told to: an odd certificate (negative serial, embedded NUL, a
//! year past 9998) is a purpose here, not a mistake.

use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Object;

/// Tag of a SEQUENCE.
pub const SEQUENCE: u8 = 0x30;

/// Tag of a SET.
pub const SET: u8 = 0x31;

/// Seconds since 1970-01-01 00:00 UTC.
pub type UnixTime = i64;

/// The present, in whole seconds.
#[allow(clippy::disallowed_methods, reason = "certificates of tests are valid now")]
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("the clock is before the year 292 billion")
}

/// `tag`, length and `content`.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    put(&mut out, tag, content);
    out
}

/// Appends `tag`, length and `content` to `out`.
pub fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    out.extend_from_slice(content);
}

/// Content of the first element, and what follows it.
///
/// # Panics
/// If `der` is cut short.
pub fn split(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let bytes = &der[2..2 + count];
            (2 + count, bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
        }
    };
    (&der[start..start + length], &der[start + length..])
}

/// SEQUENCE of encoded fields; an empty one is a field that is left out.
pub fn seq(fields: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &fields.concat())
}

/// SEQUENCE OF encoded elements.
pub fn seq_of<T: AsRef<[u8]>>(elements: &[T]) -> Vec<u8> {
    tlv(SEQUENCE, &concat(elements))
}

/// SET OF encoded elements, sorted as DER demands.
pub fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    tlv(SET, &elements.concat())
}

/// The elements one behind the other.
pub fn concat<T: AsRef<[u8]>>(elements: &[T]) -> Vec<u8> {
    elements.iter().flat_map(|element| element.as_ref()).copied().collect()
}

/// `[n] EXPLICIT`, or an implicit constructed type.
pub fn context(n: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | n, content)
}

/// `[n] IMPLICIT` of a primitive type.
pub fn context_primitive(n: u8, content: &[u8]) -> Vec<u8> {
    tlv(0x80 | n, content)
}

/// INTEGER from its content octets, as they are.
pub fn integer_raw(content: &[u8]) -> Vec<u8> {
    tlv(0x02, content)
}

/// Non-negative INTEGER.
pub fn integer(value: u64) -> Vec<u8> {
    integer_of(&value.to_be_bytes())
}

/// Non-negative INTEGER of any length, from its big-endian bytes.
pub fn integer_of(bytes: &[u8]) -> Vec<u8> {
    integer_raw(&unsigned(bytes))
}

/// Content octets of the non-negative INTEGER with these big-endian bytes.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|b| **b == 0).count();
    let rest = &bytes[skip..];
    match rest.first() {
        None => vec![0],
        Some(first) if *first >= 0x80 => [&[0], rest].concat(),
        Some(_) => rest.to_vec(),
    }
}

/// ENUMERATED.
pub fn enumerated(value: u8) -> Vec<u8> {
    tlv(0x0a, &[value])
}

/// BOOLEAN.
pub fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, &[if value { 0xff } else { 0 }])
}

/// NULL.
pub fn null() -> Vec<u8> {
    tlv(0x05, &[])
}

/// OCTET STRING.
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    tlv(0x04, content)
}

/// BIT STRING of whole bytes.
pub fn bit_string(content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], content].concat())
}

/// BIT STRING of named bits: bit 0 is the most significant one, trailing zeros are cut.
pub fn named_bits(bits: &[u8]) -> Vec<u8> {
    let Some(last) = bits.iter().max() else { return tlv(0x03, &[0]) };
    let mut bytes = vec![0u8; usize::from(last / 8) + 1];
    for bit in bits {
        bytes[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
    }
    tlv(0x03, &[&[7 - last % 8], bytes.as_slice()].concat())
}

/// OBJECT IDENTIFIER, by one of OpenSSL's names for it (`CN`, `keyUsage`) or dotted.
pub fn oid(text: &str) -> Vec<u8> {
    tlv(0x06, &oid_content(text))
}

/// Content octets of an OBJECT IDENTIFIER, named as for [`oid`].
///
/// # Panics
/// If OpenSSL does not know the name.
pub fn oid_content(text: &str) -> Vec<u8> {
    let object = Asn1Object::from_str(text);
    object.unwrap_or_else(|_| panic!("{text:?} is no OID that OpenSSL knows")).as_slice().to_vec()
}

/// An attribute of a name: its type, as for [`oid`], and its value with any tag.
pub fn attribute(kind: &str, tag: u8, value: &[u8]) -> Vec<u8> {
    seq(&[&oid(kind), &tlv(tag, value)])
}

/// UTF8String.
pub fn utf8(text: &str) -> Vec<u8> {
    tlv(0x0c, text.as_bytes())
}

/// IA5String.
pub fn ia5(text: &str) -> Vec<u8> {
    tlv(0x16, text.as_bytes())
}

/// A time as X.509 wants it: UTCTime from 1950 to 2049, GeneralizedTime otherwise.
pub fn time(at: UnixTime) -> Vec<u8> {
    let (year, rest) = calendar(at);
    if (1950..2050).contains(&year) {
        tlv(0x17, format!("{:02}{rest}Z", year % 100).as_bytes())
    } else {
        generalized_time(at)
    }
}

/// GeneralizedTime.
pub fn generalized_time(at: UnixTime) -> Vec<u8> {
    let (year, rest) = calendar(at);
    tlv(0x18, format!("{year:04}{rest}Z").as_bytes())
}

/// Year, and `MMDDhhmmss`, in the proleptic Gregorian calendar.
fn calendar(at: UnixTime) -> (i64, String) {
    let (days, second) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    // Days since 0000-03-01, in eras of 400 years: March first puts the leap day last.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    (year, format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}"))
}

/// The PEM form of `der`.
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = openssl::base64::encode_block(der);
    let mut out = String::with_capacity(base64.len() + base64.len() / 64 + 64);
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// The bytes of each PEM block with this label, in file order.
///
/// # Panics
/// If a block is not base64.
pub fn from_pem(label: &str, text: &str) -> Vec<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(&begin) {
        let body = &rest[start + begin.len()..];
        let stop = body.find(&end).expect("every PEM block ends");
        let base64: String = body[..stop].split_whitespace().collect();
        blocks.push(openssl::base64::decode_block(&base64).expect("a PEM block is base64"));
        rest = &body[stop + end.len()..];
    }
    blocks
}

/// The same element in BER: indefinite lengths throughout, strings of more than one byte in two
/// pieces.
pub fn to_ber(der: &[u8]) -> Vec<u8> {
    let (tag, (content, behind)) = (der[0], split(der));
    let is_string = matches!(tag, 0x03 | 0x04 | 0x0c | 0x13 | 0x16);
    let pieces = if tag & 0x20 != 0 {
        let mut rest = content;
        let mut inner = Vec::new();
        while !rest.is_empty() {
            inner.extend(to_ber(rest));
            rest = split(rest).1;
        }
        inner
    } else if is_string && content.len() > 1 {
        let (first, second) = content.split_at(content.len() / 2);
        [tlv(tag, first), tlv(tag, second)].concat()
    } else {
        return der[..der.len() - behind.len()].to_vec();
    };
    indefinite(tag | 0x20, &pieces)
}

/// An element of indefinite length.
pub fn indefinite(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80], content, &[0, 0]].concat()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hex digits stand for.
///
/// # Panics
/// If they are no pairs of hex digits.
pub fn from_hex(text: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| {
        let digits = str::from_utf8(pair).expect("hex is ASCII");
        u8::from_str_radix(digits, 16).expect("a pair of hex digits")
    };
    text.as_bytes().chunks(2).map(pair).collect()
}
