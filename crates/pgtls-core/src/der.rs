//! A reader for DER, as far as revocation lists need it.
//!
//! Owns nothing: it walks over borrowed bytes, allocates nothing, and every step is bounded by the element around it. It
//! takes what OpenSSL's `ASN1_get_object` takes in a definite length, which includes lengths with more octets than
//! needed; it refuses indefinite lengths, which DER (X.690 section 10.1) does not know.

use crate::UnixTime;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const T61_STRING: u8 = 0x14;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const VISIBLE_STRING: u8 = 0x1a;
pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
pub(crate) const BMP_STRING: u8 = 0x1e;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Tag of a primitive context-specific element, `[number]`.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// Tag of a constructed context-specific element, `[number]`.
pub(crate) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// What is wrong, and at which offset from the start of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

/// One element: its tag, its content, and where it starts in the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) offset: usize,
    /// Header and content.
    pub(crate) raw: &'a [u8],
    pub(crate) content: &'a [u8],
}

impl<'a> Element<'a> {
    /// Offset of the content in the document.
    pub(crate) fn content_offset(&self) -> usize {
        self.offset + (self.raw.len() - self.content.len())
    }

    /// Reader over the content.
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader { rest: self.content, offset: self.content_offset() }
    }

    /// A problem with this element.
    pub(crate) fn problem(&self, what: &'static str) -> Problem {
        Problem { offset: self.offset, what }
    }

    /// The value of a BOOLEAN; any octet but zero is true, as in OpenSSL.
    pub(crate) fn boolean(&self) -> Result<bool, Problem> {
        match self.content {
            [octet] => Ok(*octet != 0),
            _ => Err(self.problem("BOOLEAN is not one byte long")),
        }
    }

    /// The content octets of an INTEGER or ENUMERATED, refused when empty or padded (X.690 section 8.3.2).
    pub(crate) fn integer(&self) -> Result<&'a [u8], Problem> {
        match self.content {
            [] => Err(self.problem("INTEGER without content")),
            [0, next, ..] if next & 0x80 == 0 => Err(self.problem("INTEGER with padding")),
            [0xff, next, ..] if next & 0x80 != 0 => Err(self.problem("INTEGER with padding")),
            content => Ok(content),
        }
    }
}

/// Walks over the elements of a slice, front to back.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(document: &'a [u8]) -> Self {
        Self { rest: document, offset: 0 }
    }

    /// Reader over a part of the document that starts at `offset`.
    pub(crate) fn at(part: &'a [u8], offset: usize) -> Self {
        Self { rest: part, offset }
    }

    /// Offset in the document of what comes next.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Tag of the next element, if there is one.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// A problem with what comes next.
    pub(crate) fn problem(&self, what: &'static str) -> Problem {
        Problem { offset: self.offset, what }
    }

    /// Reads the next element, whatever it is.
    pub(crate) fn next(&mut self) -> Result<Element<'a>, Problem> {
        let (tag, header, length) = match *self.rest {
            [] => return Err(self.problem("data ends where an element should start")),
            [tag, ..] if tag & 0x1f == 0x1f => {
                return Err(self.problem("tag number above 30"));
            }
            [_] => return Err(self.problem("data ends inside a length")),
            [tag, length, ..] if length < 0x80 => (tag, 2, usize::from(length)),
            [_, 0x80, ..] => return Err(self.problem("indefinite length")),
            [tag, octets, ref rest @ ..] => {
                let octets = usize::from(octets & 0x7f);
                let Some(octets_of_length) = rest.get(..octets) else {
                    return Err(self.problem("data ends inside a length"));
                };
                let mut length: usize = 0;
                for octet in octets_of_length {
                    length = length
                        .checked_mul(256)
                        .and_then(|shifted| shifted.checked_add(usize::from(*octet)))
                        .ok_or(self.problem("length is too large"))?;
                }
                (tag, 2 + octets, length)
            }
        };
        let Some((raw, rest)) =
            header.checked_add(length).and_then(|total| self.rest.split_at_checked(total))
        else {
            return Err(self.problem("length goes past the end of the data"));
        };
        let element = Element { tag, offset: self.offset, raw, content: &raw[header..] };
        self.rest = rest;
        self.offset += raw.len();
        Ok(element)
    }

    /// Reads the next element, which must have this tag; `what` says what is missing otherwise.
    pub(crate) fn take(&mut self, tag: u8, what: &'static str) -> Result<Element<'a>, Problem> {
        if self.peek() != Some(tag) {
            return Err(self.problem(what));
        }
        self.next()
    }

    /// Reads the next element if it has this tag.
    pub(crate) fn take_if(&mut self, tag: u8) -> Result<Option<Element<'a>>, Problem> {
        if self.peek() == Some(tag) { self.next().map(Some) } else { Ok(None) }
    }

    /// Refuses anything that is left.
    pub(crate) fn finish(&self, what: &'static str) -> Result<(), Problem> {
        if self.is_empty() { Ok(()) } else { Err(self.problem(what)) }
    }
}

