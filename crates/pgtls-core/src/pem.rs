//! PEM blocks in text (RFC 7468): the only reader of them, with the rules of OpenSSL's
//! `PEM_read_bio`.
//!
//! Owns the armour and the base64; what the blocks hold is for others. The server and libpq read
//! their files with `PEM_read_bio`, so this says what they find:
//!
//! * A block starts at a line `-----BEGIN label-----`. Anything else outside of blocks is passed
//!   over, and so is a byte order mark where the search for a block starts.
//! * What is at the end of a line and not above a blank is stripped; where `char` is signed, all
//!   above ASCII as well.
//! * Lines are read in pieces of 254 bytes, and a NUL ends one. A line that starts with NUL is the
//!   end of the text.
//! * A line with a colon starts headers, an empty line ends them, and what is above an empty line
//!   is a header in any case. Only private keys have headers, so here each is an error. One empty
//!   line right after `BEGIN` is allowed; lines of base64 after it have 64 characters, but for the
//!   last one.
//! * A `-` ends the base64. What is between it and the `END` line is dropped without a word, which
//!   may be the `BEGIN` line of another block and all of that block.
//! * Nothing can be read after a block whose armour or base64 is broken, whatever its kind: the
//!   server takes nothing from such a file.
//!
//! Base64 is decoded piece by piece, to a place of its own ([`blocks`]) or to the front of the very
//! buffer that holds the text ([`InPlace`]): a list of revoked certificates may have 50 MB, and
//! what is written never overtakes what is read.

use std::ffi::c_char;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
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

/// Certificate requests; the labels are those that OpenSSL's `PEM_read_bio_X509_REQ` takes.
pub const REQUEST: Kind = Kind {
    expected: "certificate request",
    labels: &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"],
};

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

/// The blocks of a kind in `text`, in order, each decoded when it is its turn. After an error there
/// is nothing more.
pub fn blocks(text: &[u8], kind: Kind) -> Blocks<'_> {
    Blocks { text, kind, scanner: Scanner::default() }
}

/// Whether there is a BEGIN line of any kind in `text`.
pub(crate) fn has_block(text: &[u8]) -> bool {
    let mut scanner = Scanner::default();
    scanner.begin(text).is_some()
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
pub struct Blocks<'a> {
    text: &'a [u8],
    kind: Kind,
    scanner: Scanner,
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut target = Apart { text: self.text, out: Vec::new() };
        let found = self.scanner.next(&mut target, self.kind)?;
        Some(found.map(|Found { label, offset }| Block { label, offset, der: target.out }))
    }
}

/// Where a block was found.
pub(crate) struct Found {
    pub(crate) label: &'static str,
    /// Where its BEGIN line starts.
    pub(crate) offset: usize,
}

/// A text, and where the bytes go that its base64 stands for.
pub(crate) trait Target {
    fn text(&self) -> &[u8];
    /// Bytes that are kept.
    fn len(&self) -> usize;
    /// Keeps more.
    fn put(&mut self, decoded: &[u8]) -> Result<(), Error>;
    /// Keeps the first ones alone.
    fn truncate(&mut self, length: usize);
}

/// The front of the buffer with the text becomes the decoded bytes.
pub(crate) struct InPlace<'a> {
    pub(crate) file: &'a mut [u8],
    pub(crate) written: usize,
}

impl Target for InPlace<'_> {
    fn text(&self) -> &[u8] {
        self.file
    }

    fn len(&self) -> usize {
        self.written
    }

    fn put(&mut self, decoded: &[u8]) -> Result<(), Error> {
        let end = self.written + decoded.len();
        self.file[self.written..end].copy_from_slice(decoded);
        self.written = end;
        Ok(())
    }

    fn truncate(&mut self, length: usize) {
        self.written = length;
    }
}

/// The decoded bytes have a buffer of their own.
struct Apart<'a> {
    text: &'a [u8],
    out: Vec<u8>,
}

