//! What the recorder knows of the server and of itself, and how it is told to start over.

use std::sync::atomic::Ordering;

use pgrx::pg_sys;
use pgtls_core::recorder::lru::Evictions;

use crate::error::{Error, Result};
use crate::pg::datum::text::lossless;
use crate::pg::recorder::reload::Outcome;
use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::{failures, inventory, logins, reload_error, save};
use crate::pg::server::{process, settings};

/// The recorder's own state.
pub(crate) struct Recorder {
    /// Microseconds of the server's epoch.
    pub(crate) context_loaded: Option<i64>,
    pub(crate) last_reload: Option<i64>,
    /// Whether the last reload took.
    pub(crate) last_reload_ok: Option<bool>,
    /// Why it did not, in the server's words.
    pub(crate) last_reload_error: Option<String>,
    pub(crate) slots: usize,
    pub(crate) dropped: u64,
    pub(crate) certificates: usize,
    pub(crate) certificates_room: usize,
    pub(crate) evicted: u64,
    pub(crate) evictions: Evictions,
    /// `None` if there is none now.
    pub(crate) worker_pid: Option<i32>,
    /// When the worker last checked credentials.
    pub(crate) worker_checked: Option<i64>,
    /// When it last ended nobody because it would have been too many.
    pub(crate) held_back: Option<i64>,
    /// When everything was last forgotten.
    pub(crate) reset: Option<i64>,
    pub(crate) sessions_terminated: u64,
}

/// Notes that this process is the worker.
pub(crate) fn note_worker() {
    if let Some(segment) = Segment::in_child() {
        segment.shared().worker_pid.store(std::process::id(), Ordering::Relaxed);
    }
}

/// Notes that the worker has checked the credentials of sessions.
pub(crate) fn note_check() {
    if let Some(segment) = Segment::in_child() {
        segment.shared().worker_checked_at.store(now(), Ordering::Relaxed);
    }
}

/// Notes that the worker has ended nobody, because it would have been too many.
pub(crate) fn note_held_back() {
    if let Some(segment) = Segment::in_child() {
        segment.shared().held_back_at.store(now(), Ordering::Relaxed);
    }
}

fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// The worker's process ID, if that process is there.
fn worker(segment: Segment) -> Option<i32> {
    let pid = i32::try_from(segment.shared().worker_pid.load(Ordering::Relaxed)).ok()?;
    process::is_running(pid).then_some(pid)
}

/// `None` where the library is not preloaded.
pub(crate) fn recorder() -> Option<Recorder> {
    let segment = Segment::in_child()?;
    save::wait_until_loaded(segment);
    let shared = segment.shared();
    let time = |time: i64| Some(time).filter(|time| *time != 0);
    let outcome = shared.last_reload.load(Ordering::Relaxed);
    let (certificates, evicted) = inventory::size(segment);
    Some(Recorder {
        context_loaded: time(shared.context_loaded_at.load(Ordering::Relaxed)),
        last_reload: time(shared.last_reload_at.load(Ordering::Relaxed)),
        last_reload_error: reload_error::last(segment).map(|text| lossless(&text).into_owned()),
        last_reload_ok: (outcome != 0).then_some(outcome == Outcome::Done as u32),
        slots: segment.slot_count(),
        dropped: shared.dropped.load(Ordering::Relaxed),
        certificates,
        certificates_room: segment.inventory_room(),
        evicted,
        evictions: inventory::evictions(segment),
        worker_pid: worker(segment),
        worker_checked: time(shared.worker_checked_at.load(Ordering::Relaxed)),
        held_back: time(shared.held_back_at.load(Ordering::Relaxed)),
        reset: time(shared.reset_at.load(Ordering::Relaxed)),
        sessions_terminated: shared.sessions_terminated.load(Ordering::Relaxed),
    })
}

/// Forgets counters, recent failures and the inventory. Sessions stay: they are there.
pub(crate) fn reset() -> Result<()> {
    let segment = Segment::in_child().ok_or(Error::NotPreloaded)?;
    failures::reset(segment);
    inventory::reset(segment);
    logins::reset(segment);
    segment.shared().dropped.store(0, Ordering::Relaxed);
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    segment.shared().reset_at.store(now, Ordering::Relaxed);
    segment.shared().changes.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Whether the server's `ssl` is on.
pub(crate) fn ssl_on() -> bool {
    settings::is_on(c"ssl")
}
