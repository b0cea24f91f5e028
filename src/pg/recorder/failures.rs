//! Logins that failed: a counter for each reason, and a ring of the last ones.
//!
//! Most failures are seen before the process has a process structure, when it may not take a lock.
//! So this is counters, and entries that are written without one: a failure takes the next number,
//! and its entry is that number modulo the length of the ring. Two processes write the same entry
//! only if the ring goes round while one of them copies; a checksum makes readers skip what comes
//! of that.
//!
//! What is copied was sent by a client that is not authenticated: it is bounded here and escaped
//! where it is read.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use openssl::x509::X509Ref;
use pgrx::pg_sys;
use pgtls_core::recorder::failure::{Message, Reason, first_number};
use pgtls_core::recorder::saved_state::{Record, SavedCount, Writer};
use pgtls_core::work;

use crate::pg::connection::port::Session;
use crate::pg::connection::tls;
use crate::pg::datum::cstr;
use crate::pg::recorder::save;
use crate::pg::recorder::segment::{COUNTER_BYTES, Plain, Segment};
use crate::pg::server::guc;

/// Bytes kept of the server's message.
const MESSAGE_BYTES: usize = 256;
/// Bytes kept of a certificate's subject; a longer one is left out, because half a name does not
/// decode.
const SUBJECT_BYTES: usize = 1024;
/// Bytes kept of a serial number's DER: RFC 5280 allows 22.
const SERIAL_BYTES: usize = 64;
/// Bytes kept of the role's name, as in the server (`NAMEDATALEN`).
const ROLE_BYTES: usize = 64;

/// Bytes of an entry of the ring.
pub(in crate::pg) const ENTRY_BYTES: usize = COUNTER_BYTES + size_of::<Entry>();

/// Failures by reason since the counters were last reset.
#[repr(C)]
pub(in crate::pg) struct Counters {
    counts: [AtomicU64; Reason::ALL.len()],
    /// Microseconds of the server's epoch; 0 for never.
    last: [AtomicI64; Reason::ALL.len()],
    /// How many entries were ever put into the ring.
    entries: AtomicU64,
    /// Entries up to this number were there at the last reset.
    forgotten: AtomicU64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    /// Over everything below.
    checksum: u64,
    at: i64,
    /// Which failure this is, from 1; 0 in an empty entry.
    number: u64,
    reason: u32,
    /// Where in the chain; negative for unknown.
    depth: i32,
    /// 0, 4 or 6.
    address_family: u32,
    has_certificate: u32,
    message_length: u32,
    subject_length: u32,
    serial_length: u32,
    role_length: u32,
    address: [u8; 16],
    fingerprint: [u8; 32],
    message: [u8; MESSAGE_BYTES],
    subject: [u8; SUBJECT_BYTES],
    serial: [u8; SERIAL_BYTES],
    role: [u8; ROLE_BYTES],
}

// SAFETY: integers and arrays of integers.
unsafe impl Plain for Entry {}

impl Entry {
    const EMPTY: Self = Self {
        checksum: 0,
        at: 0,
        number: 0,
        reason: 0,
        depth: -1,
        address_family: 0,
        has_certificate: 0,
        message_length: 0,
        subject_length: 0,
        serial_length: 0,
        role_length: 0,
        address: [0; 16],
        fingerprint: [0; 32],
        message: [0; MESSAGE_BYTES],
        subject: [0; SUBJECT_BYTES],
        serial: [0; SERIAL_BYTES],
        role: [0; ROLE_BYTES],
    };

    /// FNV-1a over the content.
    fn sum(&self) -> u64 {
        let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
        let numbers = [
            self.number,
            self.at.cast_unsigned(),
            u64::from(self.reason) << 32 | u64::from(self.depth.cast_unsigned()),
            u64::from(self.address_family) << 32 | u64::from(self.has_certificate),
            u64::from(self.message_length) << 32 | u64::from(self.subject_length),
            u64::from(self.serial_length) << 32 | u64::from(self.role_length),
        ];
        let mut take = |byte: u8| sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        numbers.iter().flat_map(|number| number.to_le_bytes()).for_each(&mut take);
        let bytes = [&self.address[..], &self.fingerprint, &self.message, &self.subject];
        bytes.into_iter().chain([&self.serial[..], &self.role]).flatten().for_each(|b| take(*b));
        sum
    }
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
    let counters = &segment.shared().failures;
    let index = failure.reason.index();
    if let (Some(count), Some(last)) = (counters.counts.get(index), counters.last.get(index)) {
        count.fetch_add(1, Ordering::Relaxed);
        last.store(now, Ordering::Relaxed);
    }
    segment.shared().changes.fetch_add(1, Ordering::Relaxed);
    guc::break_at(guc::Fault::Failure);
    let number = counters.entries.fetch_add(1, Ordering::Relaxed);
    let mut entry = describe(session, &failure);
    entry.at = now;
    entry.number = number.wrapping_add(1);
    entry.checksum = entry.sum();
    let place = usize::try_from(number).ok().and_then(|n| n.checked_rem(segment.ring_entries()));
    if let Some(place) = place.and_then(|place| segment.ring_entry(place)) {
        place.write().head(entry);
    }
}

