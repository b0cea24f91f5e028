//! Serial numbers: integers of any sign and length.

use crate::asn1::der::{self, Element, Fault, Reader};
use crate::error::Error;
use crate::{limits, text};

/// The serial number of a certificate, as given: RFC 5280 wants it positive and of 20 bytes at
/// most, others exist.
///
/// Equal serials are equal integers, however many leading bytes they were encoded with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Serial {
    /// Big-endian two's complement in the fewest bytes; one byte at least.
    bytes: Box<[u8]>,
}

impl Serial {
    /// Reads the DER of an INTEGER.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(der, 0);
        reader
            .expect(der::INTEGER, "serial number")
            .and_then(|element| Self::from_element(&element))
            .map_err(|fault| fault.into_error("serial number"))
    }

    /// Reads an INTEGER element, whose length the caller has checked.
    pub(crate) fn from_element(element: &Element<'_>) -> Result<Self, Fault> {
        let mut bytes = element.content;
        if bytes.is_empty() {
            return Err(element.fault("empty INTEGER"));
        }
        while let [first, second, ..] = bytes {
            let redundant = matches!((first, second & 0x80), (0, 0) | (0xff, 0x80));
            if !redundant {
                break;
            }
            bytes = &bytes[1..];
        }
        if bytes.len() > limits::MAX_SERIAL_BYTES {
            let limit = limits::MAX_SERIAL_BYTES;
            return Err(Fault::too_large(element.offset, "serial number", limit));
        }
        Ok(Self { bytes: bytes.into() })
    }

    /// The content bytes of the shortest DER INTEGER of this value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number in decimal digits, with a minus sign where negative; as
    /// `pg_stat_ssl.client_serial` has it.
    pub fn decimal(&self) -> String {
        let digits = text::decimal(&self.magnitude());
        if self.is_negative() { format!("-{digits}") } else { digits }
    }

    /// The number in upper-case hexadecimal, two digits a byte, as `openssl x509 -serial` prints
    /// it.
    pub fn hex(&self) -> String {
        let magnitude = self.magnitude();
        let significant = match magnitude.iter().position(|byte| *byte != 0) {
            Some(first) => &magnitude[first..],
            None => &[0],
        };
        let mut out = String::with_capacity(1 + significant.len() * 2);
        if self.is_negative() {
            out.push('-');
        }
        text::push_upper_hex(&mut out, significant);
        out
    }

    fn is_negative(&self) -> bool {
        self.bytes.first().is_some_and(|first| first & 0x80 != 0)
    }

    fn magnitude(&self) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        if self.is_negative() {
            // Two's complement: invert and add one.
            let mut carry = true;
            for byte in bytes.iter_mut().rev() {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
        }
        bytes
    }
}
