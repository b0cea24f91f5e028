//! Reading DER, as leniently as OpenSSL does.
//!
//! Owns the walk over tag, length and content and the position of what breaks; knows nothing of
//! certificates. Lengths may be longer than needed, because OpenSSL takes them too. What is BER
//! rather than DER (indefinite lengths, strings in pieces, tags in long form) is refused here with
//! [`Fault::is_ber`] true; [`ber::to_definite`](super::ber::to_definite) rewrites it. Why not
//! x509-parser: it is stricter than OpenSSL, and a certificate that the server has accepted must
//! not be refused here.

use std::borrow::Cow;
use std::ops::Range;

use super::time;
use crate::error::Error;
use crate::time::UnixTime;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

pub(crate) const CONSTRUCTED: u8 = 0x20;
pub(crate) const CLASS_MASK: u8 = 0xc0;
/// The number of a tag that goes on in the bytes that follow.
pub(crate) const LONG_TAG: u8 = 0x1f;

/// What is wrong with a piece of DER, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Offset of the broken element from the start of the outermost one.
    offset: usize,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Broken(Cow<'static, str>),
    /// The input is BER, and reading it again after [`ber::to_definite`](super::ber::to_definite)
    /// may succeed.
    Ber(&'static str),
    TooLarge {
        what: &'static str,
        limit: usize,
    },
}

impl Fault {
    pub(crate) fn new(offset: usize, problem: impl Into<Cow<'static, str>>) -> Self {
        Self { offset, problem: Problem::Broken(problem.into()) }
    }

    pub(crate) fn ber(offset: usize, problem: &'static str) -> Self {
        Self { offset, problem: Problem::Ber(problem) }
    }

    pub(crate) fn too_large(offset: usize, what: &'static str, limit: usize) -> Self {
        Self { offset, problem: Problem::TooLarge { what, limit } }
    }

    /// The same, in the field of this name; in none if that is empty.
    pub(crate) fn within(self, field: &str) -> Self {
        match self.problem {
            Problem::Broken(problem) if !field.is_empty() => {
                Self::new(self.offset, format!("{field}: {problem}"))
            }
            problem => Self { problem, ..self },
        }
    }

    /// The same, of an element that starts so far into the outermost one.
    pub(crate) fn moved_by(self, offset: usize) -> Self {
        Self { offset: self.offset + offset, ..self }
    }

    pub(crate) fn is_ber(&self) -> bool {
        matches!(self.problem, Problem::Ber(_))
    }

    pub(crate) fn into_error(self, expected: &'static str) -> Error {
        let offset = self.offset;
        match self.problem {
            Problem::Broken(problem) => {
                Error::Der { expected, offset, problem: problem.into_owned() }
            }
            Problem::Ber(problem) => Error::Der { expected, offset, problem: problem.to_owned() },
            Problem::TooLarge { what, limit } => Error::TooLarge { what, limit },
        }
    }
}

/// One tag-length-value triple.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    /// The identifier octet; the first one where the tag number takes several.
    pub(crate) tag: u8,
    /// The whole triple.
    pub(crate) raw: &'a [u8],
    pub(crate) content: &'a [u8],
    /// Where the triple starts, from the start of the outermost element.
    pub(crate) offset: usize,
}