/// Everything about a failure but its number and time.
fn describe(session: &Session, failure: &Failure<'_>) -> Entry {
    let mut entry = Entry::EMPTY;
    entry.reason = u32::try_from(failure.reason.index()).unwrap_or(0);
    entry.message_length = copy(failure.text, &mut entry.message);
    entry.role_length = copy(session.role_name().unwrap_or_default(), &mut entry.role);
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
    let Some(tls) = session.tls_in_handshake() else { return entry };
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
    entry.depth = depth.unwrap_or(-1);
    let offending = usize::try_from(entry.depth).unwrap_or(0);
    if let Some(certificate) = tls.borrowed_chain().nth(offending) {
        describe_certificate(certificate, &mut entry);
    }
    entry
}

fn describe_certificate(certificate: &X509Ref, entry: &mut Entry) {
    let Some(fingerprint) = tls::fingerprint(certificate) else { return };
    entry.has_certificate = 1;
    entry.fingerprint = fingerprint;
    let serial = tls::copy_serial(certificate, &mut entry.serial);
    entry.serial_length = serial.and_then(|length| u32::try_from(length).ok()).unwrap_or(0);
    let subject = tls::subject_der(certificate).filter(|der| der.len() <= SUBJECT_BYTES);
    entry.subject_length = copy(subject.unwrap_or_default(), &mut entry.subject);
}

/// Copies as much as fits, and says how much that is.
fn copy(from: &[u8], to: &mut [u8]) -> u32 {
    let length = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..length), to.get_mut(..length)) {
        to.copy_from_slice(from);
    }
    u32::try_from(length).unwrap_or(0)
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
    counters.forgotten.store(counters.entries.load(Ordering::Relaxed), Ordering::Relaxed);
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

/// One of the last failures.
pub(crate) struct Recent {
    /// Microseconds of the server's epoch.
    pub(crate) at: i64,
    pub(crate) reason: Reason,
    pub(crate) address: Option<IpAddr>,
    pub(crate) role: Option<Vec<u8>>,
    pub(crate) depth: Option<i32>,
    pub(crate) message: Vec<u8>,
    /// SHA-256 of the offending certificate.
    pub(crate) fingerprint: Option<[u8; 32]>,
    /// DER of its subject, unless that is too long.
    pub(crate) subject: Option<Vec<u8>>,
    /// DER of its serial number, unless that is too long.
    pub(crate) serial: Option<Vec<u8>>,
}

/// The last failures, newest first; `None` where the library is not preloaded.
pub(crate) fn recent() -> Option<impl Iterator<Item = Recent>> {
    let segment = Segment::in_child()?;
    let forgotten = segment.shared().failures.forgotten.load(Ordering::Relaxed);
    let read = move |index: usize| {
        let (entry, _) = segment.ring_entry(index)?.read::<Entry>(|_| 0)?;
        (entry.number > forgotten && entry.checksum == entry.sum()).then_some(entry)
    };
    // Which entries there are, and then each when its turn comes: there may be a hundred thousand.
    // One that is overwritten meanwhile is a failure that was not there yet.
    let numbers = (0..segment.ring_entries())
        .filter_map(|index| read(index).map(|entry| (entry.number, index)));
    let mut numbers = work::collect(numbers);
    numbers.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    Some(numbers.into_iter().filter_map(move |(number, index)| {
        owned(&read(index).filter(|entry| entry.number == number)?)
    }))
}

fn owned(entry: &Entry) -> Option<Recent> {
    let text = |bytes: &[u8], length: u32| {
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        bytes.get(..length).map(<[u8]>::to_vec)
    };
    let [a, b, c, d, ..] = entry.address;
    Some(Recent {
        at: entry.at,
        reason: Reason::at(usize::try_from(entry.reason).ok()?)?,
        address: match entry.address_family {
            4 => Some(Ipv4Addr::new(a, b, c, d).into()),
            6 => Some(Ipv6Addr::from(entry.address).into()),
            _ => None,
        },
        role: text(&entry.role, entry.role_length),
        depth: Some(entry.depth).filter(|depth| *depth >= 0),
        message: text(&entry.message, entry.message_length).unwrap_or_default(),
        fingerprint: (entry.has_certificate == 1).then_some(entry.fingerprint),
        subject: text(&entry.subject, entry.subject_length),
        serial: text(&entry.serial, entry.serial_length),
    })
}
