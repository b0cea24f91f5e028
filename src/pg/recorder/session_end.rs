//! Why a session is being ended: told by who ends it, and passed on to its client.
//!
//! The server has one message for everybody who is told to end, "terminating connection due to
//! administrator command". Who ends a session because of its certificate notes the reason first, in a
//! word of shared memory for each session; the session's own process finds it there when it is about
//! to report that message, and adds it as its detail. A reason that is never read, because the
//! session ended for another one, is of a process that is no more.

use std::ffi::{CStr, c_char};
use std::sync::atomic::Ordering;

use pgrx::pg_sys;
use pgtls_core::verify::credential::Standing;

use crate::pg::datum::cstr;
use crate::pg::recorder::segment::Segment;
use crate::pg::server::version;

/// What the client is told.
fn detail(standing: Standing) -> &'static CStr {
    match standing {
        Standing::Expired => c"The client certificate has expired.",
        Standing::NotYetValid => c"The client certificate is not valid yet.",
        Standing::Revoked => c"The client certificate has been revoked.",
        _ => c"The client certificate is not trusted any more.",
    }
}

/// Those that end sessions, by the number in shared memory, from 1.
const REASONS: [Standing; 4] =
    [Standing::Expired, Standing::NotYetValid, Standing::Revoked, Standing::Untrusted];

/// Notes why the session of this process, in this slot, is about to be ended.
pub(in crate::pg) fn note(segment: Segment, index: usize, pid: i32, standing: Standing) {
    let reason = REASONS.iter().zip(1_u64..).find(|(known, _)| **known == standing);
    if let (Some(ending), Some((_, number))) = (segment.ending(index), reason) {
        ending.store(u64::from(pid.cast_unsigned()) << 32 | number, Ordering::Release);
    }
}

/// What the client of this process is to be told, if its session is being ended for a reason that
/// was noted.
fn noted(segment: Segment) -> Option<&'static CStr> {
    let word = segment.ending(version::own_proc_number()?)?.load(Ordering::Acquire);
    // SAFETY: a plain read of a variable that is constant in a process.
    let pid = unsafe { pg_sys::MyProcPid };
    if word >> 32 != u64::from(pid.cast_unsigned()) {
        return None;
    }
    let number = usize::try_from(word & u64::from(u32::MAX)).ok()?;
    REASONS.get(number.checked_sub(1)?).copied().map(detail)
}

/// Adds the reason to the message with which the server ends this session.
///
/// # Safety
/// Only inside `emit_log_hook`, with its message.
pub(in crate::pg) unsafe fn explain(segment: Segment, message: *mut pg_sys::ErrorData) {
    // SAFETY: the caller's contract.
    let message = unsafe { &mut *message };
    let is_ending = message.elevel >= pg_sys::FATAL.cast_signed()
        && message.sqlerrcode == pgrx::PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN as i32;
    if !is_ending || !message.detail.is_null() {
        return;
    }
    let Some(text) = noted(segment).map(CStr::to_bytes) else { return };
    // The server frees this context with the message.
    let texts_of = message.assoc_context;
    message.detail = copied(texts_of, [text, b"", b""]);
    // 19 logs who sent the signal, in place of what the client is told.
    // SAFETY: the server's own text, which ends with a NUL, or null.
    if let Some(of_server) = unsafe { cstr::bytes(message.detail_log) } {
        let both = copied(texts_of, [text, b" ", of_server]);
        if !both.is_null() {
            message.detail_log = both;
        }
    }
}

/// These texts in a row, in memory of this context; null if there is none.
fn copied(context: pg_sys::MemoryContext, texts: [&[u8]; 3]) -> *mut c_char {
    let length = texts.iter().map(|text| text.len()).sum::<usize>() + 1;
    let flags = pg_sys::MCXT_ALLOC_NO_OOM.cast_signed() | pg_sys::MCXT_ALLOC_ZERO.cast_signed();
    // SAFETY: told not to raise without memory. The copy has room for the texts, and what is left
    // is the NUL.
    unsafe {
        let copy = pg_sys::MemoryContextAllocExtended(context, length, flags).cast::<u8>();
        if !copy.is_null() {
            let mut end = copy;
            for text in texts {
                std::ptr::copy_nonoverlapping(text.as_ptr(), end, text.len());
                end = end.add(text.len());
            }
        }
        copy.cast()
    }
}
