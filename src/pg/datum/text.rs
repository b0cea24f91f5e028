//! Text on its way to SQL: any bytes become valid text of the database's encoding, and never an
//! error.
//!
//! Certificates carry text chosen by whoever made them. What cannot be said in the database's
//! encoding is escaped as the string form of distinguished names does it: a backslash and two hex
//! digits for each byte of its UTF-8 (RFC 4514 section 2.4). Nothing is dropped or replaced by a
//! question mark.

use std::borrow::Cow;
use std::ffi::CString;
use std::ptr;

use pgrx::{IntoDatum, pg_sys};
use pgtls_core::work;

use crate::pg::datum::cstr;

/// The longest form of one character in any server encoding, in bytes, with room for the
/// terminating NUL that the conversion writes (`MAX_CONVERSION_GROWTH` is 4 per input byte, and a
/// UTF-8 character has up to 4).
const CONVERTED_CHARACTER: usize = 17;

/// How much memory text takes while it is escaped, in multiples of its length: three bytes for
/// each, in a buffer that grows.
const ESCAPED: usize = 9;

/// The server's number of UTF-8.
const UTF8: i32 = pg_sys::pg_enc::PG_UTF8 as i32;

/// Text as the server takes it.
#[derive(Debug, Clone)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    /// Text of ours or of the core, which is UTF-8.
    pub(crate) fn new(text: &str) -> Self {
        Self(to_server(text).into_owned())
    }

    /// Bytes that somebody else chose (see [`lossless`]).
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self::new(&lossless(bytes))
    }
}

/// Text of an argument, in the database's encoding, as UTF-8: what files and certificates are
/// written in. Text of SQL_ASCII is taken as it is.
pub(crate) fn to_utf8(text: &[u8]) -> Cow<'_, [u8]> {
    // SAFETY: reads a setting of this backend.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    let (false, false, Ok(length)) =
        (takes_utf8(encoding), text.is_ascii(), i32::try_from(text.len()))
    else {
        return Cow::Borrowed(text);
    };
    // SAFETY: `length` readable bytes of text in the database's encoding. The result is
    // NUL-terminated, because it is a conversion and not the argument itself; pgrx guards the call.
    unsafe {
        let converted = pg_sys::pg_server_to_any(text.as_ptr().cast(), length, UTF8);
        Cow::Owned(work::copy(cstr::bytes(converted).unwrap_or_default()))
    }
}

/// Bytes that somebody else chose, as UTF-8: unchanged if they are valid UTF-8, else with every
/// byte outside ASCII escaped.
pub(crate) fn lossless(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    work::expect(bytes.len().saturating_mul(ESCAPED));
    let mut escaped = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        match byte {
            0x80.. => escaped.push_str(&escape(*byte)),
            _ => escaped.push(char::from(*byte)),
        }
    }
    Cow::Owned(escaped)
}

/// One byte as a backslash and two hex digits.
fn escape(byte: u8) -> String {
    format!("\\{byte:02X}")
}

/// A `text` datum, in the current memory context, of bytes in the database's encoding.
fn text_datum(bytes: &[u8]) -> pg_sys::Datum {
    // A value that long could not be stored in a datum anyway: the server's limit is 1 GB.
    let length = bytes.len().min(MAX_TEXT);
    let size = length + pg_sys::VARHDRSZ;
    // SAFETY: new memory in the current context, of this size. An error of the server on its way
    // through this library takes memory, so it is told to raise none.
    unsafe {
        let flags = pg_sys::MCXT_ALLOC_NO_OOM.cast_signed();
        let text: *mut pg_sys::varlena = pg_sys::palloc_extended(size, flags).cast();
        if text.is_null() {
            work::out_of_memory();
        }
        // Not more than 1 GB.
        pgrx::set_varsize_4b(text, i32::try_from(size).unwrap_or(i32::MAX));
        ptr::copy_nonoverlapping(bytes.as_ptr(), pgrx::vardata_4b(text).cast_mut().cast(), length);
        pg_sys::Datum::from(text)
    }
}

/// The longest text that the server's allocator has room for (`MaxAllocSize`).
const MAX_TEXT: usize = 0x3fff_ffff - pg_sys::VARHDRSZ;

/// A `text` datum of UTF-8 text, in the current memory context.
pub(in crate::pg) fn datum_of(text: &str) -> pg_sys::Datum {
    text_datum(&to_server(text))
}

/// A C string in the database's encoding.
pub(in crate::pg) fn c_string(text: &str) -> CString {
    let bytes = to_server(text);
    let mut string = Vec::new();
    work::reserve(&mut string, bytes.len() + 1);
    // `to_server` escapes every NUL.
    string.extend(bytes.iter().copied().filter(|byte| *byte != 0));
    string.push(0);
    CString::from_vec_with_nul(string).unwrap_or_default()
}

/// The text with every character escaped that the database's encoding cannot say.
pub(in crate::pg) fn sayable(text: &str) -> Cow<'_, str> {
    let Some(encoding) = Encoding::needed_for(text) else { return Cow::Borrowed(text) };
    work::expect(text.len().saturating_mul(ESCAPED));
    let mut sayable = String::with_capacity(text.len());
    for character in text.chars() {
        match encoding.bytes_of(character) {
            Some(_) => sayable.push(character),
            None => sayable.push_str(&escape_character(character)),
        }
    }
    Cow::Owned(sayable)
}

