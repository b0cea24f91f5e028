//! Where the server differs by major version: one function for each difference, and all `cfg` on
//! versions.
//!
//! Fields and functions that only have another name or place since some version are here; what the
//! versions *do* differently about logins is in the core (`ServerVersion`), because it can be asked
//! about any of them.

use std::ffi::{c_char, c_int};

use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

use crate::pg::server::auth_files::{QUIET, string};
use crate::pg::server::sys;

/// The number of this backend's process structure; `None` if it has none.
pub(in crate::pg) fn own_proc_number() -> Option<usize> {
    // SAFETY: a backend has its process structure from before authentication until after the exit
    // callbacks.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    let number = unsafe { pg_sys::MyProc.as_ref() }?.pgprocno;
    // SAFETY: a plain read of a variable of this process.
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    let number = unsafe { pg_sys::MyProcNumber };
    usize::try_from(number).ok()
}

/// An entry of the server's snapshot of its backends, counted from 1; null if there is none.
///
/// # Safety
/// In a transaction; the entry lives until it ends.
pub(in crate::pg) unsafe fn backend_entry(index: c_int) -> *mut pg_sys::LocalPgBackendStatus {
    // SAFETY: the caller's contract; pgrx guards the call.
    #[cfg(feature = "pg15")]
    return unsafe { pg_sys::pgstat_fetch_stat_local_beentry(index) };
    // SAFETY: the same.
    #[cfg(not(feature = "pg15"))]
    return unsafe { pg_sys::pgstat_get_local_beentry_by_index(index) };
}

/// Whether a role may use the connections that are reserved for some (16 and later).
pub(in crate::pg) fn may_use_reserved(role: pg_sys::Oid) -> bool {
    #[cfg(feature = "pg15")]
    {
        let _ = role;
        false
    }
    #[cfg(not(feature = "pg15"))]
    {
        let holders = pg_sys::Oid::from(pg_sys::ROLE_PG_USE_RESERVED_CONNECTIONS);
        // SAFETY: two valid OIDs; pgrx guards the call.
        unsafe { pg_sys::has_privs_of_role(role, holders) }
    }
}

/// How many connections are kept for superusers, and how many for holders of
/// `pg_use_reserved_connections`.
pub(in crate::pg) fn reserved_connections() -> (c_int, c_int) {
    // SAFETY: settings that are fixed at server start.
    #[cfg(feature = "pg15")]
    return unsafe { (pg_sys::ReservedBackends, 0) };
    // SAFETY: as above.
    #[cfg(not(feature = "pg15"))]
    return unsafe { (pg_sys::SuperuserReservedConnections, pg_sys::ReservedConnections) };
}

/// Whether so many more backends could start.
pub(in crate::pg) fn has_free_procs(count: c_int) -> bool {
    // SAFETY: looks at shared memory under the server's own lock; pgrx guards the call.
    #[cfg(feature = "pg15")]
    return unsafe { pg_sys::HaveNFreeProcs(count) };
    #[cfg(not(feature = "pg15"))]
    {
        let mut free = 0;
        // SAFETY: as above, with a place for the count.
        unsafe { pg_sys::HaveNFreeProcs(count, &mut free) }
    }
}

/// The name of an encoding of the catalogue, a static string.
pub(in crate::pg) fn encoding_name(encoding: c_int) -> *const c_char {
    // SAFETY: looks into a table; a number that is not in it has an empty name.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    return unsafe { pg_sys::pg_encoding_to_char(encoding) };
    // SAFETY: as above.
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    return unsafe { pg_sys::pg_encoding_to_char_private(encoding) };
}

/// Whether a role has a privilege on a database.
pub(in crate::pg) fn database_aclcheck(
    database: pg_sys::Oid,
    role: pg_sys::Oid,
    mode: pg_sys::AclMode,
) -> pg_sys::AclResult::Type {
    // SAFETY: valid OIDs; pgrx guards the call.
    #[cfg(feature = "pg15")]
    return unsafe { pg_sys::pg_database_aclcheck(database, role, mode) };
    // SAFETY: as above.
    #[cfg(not(feature = "pg15"))]
    return unsafe { pg_sys::object_aclcheck(pg_sys::DatabaseRelationId, database, role, mode) };
}

/// Who the client was authenticated as; null where the method does not say.
pub(in crate::pg) fn authenticated_identity(port: &sys::Port) -> *const c_char {
    #[cfg(feature = "pg15")]
    return port.authn_id;
    #[cfg(not(feature = "pg15"))]
    {
        let _ = port;
        // SAFETY: a plain read of a variable of this process.
        unsafe { sys::MyClientConnectionInfo.authn_id }
    }
}

