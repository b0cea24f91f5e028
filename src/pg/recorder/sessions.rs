//! What is recorded of each session: one slot in shared memory for each backend.
//!
//! The authentication hook copies bytes into the slot of its own backend, and an exit callback
//! takes them away. Nothing is parsed here and nothing is evaluated; the copy of the client's chain
//! is the certificates' DER, leaf first. What does not fit is left out and marked.
//!
//! A slot belongs to a session if process ID and start time are that session's. So a slot that is
//! out of date for whatever reason is no one's.

use std::sync::atomic::Ordering;

use pgrx::pg_sys;
use pgtls_core::verify::credential::Standing;
use pgtls_core::work;

use crate::pg::connection::port::Session;
use crate::pg::connection::tls;
use crate::pg::recorder::reload;
use crate::pg::recorder::segment::{COUNTER_BYTES, Plain, Segment, Writing};
use crate::pg::recorder::session_end;
use crate::pg::server::{guc, version};

/// Room in a slot for everything that is text: a file name, a map, an identity, a server name and
/// some short words.
pub(in crate::pg) const TEXT_BYTES: usize = 4096;

/// Bytes of a slot before its text and chain.
pub(in crate::pg) const HEAD_BYTES: usize = COUNTER_BYTES + size_of::<Head>();

/// Where a text or the chain is in the slot.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Span {
    at: u32,
    length: u32,
}

impl Span {
    /// There is none.
    const ABSENT: Self = Self { at: u32::MAX, length: 0 };
}

/// The texts of a slot, by their place in `Head::texts`.
#[derive(Clone, Copy)]
enum Text {
    Group,
    ServerName,
    Alpn,
    Method,
    Identity,
    HbaFile,
    Map,
    ClientCert,
    ClientName,
}

/// How many texts a slot has.
const TEXTS: usize = 9;

#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    /// 0 in an empty slot.
    pid: i32,
    hba_line: i32,
    /// `MyStartTimestamp`
    started: i64,
    /// When the TLS context of the session was loaded, in microseconds of the server's epoch; 0 for
    /// unknown.
    context_loaded: i64,
    /// Bytes used behind the head.
    used: u32,
    /// Certificates of the chain, recorded or not.
    chain_length: u32,
    /// Certificates of the chain in the slot.
    chain_recorded: u32,
    chain: Span,
    texts: [Span; TEXTS],
    /// SHA-256 of the client's certificate, if there is one.
    fingerprint: [u8; 32],
}

// SAFETY: integers and arrays of integers.
unsafe impl Plain for Head {}

impl Head {
    const EMPTY: Self = Self {
        pid: 0,
        hba_line: 0,
        started: 0,
        context_loaded: 0,
        used: 0,
        chain_length: 0,
        chain_recorded: 0,
        chain: Span::ABSENT,
        texts: [Span::ABSENT; TEXTS],
        fingerprint: [0; 32],
    };
}

/// Records the session of this backend.
///
/// # Safety
/// Only inside `ClientAuthentication_hook`.
pub(in crate::pg) unsafe fn record(segment: Segment, session: &Session) -> Option<()> {
    let index = version::own_proc_number()?;
    let slot = segment.slot(index)?;
    clear_at_exit(index);
    let mut writing = slot.write();
    writing.head(Head::EMPTY);
    // SAFETY: the caller's contract.
    let head = unsafe { fill(&mut writing, session) };
    guc::break_at(guc::Fault::Session);
    writing.head(head);
    Some(())
}

/// Copies what there is to know of a session behind the head of its slot, and makes the head.
///
/// # Safety
/// Only inside `ClientAuthentication_hook`.
unsafe fn fill(writing: &mut Writing<'_>, session: &Session) -> Head {
    let mut head = Head::EMPTY;
    let mut tail = Tail { room: writing.tail::<Head>(), used: 0 };
    // SAFETY: plain reads of variables that are constant in a backend.
    unsafe {
        head.pid = pg_sys::MyProcPid;
        head.started = pg_sys::MyStartTimestamp;
    }
    let text = |tail: &mut Tail<'_>, head: &mut Head, which: Text, bytes: Option<&[u8]>| {
        let Some(span) = bytes.and_then(|bytes| tail.put_text(bytes)) else { return };
        if let Some(place) = head.texts.get_mut(which as usize) {
            *place = span;
        }
    };
    // SAFETY: the caller's contract.
    if let Some(rule) = unsafe { session.matched_rule() } {
        head.hba_line = rule.line;
        text(&mut tail, &mut head, Text::Method, rule.method);
        text(&mut tail, &mut head, Text::Map, rule.map);
        let demanded = rule.client_certificate.map(str::as_bytes);
        text(&mut tail, &mut head, Text::ClientCert, demanded);
        let compared = demanded.map(|_| rule.client_name.as_bytes());
        text(&mut tail, &mut head, Text::ClientName, compared);
        text(&mut tail, &mut head, Text::HbaFile, rule.file);
    }
    if let Some(tls) = session.tls() {
        head.context_loaded = reload::loaded_at(tls.context());
        text(&mut tail, &mut head, Text::Group, tls.key_exchange_group_bytes());
        text(&mut tail, &mut head, Text::Alpn, tls.application_protocol());
        text(&mut tail, &mut head, Text::ServerName, tls.server_name());
    }
    text(&mut tail, &mut head, Text::Identity, session.authenticated_identity());
    if let Some(tls) = session.tls().filter(|_| session.client_certificate_verified()) {
        let start = tail.used;
        let mut fits = true;
        for certificate in tls.borrowed_chain() {
            if head.chain_length == 0 {
                head.fingerprint = tls::fingerprint(certificate).unwrap_or_default();
            }
            head.chain_length = head.chain_length.saturating_add(1);
            fits = fits && tail.put_with(|room| tls::copy_der(certificate, room)).is_some();
            if fits {
                head.chain_recorded = head.chain_recorded.saturating_add(1);
            }
        }
        head.chain = tail.since(start);
    }
    head.used = u32::try_from(tail.used).unwrap_or(0);
    head
}

