//! Keeps the inventory and the counters over a restart, in a file of the data directory.
//!
//! The worker reads it when it starts, and writes it now and then, so that a crash loses little,
//! and when it is told to end, so that a shutdown loses nothing; the postmaster does neither. It is
//! written aside and renamed, so there is a whole file at all times. A file that cannot be read is
//! set aside with a line in the log; it never keeps the server from starting.
//!
//! Both go through one buffer of 64 kB, whatever the file has, and the inventory is locked for the
//! time of one entry.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgrx::pg_sys;
use pgtls_core::recorder::saved_state::{Reader, Record, StateError, Writer};
use pgtls_core::work;

use crate::pg::memory;
use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::{failures, inventory};
use crate::pg::server::{guc, process};

/// Relative to the data directory, which is the working directory of every server process.
const FILE: &CStr = c"pg_stat/pgtls_ext.stat";
const NEW_FILE: &CStr = c"pg_stat/pgtls_ext.stat.tmp";
/// Where a file that cannot be read is put.
const DAMAGED_FILE: &CStr = c"pg_stat/pgtls_ext.stat.damaged";

/// Largest file that is read. The inventory at its largest setting, with every entry full, takes
/// half of it.
const MAX_BYTES: u64 = 1 << 30;

/// What `Shared::loaded` says when there is nothing to be read any more; else it counts the records
/// that were taken over. So a worker that takes the place of one that was killed goes on where that
/// one was.
const ALL: u64 = u64::MAX;

/// Whether the file has been read, or need not be. Before that, nothing is written: it would take
/// the place of what is not known yet.
pub(crate) fn is_loaded() -> bool {
    Segment::in_child().is_none_or(|segment| segment.shared().loaded.load(Ordering::Relaxed) == ALL)
}

