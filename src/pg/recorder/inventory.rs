//! The inventory of client certificates: every one that a login was tried with and that the server
//! could verify.
//!
//! A table in shared memory under a lock of the server, bounded by `max_client_certificates`;
//! beyond that one is forgotten and counted, but none that a session is connected with: each such
//! session holds its certificate from its login to its end. After a crash the memory is made anew,
//! and so is every session. An entry is found by SHA-256 of the certificate and keeps its chain as
//! far as it fits. A certificate that the server did not verify never gets here, so nobody without
//! one can fill it.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::Ordering;

use pgrx::pg_sys;
use pgtls_core::recorder::identity::{self, Identity};
use pgtls_core::recorder::lru::{Evictions, Hold, Member};
use pgtls_core::recorder::saved_state::{Record, SavedCertificate, Writer};
use pgtls_core::work;

use crate::error::{Error, Result};
use crate::pg::connection::port::Session;
use crate::pg::connection::tls;
use crate::pg::datum::time::unix_microseconds;
use crate::pg::recorder::save;
use crate::pg::recorder::segment::{Inventory, Segment};
use crate::pg::server::guc;

/// Room for the chain of a certificate, leaf first: two or three certificates of the usual size.
const CHAIN_BYTES: usize = 4096;

/// Room for the names of the roles, and of the databases, that a certificate logged in with: eight
/// of the longest.
const NAMES_BYTES: usize = 512;

/// How many entries are listed, without what is in them, while the lock is held once.
const LISTED: usize = 1024;

/// What is known of a certificate.
#[repr(C)]
#[derive(Clone, Copy)]
pub(in crate::pg) struct Entry {
    /// Microseconds of the server's epoch.
    first_seen: i64,
    last_seen: i64,
    logins: u64,
    failed_logins: u64,
    /// 0, 4 or 6.
    address_family: u32,
    chain_length: u32,
    roles_length: u32,
    databases_length: u32,
    address: [u8; 16],
    chain: [u8; CHAIN_BYTES],
    /// Each ended by a NUL.
    roles: [u8; NAMES_BYTES],
    databases: [u8; NAMES_BYTES],
}

impl Entry {
    const EMPTY: Self = Self {
        first_seen: 0,
        last_seen: 0,
        logins: 0,
        failed_logins: 0,
        address_family: 0,
        chain_length: 0,
        roles_length: 0,
        databases_length: 0,
        address: [0; 16],
        chain: [0; CHAIN_BYTES],
        roles: [0; NAMES_BYTES],
        databases: [0; NAMES_BYTES],
    };

    fn set_address(&mut self, address: Option<IpAddr>) {
        self.address = [0; 16];
        self.address_family = match address {
            None => 0,
            Some(IpAddr::V4(address)) => {
                let octets = address.octets();
                self.address.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
                4
            }
            Some(IpAddr::V6(address)) => {
                self.address = address.octets();
                6
            }
        };
    }
}

/// Notes a login with the certificate of this session, which the server has verified.
pub(in crate::pg) fn seen(segment: Segment, session: &Session, success: bool) -> Option<()> {
    let tls = session.tls()?;
    let fingerprint = tls.borrowed_chain().next().and_then(tls::fingerprint)?;
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let noted = segment.with_inventory(|mut inventory| {
        let Some(place) = inventory.index.touch(&fingerprint, unix_seconds(now)) else {
            // All are connected; the index has counted it.
            return Some(None);
        };
        guc::break_at(guc::Fault::Certificate);
        let entry = inventory.entries.get_mut(place.index)?;
        if place.fresh {
            *entry = Entry::EMPTY;
            entry.first_seen = now;
            let mut used = 0_usize;
            for certificate in tls.borrowed_chain() {
                let room = entry.chain.get_mut(used..).unwrap_or_default();
                let Some(length) = tls::copy_der(certificate, room) else { break };
                used = used.saturating_add(length);
            }
            entry.chain_length = u32::try_from(used).unwrap_or(0);
            if let Some(life) = entry.chain.get(..used).and_then(identity::life) {
                inventory.index.describe(place.index, &life);
            }
        }
        entry.last_seen = now;
        entry.set_address(session.client_address());
        if success {
            entry.logins = entry.logins.saturating_add(1);
            add_name(&mut entry.roles, &mut entry.roles_length, session.role_name());
            add_name(&mut entry.databases, &mut entry.databases_length, session.database_name());
            inventory.index.take_into_use(place.index);
            Some(inventory.index.hold(place.index))
        } else {
            entry.failed_logins = entry.failed_logins.saturating_add(1);
            Some(None)
        }
    });
    segment.shared().changes.fetch_add(1, Ordering::Relaxed);
    if let Some(hold) = noted? {
        HELD.set(Some(hold));
        // SAFETY: in the hook, exit callbacks may be registered; a backend authenticates once, so
        // this is done once. It runs while the process still has its process structure, which the
        // lock takes.
        unsafe { pg_sys::on_shmem_exit(Some(let_go), pg_sys::Datum::from(0)) };
    }
    Some(())
}