impl Target for Apart<'_> {
    fn text(&self) -> &[u8] {
        self.text
    }

    fn len(&self) -> usize {
        self.out.len()
    }

    fn put(&mut self, decoded: &[u8]) -> Result<(), Error> {
        self.out.try_reserve(decoded.len()).map_err(|_| Error::OutOfMemory)?;
        self.out.extend_from_slice(decoded);
        Ok(())
    }

    fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
    }
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes that OpenSSL reads of a line at once: its `LINESIZE`, less the NUL at the end.
const PIECE: usize = 254;

/// Most characters of a line of base64 that an empty line came before.
const PLAIN_LINE: usize = 64;

/// Whether OpenSSL, which compares `char` with a blank, takes bytes above ASCII for less than one.
const CHAR_IS_SIGNED: bool = c_char::MIN != 0;

/// A line of the text, or a piece of one that is longer than [`PIECE`].
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Where it starts.
    offset: usize,
    /// Where its text is, without a byte order mark and without what is stripped.
    start: usize,
    end: usize,
    /// Where the next one starts.
    next: usize,
    /// Whether the line goes on.
    is_partial: bool,
}

impl Line {
    /// The line that starts at `offset`; `None` where OpenSSL's `BIO_gets` finds nothing more in a
    /// file.
    fn at(text: &[u8], offset: usize, strip_mark: bool) -> Option<Self> {
        let rest = text.get(offset..)?;
        let piece = &rest[..rest.len().min(PIECE)];
        // Lines of base64 have 64 characters nearly always: one look instead of 65.
        let length = match piece.get(PLAIN_LINE) {
            Some(b'\n') if !piece[..PLAIN_LINE].contains(&b'\n') => PLAIN_LINE + 1,
            _ => piece.iter().position(|octet| *octet == b'\n').map_or(piece.len(), |end| end + 1),
        };
        let next = offset + length;
        // What `fgets` has read is a C string.
        let piece = &piece[..length];
        let length = if piece.contains(&0) {
            piece.iter().position(|octet| *octet == 0)?
        } else {
            piece.len()
        };
        let mut line = &piece[..length];
        if line.is_empty() {
            return None;
        }
        let is_partial = line.len() == PIECE && line.last() != Some(&b'\n');
        let mut start = offset;
        if strip_mark
            && line.len() > BYTE_ORDER_MARK.len()
            && let Some(rest) = line.strip_prefix(BYTE_ORDER_MARK)
        {
            line = rest;
            start += BYTE_ORDER_MARK.len();
        }
        while let [shorter @ .., last] = line
            && (*last <= b' ' || CHAR_IS_SIGNED && !last.is_ascii())
        {
            line = shorter;
        }
        Some(Self { offset, start, end: start + line.len(), next, is_partial })
    }

    fn text<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// What is known of the lines of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// They may be base64 or headers.
    Open,
    /// They are headers, up to an empty line.
    Headers,
    /// They are base64: there was an empty line.
    Base64,
}

/// The search for blocks, one after the other.
#[derive(Default)]
pub(crate) struct Scanner {
    /// Where to read on.
    read: usize,
    decoder: Decoder,
}

impl Scanner {
    /// The next block of a kind, decoded to the end of what `target` keeps.
    ///
    /// After an error there is nothing more, and the target is not what it was.
    pub(crate) fn next(
        &mut self,
        target: &mut impl Target,
        kind: Kind,
    ) -> Option<Result<Found, Error>> {
        loop {
            let begin = self.begin(target.text())?;
            // Decoding in place may overwrite the BEGIN line before the END line is compared with
            // it.
            let label = label(begin.text(target.text()), BEGIN).unwrap_or_default().to_owned();
            let wanted = kind.labels.iter().find(|wanted| wanted.as_bytes() == label);
            let length = target.len();
            match (self.body(target, &begin, &label, wanted.is_some()), wanted) {
                (Err(error), _) => {
                    self.read = usize::MAX;
                    return Some(Err(error));
                }
                (Ok(()), Some(label)) => return Some(Ok(Found { label, offset: begin.start })),
                (Ok(()), None) => target.truncate(length),
            }
        }
    }

