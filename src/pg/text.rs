//! Text on its way to SQL: any bytes become valid text of the database's encoding, and never an error.
//!
//! Certificates carry text chosen by whoever made them. What cannot be said in the database's encoding is escaped as the
//! string form of distinguished names does it: a backslash and two hex digits for each byte of its UTF-8 (RFC 4514
//! section 2.4). Nothing is dropped or replaced by a question mark.

use std::borrow::Cow;

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::pg_sys;

/// The longest form of one character in any server encoding, in bytes, with room for the terminating NUL that the
/// conversion writes (`MAX_CONVERSION_GROWTH` is 4 per input byte, and a UTF-8 character has up to 4).
const CONVERTED_CHARACTER: usize = 17;

/// Text to be returned from a SQL function as `text`.
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

    /// A `text` datum in the current memory context.
    pub(super) fn datum(&self) -> pg_sys::Datum {
        text_datum(&self.0)
    }
}

/// Bytes that somebody else chose, as UTF-8: unchanged if they are valid UTF-8, else with every byte outside ASCII escaped.
pub(crate) fn lossless(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
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
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    // SAFETY: copies `length` readable bytes.
    let text = unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), length) };
    pg_sys::Datum::from(text)
}

/// A `text` datum of UTF-8 text, in the current memory context.
pub(super) fn datum_of(text: &str) -> pg_sys::Datum {
    text_datum(&to_server(text))
}

/// UTF-8 text in the database's encoding.
fn to_server(text: &str) -> Cow<'_, [u8]> {
    // The server's encodings are all supersets of ASCII.
    let plain = text.bytes().all(|byte| byte.is_ascii() && byte != 0);
    // SAFETY: reads a setting of this backend.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    let as_is = encoding == pg_sys::pg_enc::PG_UTF8 as i32
        || encoding == pg_sys::pg_enc::PG_SQL_ASCII as i32;
    if plain || (as_is && !text.contains('\0')) {
        return Cow::Borrowed(text.as_bytes());
    }
    let converter = if as_is { None } else { Converter::from_utf8(encoding) };
    let mut converted = Vec::with_capacity(text.len());
    for character in text.chars() {
        let mut utf8 = [0; 4];
        let utf8 = character.encode_utf8(&mut utf8).as_bytes();
        let done = match &converter {
            _ if character == '\0' => false,
            _ if character.is_ascii() || as_is => {
                converted.extend_from_slice(utf8);
                true
            }
            Some(converter) => converter.append(&mut converted, utf8),
            None => false,
        };
        if !done {
            converted.extend(utf8.iter().flat_map(|byte| escape(*byte).into_bytes()));
        }
    }
    Cow::Owned(converted)
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
        let function =
            unsafe { pg_sys::FindDefaultConversionProc(pg_sys::pg_enc::PG_UTF8 as i32, encoding) };
        (function != pg_sys::InvalidOid).then_some(Self { function, encoding })
    }

    /// Appends one character, given in UTF-8; `false`, and nothing appended, if the encoding lacks it.
    fn append(&self, to: &mut Vec<u8>, utf8: &[u8]) -> bool {
        let mut source = [0_u8; 5];
        source[..utf8.len()].copy_from_slice(utf8);
        let mut converted = [0_u8; CONVERTED_CHARACTER];
        // SAFETY: both buffers are live, the source is NUL-terminated, and the function writes at most
        // `CONVERTED_CHARACTER` bytes including the NUL. With `no_error` it returns how much it converted.
        let consumed = unsafe {
            pg_sys::pg_do_encoding_conversion_buf(
                self.function,
                pg_sys::pg_enc::PG_UTF8 as i32,
                self.encoding,
                source.as_mut_ptr(),
                utf8.len() as i32,
                converted.as_mut_ptr(),
                CONVERTED_CHARACTER as i32,
                true,
            )
        };
        let length = converted.iter().position(|byte| *byte == 0).unwrap_or(0);
        if usize::try_from(consumed) != Ok(utf8.len()) || length == 0 {
            return false;
        }
        to.extend_from_slice(&converted[..length]);
        true
    }
}

pgrx::pgrx_sql_entity_graph::impl_sql_translatable!(Text, "text");

// SAFETY: the datum is a `text`, as the type promises.
unsafe impl BoxRet for Text {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        let datum = self.datum();
        // SAFETY: a non-null datum made in the context that the function was called in.
        unsafe { fcinfo.return_raw_datum(datum) }
    }
}
