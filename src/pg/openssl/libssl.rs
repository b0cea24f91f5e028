//! Checked once, when the library is loaded: is the server's TLS the one we were built for?
//!
//! The extension reads objects that the server's libssl made. If this library were bound to another
//! copy of libssl, with another layout of those objects, reading them would be memory corruption;
//! so it refuses to load.

use std::ffi::c_void;

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