/// Has the slot emptied when the backend ends, before it gives its process structure up.
fn clear_at_exit(index: usize) {
    // SAFETY: in the hook, exit callbacks may be registered; a backend authenticates once, so this
    // is done once. There are 20 places for callbacks, of which the server uses a handful.
    unsafe { pg_sys::on_shmem_exit(Some(clear), pg_sys::Datum::from(index)) };
}

unsafe extern "C-unwind" fn clear(_code: std::ffi::c_int, index: pg_sys::Datum) {
    if let Some(slot) = Segment::in_child().and_then(|segment| segment.slot(index.value())) {
        slot.write().head(Head::EMPTY);
    }
}

/// The room behind the head while it is filled.
struct Tail<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl Tail<'_> {
    /// Appends what `write` puts into the room and says how long it is.
    fn put_with(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Span> {
        let start = self.used;
        let length = write(self.room.get_mut(start..)?)?;
        self.used = start.saturating_add(length).min(self.room.len());
        Some(self.since(start))
    }

    /// Appends a text, unless that would take room from the chain.
    fn put_text(&mut self, text: &[u8]) -> Option<Span> {
        if self.used.saturating_add(text.len()) > TEXT_BYTES {
            return None;
        }
        self.put_with(|room| {
            room.get_mut(..text.len())?.copy_from_slice(text);
            Some(text.len())
        })
    }

    /// What was appended from `start` on.
    fn since(&self, start: usize) -> Span {
        let length = self.used.saturating_sub(start);
        match (u32::try_from(start), u32::try_from(length)) {
            (Ok(at), Ok(length)) => Span { at, length },
            _ => Span::ABSENT,
        }
    }
}

/// What is known of a session, copied out of its slot or out of this process.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) pid: i32,
    /// Microseconds of the server's epoch.
    pub(crate) started: i64,
    /// When the TLS context of the session was loaded, in the same unit.
    pub(crate) context_loaded: Option<i64>,
    pub(crate) group: Option<Vec<u8>>,
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) method: Option<Vec<u8>>,
    pub(crate) identity: Option<Vec<u8>>,
    pub(crate) hba_file: Option<Vec<u8>>,
    pub(crate) hba_line: Option<i32>,
    pub(crate) map: Option<Vec<u8>>,
    pub(crate) client_cert: Option<Vec<u8>>,
    pub(crate) client_name: Option<Vec<u8>>,
    /// SHA-256 of the client's certificate.
    pub(crate) fingerprint: Option<[u8; 32]>,
    /// DER of the certificates of the client's chain, leaf first, one after the other.
    pub(crate) chain: Vec<u8>,
    /// How many certificates the chain has.
    pub(crate) chain_length: u32,
    /// How many of them are in `chain`.
    pub(crate) chain_recorded: u32,
}

impl Recorded {
    /// What tells the session from every other one, also from a later one with its process ID.
    pub(crate) fn key(&self) -> (i32, i64) {
        (self.pid, self.started)
    }
}

/// Whether it is the session of this process.
pub(crate) fn is_own(recorded: &Recorded) -> bool {
    // SAFETY: plain reads of variables that are constant in a process.
    recorded.key() == unsafe { (pg_sys::MyProcPid, pg_sys::MyStartTimestamp) }
}

