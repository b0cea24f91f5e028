//! The server's log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How much of the log a failing test shows.
const TAIL_LINES: usize = 40;

/// A position in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(usize);

/// The log of one server; it stays readable while the server's directory is there.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    /// A failure has shown the tail already.
    shown: Arc<AtomicBool>,
}

impl Log {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, shown: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// Where it ends now.
    pub fn mark(&self) -> Mark {
        let length = fs::metadata(&self.path).map_or(0, |file| file.len());
        Mark(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// What was written after `mark`.
    pub fn since(&self, mark: Mark) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(mark.0..).unwrap_or_default()).into_owned()
    }

    /// The last lines, unless a failure has shown them already.
    pub(crate) fn unseen_tail(&self) -> Option<String> {
        (!self.shown.load(Ordering::Relaxed)).then(|| self.tail())
    }

    /// The last lines, headed for a test's output.
    pub fn tail(&self) -> String {
        self.shown.store(true, Ordering::Relaxed);
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!("--- end of the server log ---\n{}\n---", tail.join("\n"))
    }
}
