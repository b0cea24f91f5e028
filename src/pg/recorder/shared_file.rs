//! Files in which one process writes down something for all others. A reader sees the old one or
//! the new one, whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use crate::pg::server::process;

/// A file below the data directory. It stands where the server keeps what need not survive it, and
/// no backup takes it.
pub(in crate::pg) struct SharedFile {
    /// Relative to the data directory, in which every process of the server is.
    pub(in crate::pg) name: &'static str,
}

/// Where they stand.
const DIRECTORY: &str = "pg_stat_tmp";
/// What the name of one begins with, and what comes before the number of the process that writes it.
const PREFIX: &str = "pgtls_ext.";
const WRITTEN_BY: &str = ".tmp.";

/// Takes away what processes have left half written that are no more. For who starts first.
pub(crate) fn clean() {
    for entry in std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some((start, pid)) = name.to_str().and_then(|name| name.split_once(WRITTEN_BY)) else {
            continue;
        };
        let is_gone = pid.parse().is_ok_and(|pid| !process::is_running(pid));
        if start.starts_with(PREFIX) && is_gone {
            // One that cannot be removed is in nobody's way.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl SharedFile {
    pub(in crate::pg) fn path(&self) -> &'static Path {
        Path::new(self.name)
    }

    /// Puts a new file in the place of the old one. Two processes may do so at once, so each writes a
    /// file of its own first. What is in the place of that goes away: a FIFO there would make the
    /// open wait for a reader, and a link would have another file overwritten.
    pub(in crate::pg) fn replace(
        &self,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        let new_name = format!("{}{WRITTEN_BY}{}", self.name, std::process::id());
        match std::fs::remove_file(&new_name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&new_name)?;
        let mut file = BufWriter::new(file);
        let written = write(&mut file)
            .and_then(|()| file.flush())
            .and_then(|()| std::fs::rename(&new_name, self.name));
        if written.is_err() {
            // It would take up room, perhaps the last there is.
            let _ = std::fs::remove_file(&new_name);
        }
        written
    }
}