/// The file that a rule of pg_hba.conf is from; null before PostgreSQL 16, which does not remember
/// it.
pub(in crate::pg) fn rule_file(rule: &sys::HbaLine) -> *const c_char {
    #[cfg(feature = "pg15")]
    {
        let _ = rule;
        std::ptr::null()
    }
    #[cfg(not(feature = "pg15"))]
    return rule.sourcefile;
}

/// The tokenizer of PostgreSQL 15: it makes a memory context of its own below the current one, and
/// does not say which file a line is from, because there are no included ones.
#[cfg(feature = "pg15")]
pub(in crate::pg) mod auth_file {
    use super::*;

    /// A file that was tokenized.
    pub(in crate::pg) struct Open {
        /// Its lines.
        pub(in crate::pg) lines: *mut pg_sys::List,
    }

    impl Open {
        /// # Safety
        /// `file` is NUL-terminated.
        pub(in crate::pg) unsafe fn new(file: *const c_char) -> Result<Self, String> {
            // SAFETY: NUL-terminated strings; the file is closed below, or by the server if it
            // raises.
            unsafe {
                let open = pg_sys::AllocateFile(file, c"r".as_ptr());
                if open.is_null() {
                    let error = std::io::Error::last_os_error().to_string();
                    let reason = error.split(" (os error").next().unwrap_or_default();
                    let file = string(file).unwrap_or_default();
                    return Err(format!("could not open file \"{file}\": {reason}"));
                }
                let mut lines: *mut pg_sys::List = std::ptr::null_mut();
                let target = &raw mut lines;
                let stream = open.cast();
                pg_guard_ffi_boundary(|| sys::tokenize_auth_file(file, stream, target, QUIET));
                pg_sys::FreeFile(open);
                Ok(Self { lines })
            }
        }

        /// Nothing is left to close: the lines are freed with the memory context they are in.
        pub(in crate::pg) fn close(self) {}
    }

    /// The file and number of a line of the configured file.
    ///
    /// # Safety
    /// `line` is a line of the tokenizer.
    pub(in crate::pg) unsafe fn place(
        line: *const sys::TokenizedAuthLine,
        configured: &str,
    ) -> (String, Option<u32>) {
        // SAFETY: the caller's contract.
        (configured.to_owned(), u32::try_from(unsafe { (*line).line_num }).ok())
    }
}

/// The tokenizer of PostgreSQL 16 and later: it keeps its lines in a context that goes with the
/// file.
#[cfg(not(feature = "pg15"))]
pub(in crate::pg) mod auth_file {
    use super::*;

    /// How deep in included files the configured one is.
    const START_DEPTH: c_int = 0;

    /// A file that was tokenized.
    pub(in crate::pg) struct Open {
        file: *mut sys::FILE,
        /// Its lines, and those of files it includes.
        pub(in crate::pg) lines: *mut pg_sys::List,
    }

    impl Open {
        /// # Safety
        /// `file` is NUL-terminated.
        pub(in crate::pg) unsafe fn new(file: *const c_char) -> Result<Self, String> {
            let mut problem: *mut c_char = std::ptr::null_mut();
            let mut lines: *mut pg_sys::List = std::ptr::null_mut();
            let (message, target) = (&raw mut problem, &raw mut lines);
            // SAFETY: a NUL-terminated name and places for the results; only pointers are captured.
            unsafe {
                let open = pg_guard_ffi_boundary(|| {
                    let open = sys::open_auth_file(file, QUIET, START_DEPTH, message);
                    if !open.is_null() {
                        sys::tokenize_auth_file(file, open, target, QUIET, START_DEPTH);
                    }
                    open
                });
                if open.is_null() {
                    return Err(string(problem).unwrap_or_else(|| "could not open file".to_owned()));
                }
                Ok(Self { file: open, lines })
            }
        }

        /// Closes the file and frees the lines.
        pub(in crate::pg) fn close(self) {
            let file = self.file;
            // SAFETY: the file that was opened above, closed once.
            unsafe { pg_guard_ffi_boundary(|| sys::free_auth_file(file, START_DEPTH)) }
        }
    }

    /// The file and number of a line of the configured file, or of one that it includes.
    ///
    /// # Safety
    /// `line` is a line of the tokenizer.
    pub(in crate::pg) unsafe fn place(
        line: *const sys::TokenizedAuthLine,
        configured: &str,
    ) -> (String, Option<u32>) {
        // SAFETY: the caller's contract; the name of a file is NUL-terminated.
        unsafe {
            let file = string((*line).file_name).unwrap_or_else(|| configured.to_owned());
            (file, u32::try_from((*line).line_num).ok())
        }
    }
}
