//! The last failed logins, one by one: a ring in shared memory, without a lock.
//!
//! A failure takes the next number, and its entry is that number modulo the length of the ring. Two
//! processes write the same entry only if the ring goes round while one of them copies; a checksum
//! makes readers skip what comes of that.
//!
//! A failure that is equal to one in the ring, of the same client for the same reason, is counted
//! there: a client that tries for ever takes one entry and not all. What tells failures apart is
//! kept in a short [`Tally`] beside each entry, so that the search touches little memory. Two
//! processes may both find no equal one; then there are two entries, which readers add up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use openssl::x509::X509Ref;
use pgtls_core::asn1::time::parse_time;
use pgtls_core::offer::{self, Newest};
use pgtls_core::recorder::failure::Reason;
use pgtls_core::time::UnixTime;
use pgtls_core::work;

use crate::pg::connection::port::Session;
use crate::pg::connection::tls::{self, Tls};
use crate::pg::openssl::client_hello;
use crate::pg::recorder::failures::Failure;
use crate::pg::recorder::fnv::Fnv;
use crate::pg::recorder::segment::{COUNTER_BYTES, Plain, Segment};
use crate::pg::server::guc;

/// Bytes kept of the server's message.
pub(in crate::pg) const MESSAGE_BYTES: usize = 256;
/// Bytes kept of the names in the certificates, together; one for which there is no room is left
/// out, because half a name does not decode.
const NAMES_BYTES: usize = 3072;
/// Bytes kept of a serial number's DER: RFC 5280 allows 22.
const SERIAL_BYTES: usize = 64;
/// Bytes kept of the names of role and database, as in the server (`NAMEDATALEN`).
const NAME_BYTES: usize = 64;
/// Bytes kept of a date's text: 15 of RFC 5280, and an offset.
const DATE_BYTES: usize = 24;
/// Groups kept of those that a client offers; a browser offers six.
const GROUPS: usize = 24;
/// How many of the youngest entries are looked at for an equal one.
const LOOKED_AT: usize = 4096;

/// Bytes of an entry of the ring.
pub(in crate::pg) const ENTRY_BYTES: usize = COUNTER_BYTES + size_of::<Entry>();

/// How often the failure of an entry has come.
#[repr(C)]
pub(in crate::pg) struct Tally {
    /// What failures have to have in common to be equal, as a hash; 0 for an empty entry.
    key: AtomicU64,
    /// The number of the entry that it is of.
    number: AtomicU64,
    count: AtomicU64,
    /// Microseconds of the server's epoch.
    last_at: AtomicI64,
}

/// How many failures were ever put into the ring, and which of them were forgotten by a reset.
#[repr(C)]
pub(in crate::pg) struct Numbers {
    given: AtomicU64,
    /// Entries up to this number were there at the last reset.
    forgotten: AtomicU64,
}

/// A name in an entry: where it ends in the bytes of all names. It begins where the one before it
/// ends.
const NAMES: usize = 4;

#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    /// Over everything below.
    checksum: u64,
    at: i64,
    /// Which failure this is, from 1; 0 in an empty entry.
    number: u64,
    /// OpenSSL's verdict of the chain (`X509_V_ERR_...`); 0 if it had none.
    verify_result: i64,
    reason: u32,
    /// Where in the chain; negative for unknown.
    depth: i32,
    /// 0, 4 or 6.
    address_family: u32,
    has_certificate: u32,
    has_client_certificate: u32,
    message_length: u32,
    serial_length: u32,
    role_length: u32,
    database_length: u32,
    /// The first is the tag of the date.
    date_length: u32,
    /// The newest protocol version that the client offered, as [`number_of`] has it.
    offered_version: u32,
    group_count: u32,
    /// Where the names end: subject and issuer of the offending certificate, then of the client's.
    names_end: [u32; NAMES],
    groups: [i32; GROUPS],
    address: [u8; 16],
    fingerprint: [u8; 32],
    client_fingerprint: [u8; 32],
    message: [u8; MESSAGE_BYTES],
    serial: [u8; SERIAL_BYTES],
    role: [u8; NAME_BYTES],
    database: [u8; NAME_BYTES],
    date: [u8; DATE_BYTES],
    names: [u8; NAMES_BYTES],
}