/// Waits for the worker to have read the file, which it does as soon as the server is up, but not
/// for long: it may have no memory, or there may be no worker. For functions that say what is
/// known.
pub(in crate::pg) fn wait_until_loaded(segment: Segment) {
    while !is_loaded() {
        // SAFETY: reads the clock.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        let made = segment.shared().made_at.load(Ordering::Relaxed);
        if !(made..made.saturating_add(LOADING)).contains(&now) {
            return;
        }
        memory::check_for_interrupts();
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How long after the server's start somebody waits, in microseconds.
const LOADING: i64 = 10_000_000;

/// What is in the file does not count any more. For who holds the lock of the inventory.
pub(in crate::pg) fn forget_file(segment: Segment) {
    segment.shared().loaded.store(ALL, Ordering::Relaxed);
}

/// Reads the file, if there is one and it has not been read. An error, which is logged, means that
/// it is to be tried again.
pub(crate) fn load() -> Result<(), String> {
    let Some(segment) = Segment::in_child().filter(|_| !is_loaded()) else { return Ok(()) };
    let loaded = if guc::save() { take_over(segment) } else { Ok(Reading::Done) };
    match loaded {
        Ok(Reading::Done) => {}
        Ok(Reading::GivenUp) => return Ok(()),
        Err(StateError::NotNow(why)) => {
            let file = FILE.to_string_lossy();
            return Err(format!("pgtls_ext could not read \"{file}\": {why}"));
        }
        Err(why) => {
            pgrx::log!(
                "pgtls_ext sets \"{}\" aside as \"{}\": {why}",
                FILE.to_string_lossy(),
                DAMAGED_FILE.to_string_lossy(),
            );
            let _ = std::fs::rename(path(FILE), path(DAMAGED_FILE));
        }
    }
    forget_file(segment);
    Ok(())
}

/// How reading the file ended.
enum Reading {
    Done,
    /// The server stops: whoever comes next reads it.
    GivenUp,
}

/// Puts the content of the file behind what is known already.
fn take_over(segment: Segment) -> Result<Reading, StateError> {
    let Some(mut file) = open()? else { return Ok(Reading::Done) };
    // All of it is looked at before anything is taken.
    let mut reader = Reader::new(&file)?;
    while reader.read()?.is_some() {
        work::between();
        if process::is_told_to_end() {
            return Ok(Reading::GivenUp);
        }
    }
    drop(reader);
    file.rewind()?;
    let mut reader = Reader::new(&file)?;
    let mut number = 0;
    while let Some(record) = reader.read()? {
        work::between();
        if process::is_told_to_end() {
            return Ok(Reading::GivenUp);
        }
        if !restore(segment, number, &record) {
            break;
        }
        number += 1;
    }
    Ok(Reading::Done)
}

/// Takes over the record with this number, from 0, if that has not been done. Says whether to go
/// on.
fn restore(segment: Segment, number: u64, record: &Record<'_>) -> bool {
    segment.with_inventory(|mut inventory| {
        let loaded = &segment.shared().loaded;
        match loaded.load(Ordering::Relaxed) {
            // Somebody has reset everything.
            ALL => return false,
            done if done > number => return true,
            _ => {}
        }
        match record {
            Record::Evicted(count) => inventory::restore_evicted(&mut inventory, *count),
            Record::Failure(count) => failures::restore(segment, count),
            Record::Certificate(certificate) => inventory::restore(&mut inventory, certificate),
        }
        loaded.store(number + 1, Ordering::Relaxed);
        true
    })
}

/// The file, if there is one. Opening never waits, and what is not a regular file is refused.
fn open() -> Result<Option<File>, StateError> {
    match std::fs::symlink_metadata(path(FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if !metadata.is_file() => {
            return Err(StateError::Unreadable("not a regular file".to_owned()));
        }
        _ => {}
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path(FILE));
    let file = file.map_err(|error| match error.raw_os_error() {
        // It may be a good one.
        Some(libc::EMFILE | libc::ENFILE) => StateError::NotNow(error.to_string()),
        _ => error.into(),
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(StateError::Unreadable("not a regular file".to_owned()));
    }
    if metadata.len() > MAX_BYTES {
        return Err(StateError::Unreadable(format!("larger than {MAX_BYTES} bytes")));
    }
    Ok(Some(file))
}

/// Writes the file, if that is wanted. An error is to be logged, and means that it is to be tried
/// again.
pub(crate) fn write() -> Result<(), String> {
    let Some(segment) = Segment::in_child().filter(|_| guc::save()) else { return Ok(()) };
    if !is_loaded() {
        return Ok(());
    }
    let failed = |name: &CStr, error: io::Error| {
        // It would take up room, perhaps the last there is.
        let _ = std::fs::remove_file(path(NEW_FILE));
        let why = match error.kind() {
            ErrorKind::OutOfMemory => "out of memory".to_owned(),
            _ => error.to_string(),
        };
        format!("pgtls_ext could not write \"{}\": {why}", name.to_string_lossy())
    };
    write_aside(segment).map_err(|error| failed(NEW_FILE, error))?;
    // Not the server's `durable_rename`: that opens what is to be replaced, which may be anybody's,
    // and may raise.
    std::fs::rename(path(NEW_FILE), path(FILE)).map_err(|error| failed(FILE, error))?;
    let directory = path(FILE).parent().unwrap_or(Path::new("."));
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(directory);
    opened.and_then(|directory| synced(&directory)).map_err(|error| failed(FILE, error))
}

/// Writes a new file. What is in its place goes first: a FIFO there would make the open wait for a
/// reader, and a link would have another file overwritten.
fn write_aside(segment: Segment) -> io::Result<()> {
    match std::fs::remove_file(path(NEW_FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Its mode is that of the server's files: the postmaster's mask allows what the data directory
    // allows.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).custom_flags(flags).open(path(NEW_FILE))?;
    let mut file = Writer::new(file)?;
    failures::save(segment, &mut file)?;
    inventory::save(segment, &mut file)?;
    synced(&file.finish()?)
}

/// Has the disk have it, if the server wants that (`fsync`).
fn synced(file: &File) -> io::Result<()> {
    // SAFETY: a plain read of a variable of this process.
    if unsafe { pg_sys::enableFsync } { file.sync_all() } else { Ok(()) }
}

fn path(name: &'static CStr) -> &'static Path {
    Path::new(name.to_str().unwrap_or_default())
}

/// How much has changed since the server started; equal numbers mean that there is nothing to save.
pub(crate) fn changes() -> u64 {
    Segment::in_child().map_or(0, |segment| segment.shared().changes.load(Ordering::Relaxed))
}
