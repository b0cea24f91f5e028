//! The hooks through which the recorder hears of logins. They do little, in a fixed order: call the
//! hook that was there before, copy, count.
//!
//! An error or a panic that leaves one of them would refuse a login, so none does: whatever breaks
//! in here is caught, counted, and the login goes on. They never wait, never read a file and never
//! log. Only `pgtls_ext.require_tls` refuses logins, and that is its purpose.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use pgrx::pg_sys;
use pgtls_core::recorder::failure::Reason;

use crate::error::{Error, PLAINTEXT_REFUSED};
use crate::pg::connection::port::Session;
use crate::pg::datum::cstr;
use crate::pg::memory;
use crate::pg::recorder::failures::{self, Failure};
use crate::pg::recorder::segment::{self, Segment};
use crate::pg::recorder::{inventory, logins, reload, session_end, sessions};
use crate::pg::server::{guc, sys};

/// The server's `STATUS_OK`: the client is who it says it is.
const STATUS_OK: c_int = 0;
/// The server's `STATUS_ERROR`: it is not. The third value means that the client hung up when asked
/// for a password.
const STATUS_ERROR: c_int = -1;

static PREVIOUS_AUTHENTICATION: OnceLock<sys::ClientAuthentication_hook_type> = OnceLock::new();
static PREVIOUS_LOG: OnceLock<pg_sys::emit_log_hook_type> = OnceLock::new();

/// Sets the recorder up. Called once, while the server loads the libraries of
/// `shared_preload_libraries`.
pub(crate) fn install() {
    segment::install();
    reload::install();
    // SAFETY: the postmaster is alone at this time; each hook calls the one it replaces.
    unsafe {
        let _ = PREVIOUS_AUTHENTICATION.set(sys::ClientAuthentication_hook);
        sys::ClientAuthentication_hook = Some(client_authentication);
        let _ = PREVIOUS_LOG.set(pg_sys::emit_log_hook);
        pg_sys::emit_log_hook = Some(emit_log);
    }
}

/// Runs in each client backend and walsender, when the server knows whether the client is who it
/// says it is.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn client_authentication(port: *mut sys::Port, status: c_int) {
    if let Some(Some(previous)) = PREVIOUS_AUTHENTICATION.get() {
        // SAFETY: the hook of another library, called as the server would. It may end the process.
        unsafe { previous(port, status) };
    }
    let Some(session) = Session::current() else { return };
    let refused =
        status == STATUS_OK && guc::require_tls() && !session.tls_in_use() && !session.is_local();
    if let Some(segment) = Segment::in_child().filter(|_| guc::track()) {
        quietly(segment, || match status {
            _ if refused => {
                let (reason, text) = (Reason::PlaintextRefused, PLAINTEXT_REFUSED.as_bytes());
                failures::count(segment, &session, Failure { reason, depth: None, text });
                Some(())
            }
            // SAFETY: this is the authentication hook.
            STATUS_OK => unsafe { sessions::record(segment, &session) },
            STATUS_ERROR => {
                // SAFETY: the same.
                unsafe { failures::not_authenticated(segment, &session) };
                Some(())
            }
            _ => Some(()),
        });
        if status == STATUS_OK && !refused && !session.is_local() {
            quietly(segment, || {
                logins::count(segment, &session);
                Some(())
            });
        }
        if session.client_certificate_verified() && matches!(status, STATUS_OK | STATUS_ERROR) {
            quietly(segment, || inventory::seen(segment, &session, status == STATUS_OK));
        }
    }
    if refused {
        Error::PlaintextRefused.end_the_connection();
    }
}

/// Runs wherever the server is about to log a message.
unsafe extern "C-unwind" fn emit_log(message: *mut pg_sys::ErrorData) {
    if let Some(Some(previous)) = PREVIOUS_LOG.get() {
        // SAFETY: the hook of another library, called as the server would.
        unsafe { previous(message) };
    }
    let whole = message;
    // SAFETY: the server passes a live message; the variables are those of this process.
    let (message, is_child, logging_in) = unsafe {
        let Some(message) = message.as_ref() else { return };
        // The session is not there yet when authentication is over: what the server does next can
        // fail for the certificate.
        let logging_in =
            pg_sys::ClientAuthInProgress || pg_sys::Mode == pg_sys::ProcessingMode::InitProcessing;
        (message, pg_sys::IsUnderPostmaster, logging_in)
    };
    if !is_child {
        // SAFETY: null or NUL-terminated, as all texts of a message, which outlives this call.
        let [id, text, context] = [message.message_id, message.message, message.context]
            .map(|text| unsafe { cstr::bytes(text) }.unwrap_or_default());
        reload::heard_in_postmaster(id, text, context);
        return;
    }
    let Some(segment) = Segment::in_child() else { return };
    if !logging_in {
        // SAFETY: the server's message, which nobody else looks at now.
        unsafe { session_end::explain(segment, whole) };
        return;
    }
    quietly(segment, || {
        let session = Session::current().filter(|_| guc::track());
        if let Some(session) = session {
            // SAFETY: the message is live.
            unsafe { failures::heard(segment, &session, message) };
        }
        Some(())
    });
}

/// Does a piece of recording that must not be noticed: what panics or comes to nothing is counted
/// as dropped.
fn quietly(segment: Segment, record: impl FnOnce() -> Option<()>) {
    // Nothing in here is used again after a panic but shared memory, whose readers expect anything
    // of it.
    let done = catch_unwind(AssertUnwindSafe(record));
    if !matches!(done, Ok(Some(()))) {
        segment.shared().dropped.fetch_add(1, Ordering::Relaxed);
    }
    // A caught panic may itself hold something that panics when dropped.
    std::mem::forget(done);
    // Nothing is given up: the login goes on, and what it lived on is over.
    let _ = memory::has_run_out();
}
