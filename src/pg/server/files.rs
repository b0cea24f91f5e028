//! Files that the server's settings name, read within bounds.
//!
//! The names never come from an SQL argument. Somebody may have put anything in the place of a
//! file, so only regular files are read, opening never waits (as it would for a FIFO without a
//! writer), and nothing larger than a limit is taken in.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pgtls_core::{limits, work};

use crate::pg::datum::time;

/// Largest file that is read, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = limits::MAX_CRL_BYTES as u64;

/// How much of a file is read between two checks for interrupts, in bytes.
const PIECE: u64 = 1 << 20;

/// Most names of a directory that are looked at.
pub(crate) const MAX_DIRECTORY_NAMES: usize = 10_000;

/// Which content a file has: the same identity means the same content, as far as the file system
/// tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// That of the file which a path leads to now; `None` if there is none.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    /// As numbers, to be kept in shared memory. Equal numbers are the same identity.
    pub(in crate::pg) fn numbers(&self) -> [u64; 7] {
        let [modified, changed] = [self.modified, self.changed];
        [
            self.device,
            self.inode,
            self.size,
            modified.0.cast_unsigned(),
            modified.1.cast_unsigned(),
            changed.0.cast_unsigned(),
            changed.1.cast_unsigned(),
        ]
    }

    /// In bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// An open regular file.
pub(crate) struct Readable {
    file: File,
    /// What it holds, as of its opening.
    pub(crate) identity: Identity,
    /// No more of it than this is taken in.
    limit: u64,
}

/// Opens a regular file that is not too large. The error is a problem in words, without the file's
/// name.
pub(crate) fn open(path: &Path) -> Result<Readable, String> {
    open_up_to(path, MAX_FILE_BYTES)
}

/// The same with another limit, in bytes.
pub(crate) fn open_up_to(path: &Path, limit: u64) -> Result<Readable, String> {
    let options = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(options).open(path).map_err(problem)?;
    let metadata = file.metadata().map_err(problem)?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    if metadata.len() > limit {
        return Err(format!("larger than {limit} bytes"));
    }
    Ok(Readable { identity: Identity::of(&metadata), file, limit })
}

/// Whether a file is one that others can open without harm; one that is not there is. The error is
/// a problem in words.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err("not a regular file".to_owned()),
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
            Err(format!("larger than {MAX_FILE_BYTES} bytes"))
        }
        _ => Ok(()),
    }
}

impl Readable {
    /// The whole content. A file that grows meanwhile is cut at the limit, and then refused for its
    /// content.
    pub(crate) fn read(self) -> Result<Vec<u8>, String> {
        let expected = usize::try_from(self.identity.size).unwrap_or_default();
        let mut content = Vec::new();
        if content.try_reserve_exact(expected.saturating_add(1)).is_err() {
            work::out_of_memory();
        }
        let mut file = self.file.take(self.limit);
        while file.by_ref().take(PIECE).read_to_end(&mut content).map_err(problem)? > 0 {
            work::between();
        }
        Ok(content)
    }
}

/// The paths in a directory, sorted by name, and whether there are more than were looked at.
pub(crate) fn list(directory: &Path) -> Result<(Vec<PathBuf>, bool), String> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(problem)? {
        if paths.len() == MAX_DIRECTORY_NAMES {
            paths.sort();
            return Ok((paths, true));
        }
        work::between();
        work::push(&mut paths, entry.map_err(problem)?.path());
    }
    paths.sort();
    Ok((paths, false))
}

fn problem(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::OutOfMemory => work::out_of_memory(),
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// A problem of [`open`] as the server says it, which has it from the operating system.
pub(in crate::pg) fn in_the_servers_words(problem: &str) -> &str {
    match problem {
        "does not exist" => "No such file or directory",
        "permission denied" => "Permission denied",
        other => other,
    }
}

/// When the content or the name of a file last changed, in microseconds of the server's epoch;
/// `None` if it cannot be looked at. A file that takes the place of another keeps the time of its
/// content, but not the other.
pub(crate) fn last_change(path: &Path) -> Option<i64> {
    let metadata = std::fs::metadata(path).ok()?;
    let modified = time::file_time(metadata.modified().ok()?);
    let changed =
        metadata.ctime().saturating_mul(1_000_000).saturating_add(metadata.ctime_nsec() / 1000);
    Some(modified.max(time::server_microseconds(changed)))
}

/// Whether the file was changed after the server loaded its configuration. The directory of
/// relative names is the data directory, as for the server. A file that cannot be looked at counts
/// as unchanged: whoever reads it finds out.
pub(crate) fn changed_since_load(path: &Path) -> bool {
    last_change(path).is_some_and(|change| change > time::configuration_loaded())
}
