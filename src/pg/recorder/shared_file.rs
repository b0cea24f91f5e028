//! Files in which one process writes down something for all others. A reader sees the old one or
//! the new one, whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

/// A file below the data directory. It stands where the server keeps what need not survive it, and
/// no backup takes it.
pub(in crate::pg) struct SharedFile {
    /// Relative to the data directory, in which every process of the server is.
    pub(in crate::pg) name: &'static str,
    pub(in crate::pg) new_name: &'static str,
}

impl SharedFile {
    pub(in crate::pg) fn path(&self) -> &'static Path {
        Path::new(self.name)
    }

    /// Puts a new file in the place of the old one. What is in the place of the new one goes first:
    /// a FIFO there would make the open wait for a reader, and a link would have another file
    /// overwritten.
    pub(in crate::pg) fn replace(
        &self,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        match std::fs::remove_file(self.new_name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).open(self.new_name)?;
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()?;
        std::fs::rename(self.new_name, self.name)
    }
}
