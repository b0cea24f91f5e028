//! The OpenSSL that runs: what it says of itself, and, checked once when the library is loaded,
//! whether the server's TLS is the one we were built for.
//!
//! The extension reads objects that the server's libssl made. If this library were bound to another
//! copy of libssl, with another layout of those objects, reading them would be memory corruption;
//! so it refuses to load.

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::error::{Error, Result};
use crate::pg::datum::cstr;
use crate::pg::server::settings;

/// The OpenSSL that runs, such as `OpenSSL 3.0.17 1 Jul 2025`.
pub(crate) fn version() -> &'static str {
    openssl::version::version()
}

/// Fails unless the server uses OpenSSL, and the same libssl as this library.
pub(crate) fn check() -> Result<()> {
    if settings::text(c"ssl_library").as_deref() != Some("OpenSSL") {
        return Err(Error::ServerWithoutOpenSsl);
    }
    // The server is first in the global search order, so this finds the function that the server
    // calls. SAFETY: a look-up by name; it changes nothing.
    let server = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"SSL_get_version".as_ptr()) };
    let ours = openssl_sys::SSL_get_version as *const c_void;
    if server.cast_const() == ours {
        return Ok(());
    }
    Err(Error::OtherLibssl { server: file_of(server), ours: file_of(ours) })
}

/// A function of the OpenSSL that runs, which not every version has.
fn function(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a look-up by name; it changes nothing.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// Whether this process uses only algorithms that FIPS 140 allows, as far as the configuration of
/// OpenSSL says so.
pub(crate) fn fips_enabled() -> Option<bool> {
    if let Some(found) = function(c"EVP_default_properties_is_fips_enabled") {
        // SAFETY: since OpenSSL 3.0 it has this type; null is the default library context.
        let is_enabled: unsafe extern "C" fn(*mut c_void) -> c_int =
            unsafe { std::mem::transmute(found) };
        // SAFETY: the same.
        return Some(unsafe { is_enabled(std::ptr::null_mut()) } == 1);
    }
    let found = function(c"FIPS_mode")?;
    // SAFETY: before OpenSSL 3.0 it has this type.
    let mode: unsafe extern "C" fn() -> c_int = unsafe { std::mem::transmute(found) };
    // SAFETY: the same; it only reads.
    Some(unsafe { mode() } != 0)
}

/// Whether the provider of FIPS 140 algorithms is loaded; OpenSSL 3.0 and later.
pub(crate) fn has_fips_provider() -> Option<bool> {
    let found = function(c"OSSL_PROVIDER_available")?;
    // SAFETY: since OpenSSL 3.0 it has this type; null is the default library context.
    let is_available: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int =
        unsafe { std::mem::transmute(found) };
    // SAFETY: the same; the name ends with a NUL.
    Some(unsafe { is_available(std::ptr::null_mut(), c"fips".as_ptr()) } == 1)
}

/// The file that a function was loaded from.
fn file_of(address: *const c_void) -> String {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: `info` is a valid place for the answer, and `address` is only looked up, not read.
    let found = unsafe { libc::dladdr(address, &mut info) } != 0;
    // SAFETY: if it is found, the dynamic linker's own NUL-terminated name of a loaded file.
    let name = found.then(|| unsafe { cstr::bytes(info.dli_fname) }).flatten();
    name.map_or_else(|| "unknown".to_owned(), |name| String::from_utf8_lossy(name).into_owned())
}