// SAFETY: integers and arrays of integers.
unsafe impl Plain for Entry {}

impl Entry {
    const EMPTY: Self = Self {
        checksum: 0,
        at: 0,
        number: 0,
        verify_result: 0,
        reason: 0,
        depth: -1,
        address_family: 0,
        has_certificate: 0,
        has_client_certificate: 0,
        message_length: 0,
        serial_length: 0,
        role_length: 0,
        database_length: 0,
        date_length: 0,
        offered_version: 0,
        group_count: 0,
        names_end: [0; NAMES],
        groups: [0; GROUPS],
        address: [0; 16],
        fingerprint: [0; 32],
        client_fingerprint: [0; 32],
        message: [0; MESSAGE_BYTES],
        serial: [0; SERIAL_BYTES],
        role: [0; NAME_BYTES],
        database: [0; NAME_BYTES],
        date: [0; DATE_BYTES],
        names: [0; NAMES_BYTES],
    };

    /// What equal failures have in common: client and certificate, reason, role and database, and
    /// the newest version that the client speaks. Not its groups, which it may draw anew each time.
    fn key(&self) -> u64 {
        let mut sum = Fnv::new();
        sum.take(&self.reason.to_le_bytes());
        sum.take(&self.verify_result.to_le_bytes());
        sum.take(&self.depth.to_le_bytes());
        sum.take(&self.offered_version.to_le_bytes());
        for bytes in [&self.address[..], &self.fingerprint, &self.client_fingerprint, &self.role] {
            sum.take(bytes);
        }
        sum.take(&self.database);
        sum.take(&self.message);
        sum.hash().max(1)
    }

    fn sum(&self) -> u64 {
        let mut sum = Fnv::new();
        sum.take(&self.key().to_le_bytes());
        for number in [self.number, self.at.cast_unsigned()] {
            sum.take(&number.to_le_bytes());
        }
        let lengths = [
            self.address_family,
            self.has_certificate,
            self.has_client_certificate,
            self.message_length,
            self.serial_length,
            self.role_length,
            self.database_length,
            self.date_length,
            self.group_count,
        ];
        for group in self.groups {
            sum.take(&group.to_le_bytes());
        }
        for length in lengths.iter().chain(&self.names_end) {
            sum.take(&length.to_le_bytes());
        }
        for bytes in [&self.serial[..], &self.date, &self.names] {
            sum.take(bytes);
        }
        sum.hash()
    }

    /// Puts a name behind the ones that are there, if there is room; an empty one otherwise.
    fn put_name(&mut self, index: usize, name: Option<&[u8]>) {
        let start = index.checked_sub(1).and_then(|before| self.names_end.get(before)).copied();
        let start = start.and_then(|start| usize::try_from(start).ok()).unwrap_or(0);
        let name = name.unwrap_or_default();
        let room = self.names.get_mut(start..).unwrap_or_default();
        let length = if name.len() <= room.len() { copy(name, room) } else { 0 };
        if let (Some(end), Ok(start)) = (self.names_end.get_mut(index), u32::try_from(start)) {
            *end = start.saturating_add(length);
        }
    }

    fn name(&self, index: usize) -> Option<Vec<u8>> {
        let start = match index.checked_sub(1) {
            Some(before) => usize::try_from(*self.names_end.get(before)?).ok()?,
            None => 0,
        };
        let end = usize::try_from(*self.names_end.get(index)?).ok()?;
        self.names.get(start..end).filter(|name| !name.is_empty()).map(<[u8]>::to_vec)
    }
}

