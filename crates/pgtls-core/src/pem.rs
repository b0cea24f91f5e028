//! PEM blocks in text (RFC 7468), found as OpenSSL's `PEM_read_bio` finds them.
//!
//! Owns the armour and the base64; what the blocks hold is for others. Text around the blocks, as `openssl x509 -text`
//! writes it, CRLF line ends, trailing blanks and blocks of other kinds are passed over. A block of the wanted kind that
//! is broken is an error with the offset into the text; it is never skipped. Header lines within a block, which only keys
//! have, are such an error too.

use openssl::base64;

use crate::error::Error;
use crate::work;

/// Which blocks to look for.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// What the blocks hold, for messages, such as `certificate`.
    pub expected: &'static str,
    /// Labels that name this kind.
    pub labels: &'static [&'static str],
}

/// Certificates; the labels are those that OpenSSL's `PEM_read_bio_X509_AUX` takes.
pub const CERTIFICATE: Kind = Kind {
    expected: "certificate",
    labels: &["CERTIFICATE", "X509 CERTIFICATE", TRUSTED_CERTIFICATE],
};

/// The label of a certificate that OpenSSL's trust settings follow.
pub(crate) const TRUSTED_CERTIFICATE: &str = "TRUSTED CERTIFICATE";

/// Certificate revocation lists.
pub const CRL: Kind = Kind { expected: "certificate revocation list", labels: &["X509 CRL"] };

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One decoded block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which of the labels it had.
    pub label: &'static str,
    /// Where its BEGIN line starts in the text.
    pub offset: usize,
    /// The decoded bytes.
    pub der: Vec<u8>,
}

/// The blocks of a kind in `text`, in order, each decoded when it is its turn. After an error there is nothing more.
pub fn blocks(text: &[u8], kind: Kind) -> Blocks<'_> {
    Blocks { lines: Lines { text, offset: 0 }, kind, is_fresh: true, pending: None }
}

/// `der` as a PEM block with lines of 64 characters, as OpenSSL writes it.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    // 48 bytes make a line; encoding line by line also keeps within the range of OpenSSL's int.
    for line in der.chunks(48) {
        out.push_str(&base64::encode_block(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// The iterator of [`blocks`].
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    lines: Lines<'a>,
    kind: Kind,
    /// Nothing has been passed over since the start or since the block before.
    is_fresh: bool,
    /// A BEGIN line that ended the block before it, which was of no interest.
    pending: Option<Line<'a>>,
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.pending.take() {
                Some(line) => line,
                None => self.lines.next()?,
            };
            // OpenSSL passes over a byte order mark where it starts to look for a block.
            let is_fresh = std::mem::take(&mut self.is_fresh);
            let text = line.text.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_fresh);
            let found = boundary(text.unwrap_or(line.text), b"-----BEGIN ");
            let Some(found) = found else { continue };
            self.is_fresh = true;
            match self.kind.labels.iter().find(|label| label.as_bytes() == found) {
                Some(label) => {
                    let block = self.read_block(line.offset, label);
                    if block.is_err() {
                        self.lines.text = &[];
                    }
                    return Some(block);
                }
                None => self.skip_block(),
            }
        }
    }
}

impl<'a> Blocks<'a> {
    fn read_block(&mut self, offset: usize, label: &'static str) -> Result<Block, Error> {
        let mut decoder = Decoder::default();
        for line in self.lines.by_ref() {
            let error = |problem| Err(Error::Pem { offset: line.offset, problem });
            if let Some(found) = boundary(line.text, b"-----END ") {
                if found != label.as_bytes() {
                    return error("END line does not match the BEGIN line");
                }
                let der = decoder.finish(line.offset)?;
                return Ok(Block { label, offset, der });
            }
            if line.text.starts_with(b"-----") {
                return error("block has no END line");
            }
            decoder.line(&line)?;
        }
        Err(Error::Pem { offset, problem: "block has no END line" })
    }

