//! The group of a key exchange, by the means that the running OpenSSL has.
//!
//! OpenSSL 3.0 says which group was negotiated and what TLS calls it. OpenSSL 1.1.1 has neither
//! function, so the one for the name is looked up when it is needed, and the group is found by what
//! 1.1.1 keeps of the key exchange.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::mem;
use std::ptr;
use std::sync::OnceLock;

use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::ssl::SslRef;

use foreign_types::{ForeignType, ForeignTypeRef};

use crate::pg::datum::cstr;
use crate::pg::openssl::ffi::SSL_CIPHER_get_kx_nid;

/// `SSL_CTRL_GET_NEGOTIATED_GROUP` of `openssl/ssl.h`, since 3.0; openssl-sys lacks it.
const GET_NEGOTIATED_GROUP: c_int = 134;
/// `SSL_CTRL_GET_SHARED_GROUP` of `openssl/ssl.h`; openssl-sys lacks it.
const GET_SHARED_GROUP: c_int = 93;
/// `SSL_CTRL_GET_PEER_TMP_KEY` of `openssl/ssl.h`; openssl-sys lacks it.
const GET_PEER_TMP_KEY: c_int = 109;
/// `NID_kx_ecdhe` of `openssl/obj_mac.h`; openssl-sys lacks it.
const KX_ECDHE: c_int = 1038;
/// `NID_kx_any` of `openssl/obj_mac.h`, which all cipher suites of TLS 1.3 have; openssl-sys lacks
/// it.
const KX_ANY: c_int = 1063;
/// Asks `SSL_get_shared_group` how many there are.
const COUNT: c_long = -1;

/// `SSL_group_to_name` of `openssl/ssl.h`.
type GroupToName = unsafe extern "C" fn(*mut openssl_sys::SSL, c_int) -> *const c_char;

/// The TLS name of the group that a server's connection negotiated, such as `x25519`; `None` where
/// none was.
pub(in crate::pg) fn name(ssl: &SslRef) -> Option<&'static [u8]> {
    match group_to_name() {
        Some(group_to_name) => negotiated(ssl, group_to_name),
        None => by_nid(nid_of_the_exchange(ssl)?),
    }
}

/// The function, if the server's OpenSSL has it.
fn group_to_name() -> Option<GroupToName> {
    static FUNCTION: OnceLock<Option<GroupToName>> = OnceLock::new();
    *FUNCTION.get_or_init(|| {
        // SAFETY: a look-up by name; it changes nothing. The server's libssl is the process's only
        // one that this can find, or the library would have refused to load (`libssl::check`).
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"SSL_group_to_name".as_ptr()) };
        // SAFETY: checked for null; a function of this name has this type in every OpenSSL that has
        // it.
        (!found.is_null()).then(|| unsafe { mem::transmute::<*mut c_void, GroupToName>(found) })
    })
}

fn negotiated(ssl: &SslRef, group_to_name: GroupToName) -> Option<&'static [u8]> {
    let ssl = ssl.as_ptr();
    // SAFETY: `ssl` is live; this control reads a number and ignores its other arguments.
    let id: c_long =
        unsafe { openssl_sys::SSL_ctrl(ssl, GET_NEGOTIATED_GROUP, 0, ptr::null_mut()) };
    let id = c_int::try_from(id).ok().filter(|id| *id != 0)?;
    // SAFETY: `ssl` is live; the result is null or a static string of the library.
    let name = unsafe { group_to_name(ssl, id) };
    // SAFETY: checked for null; NUL-terminated by OpenSSL's contract.
    unsafe { cstr::bytes(name) }
}

/// The group of the key exchange as OpenSSL 1.1.1 knows it.
///
/// With TLS 1.3 it keeps the key that the client sent, which a server can ask for since 1.1.1a.
/// Before, and with TLS 1.2, there is the list of groups that both sides have. TLS 1.2 with ECDHE
/// takes its first (`tls_construct_server_key_exchange`); TLS 1.3 may take another, so there it
/// has to be the only one, as it is with PostgreSQL before 18, whose `ssl_ecdh_curve` names one.
fn nid_of_the_exchange(ssl: &SslRef) -> Option<Nid> {
    if let Some(key) = peer_tmp_key(ssl) {
        return match key.id() {
            Id::EC => key.ec_key().ok()?.group().curve_name(),
            id => Some(Nid::from_raw(id.as_raw())),
        };
    }
    let cipher = ssl.current_cipher()?;
    // SAFETY: the cipher suite is a static object of the library.
    let is_first = match unsafe { SSL_CIPHER_get_kx_nid(cipher.as_ptr()) } {
        KX_ECDHE => true,
        // A session that is resumed need not have exchanged keys.
        KX_ANY => !ssl.session_reused() && shared_group(ssl, COUNT) == 1,
        _ => false,
    };
    let nid = is_first.then(|| shared_group(ssl, 0))?;
    c_int::try_from(nid).ok().filter(|nid| *nid > 0).map(Nid::from_raw)
}

/// The group at a place in the list of those that both sides have, or with [`COUNT`] how many
/// there are (`SSL_get_shared_group`).
fn shared_group(ssl: &SslRef, place: c_long) -> c_long {
    // SAFETY: `ssl` is live; this control answers with a number and ignores the pointer.
    unsafe { openssl_sys::SSL_ctrl(ssl.as_ptr(), GET_SHARED_GROUP, place, ptr::null_mut()) }
}

/// The client's key of the key exchange (`SSL_get_peer_tmp_key`).
fn peer_tmp_key(ssl: &SslRef) -> Option<PKey<Public>> {
    let mut key: *mut openssl_sys::EVP_PKEY = ptr::null_mut();
    // SAFETY: `ssl` is live, and `key` is a valid place for the answer, of which we get a reference
    // of our own; it is released when the result is dropped.
    unsafe {
        let found =
            openssl_sys::SSL_ctrl(ssl.as_ptr(), GET_PEER_TMP_KEY, 0, (&raw mut key).cast()) == 1;
        (found && !key.is_null()).then(|| PKey::from_ptr(key))
    }
}

/// What TLS calls a group: OpenSSL's short name for all but these.
pub(super) fn by_nid(nid: Nid) -> Option<&'static [u8]> {
    let name = match nid.short_name().ok()? {
        "prime192v1" => "secp192r1",
        "prime256v1" => "secp256r1",
        "X25519" => "x25519",
        "X448" => "x448",
        other => other,
    };
    Some(name.as_bytes())
}