impl<'a> Element<'a> {
    /// A reader of what this element holds.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader { rest: self.content, offset: self.content_offset() }
    }

    pub(crate) fn content_offset(&self) -> usize {
        self.offset + (self.raw.len() - self.content.len())
    }

    /// Where the content lies, counted from the start of the outermost element.
    pub(crate) fn content_range(&self) -> Range<usize> {
        self.content_offset()..self.offset + self.raw.len()
    }

    /// Where the whole triple lies, counted from the start of the outermost element.
    pub(crate) fn raw_range(&self) -> Range<usize> {
        self.offset..self.offset + self.raw.len()
    }

    /// Whether the length takes as few bytes as it can.
    pub(crate) fn has_shortest_header(&self) -> bool {
        let mut shortest = Vec::with_capacity(6);
        push_header(&mut shortest, self.tag, self.content.len());
        shortest.len() == self.content_offset() - self.offset
    }

    pub(crate) fn fault(&self, problem: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(self.offset, problem)
    }

    /// A BOOLEAN; any octet but zero is true, as OpenSSL has it.
    pub(crate) fn boolean(&self) -> Result<bool, Fault> {
        match self.content {
            [octet] => Ok(*octet != 0),
            _ => Err(self.fault("BOOLEAN is not one byte long")),
        }
    }

    /// An INTEGER that has to fit 63 bits and a sign.
    pub(crate) fn small_integer(&self) -> Result<i64, Fault> {
        let (first, _) = self.content.split_first().ok_or_else(|| self.fault("empty INTEGER"))?;
        if self.content.len() > 8 {
            return Err(self.fault("INTEGER is too large"));
        }
        let sign = if first & 0x80 == 0 { 0 } else { -1 };
        Ok(self.content.iter().fold(sign, |value, octet| (value << 8) | i64::from(*octet)))
    }

    /// A BIT STRING: how many bits of the last byte do not count, and the bytes.
    pub(crate) fn bits(&self) -> Result<(u8, &'a [u8]), Fault> {
        match self.content.split_first() {
            Some((unused, bytes)) if *unused < 8 => Ok((*unused, bytes)),
            Some(_) => Err(self.fault("BIT STRING with more than seven unused bits")),
            None => Err(self.fault("empty BIT STRING")),
        }
    }

    /// The content of an INTEGER or ENUMERATED in its only encoding; OpenSSL refuses one that is
    /// empty or padded (X.690, section 8.3.2).
    pub(crate) fn integer(&self) -> Result<&'a [u8], Fault> {
        match self.content {
            [] => Err(self.fault("empty INTEGER")),
            [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(self.fault("padded INTEGER")),
            content => Ok(content),
        }
    }

    /// Whether a time has the only form that RFC 5280, section 4.1.2.5, allows: with seconds, in
    /// UTC. OpenSSL's `X509_cmp_time` takes no other.
    pub(crate) fn is_plain_time(&self) -> bool {
        let length = if self.tag == UTC_TIME { 13 } else { 15 };
        self.content.len() == length
            && self.content.split_last().is_some_and(|(zone, digits)| {
                *zone == b'Z' && digits.iter().all(u8::is_ascii_digit)
            })
    }

    /// A UTCTime or GeneralizedTime, in the forms that OpenSSL's `ASN1_TIME_to_tm` takes.
    pub(crate) fn time(&self) -> Result<UnixTime, Fault> {
        time::parse_time(self.tag, self.content).ok_or_else(|| self.fault("not a valid time"))
    }
}

/// A walk over the elements of one constructed element.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `data`, which starts `offset` bytes into what positions are counted from.
    pub(crate) fn new(data: &'a [u8], offset: usize) -> Self {
        Self { rest: data, offset }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, Fault> {
        let header = Header::parse(self.rest).map_err(|problem| self.fault(problem))?;
        let Some(length) = header.length else {
            return Err(Fault::ber(self.offset, "indefinite length"));
        };
        let end = header.size.checked_add(length).filter(|end| *end <= self.rest.len());
        let Some((raw, rest)) = end.and_then(|end| self.rest.split_at_checked(end)) else {
            return Err(self.fault("data ends before the element does"));
        };
        let element =
            Element { tag: header.tag, raw, content: &raw[header.size..], offset: self.offset };
        self.rest = rest;
        self.offset += raw.len();
        Ok(element)
    }

    /// The next element, which has to have this identifier octet; `what` names it in the error.
    pub(crate) fn expect(&mut self, tag: u8, what: &'static str) -> Result<Element<'a>, Fault> {
        let Some(found) = self.rest.first().copied() else {
            return Err(self.fault(format!("{what} is missing")));
        };
        if found == tag {
            return self.any();
        }
        self.refuse_ber(found, tag)?;
        Err(self.fault(format!("expected {what}, found tag 0x{found:02x}")))
    }

    /// As [`Reader::expect`] for a SEQUENCE OF or SET OF, where OpenSSL does not mind a missing
    /// constructed bit.
    pub(crate) fn expect_list(
        &mut self,
        tag: u8,
        what: &'static str,
    ) -> Result<Element<'a>, Fault> {
        match self.rest.first() {
            Some(found) if *found == tag & !CONSTRUCTED => self.any(),
            _ => self.expect(tag, what),
        }
    }

    /// The next element if it has this identifier octet.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Fault> {
        match self.rest.first() {
            Some(found) if *found == tag => self.any().map(Some),
            Some(found) => self.refuse_ber(*found, tag).map(|()| None),
            None => Ok(None),
        }
    }

    /// As [`Reader::optional`] for a SEQUENCE OF or SET OF, where OpenSSL does not mind a missing
    /// constructed bit.
    pub(crate) fn optional_list(&mut self, tag: u8) -> Result<Option<Element<'a>>, Fault> {
        match self.rest.first() {
            Some(found) if *found == tag & !CONSTRUCTED => self.any().map(Some),
            _ => self.optional(tag),
        }
    }

    /// The next element if it is a UTCTime or a GeneralizedTime.
    pub(crate) fn optional_time(&mut self) -> Result<Option<Element<'a>>, Fault> {
        match self.optional(UTC_TIME)? {
            None => self.optional(GENERALIZED_TIME),
            time => Ok(time),
        }
    }

    /// The next element, which has to be a UTCTime or a GeneralizedTime; `what` names it in the
    /// error.
    pub(crate) fn expect_time(&mut self, what: &'static str) -> Result<Element<'a>, Fault> {
        match self.optional(UTC_TIME)? {
            Some(time) => Ok(time),
            None => self.expect(GENERALIZED_TIME, what),
        }
    }

    /// Fails if an element with the identifier octet `found` may be `wanted` in BER.
    fn refuse_ber(&self, found: u8, wanted: u8) -> Result<(), Fault> {
        if found & LONG_TAG == LONG_TAG {
            return Err(Fault::ber(self.offset, "tag in long form"));
        }
        // A string in pieces has the tag of the string with the constructed bit.
        if wanted & CONSTRUCTED == 0 && found == wanted | CONSTRUCTED {
            return Err(Fault::ber(self.offset, "string in pieces"));
        }
        Ok(())
    }

    /// Fails unless everything has been read.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        match self.rest.first() {
            None => Ok(()),
            Some(tag) => Err(self.fault(format!("unexpected element with tag 0x{tag:02x}"))),
        }
    }

    fn fault(&self, problem: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(self.offset, problem)
    }
}