    /// Passes over a block of another kind. One that has no end does not hide the next.
    fn skip_block(&mut self) {
        for line in self.lines.by_ref() {
            if boundary(line.text, b"-----END ").is_some() {
                return;
            }
            if boundary(line.text, b"-----BEGIN ").is_some() {
                self.pending = Some(line);
                return;
            }
        }
    }
}

/// The label of a line such as `-----BEGIN label-----`.
fn boundary<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(b"-----")
}

#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    /// The line without its end and without anything unprintable there, which OpenSSL strips.
    text: &'a [u8],
    offset: usize,
}

#[derive(Debug, Clone)]
struct Lines<'a> {
    text: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.text.is_empty() {
            return None;
        }
        let length = match self.text.iter().position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None => self.text.len(),
        };
        let (line, rest) = self.text.split_at(length);
        let end = line.iter().rposition(u8::is_ascii_graphic).map_or(0, |last| last + 1);
        let line = Line { text: &line[..end], offset: self.offset };
        self.text = rest;
        self.offset += length;
        Some(line)
    }
}

/// Base64 over several lines, with the position of the first wrong character.
#[derive(Default)]
struct Decoder {
    out: Vec<u8>,
    /// Up to 18 bits that do not make a byte group yet, and how many characters they come from.
    bits: u32,
    characters: u8,
    padding: u8,
}

/// What each byte stands for in base64, [`NO_DIGIT`] where it stands for nothing.
const DIGITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    // An iterator cannot be used in a constant, nor can `usize::from`.
    while value < 64 {
        #[expect(clippy::as_conversions, reason = "both are less than 256")]
        {
            digits[alphabet[value] as usize] = value as u8;
        }
        value += 1;
    }
    digits
};

const NO_DIGIT: u8 = 0xff;

impl Decoder {
    fn line(&mut self, line: &Line<'_>) -> Result<(), Error> {
        // Nearly all lines are whole groups of four digits.
        let mut done = 0;
        if self.characters == 0 && self.padding == 0 {
            let (groups, _) = line.text.as_chunks();
            work::reserve(&mut self.out, groups.len() * 3 + 3);
            for group in groups {
                let [a, b, c, d] = group.map(|byte| DIGITS[usize::from(byte)]);
                if a.max(b).max(c).max(d) == NO_DIGIT {
                    break;
                }
                self.out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                done += 4;
            }
        }
        for (index, byte) in line.text.iter().enumerate().skip(done) {
            let wrong = |problem| Err(Error::Pem { offset: line.offset + index, problem });
            let value = match (DIGITS[usize::from(*byte)], byte) {
                (NO_DIGIT, b' ' | b'\t' | b'\r') => continue,
                (NO_DIGIT, b'=') if self.characters + self.padding >= 2 && self.padding < 2 => {
                    self.padding += 1;
                    continue;
                }
                (NO_DIGIT, b'=') => return wrong("misplaced base64 padding"),
                (NO_DIGIT, _) => return wrong("not a base64 character"),
                (digit, _) => digit,
            };
            if self.padding > 0 {
                return wrong("base64 goes on after its padding");
            }
            self.bits = (self.bits << 6) | u32::from(value);
            self.characters += 1;
            if self.characters == 4 {
                let [_, bytes @ ..] = self.bits.to_be_bytes();
                self.out.extend_from_slice(&bytes);
                (self.bits, self.characters) = (0, 0);
            }
        }
        Ok(())
    }

    fn finish(mut self, offset: usize) -> Result<Vec<u8>, Error> {
        match (self.characters, self.padding) {
            (0, 0) => {}
            (2, 2) => {
                let [.., high, _] = (self.bits << 4).to_be_bytes();
                self.out.push(high);
            }
            (3, 1) => {
                let [_, _, bytes @ ..] = (self.bits >> 2).to_be_bytes();
                self.out.extend_from_slice(&bytes);
            }
            _ => return Err(Error::Pem { offset, problem: "base64 is not a multiple of four" }),
        }
        Ok(self.out)
    }
}