    /// Reads up to the next BEGIN line (OpenSSL: `get_name`).
    fn begin(&mut self, text: &[u8]) -> Option<Line> {
        let mut is_first = true;
        for number in 0.. {
            work::between_some(number);
            let line = Line::at(text, self.read, is_first)?;
            self.read = line.next;
            is_first = false;
            if label(line.text(text), BEGIN).is_some() {
                return Some(line);
            }
        }
        None
    }

    /// Reads up to the END line and decodes (OpenSSL: `get_header_and_data`, `PEM_read_bio_ex`; for
    /// what is wanted also `PEM_get_EVP_CIPHER_INFO`, which takes no header but that of an
    /// encrypted block).
    fn body(
        &mut self,
        target: &mut impl Target,
        begin: &Line,
        label: &[u8],
        is_wanted: bool,
    ) -> Result<(), Error> {
        let length = target.len();
        self.decoder.reset();
        let mut lines = Lines::Open;
        let mut decoded = Ok(());
        let (mut is_empty, mut goes_on, mut is_last) = (true, false, false);
        let mut number = 0;
        loop {
            work::between_some(number);
            number += 1;
            let text = target.text();
            let Some(line) = Line::at(text, self.read, false) else {
                return Err(broken(begin.start, "block has no END line"));
            };
            self.read = line.next;
            let is_rest = std::mem::replace(&mut goes_on, line.is_partial);
            let bytes = line.text(text);
            if lines == Lines::Open && bytes.contains(&b':') {
                lines = Lines::Headers;
            }
            if lines == Lines::Headers && is_wanted {
                return Err(broken(line.start, "block with header lines"));
            }
            if bytes.is_empty() {
                if is_rest {
                    continue;
                }
                // What is above the first one is headers.
                if lines == Lines::Base64 || is_wanted && !is_empty {
                    return Err(broken(line.start, "empty line within base64"));
                }
                lines = Lines::Base64;
                self.decoder.reset();
                decoded = Ok(());
                target.truncate(length);
                continue;
            }
            if let Some(end) = bytes.strip_prefix(END) {
                if end.strip_suffix(DASHES) != Some(label) {
                    return Err(broken(line.start, "END line does not match the BEGIN line"));
                }
                if lines != Lines::Headers {
                    decoded.and_then(|()| self.decoder.finish(target, &line))?;
                }
                return match target.len() - length {
                    0 => Err(broken(begin.start, "block is empty")),
                    _ => Ok(()),
                };
            }
            if is_last {
                return Err(broken(line.start, "line of base64 after a short one"));
            }
            is_empty = false;
            if lines != Lines::Headers && decoded.is_ok() {
                decoded = self.decoder.line(target, &line);
            }
            if lines == Lines::Base64 {
                if line.end - line.start > PLAIN_LINE {
                    return Err(broken(line.start, "line of base64 is longer than 64 characters"));
                }
                is_last = line.end - line.start < PLAIN_LINE;
            }
        }
    }
}

/// The label of a `BEGIN` or `END` line.
fn label<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(DASHES)
}

/// Base64 with padding. As in OpenSSL, the bits that the last character has too many may be
/// anything.
static BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut base64 = Specification::new();
    base64.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    base64.padding = Some('=');
    base64.check_trailing_bits = false;
    base64.encoding().expect("64 different symbols and a padding that is none of them")
});

/// Characters decoded at a time: fits into the first-level cache.
const CHUNK: usize = 8192;

/// The base64 of one block, on its way (OpenSSL: `EVP_DecodeUpdate`, `EVP_DecodeFinal`).
struct Decoder {
    /// Characters that were read but not decoded yet.
    pending: Box<[u8; CHUNK]>,
    count: usize,
    /// Where the first line of them starts.
    first: usize,
    /// How often `=` came.
    padding: u8,
    /// Whether a `-` came.
    has_ended: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { pending: Box::new([0; CHUNK]), count: 0, first: 0, padding: 0, has_ended: false }
    }
}

