//! Why the last reload did not take, in the server's own words.
//!
//! The postmaster logs the reason first and then that it goes on with what it has. Both are heard,
//! and kept in shared memory until the next reload begins.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::pg_sys;

use crate::pg::datum::cstr;
use crate::pg::recorder::reload::Outcome;
use crate::pg::recorder::segment::{COUNTER_BYTES, Plain, Segment};

/// What the server logs when it begins to reload.
const BEGINS: &[u8] = b"received SIGHUP, reloading configuration files";
/// What it logs when something was not reloaded: TLS; `pg_hba.conf` or `pg_ident.conf`;
/// `postgresql.conf`.
const REFUSALS: &[&[u8]] = &[
    b"SSL configuration was not reloaded",
    AUTH_FILE_REFUSED,
    b"configuration file \"%s\" contains errors; unaffected changes were applied",
    b"configuration file \"%s\" contains errors; no changes were applied",
];

/// The one of them that can be about either of two files.
const AUTH_FILE_REFUSED: &[u8] = b"%s was not reloaded";

static HBA_REFUSED: AtomicBool = AtomicBool::new(false);
static IDENT_REFUSED: AtomicBool = AtomicBool::new(false);

/// How messages start that quote the value of an option of `pg_hba.conf` which may be a secret.
const MAY_QUOTE_A_SECRET: &[&[u8]] =
    &[b"authentication option not in name=value format", b"could not parse RADIUS secret list"];

/// Room for the reasons; what is longer is cut.
const TEXT_BYTES: usize = 2048;
/// Room in shared memory.
pub(in crate::pg) const BYTES: usize = COUNTER_BYTES + size_of::<Head>() + TEXT_BYTES;

/// What is in front of the text.
#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    length: u64,
}

// SAFETY: one integer.
unsafe impl Plain for Head {}

/// A text of limited length, made without an allocation.
struct Text {
    bytes: [u8; TEXT_BYTES],
    length: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; TEXT_BYTES], length: 0 }
    }

    fn clear(&mut self) {
        self.length = 0;
    }

    fn push(&mut self, text: &[u8]) {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text[..length]);
        self.length += length;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What was heard in the postmaster: the last message, which is the reason if the next one is a
/// refusal, and the reasons of this reload.
struct Heard {
    last: Text,
    reasons: Text,
}

static HEARD: Mutex<Heard> = Mutex::new(Heard { last: Text::new(), reasons: Text::new() });

/// Looks at a message of the postmaster: `Done` if a reload begins, `Refused` if something was not
/// reloaded.
pub(in crate::pg) fn heard(id: &[u8], message: &[u8], context: &[u8]) -> Option<Outcome> {
    // Nobody else is in there: the postmaster has one thread. A message from within a message is
    // not worth a wait.
    let mut heard = HEARD.try_lock().ok()?;
    let Heard { last, reasons } = &mut *heard;
    if id == BEGINS {
        last.clear();
        reasons.clear();
        publish(reasons);
        HBA_REFUSED.store(false, Ordering::Relaxed);
        IDENT_REFUSED.store(false, Ordering::Relaxed);
        return Some(Outcome::Done);
    }
    if !REFUSALS.contains(&id) {
        last.clear();
        last.push(if MAY_QUOTE_A_SECRET.iter().any(|start| id.starts_with(start)) {
            b"what is wrong may hold a secret: see the server's log"
        } else {
            message
        });
        if !context.is_empty() {
            last.push(b" (");
            last.push(context);
            last.push(b")");
        }
        return None;
    }
    if id == AUTH_FILE_REFUSED {
        let refused = if is_of_hba(message) { &HBA_REFUSED } else { &IDENT_REFUSED };
        refused.store(true, Ordering::Relaxed);
    }
    if reasons.length > 0 {
        reasons.push(b"; ");
    }
    reasons.push(message);
    if last.length > 0 {
        reasons.push(b": ");
        reasons.push(last.as_bytes());
        last.clear();
    }
    publish(reasons);
    Some(Outcome::Refused)
}

/// Whether a message names `pg_hba.conf`, by its path or, before PostgreSQL 16, as such.
fn is_of_hba(message: &[u8]) -> bool {
    // SAFETY: a setting that the server always has; null or NUL-terminated.
    let file = unsafe { cstr::bytes(pg_sys::HbaFileName) }.unwrap_or_default();
    message.starts_with(b"pg_hba.conf ") || (!file.is_empty() && message.starts_with(file))
}

/// Whether the last reload before this process was forked did not take over `pg_hba.conf`, and the
/// same of `pg_ident.conf`.
pub(in crate::pg) fn refused_files() -> [bool; 2] {
    [&HBA_REFUSED, &IDENT_REFUSED].map(|refused| refused.load(Ordering::Relaxed))
}

fn publish(reasons: &Text) {
    let Some(segment) = Segment::get() else { return };
    let place = segment.reload_error();
    let mut writing = place.write();
    let text = reasons.as_bytes();
    if let Some(room) = writing.tail::<Head>().get_mut(..text.len()) {
        room.copy_from_slice(text);
    }
    writing.head(Head { length: text.len() as u64 });
}

/// The reasons for which the last reload did not take; `None` if it did, or there was none.
pub(in crate::pg) fn last(segment: Segment) -> Option<Vec<u8>> {
    let length = |head: &Head| usize::try_from(head.length).unwrap_or_default();
    let (_, text) = segment.reload_error().read::<Head>(length)?;
    Some(text).filter(|text| !text.is_empty())
}
