//! Settings of the server, as this process has them now.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use crate::pg::datum::cstr;

/// The value of a setting, byte for byte; `None` if there is no such setting or it is empty.
pub(crate) fn bytes(name: &CStr) -> Option<CString> {
    // SAFETY: with `missing_ok` this cannot raise for an unknown name, and `restrict_privileged` is
    // off. The result points into the server's own memory and is copied at once.
    let value = unsafe { pg_sys::GetConfigOption(name.as_ptr(), true, false) };
    // SAFETY: null, or NUL-terminated by the server's contract.
    let value = unsafe { cstr::bytes(value) }?;
    // What came from a C string holds no NUL.
    CString::new(value).ok().filter(|value| !value.is_empty())
}

/// The value of a setting as text.
pub(crate) fn text(name: &CStr) -> Option<String> {
    bytes(name).map(|value| value.to_string_lossy().into_owned())
}

/// Whether a setting is `on`; not so if this version of the server does not have it.
pub(crate) fn is_on(name: &CStr) -> bool {
    bytes(name).is_some_and(|value| value.as_bytes() == b"on")
}
