//! Object identifiers and their names.
//!
//! The names are those of the OpenSSL library in the process, so they are always the ones the
//! server itself uses; that is why this module asks OpenSSL although most of the core does without.
//! Encoding and dotted form are our own.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use openssl::asn1::Asn1Object;
use openssl::nid::Nid;

use crate::asn1::der::{Element, Fault};
use crate::{limits, text};

/// An object identifier; borrowed from a certificate or owned.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid<'a> {
    content: Cow<'a, [u8]>,
}

/// Object identifiers whose names a backend remembers. Real certificates use a few dozen.
const REMEMBERED_NAMES: usize = 512;

/// OpenSSL's numeric identifier, short name and long name.
#[derive(Debug, Clone, Copy)]
struct Known {
    nid: Nid,
    short: Option<&'static str>,
    long: Option<&'static str>,
}

thread_local! {
    // OpenSSL's lookup by text takes a microsecond or two, which is longer than parsing a name
    // does.
    static NAMES: RefCell<HashMap<Box<[u8]>, Option<Known>>> = RefCell::new(HashMap::new());
}

impl Oid<'static> {
    /// The identifier of a short name, a long name or a dotted text, exactly as OpenSSL's
    /// `OBJ_txt2obj(text, 0)` finds it.
    pub fn from_text(text: &str) -> Option<Self> {
        // The binding panics on a NUL, and no name holds one.
        if text.is_empty() || text.contains('\0') {
            return None;
        }
        let object = Asn1Object::from_str(text).ok()?;
        let content = object.as_slice();
        (!content.is_empty()).then(|| Self { content: Cow::Owned(content.to_vec()) })
    }

    pub(crate) const fn known(content: &'static [u8]) -> Self {
        Self { content: Cow::Borrowed(content) }
    }
}

impl<'a> Oid<'a> {
    /// Reads an OBJECT IDENTIFIER element, refusing what `c2i_ASN1_OBJECT` refuses.
    pub(crate) fn from_element(element: &Element<'a>) -> Result<Self, Fault> {
        let content = element.content;
        let ends = content.last().is_some_and(|last| last & 0x80 == 0);
        // A sub-identifier that starts with 0x80 has a leading zero.
        let mut starts = true;
        let padded = content.iter().any(|octet| {
            let leading_zero = starts && *octet == 0x80;
            starts = octet & 0x80 == 0;
            leading_zero
        });
        if !ends || padded {
            return Err(element.fault("invalid OBJECT IDENTIFIER"));
        }
        Ok(Self { content: Cow::Borrowed(content) })
    }

    /// What [`Oid::from_element`] has been through before.
    pub(crate) fn borrowed(content: &'a [u8]) -> Self {
        Self { content: Cow::Borrowed(content) }
    }

    /// The content bytes of the DER encoding, without tag and length.
    pub fn as_bytes(&self) -> &[u8] {
        &self.content
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Oid<'static> {
        Oid { content: Cow::Owned(self.content.into_owned()) }
    }

    /// The dotted form, such as `2.5.4.3`; [`limits::MAX_OID_BYTES`] says from where on it is
    /// hexadecimal.
    pub fn dotted(&self) -> String {
        if self.content.len() > limits::MAX_OID_BYTES {
            return text::dump(&self.content);
        }
        let mut out = String::with_capacity(self.content.len() * 4);
        for arc in self.content.split_inclusive(|octet| octet & 0x80 == 0) {
            if out.is_empty() {
                push_first_arcs(&mut out, arc);
            } else {
                out.push('.');
                out.push_str(&text::decimal(&unpack(arc)));
            }
        }
        out
    }

    /// OpenSSL's short name, such as `CN`; `None` for an identifier it does not know.
    pub fn short_name(&self) -> Option<&'static str> {
        self.lookup()?.short
    }

    /// OpenSSL's long name, such as `commonName`; `None` for an identifier it does not know.
    pub fn long_name(&self) -> Option<&'static str> {
        self.lookup()?.long
    }

    /// Short name, else long name, else the dotted form.
    pub fn short(&self) -> Cow<'static, str> {
        match self.lookup() {
            Some(Known { short: Some(name), .. } | Known { long: Some(name), .. }) => name.into(),
            _ => self.dotted().into(),
        }
    }

    /// Long name, else short name, else the dotted form: what `openssl x509 -text` prints
    /// (`i2a_ASN1_OBJECT`).
    pub fn long(&self) -> Cow<'static, str> {
        match self.lookup() {
            Some(Known { long: Some(name), .. } | Known { short: Some(name), .. }) => name.into(),
            _ => self.dotted().into(),
        }
    }

    /// OpenSSL's numeric identifier, [`Nid::UNDEF`] where it has none.
    pub(crate) fn nid(&self) -> Nid {
        self.lookup().map_or(Nid::UNDEF, |known| known.nid)
    }

    fn lookup(&self) -> Option<Known> {
        NAMES.with_borrow_mut(|names| {
            if let Some(known) = names.get(self.content.as_ref()) {
                return *known;
            }
            let known = self.ask_openssl();
            if names.len() < REMEMBERED_NAMES {
                names.insert(self.content.as_ref().into(), known);
            }
            known
        })
    }

    fn ask_openssl(&self) -> Option<Known> {
        if self.content.len() > limits::MAX_OID_BYTES {
            return None;
        }
        let nid = Asn1Object::from_str(&self.dotted()).ok()?.nid();
        let known = Known { nid, short: nid.short_name().ok(), long: nid.long_name().ok() };
        (nid != Nid::UNDEF).then_some(known)
    }
}

