//! C strings of the server, of OpenSSL and of the C library, as bytes.

use std::ffi::{CStr, c_char};

/// The bytes of a C string; `None` for a null pointer.
///
/// # Safety
/// `string` is null, or NUL-terminated and neither changed nor freed for as long as the caller
/// keeps the bytes.
#[allow(clippy::disallowed_methods, reason = "this is the place for it")]
pub(in crate::pg) unsafe fn bytes<'a>(string: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: not null; the rest is the caller's contract.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_bytes())
}
