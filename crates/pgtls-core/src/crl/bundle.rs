//! Files with revocation lists in them: PEM with any number of lists and anything in between, or one list in DER.
//!
//! The base64 is decoded into the buffer that holds the text: what is written never overtakes what is read, so a list
//! needs no second buffer of its size. Read as OpenSSL's `PEM_read_bio` reads, with its strictness: `BEGIN` at the start
//! of a line, white space allowed anywhere in the base64, one empty line allowed in front of it and none within.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use data_encoding::{Encoding, Specification};

use crate::asn1::der::{self, Reader};
use crate::crl::{Crl, EXPECTED};
use crate::error::Error;
use crate::{limits, pem, work};

/// One list of a file, or why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which list of the file, counted from 1.
    pub position: usize,
    /// Where in the file it starts: its `BEGIN` line, or 0.
    pub offset: usize,
    /// The list. An error's offset counts from the start of the list's DER, or of the file if it is about the PEM.
    pub crl: Result<Crl, Error>,
}

/// Most lists of one file; a directory of CAs has hundreds, and each broken one costs an error message.
const MAX_MEMBERS: usize = 100_000;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// Reads the lists of a file, in order.
///
/// Takes the file's buffer because it decodes in place. A list that is broken does not keep the others from being read. An
/// error means that there is not one list in the file, not even a broken one.
pub fn parse_crls(mut file: Vec<u8>) -> Result<Vec<Member>, Error> {
    if file.len() > limits::MAX_CRL_BYTES {
        return Err(Error::TooLarge {
            what: "input with revocation lists",
            limit: limits::MAX_CRL_BYTES,
        });
    }
    if is_der(&file) {
        return Ok(vec![Member { position: 1, offset: 0, crl: Crl::from_der(file) }]);
    }
    let (blocks, length) = decode_blocks(&mut file)?;
    if blocks.is_empty() {
        return Err(Error::NoPemBlock { expected: EXPECTED });
    }
    file.truncate(length);
    file.shrink_to_fit();
    let file = Arc::new(file);
    let members = blocks.into_iter().zip(1..).map(|(block, position)| Member {
        position,
        offset: block.offset,
        crl: block.der.and_then(|range| Crl::parse(Arc::clone(&file), range)),
    });
    Ok(work::collect(members))
}

/// Whether the bytes are DER, if perhaps broken, rather than text. A list is longer than 127 bytes, so its second octet is
/// no ASCII; still, text may start with anything.
fn is_der(file: &[u8]) -> bool {
    let [der::SEQUENCE, 0x80..=0xff, ..] = file else { return false };
    match Reader::new(file, 0).any() {
        Ok(element) if element.raw.len() == file.len() => true,
        _ => !lines(file, 0).any(|line| label(line.text(file), BEGIN).is_some()),
    }
}

/// One PEM block of a list.
struct Block {
    offset: usize,
    /// Where its DER now is.
    der: Result<Range<usize>, Error>,
}

/// A line of the file, without its end.
#[derive(Clone)]
struct Line {
    range: Range<usize>,
    next: usize,
}

impl Line {
    fn at(file: &[u8], start: usize) -> Option<Self> {
        let rest = file.get(start..).filter(|rest| !rest.is_empty())?;
        // Lines of base64 have 64 characters nearly always: one look instead of 65.
        let length = match rest.get(64) {
            Some(b'\n') if !rest[..64].contains(&b'\n') => 64,
            _ => rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len()),
        };
        let end = start + length;
        Some(Self { range: start..end, next: (end + 1).min(file.len()) })
    }

    /// The text, without the white space at its end.
    fn text<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let mut text = &file[self.range.clone()];
        while let [shorter @ .., last] = text
            && *last <= b' '
        {
            text = shorter;
        }
        text
    }
}

/// The label of a `BEGIN` or `END` line.
fn label<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(DASHES)
}

fn is_crl(label: Option<&[u8]>) -> bool {
    label.is_some_and(|label| pem::CRL.labels.iter().any(|known| known.as_bytes() == label))
}

fn lines(file: &[u8], start: usize) -> impl Iterator<Item = Line> {
    let mut next = start;
    std::iter::from_fn(move || {
        let line = Line::at(file, next)?;
        next = line.next;
        Some(line)
    })
}

/// Decodes every list of the file to the front of it; gives the blocks and how many bytes they take together.
fn decode_blocks(file: &mut [u8]) -> Result<(Vec<Block>, usize), Error> {
    let mut blocks = Vec::new();
    let mut read = 0;
    let mut written = 0;
    for number in 0.. {
        let Some(line) = Line::at(file, read) else { break };
        work::between_some(number);
        read = line.next;
        if !is_crl(label(line.text(file), BEGIN)) {
            continue;
        }
        if blocks.len() == MAX_MEMBERS {
            return Err(Error::TooLarge { what: "number of CRLs in one file", limit: MAX_MEMBERS });
        }
        let mut body = Body { file, written, pending: Pending::default() };
        let der = body.decode(&mut read);
        let end = body.written;
        let der = der.map(|()| written..end);
        if der.is_ok() {
            written = end;
        }
        work::push(&mut blocks, Block { offset: line.range.start, der });
    }
    Ok((blocks, written))
}