impl fmt::Debug for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({})", self.dotted())
    }
}

/// The first sub-identifier stands for two arcs: 40 times the first, at most 2, plus the second.
fn push_first_arcs(out: &mut String, arc: &[u8]) {
    match arc {
        [both] if *both < 40 => out.push_str(&format!("0.{both}")),
        [both] if *both < 80 => out.push_str(&format!("1.{}", both - 40)),
        _ => {
            let mut second = unpack(arc);
            let mut borrow = 80;
            for byte in second.iter_mut().rev() {
                let (value, wrapped) = byte.overflowing_sub(borrow);
                *byte = value;
                borrow = u8::from(wrapped);
            }
            out.push_str("2.");
            out.push_str(&text::decimal(&second));
        }
    }
}

/// Seven bits a byte, to eight bits a byte; big-endian.
fn unpack(arc: &[u8]) -> Vec<u8> {
    let mut out = vec![0_u8; arc.len() * 7 / 8 + 1];
    for (index, octet) in arc.iter().rev().enumerate() {
        let (byte, shift) = (index * 7 / 8, index * 7 % 8);
        let value = u16::from(octet & 0x7f) << shift;
        let [high, low] = value.to_be_bytes();
        let last = out.len() - 1;
        out[last - byte] |= low;
        if high != 0 {
            out[last - byte - 1] |= high;
        }
    }
    out
}

/// The identifiers that the core itself acts upon.
pub(crate) mod ids {
    use super::Oid;

    pub(crate) const COMMON_NAME: Oid<'static> = Oid::known(&[0x55, 4, 3]);
    pub(crate) const SUBJECT_KEY_ID: Oid<'static> = Oid::known(&[0x55, 29, 14]);
    pub(crate) const KEY_USAGE: Oid<'static> = Oid::known(&[0x55, 29, 15]);
    pub(crate) const SUBJECT_ALT_NAME: Oid<'static> = Oid::known(&[0x55, 29, 17]);
    pub(crate) const BASIC_CONSTRAINTS: Oid<'static> = Oid::known(&[0x55, 29, 19]);
    pub(crate) const CRL_DISTRIBUTION_POINTS: Oid<'static> = Oid::known(&[0x55, 29, 31]);
    pub(crate) const AUTHORITY_KEY_ID: Oid<'static> = Oid::known(&[0x55, 29, 35]);
    pub(crate) const EXTENDED_KEY_USAGE: Oid<'static> = Oid::known(&[0x55, 29, 37]);
    pub(crate) const AUTHORITY_INFO_ACCESS: Oid<'static> = Oid::known(&[0x2b, 6, 1, 5, 5, 7, 1, 1]);
    /// PKCS #9's attribute of the extensions that a request asks for, and Microsoft's older one.
    pub(crate) const EXTENSION_REQUEST: Oid<'static> =
        Oid::known(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14]);
    pub(crate) const MS_EXTENSION_REQUEST: Oid<'static> =
        Oid::known(&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 1, 14]);
    pub(crate) const CERTIFICATE_POLICIES: Oid<'static> = Oid::known(&[0x55, 29, 32]);
    /// The signed certificate timestamps of RFC 6962.
    pub(crate) const SCT_LIST: Oid<'static> = Oid::known(&[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2]);
    /// All policies of the CA/Browser Forum, 2.23.140.1, are below this.
    pub(crate) const CAB_FORUM_POLICIES: Oid<'static> = Oid::known(&[0x67, 0x81, 0x0c, 1]);
    pub(crate) const OCSP: Oid<'static> = Oid::known(&[0x2b, 6, 1, 5, 5, 7, 48, 1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_of_any_size() {
        let largest: &[u8] = &[0x69, 0x83, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        for (content, dotted) in [
            (&[0x55, 4, 3][..], "2.5.4.3"),
            (&[0x00], "0.0"),
            (&[0x27], "0.39"),
            (&[0x28], "1.0"),
            (&[0x4f], "1.39"),
            (&[0x50], "2.0"),
            (&[0x88, 0x37, 3], "2.999.3"),
            (&[0x2a, 0x86, 0x48], "1.2.840"),
            (largest, "2.25.36893488147419103231"),
        ] {
            assert_eq!(Oid { content: content.into() }.dotted(), dotted);
        }
    }

    #[test]
    fn names_are_found_and_unknown_ones_are_not() {
        let name = Oid::from_text("commonName").unwrap();
        assert_eq!(name, ids::COMMON_NAME);
        assert_eq!((name.short().as_ref(), name.long().as_ref()), ("CN", "commonName"));
        assert_eq!(Oid::from_text("CN"), Some(ids::COMMON_NAME));
        assert_eq!(Oid::from_text("2.5.4.3"), Some(ids::COMMON_NAME));
        for unknown in ["", "cn", "no such name", "CN\0", "2.x", "3.1"] {
            assert_eq!(Oid::from_text(unknown), None, "{unknown}");
        }
        let unknown = Oid::from_text("1.2.3.4.5.6").unwrap();
        assert_eq!((unknown.short_name(), unknown.long_name()), (None, None));
        assert_eq!((unknown.short().as_ref(), unknown.nid()), ("1.2.3.4.5.6", Nid::UNDEF));
    }
}
