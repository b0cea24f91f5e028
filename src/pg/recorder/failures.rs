//! Logins that failed: what is heard of them, and a counter for each reason. The last ones are in
//! `failure_ring`.
//!
//! Most failures are seen before the process has a process structure, when it may not take a lock:
//! this is atomics only. What is copied was sent by a client that is not authenticated: it is
//! bounded here and escaped where it is read.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use pgrx::pg_sys;
use pgtls_core::recorder::failure::{Message, Reason, first_number};
use pgtls_core::recorder::saved_state::{Record, SavedCount, Writer};

use crate::pg::connection::port::Session;
use crate::pg::datum::cstr;
use crate::pg::recorder::failure_ring::{self, MESSAGE_BYTES, copy};
use crate::pg::recorder::save;
use crate::pg::recorder::segment::Segment;

/// Failures by reason since the counters were last reset.
#[repr(C)]
pub(in crate::pg) struct Counters {
    counts: [AtomicU64; Reason::ALL.len()],
    /// Microseconds of the server's epoch; 0 for never.
    last: [AtomicI64; Reason::ALL.len()],
}

/// What was heard of the login of this process that the authentication hook will be called for;
/// `NOTHING` if nothing.
static AHEAD: AtomicUsize = AtomicUsize::new(NOTHING);
const NOTHING: usize = usize::MAX;

thread_local! {
    /// The message that said so.
    static AHEAD_TEXT: Cell<([u8; MESSAGE_BYTES], u32)> = const { Cell::new(([0; MESSAGE_BYTES], 0)) };
}

/// Whether the failure of this process is counted: a connection fails once, however many messages
/// that makes.
static COUNTED: AtomicBool = AtomicBool::new(false);

/// Looks at a message that is about to be logged in a process that has a client and has not
/// authenticated it yet.
///
/// # Safety
/// `message` is the live message.
pub(in crate::pg) unsafe fn heard(
    segment: Segment,
    session: &Session,
    message: &pg_sys::ErrorData,
) {
    // SAFETY: the fields of a live message are null or NUL-terminated.
    let (id, text, detail) = unsafe {
        (cstr::bytes(message.message_id), cstr::bytes(message.message), cstr::bytes(message.detail))
    };
    let Some(said) = id.and_then(Message::of_id) else { return };
    // What happens on a Unix socket has nothing to do with TLS.
    if session.is_local() {
        return;
    }
    let reason = match said {
        Message::Handshake => {
            let verified = session.tls_in_handshake().map_or(0, |tls| tls.verify_result());
            let described = || Reason::of_handshake_text(text.unwrap_or_default());
            Reason::of_verify_result(verified).unwrap_or_else(described)
        }
        Message::Final(reason) => reason,
        Message::Ahead(reason) => {
            // The first message is the cause, the others follow from it.
            if AHEAD.load(Ordering::Relaxed) == NOTHING {
                AHEAD.store(reason.index(), Ordering::Relaxed);
                let mut kept = [0; MESSAGE_BYTES];
                let length = copy(text.unwrap_or_default(), &mut kept);
                AHEAD_TEXT.set((kept, length));
            }
            return;
        }
    };
    let depth = detail.and_then(first_number).and_then(|depth| i32::try_from(depth).ok());
    count(segment, session, Failure { reason, depth, text: text.unwrap_or_default() });
}

/// Called from the authentication hook for a client that is going to be turned away.
///
/// # Safety
/// Only inside `ClientAuthentication_hook`.
pub(in crate::pg) unsafe fn not_authenticated(segment: Segment, session: &Session) {
    let ahead = Reason::at(AHEAD.load(Ordering::Relaxed));
    // SAFETY: the caller's contract.
    let rule = unsafe { session.matched_rule() };
    // Names are compared for other methods, too: a wrong password or a strange ident server is no
    // failure of TLS.
    let by_certificate = rule.is_some_and(|rule| {
        rule.client_certificate == Some("verify-full") || rule.method == Some(b"cert".as_slice())
    });
    let Some(reason) = ahead.filter(|_| by_certificate && session.tls_in_use()) else { return };
    let (kept, length) = AHEAD_TEXT.get();
    let text = usize::try_from(length).ok().and_then(|length| kept.get(..length));
    count(segment, session, Failure { reason, depth: None, text: text.unwrap_or_default() });
}

/// A failure to be counted.
pub(in crate::pg) struct Failure<'a> {
    pub(in crate::pg) reason: Reason,
    /// Where in the chain, as far as the server says.
    pub(in crate::pg) depth: Option<i32>,
    /// The server's message.
    pub(in crate::pg) text: &'a [u8],
}

/// Counts a failure of this process and puts it into the ring.
pub(in crate::pg) fn count(segment: Segment, session: &Session, failure: Failure<'_>) {
    if COUNTED.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    // Before it is counted: who has seen it counted finds it there.
    failure_ring::add(segment, session, &failure, now);
    let counters = &segment.shared().failures;
    let index = failure.reason.index();
    if let (Some(count), Some(last)) = (counters.counts.get(index), counters.last.get(index)) {
        count.fetch_add(1, Ordering::Relaxed);
        last.store(now, Ordering::Relaxed);
    }
    segment.shared().changes.fetch_add(1, Ordering::Relaxed);
}

/// How often one thing was the reason.
pub(crate) struct Count {
    pub(crate) reason: Reason,
    pub(crate) count: u64,
    /// Microseconds of the server's epoch.
    pub(crate) last: Option<i64>,
}

/// The counters; `None` where the library is not preloaded.
pub(crate) fn counts() -> Option<Vec<Count>> {
    let segment = Segment::in_child()?;
    save::wait_until_loaded(segment);
    let counters = &segment.shared().failures;
    let both = counters.counts.iter().zip(&counters.last);
    let counts = Reason::ALL.into_iter().zip(both).map(|(reason, (count, last))| Count {
        reason,
        count: count.load(Ordering::Relaxed),
        last: Some(last.load(Ordering::Relaxed)).filter(|last| *last != 0),
    });
    Some(counts.collect())
}

/// Starts over.
pub(in crate::pg) fn reset(segment: Segment) {
    let counters = &segment.shared().failures;
    counters.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    counters.last.iter().for_each(|last| last.store(0, Ordering::Relaxed));
    failure_ring::forget(segment);
}

/// Writes the counters.
pub(in crate::pg) fn save<W: Write>(segment: Segment, file: &mut Writer<W>) -> io::Result<()> {
    let counters = &segment.shared().failures;
    let both = counters.counts.iter().zip(&counters.last);
    for (reason, (count, last)) in Reason::ALL.into_iter().zip(both) {
        file.add(&Record::Failure(SavedCount {
            reason: reason.label(),
            count: count.load(Ordering::Relaxed),
            last: last.load(Ordering::Relaxed),
        }))?;
    }
    Ok(())
}

/// Goes on from a saved counter. What this version has no name for counts as `other`.
pub(in crate::pg) fn restore(segment: Segment, saved: &SavedCount<'_>) {
    let counters = &segment.shared().failures;
    let reason = Reason::ALL.into_iter().find(|reason| reason.label() == saved.reason);
    let index = reason.unwrap_or(Reason::Other).index();
    if let (Some(count), Some(last)) = (counters.counts.get(index), counters.last.get(index)) {
        count.fetch_add(saved.count, Ordering::Relaxed);
        last.fetch_max(saved.last, Ordering::Relaxed);
    }
}
