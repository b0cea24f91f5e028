//! When the server loaded its TLS configuration, and whether its last reload took.
//!
//! The server calls `openssl_tls_init_hook` for every context it begins to make, in the postmaster, before it loads any
//! file into it. The time of that call is attached to the context, so every connection can tell which context it was made
//! with. Whether a reload took is known from the server's own message that it did not.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use pgrx::pg_sys;

use crate::pg::recorder::segment::Segment;
use crate::pg::server::sys;

/// What the server logs when a reload of the TLS configuration did not take, as it stands in its source.
const NOT_RELOADED: &[u8] = b"SSL configuration was not reloaded";

static PREVIOUS: OnceLock<sys::openssl_tls_init_hook_typ> = OnceLock::new();

/// OpenSSL's number for our piece of data in a context; negative without one.
static CONTEXT_DATA: AtomicI32 = AtomicI32::new(-1);

/// In the postmaster: when the context in force was loaded, and the one before it. 0 for never.
static LOADED_AT: AtomicI64 = AtomicI64::new(0);
static LOADED_BEFORE: AtomicI64 = AtomicI64::new(0);

/// How the last reload of the TLS configuration ended.
/// 0 says that there was none since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Outcome {
    /// It took.
    Done = 1,
    /// The server kept what it had.
    Refused = 2,
}

/// Called once, while the server loads the libraries of `shared_preload_libraries`, before it loads its TLS files.
pub(in crate::pg) fn install() {
    // SAFETY: the postmaster is alone at this time; our hook calls the one it replaces. The index stays for as long as
    // the process lives, and the data is no pointer, so OpenSSL has nothing to copy or free.
    unsafe {
        let index = openssl_sys::SSL_CTX_get_ex_new_index(0, ptr::null_mut(), None, None, None);
        CONTEXT_DATA.store(index, Ordering::Relaxed);
        let _ = PREVIOUS.set(sys::openssl_tls_init_hook);
        sys::openssl_tls_init_hook = Some(tls_init);
    }
}

/// Runs in the postmaster; in PostgreSQL 15, a reload runs it inside a signal handler.
unsafe extern "C-unwind" fn tls_init(context: *mut openssl_sys::SSL_CTX, is_server_start: bool) {
    if let Some(Some(previous)) = PREVIOUS.get() {
        // SAFETY: the server's own function or that of another library, called as the server would.
        unsafe { previous(context, is_server_start) };
    }
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let index: c_int = CONTEXT_DATA.load(Ordering::Relaxed);
    if index >= 0 {
        let time = usize::try_from(now).unwrap_or(0);
        // SAFETY: the context is the server's, being made; OpenSSL keeps the value and never follows it.
        unsafe {
            openssl_sys::SSL_CTX_set_ex_data(
                context,
                index,
                ptr::without_provenance_mut::<c_void>(time),
            )
        };
    }
    LOADED_BEFORE.store(LOADED_AT.swap(now, Ordering::Relaxed), Ordering::Relaxed);
    if let Some(segment) = Segment::get().filter(|_| !is_server_start) {
        let shared = segment.shared();
        shared.context_loaded_at.store(now, Ordering::Relaxed);
        shared.last_reload_at.store(now, Ordering::Relaxed);
        shared.last_reload.store(Outcome::Done as u32, Ordering::Relaxed);
    }
}

/// Looks at a message that the postmaster is about to log.
pub(in crate::pg) fn heard_in_postmaster(message_id: &[u8]) {
    if message_id != NOT_RELOADED {
        return;
    }
    let before = LOADED_BEFORE.load(Ordering::Relaxed);
    LOADED_AT.store(before, Ordering::Relaxed);
    if let Some(segment) = Segment::get() {
        let shared = segment.shared();
        shared.context_loaded_at.store(before, Ordering::Relaxed);
        shared.last_reload.store(Outcome::Refused as u32, Ordering::Relaxed);
    }
}

/// Copies what the postmaster knows into new shared memory.
pub(in crate::pg) fn publish() {
    if let Some(segment) = Segment::get() {
        let loaded = LOADED_AT.load(Ordering::Relaxed);
        segment.shared().context_loaded_at.store(loaded, Ordering::Relaxed);
    }
}

/// When a context was loaded, in microseconds of the server's epoch; 0 for unknown.
pub(in crate::pg) fn loaded_at(context: *const openssl_sys::SSL_CTX) -> i64 {
    let index = CONTEXT_DATA.load(Ordering::Relaxed);
    if index < 0 || context.is_null() {
        return 0;
    }
    // SAFETY: the context is live, and the index is ours.
    let data = unsafe { openssl_sys::SSL_CTX_get_ex_data(context, index) };
    i64::try_from(data.addr()).unwrap_or(0)
}
