//! Which files were found to hold just what is in force.
//!
//! To compare them takes a look at every byte, and a CRL may have fifty million of them. So the
//! process that publishes what is in force compares once, and writes down which files it was;
//! everybody else asks the file system whether they are still the same.

use std::sync::atomic::Ordering;

use crate::pg::recorder::reload;
use crate::pg::recorder::segment::{COUNTER_BYTES, Plain, Segment};
use crate::pg::server::files::Identity;
use crate::pg::server::tls_settings::TlsSettings;

/// The numbers of [`Identity`] of `ssl_ca_file` and `ssl_crl_file`; zeroes for one that is not set
/// or not there.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Files {
    ca_file: [u64; 7],
    crl_file: [u64; 7],
}

impl Files {
    /// As they are now.
    pub(crate) fn of(settings: &TlsSettings) -> Self {
        let numbers = |name| {
            let identity = settings.path(name).and_then(|path| Identity::at(&path));
            identity.map(|identity| identity.numbers()).unwrap_or_default()
        };
        Self { ca_file: numbers(c"ssl_ca_file"), crl_file: numbers(c"ssl_crl_file") }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Same {
    generation: u64,
    files: Files,
}

// SAFETY: integers.
unsafe impl Plain for Same {}

/// Room in shared memory.
pub(in crate::pg) const BYTES: usize = COUNTER_BYTES + size_of::<Same>();

/// Says that these files hold what is in force now. Only the process that publishes it does so.
pub(crate) fn publish(files: &Files) {
    let Some(segment) = Segment::in_child() else { return };
    // Its own, and not a later one, of which it knows nothing.
    let generation = reload::generation();
    let place = segment.same_files();
    let mut writing = place.write();
    writing.head(Same { generation, files: *files });
}

/// Whether these files are known to hold what is in force now.
pub(crate) fn are(files: &Files) -> bool {
    let Some(segment) = Segment::in_child() else { return false };
    let generation = segment.shared().generation.load(Ordering::Acquire);
    let known = segment.same_files().read::<Same>(|_| 0);
    known.is_some_and(|(known, _)| known.generation == generation && known.files == *files)
}