/// UTF-8 text in the database's encoding, escaped where that cannot say it.
fn to_server(text: &str) -> Cow<'_, [u8]> {
    let Some(encoding) = Encoding::needed_for(text) else { return Cow::Borrowed(text.as_bytes()) };
    work::expect(text.len().saturating_mul(ESCAPED));
    let mut converted = Vec::with_capacity(text.len());
    for (number, character) in text.chars().enumerate() {
        work::between_some(number);
        match encoding.bytes_of(character) {
            Some(bytes) => converted.extend_from_slice(bytes.as_slice()),
            None => converted.extend_from_slice(escape_character(character).as_bytes()),
        }
    }
    Cow::Owned(converted)
}

/// The first character of a text that an encoding of the server lacks.
pub(crate) fn first_unsayable(text: &str, encoding: i32) -> Option<char> {
    if text.is_ascii() || takes_utf8(encoding) {
        return None;
    }
    let converter = Converter::from_utf8(encoding);
    let lacks = |character: &char| {
        let character = Character::utf8(*character);
        converter.as_ref().is_none_or(|converter| converter.convert(&character).is_none())
    };
    text.chars().filter(|character| !character.is_ascii()).find(lacks)
}

/// Whether UTF-8 is stored in an encoding as it is.
fn takes_utf8(encoding: i32) -> bool {
    [pg_sys::pg_enc::PG_UTF8, pg_sys::pg_enc::PG_SQL_ASCII]
        .into_iter()
        .any(|utf8| i32::try_from(utf8) == Ok(encoding))
}

fn escape_character(character: char) -> String {
    character.encode_utf8(&mut [0; 4]).bytes().map(escape).collect()
}

/// The database's encoding, as far as text has to be converted to it.
enum Encoding {
    /// UTF-8, or SQL_ASCII, which takes any bytes but NUL.
    Any,
    /// Another encoding.
    Other(Converter),
    /// Another encoding, which nothing outside ASCII can be converted to.
    Ascii,
}

impl Encoding {
    /// `None` if the text can be taken as it is.
    fn needed_for(text: &str) -> Option<Self> {
        let has_nul = text.contains('\0');
        // The server's encodings are all supersets of ASCII.
        if text.is_ascii() && !has_nul {
            return None;
        }
        // SAFETY: reads a setting of this backend.
        let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
        match takes_utf8(encoding) {
            true => has_nul.then_some(Self::Any),
            false => Some(Converter::from_utf8(encoding).map_or(Self::Ascii, Self::Other)),
        }
    }

    /// One character in the encoding; `None` if it cannot say it.
    fn bytes_of(&self, character: char) -> Option<Character> {
        let as_is = match self {
            _ if character == '\0' => return None,
            Self::Any => true,
            Self::Other(_) | Self::Ascii => character.is_ascii(),
        };
        let utf8 = Character::utf8(character);
        match self {
            _ if as_is => Some(utf8),
            Self::Other(converter) => converter.convert(&utf8),
            Self::Any | Self::Ascii => None,
        }
    }
}

/// The bytes of one character.
struct Character {
    bytes: [u8; CONVERTED_CHARACTER],
    length: usize,
}

impl Character {
    fn utf8(character: char) -> Self {
        let mut bytes = [0; CONVERTED_CHARACTER];
        let length = character.encode_utf8(&mut bytes).len();
        Self { bytes, length }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The server's conversion function from UTF-8 to the database's encoding.
struct Converter {
    function: pg_sys::Oid,
    encoding: i32,
}

impl Converter {
    /// `None` if the database has no such function; then nothing outside ASCII can be said.
    fn from_utf8(encoding: i32) -> Option<Self> {
        // SAFETY: a catalogue look-up; SQL functions always run in a transaction.
        let function = unsafe { pg_sys::FindDefaultConversionProc(UTF8, encoding) };
        (function != pg_sys::InvalidOid).then_some(Self { function, encoding })
    }

    /// One character, given in UTF-8; `None` if the encoding lacks it.
    fn convert(&self, utf8: &Character) -> Option<Character> {
        let mut source = utf8.bytes;
        let source_length = i32::try_from(utf8.length).ok()?;
        let mut bytes = [0; CONVERTED_CHARACTER];
        // SAFETY: both buffers are live, the source is NUL-terminated, and the function writes at
        // most `CONVERTED_CHARACTER` bytes including the NUL. With `noError` it returns how much it
        // converted.
        let consumed = unsafe {
            pg_sys::pg_do_encoding_conversion_buf(
                self.function,
                UTF8,
                self.encoding,
                source.as_mut_ptr(),
                source_length,
                bytes.as_mut_ptr(),
                CONVERTED_CHARACTER as i32,
                true,
            )
        };
        let length = bytes.iter().position(|byte| *byte == 0)?;
        (consumed == source_length && length > 0).then_some(Character { bytes, length })
    }
}

impl IntoDatum for Text {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(text_datum(&self.0))
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}
