//! The background worker: saves the inventory now and then, and checks the certificates of connected sessions if asked to.
//!
//! It needs shared memory and files, but no database. If it fails it is started again after a while; nothing else depends
//! on it.

use std::time::{Duration, Instant};

use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, SignalWakeFlags,
};

use crate::pg::recorder::save;
use crate::pg::server::{guc, process};
use crate::sql::credentials::check_credentials;

/// How often changes are saved: what a crash can lose.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// How long a worker that failed stays away.
const RESTART_AFTER: Duration = Duration::from_secs(60);

/// Called once, while the server loads the libraries of `shared_preload_libraries`.
pub(crate) fn install() {
    BackgroundWorkerBuilder::new("pgtls_ext worker")
        .set_type("pgtls_ext worker")
        .set_library("pgtls_ext")
        .set_function("pgtls_ext_worker_main")
        .enable_shmem_access(None)
        // A standby has clients, too.
        .set_start_time(BgWorkerStartTime::ConsistentState)
        .set_restart_time(Some(RESTART_AFTER))
        .load();
}

process::background_worker!(pgtls_ext_worker_main, run);

fn run() {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // What was there before this worker came may be unsaved, too.
    let mut saved = (Instant::now(), 0);
    let mut checked = Instant::now();
    while BackgroundWorker::wait_latch(Some(timeout(saved.0, checked))) {
        let reload = BackgroundWorker::sighup_received();
        if reload {
            process::reload_configuration();
        }
        // A reload is also the way to have everything saved now.
        if reload || saved.0.elapsed() >= SAVE_INTERVAL {
            let changes = save::changes();
            // What could not be saved is tried again.
            let done = changes == saved.1 || save::write();
            saved = (Instant::now(), if done { changes } else { saved.1 });
        }
        if guc::credential_check_interval().is_some_and(|interval| checked.elapsed() >= interval) {
            check_credentials();
            checked = Instant::now();
        }
    }
    // This may be somebody's `kill`, after which the worker should come back; at a shutdown the server starts nothing.
    process::exit_and_be_restarted()
}

/// How long there is nothing to do.
fn timeout(saved: Instant, checked: Instant) -> Duration {
    let left = SAVE_INTERVAL.saturating_sub(saved.elapsed());
    let until_check = guc::credential_check_interval()
        .map_or(left, |interval| interval.saturating_sub(checked.elapsed()));
    // A wait of no time at all would be one without end.
    left.min(until_check).max(Duration::from_millis(10))
}