/// The elements of the SEQUENCE OF that `value` starts with, each read by `read`.
pub(crate) fn sequence_of<T>(
    value: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut elements = value.expect_list(SEQUENCE, "a SEQUENCE")?.inside();
    let mut out = Vec::new();
    while !elements.is_empty() {
        out.push(read(&mut elements)?);
    }
    Ok(out)
}

pub(crate) struct Header {
    pub(crate) tag: u8,
    /// Bytes of tag and length.
    pub(crate) size: usize,
    /// `None` when indefinite.
    pub(crate) length: Option<usize>,
}

impl Header {
    pub(crate) fn parse(data: &[u8]) -> Result<Self, &'static str> {
        let (tag, mut rest) = data.split_first().ok_or("data ends where an element should be")?;
        let mut tag = *tag;
        if tag & LONG_TAG == LONG_TAG {
            let last = rest.iter().position(|octet| octet & 0x80 == 0);
            let (number, after) = rest.split_at(last.ok_or("data ends within a tag")? + 1);
            rest = after;
            // OpenSSL keeps it in an `int`.
            let significant = number.iter().position(|octet| *octet != 0x80);
            match &number[significant.unwrap_or(number.len() - 1)..] {
                [] | [_] | [_, _] | [_, _, _] | [_, _, _, _] | [0x80..=0x87, _, _, _, _] => {}
                _ => return Err("tag is too large"),
            }
            // A number that has a short form.
            if let [zeroes @ .., short @ 0..LONG_TAG] = number
                && zeroes.iter().all(|octet| *octet == 0x80)
            {
                tag = (tag & !LONG_TAG) | short;
            }
        }
        let (first, mut rest) = rest.split_first().ok_or("data ends before the length")?;
        let length = match *first {
            0x80 if tag & CONSTRUCTED == 0 => return Err("primitive of indefinite length"),
            0x80 => None,
            short if short & 0x80 == 0 => Some(usize::from(short)),
            long => {
                let count = usize::from(long & 0x7f);
                let (octets, after) =
                    rest.split_at_checked(count).ok_or("data ends within a length")?;
                rest = after;
                let length = octets.iter().try_fold(0_usize, |length, octet| {
                    Some(length.checked_mul(256)? | usize::from(*octet))
                });
                // OpenSSL keeps it in a `long`.
                Some(
                    length
                        .filter(|length| isize::try_from(*length).is_ok())
                        .ok_or("length is too large")?,
                )
            }
        };
        Ok(Self { tag, size: data.len() - rest.len(), length })
    }
}

/// Appends tag and length in their shortest form.
pub(crate) fn push_header(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    match significant {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // A length has at most eight bytes.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7f));
            out.extend_from_slice(long);
        }
    }
}

/// Bytes of the tag and the length at the start of `data`.
pub(crate) fn header_size(data: &[u8]) -> Result<usize, Fault> {
    Header::parse(data).map(|header| header.size).map_err(|problem| Fault::new(0, problem))
}
