//! Whether input is DER or PEM text, told by what it holds.

use crate::asn1::ber;
use crate::asn1::der::{self, Reader};
use crate::pem;

/// How input is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text, which may hold PEM blocks.
    Pem,
    /// DER or BER, one or several, one after the other, if perhaps broken.
    Der,
}

/// The form of input with certificates, lists or requests, all of which are a SEQUENCE.
///
/// The identifier octet of a SEQUENCE is the digit 0, with which text may start too, and text may
/// be part of DER. So input is DER if that is all it is, from its first byte to its last, or if it
/// is no text and there is no PEM block.
pub(crate) fn of(input: &[u8]) -> Form {
    if input.first() != Some(&der::SEQUENCE) || is_text(input) {
        return Form::Pem;
    }
    if is_whole(input) || !pem::has_block(input) { Form::Der } else { Form::Pem }
}

/// Whether input with certificates, lists or requests is DER, rather than text that may hold PEM.
pub fn is_der(input: &[u8]) -> bool {
    of(input) == Form::Der
}

/// Whether it is all characters that people write, which the tags of an OBJECT IDENTIFIER and an
/// INTEGER are not.
fn is_text(input: &[u8]) -> bool {
    let is_written = |c: char| !c.is_control() || c.is_ascii_whitespace();
    std::str::from_utf8(input).is_ok_and(|text| text.chars().all(is_written))
}

/// Whether it is SEQUENCEs and nothing else.
fn is_whole(mut input: &[u8]) -> bool {
    while let [der::SEQUENCE, ..] = input {
        let size = match Reader::new(input, 0).any() {
            Ok(element) => element.raw.len(),
            Err(fault) if fault.is_ber() => match ber::to_definite(input) {
                Ok((_, used)) => used,
                Err(_) => return false,
            },
            Err(_) => return false,
        };
        input = &input[size..];
    }
    input.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_by_content() {
        let begin = b"-----BEGIN X509 CRL-----\n";
        let with_block = [&[0x30, 27, 4, 25][..], begin].concat();
        let text_first = [&b"0\n"[..], begin].concat();
        for (input, form) in [
            (&b""[..], Form::Pem),
            (b"0", Form::Pem),
            ("0 \u{fc}".as_bytes(), Form::Pem),
            (b"-----BEGIN X509 CRL-----", Form::Pem),
            (&text_first, Form::Pem),
            (&[0x30, 0], Form::Der),
            (&[0x30, 3, 2, 1, 5], Form::Der),
            (&[0x30, 3, 2, 1, 5, 0x30, 0x80, 0, 0], Form::Der),
            // DER that is cut, or followed by something else.
            (&[0x30, 3, 2], Form::Der),
            (&[0x30, 3, 2, 1, 5, 0], Form::Der),
            (&with_block, Form::Der),
            (&[&with_block[..], b"\n", begin].concat(), Form::Pem),
        ] {
            assert_eq!(of(input), form, "{input:?}");
        }
    }
}
