//! Which TLS context the server has in force, and how its last reload ended. All of it happens in
//! the postmaster, and every process that it forks afterwards inherits what is known here.
//!
//! The server calls `openssl_tls_init_hook` for every context it begins to make, before it loads
//! any file into it. What was configured at that moment is attached to the context. Whether a
//! reload took is seen from what the server does with the two contexts: it frees the new one if
//! loading failed, and the old one if it did not. OpenSSL tells of both.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU64, Ordering};

use openssl_sys::{CRYPTO_EX_DATA, SSL_CTX};
use pgrx::pg_sys;
use serde::{Deserialize, Serialize};

use crate::pg::recorder::reload_error;
use crate::pg::recorder::segment::Segment;
use crate::pg::server::sys;
use crate::pg::server::tls_settings::TlsSettings;

/// What the server logs when a reload of the TLS configuration did not take, as it stands in its
/// source.
const NOT_RELOADED: &[u8] = b"SSL configuration was not reloaded";

static PREVIOUS: OnceLock<sys::openssl_tls_init_hook_typ> = OnceLock::new();

/// OpenSSL's number for our piece of data in a context; negative without one.
static CONTEXT_DATA: AtomicI32 = AtomicI32::new(-1);

/// The context that logins are judged by; null if there is none, and at the first start, when it is
/// still the candidate.
static IN_FORCE: AtomicPtr<SSL_CTX> = AtomicPtr::new(ptr::null_mut());
/// The last context that the server began to make, until it is known whether it took.
static CANDIDATE: AtomicPtr<SSL_CTX> = AtomicPtr::new(ptr::null_mut());

/// When the last context was made that was not refused, and the one before it: microseconds of the
/// server's epoch, 0 for never. Needed where a server keeps no context that can be asked, as
/// PostgreSQL 19 does.
static MADE_AT: AtomicI64 = AtomicI64::new(0);
static MADE_BEFORE: AtomicI64 = AtomicI64::new(0);

/// Grows whenever another context may have come into force.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Whether TLS was not reloaded by the last of them.
static REFUSED: AtomicBool = AtomicBool::new(false);
/// How many reloads the postmaster has heard itself begin.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// How the last reload ended, of all that is reloaded.
/// 0 says that there was none since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Outcome {
    /// It took.
    Done = 1,
    /// The server kept some or all of what it had.
    Refused = 2,
}

/// What was configured when a context was made.
pub(in crate::pg) struct Loaded {
    /// Microseconds of the server's epoch.
    pub(in crate::pg) at: i64,
    pub(in crate::pg) settings: TlsSettings,
}

impl Loaded {
    fn now() -> Self {
        // SAFETY: reads the clock.
        let at = unsafe { pg_sys::GetCurrentTimestamp() };
        Self { at, settings: TlsSettings::current() }
    }
}

/// Called once, while the server loads the libraries of `shared_preload_libraries`, before it loads
/// its TLS files.
pub(in crate::pg) fn install() {
    // SAFETY: the postmaster is alone at this time; our hook calls the one it replaces. The index
    // stays for as long as the process lives.
    unsafe {
        let index =
            openssl_sys::SSL_CTX_get_ex_new_index(0, ptr::null_mut(), None, None, Some(freed));
        CONTEXT_DATA.store(index, Ordering::Relaxed);
        let _ = PREVIOUS.set(sys::openssl_tls_init_hook);
        sys::openssl_tls_init_hook = Some(tls_init);
    }
}

/// Runs in the postmaster; in PostgreSQL 15, a reload runs it inside a signal handler.
unsafe extern "C-unwind" fn tls_init(context: *mut SSL_CTX, is_server_start: bool) {
    if let Some(Some(previous)) = PREVIOUS.get() {
        // SAFETY: the server's own function or that of another library, called as the server would.
        unsafe { previous(context, is_server_start) };
    }
    let loaded = Loaded::now();
    MADE_BEFORE.store(MADE_AT.swap(loaded.at, Ordering::Relaxed), Ordering::Relaxed);
    let index: c_int = CONTEXT_DATA.load(Ordering::Relaxed);
    if index >= 0 {
        let data: *mut c_void = Box::into_raw(Box::new(loaded)).cast();
        // SAFETY: the context is the server's, being made; the data is freed with it, in `freed`.
        let set = unsafe { openssl_sys::SSL_CTX_set_ex_data(context, index, data) };
        if set != 1 {
            // SAFETY: made above, and nobody else has it.
            drop(unsafe { Box::from_raw(data.cast::<Loaded>()) });
        }
    }
    settle();
    CANDIDATE.store(context, Ordering::Relaxed);
    next_generation();
}

/// A candidate of which nothing bad was heard is what is in force.
fn settle() {
    let candidate = CANDIDATE.swap(ptr::null_mut(), Ordering::Relaxed);
    if !candidate.is_null() {
        IN_FORCE.store(candidate, Ordering::Relaxed);
    }
}

fn refused() {
    if let Some(segment) = Segment::get() {
        segment.shared().last_reload.store(Outcome::Refused as u32, Ordering::Relaxed);
    }
    next_generation();
}

