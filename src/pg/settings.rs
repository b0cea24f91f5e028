//! Settings of the server, as this process has them now.

use std::ffi::CStr;
use std::path::PathBuf;

use pgrx::pg_sys;

/// The value of a setting; `None` if there is no such setting or it is empty.
pub(crate) fn text(name: &CStr) -> Option<String> {
    // SAFETY: with `missing_ok` this cannot raise for an unknown name, and `restrict_privileged` is off. The result points
    // into the server's own memory and is copied at once.
    let value = unsafe { pg_sys::GetConfigOption(name.as_ptr(), true, false) };
    if value.is_null() {
        return None;
    }
    // SAFETY: not null, and NUL-terminated by the server's contract.
    let value = unsafe { CStr::from_ptr(value) }.to_string_lossy();
    (!value.is_empty()).then(|| value.into_owned())
}

/// A file or directory named by a setting. A relative path is relative to the data directory, which is where every server
/// process works.
pub(crate) fn path(name: &CStr) -> Option<PathBuf> {
    text(name).map(PathBuf::from)
}