/// Puts a failure into the ring, or counts it with an equal one that is there.
pub(in crate::pg) fn add(segment: Segment, session: &Session, failure: &Failure<'_>, now: i64) {
    let mut entry = describe(session, failure);
    let key = entry.key();
    if let Some(tally) = equal(segment, key) {
        tally.count.fetch_add(1, Ordering::Relaxed);
        tally.last_at.fetch_max(now, Ordering::Relaxed);
        return;
    }
    guc::break_at(guc::Fault::Failure);
    let given = segment.shared().failure_numbers.given.fetch_add(1, Ordering::Relaxed);
    entry.at = now;
    entry.number = given.wrapping_add(1);
    entry.checksum = entry.sum();
    let place = usize::try_from(given).ok().and_then(|n| n.checked_rem(segment.ring_entries()));
    let Some(place) = place else { return };
    let Some(tally) = segment.tallies().get(place) else { return };
    // Nobody counts with the entry that goes.
    tally.key.store(0, Ordering::Release);
    if let Some(place) = segment.ring_entry(place) {
        place.write().head(entry);
    }
    tally.number.store(entry.number, Ordering::Relaxed);
    tally.count.store(1, Ordering::Relaxed);
    tally.last_at.store(now, Ordering::Relaxed);
    tally.key.store(key, Ordering::Release);
}

/// The tally of a failure of this key that was not forgotten.
fn equal(segment: Segment, key: u64) -> Option<&'static Tally> {
    let tallies = segment.tallies();
    let numbers = &segment.shared().failure_numbers;
    let forgotten = numbers.forgotten.load(Ordering::Relaxed);
    let given = usize::try_from(numbers.given.load(Ordering::Relaxed)).ok()?;
    let youngest = given.checked_rem(tallies.len())?;
    let (new, old) = tallies.split_at_checked(youngest)?;
    // Backwards from the youngest.
    new.iter().rev().chain(old.iter().rev()).take(LOOKED_AT).find(|tally| {
        tally.key.load(Ordering::Acquire) == key && tally.number.load(Ordering::Relaxed) > forgotten
    })
}

/// Everything about a failure but its number and time.
fn describe(session: &Session, failure: &Failure<'_>) -> Entry {
    let mut entry = Entry::EMPTY;
    entry.reason = u32::try_from(failure.reason.index()).unwrap_or(0);
    entry.message_length = copy(failure.text, &mut entry.message);
    entry.role_length = copy(session.role_name().unwrap_or_default(), &mut entry.role);
    entry.database_length = copy(session.database_name().unwrap_or_default(), &mut entry.database);
    match session.client_address() {
        Some(IpAddr::V4(address)) => {
            entry.address_family = 4;
            copy(&address.octets(), &mut entry.address);
        }
        Some(IpAddr::V6(address)) => {
            entry.address_family = 6;
            entry.address = address.octets();
        }
        None => {}
    }
    if let Some(tls) = session.tls_in_handshake() {
        describe_offer(&tls, &mut entry);
        describe_chain(&tls, failure, &mut entry);
    }
    entry
}

/// The newest version as a number: its own, or one that no version has.
fn number_of(newest: Newest) -> u32 {
    match newest {
        Newest::Version(version) => version.into(),
        Newest::Tls12OrLater => 1,
        Newest::Tls13 => 2,
    }
}

/// The opposite of [`number_of`].
fn newest_of(number: u32) -> Option<Newest> {
    match number {
        0 => None,
        1 => Some(Newest::Tls12OrLater),
        2 => Some(Newest::Tls13),
        version => u16::try_from(version).ok().map(Newest::Version),
    }
}

fn describe_offer(tls: &Tls<'_>, entry: &mut Entry) {
    entry.offered_version = tls.newest_offered().map_or(0, number_of);
    for (place, group) in entry.groups.iter_mut().zip(tls.offered_groups()) {
        *place = group;
        entry.group_count = entry.group_count.saturating_add(1);
    }
}

fn describe_chain(tls: &Tls<'_>, failure: &Failure<'_>, entry: &mut Entry) {
    let verified = tls.verify_result();
    let length = tls.borrowed_chain().count();
    let depth = match (verified, failure.depth) {
        (0, _) => None,
        (_, Some(depth)) => Some(depth),
        // Servers before 16 do not say. For some results the depth follows from what they mean.
        (9 | 10, None) => tls::depth_outside_dates(tls.borrowed_chain())
            .and_then(|depth| i32::try_from(depth).ok()),
        (18 | 21, None) => Some(0),
        (2 | 19 | 20, None) => length.checked_sub(1).and_then(|depth| i32::try_from(depth).ok()),
        _ => None,
    };
    entry.verify_result = verified;
    entry.depth = depth.unwrap_or(-1);
    let offending = usize::try_from(entry.depth).unwrap_or(0);
    if let Some(certificate) = tls.borrowed_chain().nth(offending) {
        describe_certificate(certificate, entry);
    } else {
        entry.put_name(0, None);
        entry.put_name(1, None);
    }
    if let Some(leaf) = tls.borrowed_chain().next() {
        describe_leaf(leaf, offending == 0, entry);
    }
}

