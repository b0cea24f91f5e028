//! Keeps the inventory and the counters over a restart, in a file of the data directory.
//!
//! The worker writes it now and then, so that a crash loses little, and the postmaster at a clean shutdown, so that
//! nothing is lost. It is written aside and renamed, so there is a whole file at all times. A file that cannot be read is
//! set aside with a line in the log; it never keeps the server from starting.

use std::ffi::{CStr, c_int};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::Ordering;

use pgrx::pg_sys;
use pgtls_core::recorder::saved_state::State;

use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::{failures, inventory};
use crate::pg::server::{files, guc};

/// Relative to the data directory, which is the working directory of every server process.
const FILE: &CStr = c"pg_stat/pgtls_ext.stat";
const NEW_FILE: &CStr = c"pg_stat/pgtls_ext.stat.tmp";
/// Where a file that cannot be read is put.
const DAMAGED_FILE: &CStr = c"pg_stat/pgtls_ext.stat.damaged";

/// Largest file that is read. The inventory at its largest setting, with every entry full, takes half of it.
const MAX_BYTES: u64 = 1 << 30;

/// Called in the postmaster when there is shared memory; `new` if nothing is in it yet.
pub(in crate::pg) fn started(new: bool) {
    // SAFETY: a plain read of a variable that is constant in a process.
    if unsafe { pg_sys::IsUnderPostmaster } {
        return;
    }
    // SAFETY: in the postmaster; its callbacks are run when it ends, and dropped when it makes new memory.
    unsafe { pg_sys::on_shmem_exit(Some(ending), pg_sys::Datum::from(0)) };
    if new && guc::save() {
        load();
    }
}

/// Runs in the postmaster when it gives its shared memory up: at a shutdown, or with a code other than 0 after a crash,
/// when the memory is not to be trusted.
unsafe extern "C-unwind" fn ending(code: c_int, _: pg_sys::Datum) {
    if code == 0 {
        // A panic must not keep the server from ending. What cannot be written has been logged.
        let _ = catch_unwind(write);
    }
}

/// Writes the file, if that is wanted. Says whether all is as it should be; if not, it is logged.
pub(crate) fn write() -> bool {
    let Some(segment) = Segment::get().filter(|_| guc::save()) else { return true };
    let mut state = State { failures: failures::saved(segment), ..State::default() };
    inventory::save(segment, &mut state);
    if let Err(error) = write_aside(&state.encode()) {
        pgrx::log!("pgtls_ext could not write \"{}\": {error}", NEW_FILE.to_string_lossy());
        return false;
    }
    // SAFETY: the server's own function, told to log and not to raise. It also makes the file durable.
    let renamed = unsafe {
        let level = pgrx::PgLogLevel::LOG as c_int;
        pg_sys::durable_rename(NEW_FILE.as_ptr(), FILE.as_ptr(), level)
    };
    renamed == 0
}

/// Writes a new file. What is in its place goes first: a FIFO there would make the open wait for a reader, and a link
/// would have another file overwritten.
fn write_aside(bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path(NEW_FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Its mode is that of the server's files: the postmaster's mask allows what the data directory allows.
    OpenOptions::new().write(true).create_new(true).open(path(NEW_FILE))?.write_all(bytes)
}

/// Reads the file, if there is one. Never waits: what is not a regular file is set aside like a damaged one.
fn load() {
    match std::fs::symlink_metadata(path(FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        _ => {}
    }
    let Some(segment) = Segment::get() else { return };
    let decoded = files::open_up_to(path(FILE), MAX_BYTES)
        .and_then(files::Readable::read)
        .and_then(|bytes| State::decode(&bytes).map_err(|why| why.to_string()));
    match decoded {
        Ok(state) => {
            inventory::restore(segment, &state);
            failures::restore(segment, &state.failures);
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
}

fn path(name: &'static CStr) -> &'static Path {
    Path::new(name.to_str().unwrap_or_default())
}

/// How much has changed since the server started; equal numbers mean that there is nothing to save.
pub(crate) fn changes() -> u64 {
    Segment::get().map_or(0, |segment| segment.shared().changes.load(Ordering::Relaxed))
}