/// OpenSSL's word that a context is gone. In a child it is only our own copy of these variables
/// that changes.
unsafe extern "C" fn freed(
    context: *mut c_void,
    data: *mut c_void,
    _: *mut CRYPTO_EX_DATA,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    let context: *mut SSL_CTX = context.cast();
    if !data.is_null() {
        // SAFETY: made by `tls_init` for this context, which is gone after this.
        drop(unsafe { Box::from_raw(data.cast::<Loaded>()) });
    }
    if context == CANDIDATE.load(Ordering::Relaxed) {
        CANDIDATE.store(ptr::null_mut(), Ordering::Relaxed);
        // Without another one it was in force, and TLS has been switched off.
        if IN_FORCE.load(Ordering::Relaxed).is_null() {
            next_generation();
        } else {
            refused();
        }
    } else if context == IN_FORCE.load(Ordering::Relaxed) {
        IN_FORCE.store(ptr::null_mut(), Ordering::Relaxed);
        settle();
        next_generation();
    }
}

/// Looks at a message that the postmaster is about to log.
pub(in crate::pg) fn heard_in_postmaster(message_id: &[u8], message: &[u8], context: &[u8]) {
    if message_id == NOT_RELOADED {
        REFUSED.store(true, Ordering::Relaxed);
        MADE_AT.store(MADE_BEFORE.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    // A library that keeps the contexts of the server alive would keep `freed` from being called.
    if message_id == NOT_RELOADED && !CANDIDATE.load(Ordering::Relaxed).is_null() {
        CANDIDATE.store(ptr::null_mut(), Ordering::Relaxed);
        refused();
    }
    match reload_error::heard(message_id, message, context) {
        Some(Outcome::Done) => began(),
        Some(Outcome::Refused) => refused(),
        None => {}
    }
}

/// The server begins to reload.
fn began() {
    REFUSED.store(false, Ordering::Relaxed);
    COUNT.fetch_add(1, Ordering::Relaxed);
    if let Some(segment) = Segment::get() {
        let shared = segment.shared();
        // SAFETY: reads the clock.
        shared.last_reload_at.store(unsafe { pg_sys::GetCurrentTimestamp() }, Ordering::Relaxed);
        shared.last_reload.store(Outcome::Done as u32, Ordering::Relaxed);
    }
    next_generation();
}

fn next_generation() {
    let generation = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
    publish_generation(generation);
}

fn publish_generation(generation: u64) {
    if let Some(segment) = Segment::get() {
        let shared = segment.shared();
        shared.generation.store(generation, Ordering::Release);
        shared.context_loaded_at.store(in_force_since(), Ordering::Relaxed);
    }
}

/// Copies what the postmaster knows into new shared memory.
pub(in crate::pg) fn publish() {
    publish_generation(GENERATION.load(Ordering::Relaxed));
}

/// Whether the last reload before this process was forked did not take over the TLS configuration.
pub(in crate::pg) fn is_refused() -> bool {
    REFUSED.load(Ordering::Relaxed)
}

/// A reload: when the postmaster started and when it last read its configuration, as every process
/// inherits it, and how many reloads it has heard itself begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pg) struct Reload {
    pub(in crate::pg) started: i64,
    pub(in crate::pg) read: i64,
    count: u64,
}

impl Reload {
    /// The last one before this process was forked.
    pub(in crate::pg) fn inherited() -> Self {
        // SAFETY: plain reads of variables of this process.
        let (started, read) = unsafe { (pg_sys::PgStartTime, pg_sys::PgReloadTime) };
        Self { started, read, count: COUNT.load(Ordering::Relaxed) }
    }
}

/// The generation that this process was forked with.
pub(in crate::pg) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// The context that was in force when this process was forked; null if there was none, or none is
/// known.
pub(in crate::pg) fn inherited() -> *mut SSL_CTX {
    // What was still a candidate has taken: the postmaster forks nothing while it reloads.
    let candidate = CANDIDATE.load(Ordering::Relaxed);
    if candidate.is_null() { IN_FORCE.load(Ordering::Relaxed) } else { candidate }
}

/// What was configured when a context was made; `None` if that is not known.
///
/// # Safety
/// The context is null, or stays alive for `'a`.
pub(in crate::pg) unsafe fn loaded<'a>(context: *const SSL_CTX) -> Option<&'a Loaded> {
    let index = CONTEXT_DATA.load(Ordering::Relaxed);
    if index < 0 || context.is_null() {
        return None;
    }
    // SAFETY: the context is live, the index is ours, and what is there was put there by
    // `tls_init`.
    unsafe { openssl_sys::SSL_CTX_get_ex_data(context, index).cast::<Loaded>().as_ref() }
}

/// When what is in force was loaded, in microseconds of the server's epoch; 0 for unknown.
pub(in crate::pg) fn in_force_since() -> i64 {
    match loaded_at(inherited()) {
        0 => MADE_AT.load(Ordering::Relaxed),
        at => at,
    }
}

/// When a context was loaded, in microseconds of the server's epoch; 0 for unknown.
pub(in crate::pg) fn loaded_at(context: *const SSL_CTX) -> i64 {
    // SAFETY: null, or the context of a connection or the postmaster, which is live now.
    unsafe { loaded(context) }.map_or(0, |loaded| loaded.at)
}
