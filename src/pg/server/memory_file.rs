//! Text in the place of a file: what an argument holds, for functions of the server and of OpenSSL
//! that read files.
//!
//! Nothing is written to a disk. The file has no name in any directory, is closed when it is
//! dropped, and no program that the server starts gets it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};

use pgtls_core::work;

/// How much is written between two checks for interrupts, in bytes.
const PIECE: usize = 1 << 20;

/// A file that is in memory only (`memfd_create`).
pub(crate) struct MemoryFile {
    _file: File,
    path: CString,
}

impl MemoryFile {
    /// One with this content.
    pub(crate) fn new(content: &[u8]) -> io::Result<Self> {
        // SAFETY: a NUL-terminated name, which is for people who look into /proc.
        let descriptor = unsafe { libc::memfd_create(c"pgtls_ext".as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that is open and nobody else's.
        let mut file = unsafe { File::from_raw_fd(descriptor) };
        for piece in content.chunks(PIECE) {
            work::between();
            file.write_all(piece)?;
        }
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        Ok(Self { _file: file, path })
    }

    /// Where this process finds it.
    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }
}
