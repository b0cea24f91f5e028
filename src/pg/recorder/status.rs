//! What the recorder knows of the server and of itself, and how it is told to start over.

use std::sync::atomic::Ordering;

use pgtls_core::recorder::lru::Evictions;

use crate::error::{Error, Result};
use crate::pg::datum::text::lossless;
use crate::pg::recorder::reload::Outcome;
use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::{failures, inventory, reload_error, save};
use crate::pg::server::settings;

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
    })
}

/// Forgets counters, recent failures and the inventory. Sessions stay: they are there.
pub(crate) fn reset() -> Result<()> {
    let segment = Segment::in_child().ok_or(Error::NotPreloaded)?;
    failures::reset(segment);
    inventory::reset(segment);
    segment.shared().dropped.store(0, Ordering::Relaxed);
    segment.shared().changes.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Whether the server's `ssl` is on.
pub(crate) fn ssl_on() -> bool {
    settings::is_on(c"ssl")
}