/// The instant a UTCTime or GeneralizedTime names, in the only form RFC 5280 section 4.1.2.5 allows: seconds given, zone
/// `Z`, no fraction. Anything else is `None`, which is what OpenSSL's `X509_cmp_time` calls an error.
pub(crate) fn time(tag: u8, content: &[u8]) -> Option<UnixTime> {
    let (year, rest) = match (tag, content.len()) {
        (UTC_TIME, 13) => {
            let (year, rest) = digits(content, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 15) => digits(content, 4)?,
        _ => return None,
    };
    let (month, rest) = digits(rest, 2)?;
    let (day, rest) = digits(rest, 2)?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest, 2)?;
    let (second, rest) = digits(rest, 2)?;
    if rest != b"Z" || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    Some(UnixTime(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second))
}

fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (number, rest) = text.split_at_checked(count)?;
    let mut value = 0;
    for digit in number {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some((value, rest))
}

/// Days since 1970-01-01 of a day in the proleptic Gregorian calendar, counted in years that start in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_short_and_long_lengths() {
        let mut long = vec![OCTET_STRING, 0x82, 0x01, 0x00];
        long.extend([7; 256]);
        let mut reader = Reader::new(&long);
        let element = reader.next().unwrap();
        assert_eq!((element.tag, element.content.len(), element.content_offset()), (4, 256, 4));
        assert!(reader.is_empty());

        // More octets than needed, and zeros in front, as OpenSSL takes them.
        let mut reader = Reader::new(&[2, 0x83, 0, 0, 1, 9, 5, 0]);
        assert_eq!(reader.next().unwrap().content, [9]);
        assert_eq!(reader.next().unwrap().offset, 6);
    }

    #[test]
    fn says_where_it_breaks() {
        let cases: [(&[u8], usize, &str); 7] = [
            (&[], 0, "data ends where an element should start"),
            (&[0x30], 0, "data ends inside a length"),
            (&[0x30, 0x82, 1], 0, "data ends inside a length"),
            (&[0x30, 0x80, 0, 0], 0, "indefinite length"),
            (&[0x3f, 0x81, 1, 0], 0, "tag number above 30"),
            (&[0x30, 3, 1, 1], 0, "length goes past the end of the data"),
            (&[0x30, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0], 0, "length is too large"),
        ];
        for (bytes, offset, what) in cases {
            assert_eq!(Reader::new(bytes).next().unwrap_err(), Problem { offset, what });
        }
        let outer = [0x30, 3, 1, 2, 0];
        let mut inner = Reader::new(&outer).next().unwrap().reader();
        assert_eq!(inner.next().unwrap_err().offset, 2);
    }

    #[test]
    fn integers_and_booleans() {
        let element = |bytes: &'static [u8]| Reader::new(bytes).next().unwrap();
        assert_eq!(element(&[2, 2, 0, 0x80]).integer().unwrap(), [0, 0x80]);
        assert!(element(&[2, 2, 0, 0x7f]).integer().is_err());
        assert!(element(&[2, 2, 0xff, 0x80]).integer().is_err());
        assert!(element(&[2, 0]).integer().is_err());
        assert_eq!(element(&[1, 1, 1]).boolean(), Ok(true));
        assert_eq!(element(&[1, 1, 0]).boolean(), Ok(false));
        assert!(element(&[1, 0]).boolean().is_err());
    }

    #[test]
    fn times() {
        assert_eq!(time(UTC_TIME, b"700101000000Z"), Some(UnixTime(0)));
        assert_eq!(time(UTC_TIME, b"491231235959Z"), Some(UnixTime(2_524_607_999)));
        assert_eq!(time(UTC_TIME, b"500101000000Z"), Some(UnixTime(-631_152_000)));
        assert_eq!(time(GENERALIZED_TIME, b"20500101000000Z"), Some(UnixTime(2_524_608_000)));
        assert_eq!(time(GENERALIZED_TIME, b"20240229120000Z"), Some(UnixTime(1_709_208_000)));
        assert_eq!(time(GENERALIZED_TIME, b"99991231235959Z"), Some(UnixTime(253_402_300_799)));
        assert_eq!(time(GENERALIZED_TIME, b"00000101000000Z"), Some(UnixTime(-62_167_219_200)));
        for wrong in [
            &b"2402290000Z"[..],
            b"230229000000Z",
            b"240230000000Z",
            b"240001000000Z",
            b"241301000000Z",
            b"240100000000Z",
            b"240101240000Z",
            b"240101006000Z",
            b"240101000060Z",
            b"2401010000000",
            b"24010100000 Z",
            b"240101000000+0000",
        ] {
            assert_eq!(time(UTC_TIME, wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
        assert_eq!(time(GENERALIZED_TIME, b"240101000000Z"), None);
        assert_eq!(time(INTEGER, b"240101000000Z"), None);
    }
}
