//! An installation beside the one under test: what a server needs that cannot be told to look
//! elsewhere.
//!
//! PostgreSQL finds its libraries and its extensions from where its program is. So a copy of the
//! programs, in a tree whose other entries are links to the installation's, finds what is put into
//! that tree.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::sys;

/// The programs that look for the installation from where they are.
const PROGRAMS: &[&str] = &["postgres", "pg_ctl"];

/// Makes `to` an installation like the one below `from`, but with files of its own in `own`,
/// directories of that installation. Returns the directory of its programs.
pub(crate) fn transplant(from: &Path, bindir: &Path, own: &[&Path], to: &Path) -> PathBuf {
    let programs = moved(bindir, from, to);
    make_dirs(&programs);
    for name in PROGRAMS {
        // No link: a program follows those before it looks around.
        copy(&bindir.join(name), &programs.join(name));
    }
    // All of them first: what is made below a link would be in the installation itself.
    for directory in own {
        make_dirs(&moved(directory, from, to));
    }
    for directory in own {
        for level in directory.ancestors().take_while(|level| *level != from) {
            link_entries(level, &moved(level, from, to));
        }
    }
    programs
}

/// The place in `to` of what is at `path` in `from`.
pub(crate) fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    to.join(path.strip_prefix(from).expect("an installation is in one directory"))
}

/// Copies a file over whatever is there, a link included.
pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_file(to);
    fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    sys::set_mode(to, 0o755);
}

/// Links to all entries of a directory that the other one does not have yet.
fn link_entries(from: &Path, to: &Path) {
    let entries = fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    for entry in entries.flatten() {
        let link = to.join(entry.file_name());
        if link.symlink_metadata().is_err() {
            symlink(entry.path(), &link).unwrap_or_else(|e| panic!("{}: {e}", link.display()));
        }
    }
}

/// Makes a directory and those above it, for everybody to read: the umask may forbid.
pub(crate) fn make_dirs(path: &Path) {
    let mut made = PathBuf::new();
    for part in path.components() {
        made.push(part);
        if fs::create_dir(&made).is_ok() {
            sys::set_mode(&made, 0o755);
        }
    }
}