impl Decoder {
    fn reset(&mut self) {
        (self.count, self.padding, self.has_ended) = (0, 0, false);
    }

    /// Takes the characters of a line.
    fn line(&mut self, target: &mut impl Target, line: &Line) -> Result<(), Error> {
        if self.has_ended {
            return Ok(());
        }
        if self.count + PIECE > CHUNK {
            self.flush(target)?;
            self.first = line.offset;
        }
        if self.count == 0 {
            self.first = line.offset;
        }
        let bytes = line.text(target.text());
        let special = |octet: &u8| *octet <= b' ' || *octet == b'=' || *octet == b'-';
        // Not any(): looking at all of them is what the compiler can vectorize.
        if !bytes.iter().fold(self.padding > 0, |found, octet| found | special(octet)) {
            self.pending[self.count..self.count + bytes.len()].copy_from_slice(bytes);
            self.count += bytes.len();
            return Ok(());
        }
        for (octet, offset) in bytes.iter().zip(line.start..) {
            match octet {
                b' ' | b'\t' | b'\r' => continue,
                b'-' if self.count.is_multiple_of(4) => {
                    self.has_ended = true;
                    return Ok(());
                }
                b'-' => return Err(broken(offset, "base64 is not a multiple of four")),
                b'=' if self.padding == 2 => {
                    return Err(broken(offset, "misplaced base64 padding"));
                }
                b'=' => self.padding += 1,
                _ if self.padding > 0 => {
                    return Err(broken(offset, "base64 goes on after its padding"));
                }
                _ => {}
            }
            self.pending[self.count] = *octet;
            self.count += 1;
        }
        Ok(())
    }

    /// Decodes the rest; `end` is the END line.
    fn finish(&mut self, target: &mut impl Target, end: &Line) -> Result<(), Error> {
        self.flush(target)?;
        match self.count {
            0 => Ok(()),
            _ => Err(broken(end.start, "base64 is not a multiple of four")),
        }
    }

    /// Decodes whole groups of what is pending, and checks the characters of the last one that is
    /// none.
    fn flush(&mut self, target: &mut impl Target) -> Result<(), Error> {
        let whole = self.count / 4 * 4;
        let (groups, rest) = self.pending[..self.count].split_at(whole);
        let mut decoded = [0; CHUNK / 4 * 3];
        let decoded = &mut decoded[..whole / 4 * 3];
        let length = match BASE64.decode_mut(groups, decoded) {
            Ok(length) if rest.iter().all(is_base64) => length,
            _ => return Err(self.invalid(target.text())),
        };
        target.put(&decoded[..length])?;
        let rest = whole..self.count;
        self.count = rest.len();
        self.pending.copy_within(rest, 0);
        Ok(())
    }

    /// The error at the first character among those pending that is none of base64, or at the
    /// padding.
    fn invalid(&self, text: &[u8]) -> Error {
        let mut offset = self.first;
        let mut padding = None;
        while let Some(line) = Line::at(text, offset, false) {
            let bytes = line.text(text);
            let is_bad = |octet: &u8| !is_base64(octet) && !b" \t\r".contains(octet);
            match bytes.iter().position(is_bad) {
                // A dash ends the base64.
                Some(at) if bytes[at] == b'-' => break,
                Some(at) => return broken(line.start + at, "not a base64 character"),
                None => {}
            }
            let first = bytes.iter().position(|octet| *octet == b'=');
            padding = padding.or(first.map(|at| line.start + at));
            offset = line.next;
        }
        broken(padding.unwrap_or(self.first), "misplaced base64 padding")
    }
}

fn is_base64(octet: &u8) -> bool {
    octet.is_ascii_alphanumeric() || b"+/=".contains(octet)
}

fn broken(offset: usize, problem: &'static str) -> Error {
    Error::Pem { offset, problem }
}