thread_local! {
    /// What this backend holds.
    static HELD: Cell<Option<Hold>> = const { Cell::new(None) };
}

/// Runs when the backend ends.
unsafe extern "C-unwind" fn let_go(_code: std::ffi::c_int, _: pg_sys::Datum) {
    if let (Some(segment), Some(hold)) = (Segment::in_child(), HELD.take()) {
        segment.with_inventory(|mut inventory| inventory.index.let_go(&hold));
    }
}

/// Of microseconds of the server's epoch.
fn unix_seconds(moment: i64) -> i64 {
    unix_microseconds(moment).div_euclid(1_000_000)
}

/// Adds a name to a list, if it is not there and there is room.
fn add_name(list: &mut [u8], length: &mut u32, name: Option<&[u8]>) {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return };
    let used = usize::try_from(*length).unwrap_or(0);
    if list.get(..used).is_some_and(|used| names(used).any(|known| known == name)) {
        return;
    }
    let end = used.saturating_add(name.len());
    // The byte behind the name ends it.
    if let Some(room) = list.get_mut(used..end.saturating_add(1))
        && let Some((last, room)) = room.split_last_mut()
    {
        room.copy_from_slice(name);
        *last = 0;
        *length = u32::try_from(end.saturating_add(1)).unwrap_or(*length);
    }
}

fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == 0).filter(|name| !name.is_empty())
}

/// A certificate of the inventory.
pub(crate) struct Known {
    pub(crate) fingerprint: [u8; 32],
    /// Microseconds of the server's epoch.
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) logins: u64,
    pub(crate) failed_logins: u64,
    pub(crate) address: Option<IpAddr>,
    /// DER of the certificates of its chain that fit, leaf first, one after the other.
    pub(crate) chain: Vec<u8>,
    pub(crate) roles: Vec<Vec<u8>>,
    pub(crate) databases: Vec<Vec<u8>>,
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into())
}

/// All certificates, the least recently seen first, each as it is when its turn comes; `None` where
/// the library is not preloaded.
pub(crate) fn known() -> Option<impl Iterator<Item = Known>> {
    let segment = Segment::in_child()?;
    save::wait_until_loaded(segment);
    Some(listed(segment).into_iter().filter_map(move |(_, key)| {
        // One that has gone meanwhile is not shown.
        Some(shown(key, &entry(segment, &key)?))
    }))
}

/// A copy of an entry, if it is there.
fn entry(segment: Segment, key: &[u8; 32]) -> Option<Entry> {
    segment.with_inventory(|inventory| {
        let place = inventory.index.place_of(key)?;
        inventory.entries.get(place).copied()
    })
}

/// When each certificate was last seen, and its key, in this order. A batch at a time, so that
/// logins do not wait for long.
fn listed(segment: Segment) -> Vec<(i64, [u8; 32])> {
    let mut all = Vec::new();
    for start in (0..segment.inventory_room()).step_by(LISTED) {
        // Before the lock is taken: under it, nothing waits for memory.
        work::between();
        work::reserve(&mut all, LISTED);
        let found = segment.with_inventory(|inventory| {
            let keys = (start..).map_while(|index| {
                let entry = inventory.entries.get(index)?;
                Some((entry.last_seen, *inventory.index.key(index)?))
            });
            let before = all.len();
            all.extend(keys.take(LISTED));
            all.len() - before
        });
        if found < LISTED {
            break;
        }
    }
    // One that lost its place and got another one is there twice.
    all.sort_unstable_by_key(|(last_seen, key)| (*key, *last_seen));
    all.dedup_by_key(|(_, key)| *key);
    all.sort_unstable();
    all
}

fn shown(fingerprint: [u8; 32], entry: &Entry) -> Known {
    let part = |bytes: &'_ [u8], length: u32| -> Vec<u8> {
        let length = usize::try_from(length).unwrap_or(0);
        bytes.get(..length).unwrap_or_default().to_vec()
    };
    let list = |bytes: &[u8], length: u32| {
        names(&part(bytes, length)).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let [a, b, c, d, ..] = entry.address;
    Known {
        fingerprint,
        first_seen: entry.first_seen,
        last_seen: entry.last_seen,
        logins: entry.logins,
        failed_logins: entry.failed_logins,
        address: match entry.address_family {
            4 => Some(Ipv4Addr::new(a, b, c, d).into()),
            6 => Some(Ipv6Addr::from(entry.address).into()),
            _ => None,
        },
        roles: list(&entry.roles, entry.roles_length),
        databases: list(&entry.databases, entry.databases_length),
        chain: part(&entry.chain, entry.chain_length),
    }
}

