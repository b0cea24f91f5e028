//! Bytes as text: hexadecimal and the escapes of values that are meant to be plain ASCII or UTF-8.
//!
//! Invariant: nothing made here holds a NUL or another control character, and the escapes can be
//! undone, so two different values never look alike.

use std::borrow::Cow;
use std::fmt::Write;

/// Lower-case hexadecimal without separators.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    push_hex(&mut out, bytes, b"0123456789abcdef");
    out
}

/// The reverse; `None` for what is no lower-case hexadecimal.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()
}

/// Upper-case hexadecimal without separators, as OpenSSL dumps values and serial numbers.
pub(crate) fn push_upper_hex(out: &mut String, bytes: &[u8]) {
    push_hex(out, bytes, b"0123456789ABCDEF");
}

fn push_hex(out: &mut String, bytes: &[u8], digits: &[u8; 16]) {
    for byte in bytes {
        out.push(char::from(digits[usize::from(byte >> 4)]));
        out.push(char::from(digits[usize::from(byte & 15)]));
    }
}

/// Printable ASCII as it is, a backslash doubled, any other byte as a backslash and two hexadecimal
/// digits.
pub(crate) fn escape_ascii(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => push_escaped(&mut out, *byte),
        }
    }
    out
}

/// As [`escape_ascii`], but characters outside ASCII stay unless they would change how the text
/// around them reads.
pub(crate) fn escape_utf8(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            _ => push_harmless(&mut out, character),
        }
    }
    out
}

/// Text that a client had a hand in, so that it stays on its line and reads as it is written:
/// control characters and those that change the direction of writing are escaped. A backslash is
/// left alone, because the server's own messages have them.
pub fn on_one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        push_harmless(&mut out, character);
    }
    out
}

fn push_harmless(out: &mut String, character: char) {
    if !character.is_control() && !changes_direction(character) {
        out.push(character);
        return;
    }
    let mut buffer = [0; 4];
    for byte in character.encode_utf8(&mut buffer).bytes() {
        push_escaped(out, byte);
    }
}

/// The marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX #9,
/// section 2).
fn changes_direction(character: char) -> bool {
    matches!(character,
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// `#` and the bytes in upper-case hexadecimal: the form for values that have no better one.
pub(crate) fn dump(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(1 + bytes.len() * 2);
    out.push('#');
    push_upper_hex(&mut out, bytes);
    out
}

/// UTF-8 as it is; of anything else, every byte outside ASCII as a backslash and two hexadecimal
/// digits.
pub(crate) fn lossless(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        match byte {
            0x80.. => push_escaped(&mut out, *byte),
            _ => out.push(char::from(*byte)),
        }
    }
    Cow::Owned(out)
}

fn push_escaped(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{byte:02X}");
}

/// The decimal digits of a big-endian magnitude. Quadratic in its length: callers bound it.
pub(crate) fn decimal(magnitude: &[u8]) -> String {
    const BASE: u64 = 1_000_000_000;
    let mut limbs: Vec<u64> = Vec::with_capacity(magnitude.len() / 4 + 1);
    for chunk in magnitude.rchunks(4) {
        limbs.push(chunk.iter().fold(0, |limb, byte| (limb << 8) | u64::from(*byte)));
    }
    let mut groups = Vec::new();
    loop {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        if limbs.is_empty() {
            break;
        }
        let mut remainder = 0;
        for limb in limbs.iter_mut().rev() {
            let value = (remainder << 32) | *limb;
            *limb = value / BASE;
            remainder = value % BASE;
        }
        groups.push(remainder);
    }
    let mut out = match groups.pop() {
        Some(first) => first.to_string(),
        None => "0".to_owned(),
    };
    for group in groups.iter().rev() {
        let _ = write!(out, "{group:09}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_those_of_the_machine() {
        for value in [0_u128, 1, 999_999_999, 1_000_000_000, u128::from(u64::MAX), u128::MAX] {
            assert_eq!(decimal(&value.to_be_bytes()), value.to_string());
        }
        assert_eq!(decimal(&[]), "0");
    }

    #[test]
    fn escapes_leave_no_control_character_and_no_two_readings() {
        assert_eq!(escape_ascii(b"a\0b\\c\n,d\xe9\x7f"), r"a\00b\\c\0A,d\E9\7F");
        assert_eq!(escape_utf8("é\u{85}\0\\"), r"é\C2\85\00\\");
        // Text that pretends to be another one.
        assert_eq!(escape_utf8("alice\u{202E}nimda"), r"alice\E2\80\AEnimda");
        assert_eq!(on_one_line("a\nb\u{2066}\\ é"), r"a\0Ab\E2\81\A6\ é");
        // What spells an escape is not one.
        assert_ne!(escape_ascii(b"\\00"), escape_ascii(b"\0"));
    }
}