fn describe_certificate(certificate: &X509Ref, entry: &mut Entry) {
    let Some(fingerprint) = tls::fingerprint(certificate) else { return };
    entry.has_certificate = 1;
    entry.fingerprint = fingerprint;
    let serial = tls::copy_serial(certificate, &mut entry.serial);
    entry.serial_length = serial.and_then(|length| u32::try_from(length).ok()).unwrap_or(0);
    entry.put_name(0, tls::subject_der(certificate));
    entry.put_name(1, tls::issuer_der(certificate));
}

/// The client's own certificate; if it is the one that offends, its names are there.
fn describe_leaf(leaf: &X509Ref, is_offending: bool, entry: &mut Entry) {
    let Some(fingerprint) = tls::fingerprint(leaf) else { return };
    entry.has_client_certificate = 1;
    entry.client_fingerprint = fingerprint;
    let names =
        [tls::subject_der(leaf), tls::issuer_der(leaf)].map(|name| name.filter(|_| !is_offending));
    entry.put_name(2, names[0]);
    entry.put_name(3, names[1]);
    if let Some((tag, text)) = tls::not_after(leaf)
        && let Some((first, rest)) = entry.date.split_first_mut()
        && text.len() <= rest.len()
    {
        *first = tag;
        entry.date_length = copy(text, rest).saturating_add(1);
    }
}

/// Copies as much as fits, and says how much that is.
pub(in crate::pg) fn copy(from: &[u8], to: &mut [u8]) -> u32 {
    let length = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..length), to.get_mut(..length)) {
        to.copy_from_slice(from);
    }
    u32::try_from(length).unwrap_or(0)
}