/// The latest certificate of each identity that somebody has logged in with: when it begins, in
/// seconds of Unix time, and its fingerprint. Empty where the library is not preloaded.
pub(crate) fn latest() -> HashMap<Identity, (i64, [u8; 32])> {
    let Some(segment) = Segment::in_child() else { return HashMap::new() };
    // Made before the lock is taken, so that nobody waits for memory.
    let mut members: Vec<Member> = Vec::new();
    work::reserve(&mut members, segment.inventory_room());
    segment.with_inventory(|inventory| {
        let room = members.capacity();
        members.extend(inventory.index.members_in_use().take(room));
    });
    let mut latest = HashMap::new();
    if latest.try_reserve(members.len()).is_err() {
        work::out_of_memory();
    }
    for member in members {
        let known = latest.entry(member.group).or_insert((member.begins, member.key));
        *known = (*known).max((member.begins, member.key));
    }
    latest
}

/// How many certificates there are, and how many were forgotten for want of room.
pub(in crate::pg) fn size(segment: Segment) -> (usize, u64) {
    segment.with_inventory(|inventory| (inventory.index.len(), inventory.index.evicted()))
}

/// What was forgotten since the memory was made or reset, by what it was.
pub(in crate::pg) fn evictions(segment: Segment) -> Evictions {
    segment.with_inventory(|inventory| inventory.index.evictions())
}

/// Forgets a certificate, though somebody may be connected with it. Says whether it was there.
pub(crate) fn forget(fingerprint: &[u8; 32]) -> Result<bool> {
    let segment = Segment::in_child().ok_or(Error::NotPreloaded)?;
    let forgotten = segment.with_inventory(|mut inventory| {
        let (place, last) = inventory.index.remove(fingerprint)?;
        inventory.entries.copy_within(last..=last, place);
        *inventory.entries.get_mut(last)? = Entry::EMPTY;
        Some(())
    });
    segment.shared().changes.fetch_add(1, Ordering::Relaxed);
    Ok(forgotten.is_some())
}

/// Forgets all certificates.
pub(in crate::pg) fn reset(segment: Segment) {
    segment.with_inventory(|mut inventory| {
        inventory.index.clear();
        // Under the lock, so that nothing of the file comes after it.
        save::forget_file(segment);
    });
}

/// Writes what is to be saved, the most recently seen first.
pub(in crate::pg) fn save<W: Write>(segment: Segment, file: &mut Writer<W>) -> io::Result<()> {
    file.add(&Record::Evicted(size(segment).1))?;
    for (_, key) in listed(segment).iter().rev() {
        work::between();
        let Some(entry) = entry(segment, key) else { continue };
        file.add(&Record::Certificate(saved(*key, &entry)))?;
    }
    Ok(())
}

fn saved(fingerprint: [u8; 32], entry: &Entry) -> SavedCertificate<'_> {
    let length = |bytes: &[u8], length: u32| usize::try_from(length).unwrap_or(0).min(bytes.len());
    let address = match entry.address_family {
        4 => 4,
        6 => 16,
        _ => 0,
    };
    SavedCertificate {
        fingerprint,
        first_seen: entry.first_seen,
        last_seen: entry.last_seen,
        logins: entry.logins,
        failed_logins: entry.failed_logins,
        address: &entry.address[..address],
        chain: &entry.chain[..length(&entry.chain, entry.chain_length)],
        roles: &entry.roles[..length(&entry.roles, entry.roles_length)],
        databases: &entry.databases[..length(&entry.databases, entry.databases_length)],
    }
}

/// Takes over how many were forgotten before.
pub(in crate::pg) fn restore_evicted(inventory: &mut Inventory<'_>, count: u64) {
    let evicted = inventory.index.evicted().saturating_add(count);
    inventory.index.set_evicted(evicted);
}

/// Takes over a certificate. It was seen before all that are there, so it does not take the place
/// of any; if it is there, because somebody has logged in with it meanwhile, it is one with what is
/// known of it.
pub(in crate::pg) fn restore(inventory: &mut Inventory<'_>, saved: &SavedCertificate<'_>) {
    let Some(place) = inventory.index.append(&saved.fingerprint) else {
        return restore_evicted(inventory, 1);
    };
    let Some(entry) = inventory.entries.get_mut(place.index) else { return };
    if place.fresh {
        *entry = Entry::EMPTY;
        entry.first_seen = saved.first_seen;
        entry.last_seen = saved.last_seen;
        entry.set_address(address(saved.address));
        // Of a version with more room: what does not fit is left out, and a name that does not.
        if let Some(room) = entry.chain.get_mut(..saved.chain.len()) {
            room.copy_from_slice(saved.chain);
            entry.chain_length = u32::try_from(saved.chain.len()).unwrap_or(0);
        }
        if let Some(life) = identity::life(saved.chain) {
            inventory.index.describe(place.index, &life);
        }
    }
    if saved.logins > 0 {
        inventory.index.take_into_use(place.index);
    }
    entry.first_seen = entry.first_seen.min(saved.first_seen);
    entry.logins = entry.logins.saturating_add(saved.logins);
    entry.failed_logins = entry.failed_logins.saturating_add(saved.failed_logins);
    for name in names(saved.roles) {
        add_name(&mut entry.roles, &mut entry.roles_length, Some(name));
    }
    for name in names(saved.databases) {
        add_name(&mut entry.databases, &mut entry.databases_length, Some(name));
    }
}
