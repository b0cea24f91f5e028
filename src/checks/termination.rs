//! The end of sessions that somebody asks for.

use std::time::{Duration, Instant};

use pgtls_core::work;

use crate::checks::credentials::Credential;
use crate::pg::memory;
use crate::pg::recorder::sessions::{self, Recorded};
use crate::pg::server::backends;

/// How long to wait before it is looked again whether a transaction is over.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Ends these sessions, each as soon as it is in no transaction, and at the latest after this time.
/// Says of each whether it was ended. One's own is not: it has to finish the statement.
pub(crate) fn end(invalid: &[(Recorded, Credential)], grace: Duration) -> Vec<bool> {
    let started = Instant::now();
    let mut ended = work::collect(invalid.iter().map(|_| false));
    let mut pending: Vec<usize> = work::collect(
        (0..).zip(invalid).filter(|(_, (one, _))| !sessions::is_own(one)).map(|(place, _)| place),
    );
    loop {
        let is_over = started.elapsed() >= grace;
        let busy = if is_over { Default::default() } else { backends::in_transaction() };
        pending.retain(|place| {
            let Some((recorded, credential)) = invalid.get(*place) else { return false };
            if busy.contains(&recorded.key()) {
                return true;
            }
            if let Some(ended) = ended.get_mut(*place) {
                *ended = sessions::terminate(recorded, credential.assessment.standing);
            }
            false
        });
        if pending.is_empty() {
            return ended;
        }
        memory::check_for_interrupts();
        std::thread::sleep(LOOK_AGAIN);
    }
}