/// Base64 with padding. As in OpenSSL, the bits that the last character has too many may be anything.
static BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut base64 = Specification::new();
    base64.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    base64.padding = Some('=');
    base64.check_trailing_bits = false;
    base64.encoding().expect("64 different symbols and a padding that is none of them")
});

/// Characters decoded at a time: fits into the first-level cache, and divides by the 4 characters of a group.
const CHUNK: usize = 8192;

/// Characters that were read but not decoded yet.
struct Pending {
    characters: Box<[u8; CHUNK]>,
    count: usize,
    /// Where the line of the first of them starts.
    line: usize,
}

impl Default for Pending {
    fn default() -> Self {
        Self { characters: Box::new([0; CHUNK]), count: 0, line: 0 }
    }
}

/// The base64 of one block, on its way.
struct Body<'a> {
    file: &'a mut [u8],
    /// Up to where the front of the file is DER.
    written: usize,
    pending: Pending,
}

impl Body<'_> {
    /// Decodes from the line after `BEGIN` to `END`, and leaves `read` at the line behind, or at a line that starts
    /// another block.
    fn decode(&mut self, read: &mut usize) -> Result<(), Error> {
        let first = *read;
        let mut padded = false;
        let mut outcome = Ok(());
        let mut lines = 0;
        while let Some(line) = Line::at(self.file, *read) {
            work::between_some(lines);
            lines += 1;
            let text = line.text(self.file);
            if text.starts_with(b"-----") {
                if label(text, BEGIN).is_some() {
                    return outcome.and(Err(broken(line.range.start, "no END line")));
                }
                *read = line.next;
                if !is_crl(label(text, END)) {
                    return outcome.and(Err(broken(line.range.start, "wrong END line")));
                }
                return outcome.and_then(|()| self.flush());
            }
            *read = line.next;
            if outcome.is_err() {
                // Only looking for the end of the block.
                continue;
            }
            if text.is_empty() {
                // In front of the base64 it ends headers, of which there are none; OpenSSL takes what is above any
                // other for headers.
                if line.range.start != first {
                    outcome = Err(broken(line.range.start, "empty line within base64"));
                }
                continue;
            }
            outcome = self.line(line.range.start..line.range.start + text.len(), &mut padded);
        }
        outcome.and(Err(broken(self.file.len(), "no END line")))
    }

    /// Takes the characters of a line.
    fn line(&mut self, range: Range<usize>, padded: &mut bool) -> Result<(), Error> {
        let mut start = range.start;
        while start < range.end {
            if self.pending.count == CHUNK {
                self.flush()?;
            }
            if self.pending.count == 0 {
                self.pending.line = start;
            }
            let room = CHUNK - self.pending.count;
            let end = range.end.min(start + room);
            self.take(start..end, padded)?;
            start = end;
        }
        Ok(())
    }

    /// Copies characters that have room, without white space.
    fn take(&mut self, range: Range<usize>, padded: &mut bool) -> Result<(), Error> {
        let text = &self.file[range.clone()];
        let count = self.pending.count;
        let special = |octet: &u8| *octet <= b' ' || *octet == b'=';
        // Not any(): looking at all of them is what the compiler can vectorize.
        if !text.iter().fold(*padded, |found, octet| found | special(octet)) {
            self.pending.characters[count..count + text.len()].copy_from_slice(text);
            self.pending.count += text.len();
            return Ok(());
        }
        for (octet, offset) in text.iter().zip(range.start..) {
            match octet {
                b' ' | b'\t' | b'\r' => continue,
                b'=' => *padded = true,
                _ if *padded => return Err(broken(offset, "data after base64 padding")),
                _ => {}
            }
            self.pending.characters[self.pending.count] = *octet;
            self.pending.count += 1;
        }
        Ok(())
    }

    /// Decodes what is pending.
    fn flush(&mut self) -> Result<(), Error> {
        let characters = &self.pending.characters[..self.pending.count];
        let mut decoded = [0; CHUNK / 4 * 3];
        let length = characters.len() / 4 * 3;
        if !characters.len().is_multiple_of(4) {
            return Err(self.invalid("base64 is cut short"));
        }
        let Ok(length) = BASE64.decode_mut(characters, &mut decoded[..length]) else {
            return Err(self.invalid("invalid base64"));
        };
        self.file[self.written..self.written + length].copy_from_slice(&decoded[..length]);
        self.written += length;
        self.pending.count = 0;
        Ok(())
    }

    /// The error at the first character that is none of base64, or at the first that is pending.
    fn invalid(&self, problem: &'static str) -> Error {
        let is_base64 = |octet: u8| octet.is_ascii_alphanumeric() || b"+/= \t\r\n".contains(&octet);
        let rest = self.file.get(self.pending.line..).unwrap_or_default();
        let bad = rest.iter().position(|octet| !is_base64(*octet));
        // Nothing wrong up to the END line, which starts with a dash: then it is about the padding.
        let offset = bad.filter(|bad| !rest[*bad..].starts_with(END)).unwrap_or_default();
        broken(self.pending.line + offset, problem)
    }
}

fn broken(offset: usize, problem: &'static str) -> Error {
    Error::Pem { offset, problem }
}
