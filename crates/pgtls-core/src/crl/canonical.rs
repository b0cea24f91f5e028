//! The form of a Name in which two names are equal exactly when OpenSSL's `X509_NAME_cmp` says so.
//!
//! OpenSSL compares the canonical encodings that `x509_name_canon` builds: text of any string type as UTF-8, ASCII
//! letters in lower case, spaces at the ends cut and runs of spaces inside made one; values of other types as they are.
//! The bytes made here are an encoding of the same thing, only meant to be compared with each other.

use crate::der::{self, Element, Problem, Reader};

/// Canonical form of the content of a Name (RFC 5280 section 4.1.2.4), its RDNs in order.
pub(crate) fn name(mut rdns: Reader<'_>) -> Result<Vec<u8>, Problem> {
    let mut canonical = Vec::new();
    while !rdns.is_empty() {
        let set = rdns.take(der::SET, "RDN is not a SET")?;
        rdn(set.reader(), &mut canonical)?;
    }
    Ok(canonical)
}

/// Adds the canonical form of one RDN, given the content of its SET.
pub(crate) fn rdn(mut attributes: Reader<'_>, canonical: &mut Vec<u8>) -> Result<(), Problem> {
    let mut members = Vec::new();
    while !attributes.is_empty() {
        let attribute = attributes.take(der::SEQUENCE, "attribute is not a SEQUENCE")?;
        members.push(self::attribute(attribute.reader())?);
    }
    // The attributes of a SET have no order of their own.
    members.sort_unstable();
    if !members.is_empty() {
        push_length(canonical, members.len());
        for member in members {
            push_length(canonical, member.len());
            canonical.extend(member);
        }
    }
    Ok(())
}

fn attribute(mut parts: Reader<'_>) -> Result<Vec<u8>, Problem> {
    let kind = parts.take(der::OID, "attribute type is not an OID")?;
    let value = parts.next()?;
    parts.finish("data after an attribute value")?;

    let mut canonical = Vec::with_capacity(kind.content.len() + value.content.len() + 16);
    push_length(&mut canonical, kind.content.len());
    canonical.extend(kind.content);
    match text(&value)? {
        Some(text) => {
            canonical.push(der::UTF8_STRING);
            push_folded(&mut canonical, &text);
        }
        None => {
            canonical.push(value.tag);
            canonical.extend(value.content);
        }
    }
    Ok(canonical)
}

/// The text of a value whose type OpenSSL counts as text (`ASN1_MASK_CANON`), else `None`.
fn text(value: &Element<'_>) -> Result<Option<String>, Problem> {
    let wrong = value.problem("text is not in its encoding");
    let text = match value.tag {
        der::UTF8_STRING => str::from_utf8(value.content).map_err(|_| wrong)?.to_owned(),
        // One octet is one code point, also above 127, where these types have none.
        der::PRINTABLE_STRING | der::IA5_STRING | der::VISIBLE_STRING | der::T61_STRING => {
            value.content.iter().copied().map(char::from).collect()
        }
        der::BMP_STRING => {
            let (units, rest) = value.content.as_chunks::<2>();
            if !rest.is_empty() {
                return Err(wrong);
            }
            let points = units.iter().map(|unit| u32::from(u16::from_be_bytes(*unit)));
            points.map(char::from_u32).collect::<Option<String>>().ok_or(wrong)?
        }
        der::UNIVERSAL_STRING => {
            let (points, rest) = value.content.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(wrong);
            }
            let points = points.iter().map(|point| u32::from_be_bytes(*point));
            points.map(char::from_u32).collect::<Option<String>>().ok_or(wrong)?
        }
        _ => return Ok(None),
    };
    Ok(Some(text))
}

fn push_folded(canonical: &mut Vec<u8>, text: &str) {
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let mut words = text.as_bytes().split(is_space).filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        canonical.extend(first.iter().map(u8::to_ascii_lowercase));
    }
    for word in words {
        canonical.push(b' ');
        canonical.extend(word.iter().map(u8::to_ascii_lowercase));
    }
}