/// Ends a session as `pg_terminate_backend` does, if it is still there, and has its client told why.
/// Whether one may is for the caller to say.
pub(crate) fn terminate(recorded: &Recorded, standing: Standing) -> bool {
    let Some(segment) = Segment::in_child() else { return false };
    let place = (0..segment.slot_count()).find(|index| {
        let head = segment.slot(*index).and_then(|slot| slot.read::<Head>(|_| 0));
        head.is_some_and(|(head, _)| (head.pid, head.started) == recorded.key())
    });
    let Some(place) = place else { return false };
    session_end::note(segment, place, recorded.pid, standing);
    // A backend leads a process group, to which belong programs that it waits for (COPY … FROM
    // PROGRAM). SAFETY: a signal to a backend of this server, which has just been there. It leaves
    // its slot before it ends, so another process with its number is as unlikely here as in
    // `pg_terminate_backend`.
    let ended = unsafe { libc::kill(recorded.pid.saturating_neg(), libc::SIGTERM) } == 0;
    if ended {
        segment.shared().sessions_terminated.fetch_add(1, Ordering::Relaxed);
    }
    ended
}

/// All sessions that are recorded now, in no order.
pub(crate) fn recorded() -> Vec<Recorded> {
    let Some(segment) = Segment::in_child() else { return Vec::new() };
    let sessions = (0..segment.slot_count())
        .filter_map(|index| segment.slot(index)?.read::<Head>(|head| head.used as usize))
        .filter(|(head, _)| head.pid != 0)
        .map(|(head, tail)| owned(&head, &tail));
    work::collect(sessions)
}

/// The fingerprint of the certificate of each session that has one, in no order.
pub(crate) fn fingerprints() -> Vec<[u8; 32]> {
    let Some(segment) = Segment::in_child() else { return Vec::new() };
    let heads = (0..segment.slot_count())
        .filter_map(|index| segment.slot(index)?.read::<Head>(|_| 0))
        .filter(|(head, _)| head.pid != 0 && head.chain_length > 0);
    work::collect(heads.map(|(head, _)| head.fingerprint))
}

/// What is recorded of this process's own session; `None` without a record.
pub(crate) fn recorded_own() -> Option<Recorded> {
    let segment = Segment::in_child()?;
    // SAFETY: plain reads of variables that are constant in a process.
    let own = unsafe { (pg_sys::MyProcPid, pg_sys::MyStartTimestamp) };
    let is_own = |head: &Head| (head.pid, head.started) == own;
    let tail = |head: &Head| if is_own(head) { head.used as usize } else { 0 };
    (0..segment.slot_count())
        .filter_map(|index| segment.slot(index)?.read::<Head>(tail))
        .find(|(head, _)| is_own(head))
        .map(|(head, tail)| owned(&head, &tail))
}

fn owned(head: &Head, tail: &[u8]) -> Recorded {
    let bytes = |span: Span| {
        let start = usize::try_from(span.at).ok()?;
        let end = start.checked_add(usize::try_from(span.length).ok()?)?;
        tail.get(start..end).map(<[u8]>::to_vec)
    };
    let text = |which: Text| head.texts.get(which as usize).copied().and_then(bytes);
    Recorded {
        pid: head.pid,
        started: head.started,
        context_loaded: Some(head.context_loaded).filter(|time| *time != 0),
        group: text(Text::Group),
        server_name: text(Text::ServerName),
        alpn: text(Text::Alpn),
        method: text(Text::Method),
        identity: text(Text::Identity),
        hba_file: text(Text::HbaFile),
        hba_line: Some(head.hba_line).filter(|line| *line != 0),
        map: text(Text::Map),
        client_cert: text(Text::ClientCert),
        client_name: text(Text::ClientName),
        fingerprint: (head.chain_length > 0).then_some(head.fingerprint),
        chain: bytes(head.chain).unwrap_or_default(),
        chain_length: head.chain_length,
        chain_recorded: head.chain_recorded,
    }
}

/// The same facts of this process's own session, as far as they can be known without a record.
pub(crate) fn own() -> Option<Recorded> {
    let session = Session::current()?;
    // SAFETY: plain reads of variables that are constant in a backend.
    let (pid, started) = unsafe { (pg_sys::MyProcPid, pg_sys::MyStartTimestamp) };
    let mut own = Recorded { pid, started, ..Recorded::default() };
    own.identity = session.authenticated_identity().map(<[u8]>::to_vec);
    let Some(tls) = session.tls() else { return Some(own) };
    own.group = tls.key_exchange_group_bytes().map(<[u8]>::to_vec);
    own.server_name = tls.server_name().map(<[u8]>::to_vec);
    own.alpn = tls.application_protocol().map(<[u8]>::to_vec);
    if session.client_certificate_verified() {
        let chain = tls.verified_chain_der();
        own.fingerprint = tls.borrowed_chain().next().and_then(tls::fingerprint);
        own.chain_length = u32::try_from(chain.len()).unwrap_or(u32::MAX);
        own.chain_recorded = own.chain_length;
        own.chain = chain.concat();
    }
    Some(own)
}
