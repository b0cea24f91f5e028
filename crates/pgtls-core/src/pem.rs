//! PEM blocks in text (RFC 7468), found as OpenSSL's `PEM_read_bio` finds them.
//!
//! Owns the armour and the base64; what the blocks hold is for others. Text around the blocks, as `openssl x509 -text`
//! writes it, CRLF line ends, trailing blanks and blocks of other kinds are passed over. A block of the wanted kind that
//! is broken is an error with the offset into the text; it is never skipped.

use openssl::base64;

use crate::error::Error;

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
    Blocks { lines: Lines { text, offset: 0 }, kind, pending: None }
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
            let Some(found) = boundary(line.text, b"-----BEGIN ") else { continue };
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
        let mut first = true;
        while let Some(line) = self.lines.next() {
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
            if std::mem::take(&mut first) && line.text.contains(&b':') {
                self.skip_headers(&line)?;
                continue;
            }
            decoder.line(&line)?;
        }
        Err(Error::Pem { offset, problem: "block has no END line" })
    }

    /// Passes over the header lines of RFC 1421, up to the blank line that ends them.
    fn skip_headers(&mut self, first: &Line<'a>) -> Result<(), Error> {
        let mut line = *first;
        loop {
            if line.text.windows(9).any(|window| window == b"ENCRYPTED") {
                return Err(Error::Pem { offset: line.offset, problem: "block is encrypted" });
            }
            match self.lines.next() {
                Some(next) if next.text.is_empty() => return Ok(()),
                Some(next) if !next.text.starts_with(b"-----") => line = next,
                _ => {
                    let problem = "header lines do not end";
                    return Err(Error::Pem { offset: first.offset, problem });
                }
            }
        }
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
    /// The line without its end and without trailing white space.
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
        let line = Line { text: line.trim_ascii_end(), offset: self.offset };
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

impl Decoder {
    fn line(&mut self, line: &Line<'_>) -> Result<(), Error> {
        for (index, byte) in line.text.iter().enumerate() {
            let wrong = |problem| Err(Error::Pem { offset: line.offset + index, problem });
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b' ' | b'\t' | b'\r' => continue,
                b'=' if self.characters + self.padding >= 2 && self.padding < 2 => {
                    self.padding += 1;
                    continue;
                }
                b'=' => return wrong("misplaced base64 padding"),
                _ => return wrong("not a base64 character"),
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
