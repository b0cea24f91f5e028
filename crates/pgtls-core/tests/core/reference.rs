//! What OpenSSL says of a certificate or a name, asked through its C API where the safe bindings
//! have no word for it.
//!
//! This is the reference that the core is measured by. [`oneline`] follows PostgreSQL's
//! `X509_NAME_to_cstring` (be-secure-openssl.c) call by call.

use std::ffi::{c_char, c_int, c_ulong};
use std::ptr;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::x509::{X509NameRef, X509Ref};
use openssl_sys as ffi;

const ASN1_STRFLGS_ESC_2253: c_ulong = 1;
const ASN1_STRFLGS_ESC_CTRL: c_ulong = 2;
const ASN1_STRFLGS_ESC_MSB: c_ulong = 4;
const ASN1_STRFLGS_UTF8_CONVERT: c_ulong = 0x10;
const ASN1_STRFLGS_DUMP_UNKNOWN: c_ulong = 0x100;
const ASN1_STRFLGS_DUMP_DER: c_ulong = 0x200;
const ASN1_STRFLGS_RFC2253: c_ulong = ASN1_STRFLGS_ESC_2253
    | ASN1_STRFLGS_ESC_CTRL
    | ASN1_STRFLGS_ESC_MSB
    | ASN1_STRFLGS_UTF8_CONVERT
    | ASN1_STRFLGS_DUMP_UNKNOWN
    | ASN1_STRFLGS_DUMP_DER;

const XN_FLAG_SEP_COMMA_PLUS: c_ulong = 1 << 16;
const XN_FLAG_DN_REV: c_ulong = 1 << 20;
const XN_FLAG_FN_SN: c_ulong = 0;
const XN_FLAG_DUMP_UNKNOWN_FIELDS: c_ulong = 1 << 24;
const XN_FLAG_RFC2253: c_ulong = ASN1_STRFLGS_RFC2253
    | XN_FLAG_SEP_COMMA_PLUS
    | XN_FLAG_DN_REV
    | XN_FLAG_FN_SN
    | XN_FLAG_DUMP_UNKNOWN_FIELDS;

const EXFLAG_SS: u32 = 0x2000;

unsafe extern "C" {
    fn ASN1_STRING_print_ex(
        out: *mut ffi::BIO,
        value: *const ffi::ASN1_STRING,
        flags: c_ulong,
    ) -> c_int;
    fn X509_NAME_print_ex(
        out: *mut ffi::BIO,
        name: *const ffi::X509_NAME,
        indent: c_int,
        flags: c_ulong,
    ) -> c_int;
    fn X509_NAME_get_text_by_NID(
        name: *const ffi::X509_NAME,
        nid: c_int,
        buffer: *mut c_char,
        size: c_int,
    ) -> c_int;
    fn X509_supported_extension(extension: *mut ffi::X509_EXTENSION) -> c_int;
    fn X509_NAME_get_index_by_NID(name: *const ffi::X509_NAME, nid: c_int, after: c_int) -> c_int;
}

/// A memory BIO.
struct Bio(*mut ffi::BIO);

impl Bio {
    fn new() -> Self {
        // SAFETY: no preconditions; the result is checked.
        let bio = unsafe { ffi::BIO_new(ffi::BIO_s_mem()) };
        assert!(!bio.is_null());
        Self(bio)
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut data: *mut c_char = ptr::null_mut();
        // SAFETY: the BIO is a live memory BIO; it yields its buffer, which lives as long as it
        // does, and its length.
        unsafe {
            let length = ffi::BIO_get_mem_data(self.0, &mut data);
            match usize::try_from(length).unwrap() {
                0 => Vec::new(),
                length => std::slice::from_raw_parts(data.cast::<u8>(), length).to_vec(),
            }
        }
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        // SAFETY: made by BIO_new and freed once.
        unsafe { ffi::BIO_free_all(self.0) }
    }
}