/// Forgets all that is there.
pub(in crate::pg) fn forget(segment: Segment) {
    let numbers = &segment.shared().failure_numbers;
    numbers.forgotten.store(numbers.given.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// A certificate that a failure is about.
pub(crate) struct Shown {
    /// SHA-256.
    pub(crate) fingerprint: [u8; 32],
    /// DER of its subject, unless that is too long.
    pub(crate) subject: Option<Vec<u8>>,
    /// DER of its issuer's name, unless that is too long.
    pub(crate) issuer: Option<Vec<u8>>,
}

/// One of the last failures.
pub(crate) struct Recent {
    /// When it came first, in microseconds of the server's epoch.
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
    pub(crate) count: u64,
    pub(crate) reason: Reason,
    pub(crate) address: Option<IpAddr>,
    pub(crate) role: Option<Vec<u8>>,
    pub(crate) database: Option<Vec<u8>>,
    pub(crate) depth: Option<i32>,
    /// OpenSSL's verdict of the chain, if it had one against it.
    pub(crate) verify_result: Option<i32>,
    pub(crate) message: Vec<u8>,
    /// The certificate that offends.
    pub(crate) offending: Option<Shown>,
    /// DER of its serial number, unless that is too long.
    pub(crate) serial: Option<Vec<u8>>,
    /// The client's own.
    pub(crate) client: Option<Shown>,
    /// When that ends.
    pub(crate) client_not_after: Option<UnixTime>,
    /// What it offered in its ClientHello, in words.
    pub(crate) offered: Option<String>,
}

/// What is known of an entry without reading all of it again.
struct Found {
    key: u64,
    index: usize,
    number: u64,
    first_at: i64,
    last_at: i64,
    count: u64,
}

/// The last failures, the one that came last first; `None` where the library is not preloaded.
pub(crate) fn recent() -> Option<impl Iterator<Item = Recent>> {
    let segment = Segment::in_child()?;
    // Which entries there are, and then each when its turn comes: there may be a hundred thousand.
    // One that is overwritten meanwhile is a failure that was not there yet.
    let found = (0..segment.ring_entries()).filter_map(|index| found(segment, index));
    let mut found = work::collect(found);
    // Equal ones that came at the same moment are one.
    found.sort_unstable_by_key(|it| (it.key, it.number));
    found.dedup_by(|later, first| {
        let is_equal = later.key == first.key;
        if is_equal {
            first.count = first.count.saturating_add(later.count);
            first.last_at = first.last_at.max(later.last_at);
        }
        is_equal
    });
    found.sort_unstable_by_key(|it| std::cmp::Reverse((it.last_at, it.number)));
    Some(found.into_iter().filter_map(move |found| {
        let entry = read(segment, found.index).filter(|entry| entry.number == found.number)?;
        owned(&entry, &found)
    }))
}

fn read(segment: Segment, index: usize) -> Option<Entry> {
    let forgotten = segment.shared().failure_numbers.forgotten.load(Ordering::Relaxed);
    let (entry, _) = segment.ring_entry(index)?.read::<Entry>(|_| 0)?;
    (entry.number > forgotten && entry.checksum == entry.sum()).then_some(entry)
}

fn found(segment: Segment, index: usize) -> Option<Found> {
    let entry = read(segment, index)?;
    let tally = segment.tallies().get(index)?;
    let (count, last_at) =
        (tally.count.load(Ordering::Relaxed), tally.last_at.load(Ordering::Relaxed));
    // While an entry is put there, its tally may be that of the one before.
    let is_its = tally.number.load(Ordering::Relaxed) == entry.number;
    Some(Found {
        key: entry.key(),
        index,
        number: entry.number,
        first_at: entry.at,
        last_at: if is_its { last_at.max(entry.at) } else { entry.at },
        count: if is_its { count.max(1) } else { 1 },
    })
}

fn owned(entry: &Entry, found: &Found) -> Option<Recent> {
    let text = |bytes: &[u8], length: u32| {
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        bytes.get(..length).map(<[u8]>::to_vec)
    };
    let [a, b, c, d, ..] = entry.address;
    let offending = (entry.has_certificate == 1).then(|| Shown {
        fingerprint: entry.fingerprint,
        subject: entry.name(0),
        issuer: entry.name(1),
    });
    let client = (entry.has_client_certificate == 1).then(|| {
        let is_offending =
            entry.has_certificate == 1 && entry.fingerprint == entry.client_fingerprint;
        let (subject, issuer) = if is_offending { (0, 1) } else { (2, 3) };
        Shown {
            fingerprint: entry.client_fingerprint,
            subject: entry.name(subject),
            issuer: entry.name(issuer),
        }
    });
    let date = text(&entry.date, entry.date_length);
    let client_not_after = date.as_deref().and_then(|date| {
        let (tag, text) = date.split_first()?;
        parse_time(*tag, text)
    });
    Some(Recent {
        first_at: found.first_at,
        last_at: found.last_at,
        count: found.count,
        reason: Reason::at(usize::try_from(entry.reason).ok()?)?,
        address: match entry.address_family {
            4 => Some(Ipv4Addr::new(a, b, c, d).into()),
            6 => Some(Ipv6Addr::from(entry.address).into()),
            _ => None,
        },
        role: text(&entry.role, entry.role_length),
        database: text(&entry.database, entry.database_length),
        depth: Some(entry.depth).filter(|depth| *depth >= 0),
        verify_result: i32::try_from(entry.verify_result).ok().filter(|result| *result != 0),
        message: text(&entry.message, entry.message_length).unwrap_or_default(),
        offending,
        serial: text(&entry.serial, entry.serial_length),
        client,
        client_not_after,
        offered: newest_of(entry.offered_version).map(|newest| {
            let count = usize::try_from(entry.group_count).unwrap_or(0);
            let groups = entry.groups.iter().take(count).copied();
            offer::describe(
                newest,
                &groups.filter_map(client_hello::group_name).collect::<Vec<_>>(),
            )
        }),
    })
}
