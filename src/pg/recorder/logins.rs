//! Logins over TCP that succeeded, counted by how they were encrypted.
//!
//! A bounded table in shared memory, without a lock: an entry is taken by putting the hash of what
//! it counts into it, and is never given back. Whoever finds that hash counts there. All who count
//! the same write the same bytes, so it does not matter who comes first. What comes when the table
//! is full is counted together.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

use pgrx::pg_sys;

use crate::pg::connection::port::Session;
use crate::pg::recorder::fnv::Fnv;
use crate::pg::recorder::segment::Segment;

/// Kinds of encryption that are counted each by itself: protocol versions by cipher suites by groups
/// that one server offers are far fewer.
pub(in crate::pg) const ENTRIES: usize = 256;

/// Bytes of the names, one behind the other.
const NAMES_BYTES: usize = 120;

/// One kind of login. All zeroes is an entry that is free.
#[repr(C)]
pub(in crate::pg) struct Entry {
    key: AtomicU64,
    logins: AtomicU64,
    /// Microseconds of the server's epoch.
    last_at: AtomicI64,
    /// Protocol version, cipher suite and group, each with a NUL behind it; none for no TLS.
    names: [AtomicU8; NAMES_BYTES],
    has_certificate: AtomicBool,
    /// Whether the names are there.
    ready: AtomicBool,
}

/// Counts the login of this process.
pub(in crate::pg) fn count(segment: Segment, session: &Session) {
    let has_certificate = session.client_certificate_verified();
    let mut names = [0_u8; NAMES_BYTES];
    if let Some(tls) = session.tls() {
        let cipher = tls.cipher().unwrap_or_default().as_bytes();
        let group = tls.key_exchange_group_bytes().unwrap_or_default();
        put(&mut names, &[tls.version().as_bytes(), cipher, group]);
    }
    let mut key = Fnv::new();
    key.take(&names);
    key.take(&[u8::from(has_certificate)]);
    let key = key.hash().max(1);
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let Some(entry) = entry(segment.logins(), key) else {
        segment.shared().other_logins.fetch_add(1, Ordering::Relaxed);
        return;
    };
    if !entry.ready.load(Ordering::Relaxed) {
        for (place, byte) in entry.names.iter().zip(names) {
            place.store(byte, Ordering::Relaxed);
        }
        entry.has_certificate.store(has_certificate, Ordering::Relaxed);
        entry.ready.store(true, Ordering::Release);
    }
    entry.logins.fetch_add(1, Ordering::Relaxed);
    entry.last_at.fetch_max(now, Ordering::Relaxed);
}

/// Puts names one behind the other, as far as there is room.
fn put(room: &mut [u8; NAMES_BYTES], names: &[&[u8]]) {
    let mut places = room.iter_mut();
    for name in names {
        // In this order: no place is passed over when the name ends.
        for (byte, place) in name.iter().chain(&[0]).zip(places.by_ref()) {
            *place = *byte;
        }
    }
}

/// The entry of this hash, taken now if it is not there; `None` if there is no room.
fn entry(entries: &[Entry], key: u64) -> Option<&Entry> {
    let start = usize::try_from(key).ok()?.checked_rem(entries.len())?;
    let (before, from) = entries.split_at_checked(start)?;
    from.iter().chain(before).find(|entry| {
        let taken = entry.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed);
        taken.is_ok() || taken == Err(key)
    })
}

/// How often clients have logged in one way.
pub(crate) struct Logins {
    /// `None` for those that are counted together.
    pub(crate) kind: Option<Kind>,
    pub(crate) count: u64,
    /// Microseconds of the server's epoch.
    pub(crate) last_at: Option<i64>,
}

/// How a login was encrypted.
pub(crate) struct Kind {
    /// `None` without TLS.
    pub(crate) version: Option<String>,
    pub(crate) cipher: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) has_certificate: bool,
}

/// All of them; `None` where the library is not preloaded.
pub(crate) fn counts() -> Option<Vec<Logins>> {
    let segment = Segment::in_child()?;
    let other = segment.shared().other_logins.load(Ordering::Relaxed);
    let other = (other > 0).then_some(Logins { kind: None, count: other, last_at: None });
    Some(segment.logins().iter().filter_map(read).chain(other).collect())
}

fn read(entry: &Entry) -> Option<Logins> {
    let is_ready = entry.ready.load(Ordering::Acquire);
    let count = entry.logins.load(Ordering::Relaxed);
    if !is_ready || count == 0 {
        return None;
    }
    let names: Vec<u8> = entry.names.iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
    let mut names = names.split(|byte| *byte == 0).map(|name| {
        let name = String::from_utf8_lossy(name).into_owned();
        (!name.is_empty()).then_some(name)
    });
    let mut next = || names.next().flatten();
    let kind = Kind {
        version: next(),
        cipher: next(),
        group: next(),
        has_certificate: entry.has_certificate.load(Ordering::Relaxed),
    };
    Some(Logins { kind: Some(kind), count, last_at: Some(entry.last_at.load(Ordering::Relaxed)) })
}

/// Starts over.
pub(in crate::pg) fn reset(segment: Segment) {
    segment.shared().other_logins.store(0, Ordering::Relaxed);
    for entry in segment.logins() {
        entry.logins.store(0, Ordering::Relaxed);
        entry.last_at.store(0, Ordering::Relaxed);
    }
}
