//! What OpenSSL keeps of a client's ClientHello, as long as the connection is there.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::nid::Nid;
use openssl::ssl::SslRef;
use pgtls_core::offer;

use crate::pg::openssl::ffi::SSL_client_version;
use crate::pg::openssl::group;

/// `SSL_CTRL_GET_RAW_CIPHERLIST` of `openssl/ssl.h`; openssl-sys lacks it.
const GET_RAW_CIPHERLIST: c_int = 110;
/// `SSL_CTRL_GET_GROUPS` of `openssl/ssl.h`; openssl-sys lacks it.
const GET_GROUPS: c_int = 90;
/// Marks the number of a group that this OpenSSL does not know (`TLSEXT_nid_unknown`).
const UNKNOWN: c_int = 0x0100_0000;
/// Most groups that are looked at; clients send a dozen.
const MOST_GROUPS: usize = 64;

/// The version in the ClientHello, which is at most TLS 1.2 (`SSL_client_version`); 0 if that is no
/// version.
pub(in crate::pg) fn legacy_version(ssl: &SslRef) -> u16 {
    // SAFETY: `ssl` is live.
    u16::try_from(unsafe { SSL_client_version(ssl.as_ptr()) }).unwrap_or(0)
}

/// The numbers of the cipher suites in the ClientHello, two octets each (`SSL_get0_raw_cipherlist`);
/// empty if OpenSSL did not get that far.
pub(in crate::pg) fn cipher_suites(ssl: &SslRef) -> &[u8] {
    let mut first: *const u8 = ptr::null();
    // SAFETY: `ssl` is live, and `first` is a valid place for a pointer.
    let length: c_long = unsafe {
        let place = (&raw mut first).cast::<c_void>();
        openssl_sys::SSL_ctrl(ssl.as_ptr(), GET_RAW_CIPHERLIST, 0, place)
    };
    match usize::try_from(length) {
        // SAFETY: the list is the connection's, has that many bytes, and does not change while
        // `ssl` is borrowed: nothing goes on with the handshake.
        Ok(length) if length > 0 && !first.is_null() => unsafe {
            std::slice::from_raw_parts(first, length)
        },
        _ => &[],
    }
}

/// The groups in the ClientHello, the one that the client likes best first (`SSL_get1_groups`), as
/// [`group_name`] takes them. None if there are more than anybody sends.
pub(in crate::pg) fn groups(ssl: &SslRef) -> impl Iterator<Item = c_int> {
    let mut codes: [c_int; MOST_GROUPS] = [0; MOST_GROUPS];
    let ask = |place: *mut c_void| {
        // SAFETY: `ssl` is live. Without a place this control only counts; with one, it writes as
        // many numbers as it has counted.
        let count = unsafe { openssl_sys::SSL_ctrl(ssl.as_ptr(), GET_GROUPS, 0, place) };
        usize::try_from(count).unwrap_or(0)
    };
    let count = ask(ptr::null_mut());
    let count = if count <= MOST_GROUPS { ask(codes.as_mut_ptr().cast()) } else { 0 };
    codes.into_iter().take(count)
}

/// What TLS calls a group; `None` for what a client sends that is none.
pub(in crate::pg) fn group_name(code: c_int) -> Option<String> {
    if code & UNKNOWN != 0 {
        return u16::try_from(code & !UNKNOWN).ok().and_then(offer::group_name);
    }
    let name = group::by_nid(Nid::from_raw(code))?;
    Some(String::from_utf8_lossy(name).into_owned())
}