/// A length in front of what it counts keeps the encoding unambiguous.
fn push_length(canonical: &mut Vec<u8>, length: usize) {
    canonical.extend(length.to_be_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use openssl::x509::X509Name;

    use super::*;

    /// DER of an element with a short length.
    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut der = vec![tag, u8::try_from(content.len()).unwrap()];
        assert!(content.len() < 128);
        der.extend(content);
        der
    }

    fn value(kind: u8, tag: u8, content: &[u8]) -> Vec<u8> {
        tlv(0x30, &[tlv(6, &[0x55, 4, kind]), tlv(tag, content)].concat())
    }

    fn names() -> Vec<Vec<u8>> {
        let values: [(u8, &[u8]); 26] = [
            (0x0c, b"acme"),
            (0x0c, b"Acme"),
            (0x13, b"ACME"),
            (0x16, b" acme  "),
            (0x1a, b"\tacme\r\n"),
            (0x14, b"acme"),
            (0x1e, b"\0a\0c\0m\0e"),
            (0x1c, b"\0\0\0A\0\0\0c\0\0\0m\0\0\0e"),
            (0x12, b"acme"),
            (0x12, b"ACME"),
            (0x0c, b"ac me"),
            (0x0c, b"AC  \t ME"),
            (0x0c, "\u{e4}cme".as_bytes()),
            (0x0c, "\u{c4}cme".as_bytes()),
            (0x14, b"\xe4cme"),
            (0x16, b"\xe4cme"),
            (0x1e, b"\0\xe4\0c\0m\0e"),
            (0x0c, b"acme\xc2\xa0"),
            (0x0c, b""),
            (0x13, b"   "),
            (0x12, b""),
            (0x0c, b"ac\0me"),
            (0x0c, b"acm"),
            (0x0c, b"acme "),
            (0x03, b"\0acme"),
            (0x0c, b"ac-me"),
        ];
        let one = |kind: u8, tag: u8, text: &[u8]| tlv(0x31, &value(kind, tag, text));
        let mut names: Vec<_> =
            values.iter().map(|(tag, text)| tlv(0x30, &one(3, *tag, text))).collect();
        names.push(tlv(0x30, b""));
        names.push(tlv(0x30, &one(10, 0x0c, b"acme")));
        let (a, b) = (value(3, 0x0c, b"a"), value(10, 0x0c, b"Bee"));
        names.push(tlv(0x30, &tlv(0x31, &[a.clone(), b.clone()].concat())));
        names.push(tlv(0x30, &tlv(0x31, &[b.clone(), a.clone()].concat())));
        names.push(tlv(0x30, &[tlv(0x31, &a), tlv(0x31, &b)].concat()));
        names.push(tlv(0x30, &[tlv(0x31, &b), tlv(0x31, &a)].concat()));
        names
    }

    #[test]
    fn equal_exactly_when_openssl_says_so() {
        let names = names();
        let mut equal = 0;
        for a in &names {
            for b in &names {
                let ours = [a, b]
                    .map(|name| super::name(Reader::new(name).next().unwrap().reader()).unwrap());
                let theirs = [a, b].map(|name| X509Name::from_der(name).unwrap());
                let same = theirs[0].try_cmp(&theirs[1]).unwrap().is_eq();
                assert_eq!(ours[0] == ours[1], same, "{a:02x?} {b:02x?}");
                equal += usize::from(same);
            }
        }
        assert!(equal > names.len() + 40, "only {equal} equal pairs: the table tests too little");
    }

    #[test]
    fn refuses_what_openssl_refuses() {
        let wrong: [(u8, &[u8]); 5] = [
            (0x0c, b"\xff"),
            (0x1e, b"\0a\0"),
            (0x1e, b"\xd8\0"),
            (0x1c, b"\0\0\0"),
            (0x1c, b"\0\x11\0\0"),
        ];
        for (tag, text) in wrong {
            let der = tlv(0x30, &tlv(0x31, &value(3, tag, text)));
            assert!(X509Name::from_der(&der).is_err(), "{tag} {text:?}");
            assert!(super::name(Reader::new(&der).next().unwrap().reader()).is_err());
        }
    }
}