/// PostgreSQL's oneline form, as bytes that PostgreSQL takes for UTF-8; `None` where it raises an
/// error or would print half a value: an attribute without a name, a value that OpenSSL cannot
/// print.
pub(crate) fn oneline(name: &X509NameRef) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for entry in name.entries() {
        let field = entry.object().nid().short_name().ok();
        let field = field.or_else(|| entry.object().nid().long_name().ok())?;
        if entry.object().nid() == openssl::nid::Nid::UNDEF {
            return None;
        }
        out.push(b'/');
        out.extend_from_slice(field.as_bytes());
        out.push(b'=');
        out.extend_from_slice(&print_value(entry)?);
    }
    Some(out)
}

pub(crate) fn print_value(entry: &openssl::x509::X509NameEntryRef) -> Option<Vec<u8>> {
    let bio = Bio::new();
    // SAFETY: both pointers are live; the entry owns its data.
    let printed = unsafe {
        let value = ffi::X509_NAME_ENTRY_get_data(entry.as_ptr());
        let flags = (ASN1_STRFLGS_RFC2253 & !ASN1_STRFLGS_ESC_MSB) | ASN1_STRFLGS_UTF8_CONVERT;
        ASN1_STRING_print_ex(bio.0, value.cast(), flags)
    };
    (printed >= 0).then(|| bio.into_bytes())
}

/// `X509_NAME_print_ex` with `XN_FLAG_RFC2253`; `None` if it fails.
pub(crate) fn rfc2253(name: &X509NameRef) -> Option<Vec<u8>> {
    let bio = Bio::new();
    // SAFETY: both pointers are live.
    let printed = unsafe { X509_NAME_print_ex(bio.0, name.as_ptr(), 0, XN_FLAG_RFC2253) };
    (printed >= 0).then(|| bio.into_bytes())
}

/// The first common name as be-secure-openssl.c reads it.
pub(crate) fn common_name_bytes(name: &X509NameRef) -> Option<Vec<u8>> {
    let nid = openssl::nid::Nid::COMMONNAME.as_raw();
    // SAFETY: a null buffer asks for the length; the second call writes at most the size it is
    // given, with a NUL.
    unsafe {
        let length = X509_NAME_get_text_by_NID(name.as_ptr(), nid, ptr::null_mut(), 0);
        let length = usize::try_from(length).ok()?;
        let mut buffer = vec![0_u8; length + 1];
        let size = c_int::try_from(buffer.len()).unwrap();
        X509_NAME_get_text_by_NID(name.as_ptr(), nid, buffer.as_mut_ptr().cast(), size);
        buffer.truncate(length);
        Some(buffer)
    }
}

/// sslinfo's `X509_NAME_field_to_text`; `None` if the name has no such attribute.
pub(crate) fn field(name: &X509NameRef, nid: openssl::nid::Nid) -> Option<Vec<u8>> {
    // SAFETY: the name is live.
    let index = unsafe { X509_NAME_get_index_by_NID(name.as_ptr(), nid.as_raw(), -1) };
    print_value(name.entries().nth(usize::try_from(index).ok()?)?)
}

/// Whether OpenSSL takes the certificate for self-signed.
pub(crate) fn is_self_signed(certificate: &X509Ref) -> bool {
    // SAFETY: the certificate is live.
    unsafe { ffi::X509_get_extension_flags(certificate.as_ptr()) & EXFLAG_SS != 0 }
}

/// Whether OpenSSL acts upon the extension, so that it may be critical.
pub(crate) fn supports(extension: &openssl::x509::X509Extension) -> bool {
    // SAFETY: the extension is live.
    unsafe { X509_supported_extension(extension.as_ptr()) == 1 }
}

/// A name from DER, if OpenSSL takes it as a whole.
pub(crate) fn parse_name(der: &[u8]) -> Option<openssl::x509::X509Name> {
    openssl::x509::X509Name::from_der(der).ok()
}
