//! What the recorder knows of the server and of itself, and how it is told to start over.

use std::sync::atomic::Ordering;

use pgtls_core::recorder::lru::Evictions;

use crate::error::{Error, Result};
use crate::pg::recorder::reload::Outcome;
use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::{failures, inventory};
use crate::pg::server::{files, settings};

/// The recorder's own state.
pub(crate) struct Recorder {
    /// Microseconds of the server's epoch.
    pub(crate) context_loaded: Option<i64>,
    pub(crate) last_reload: Option<i64>,
    /// Whether the last reload took.
    pub(crate) last_reload_ok: Option<bool>,
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
    let shared = segment.shared();
    let time = |time: i64| Some(time).filter(|time| *time != 0);
    let outcome = shared.last_reload.load(Ordering::Relaxed);
    let (certificates, evicted) = inventory::size(segment);
    Some(Recorder {
        context_loaded: time(shared.context_loaded_at.load(Ordering::Relaxed)),
        last_reload: time(shared.last_reload_at.load(Ordering::Relaxed)),
        last_reload_ok: (outcome != 0).then_some(outcome == Outcome::Done as u32),
        slots: segment.slot_count(),
        dropped: shared.dropped.load(Ordering::Relaxed),
        certificates,
        certificates_room: segment.inventory_room(),
        evicted,
        evictions: inventory::evictions(segment),
    })
}

/// Whether the server judges logins by `ssl_ca_file` as it is now: it loaded the file after the last change to it. False
/// where that is not known.
pub(crate) fn ca_file_is_in_force() -> bool {
    let loaded = Segment::in_child()
        .map_or(0, |segment| segment.shared().context_loaded_at.load(Ordering::Relaxed));
    settings::path(c"ssl_ca_file")
        .is_some_and(|path| files::last_change(&path).is_some_and(|change| change <= loaded))
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

/// Whether the server chooses certificate and CA file by the host name that a client asks for (`ssl_sni`, since
/// PostgreSQL 19). Then `ssl_ca_file` alone does not say whom it trusts.
pub(crate) fn chooses_by_host() -> bool {
    settings::is_on(c"ssl_sni")
}
