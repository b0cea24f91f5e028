//! The background worker: saves the inventory now and then, and checks the certificates of connected sessions if asked to.
//!
//! It needs shared memory and files, but no database. If it fails it is started again after a while; nothing else depends
//! on it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, SignalWakeFlags,
};
use pgrx::pg_sys;

use super::{guc, save};

/// How often changes are saved: what a crash can lose.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// How long a worker that failed stays away.
const RESTART_AFTER: Duration = Duration::from_secs(60);

/// What is done at every interval of `credential_check_interval`.
static CHECK: OnceLock<fn()> = OnceLock::new();

/// Called once, while the server loads the libraries of `shared_preload_libraries`.
pub(super) fn install(check_credentials: fn()) {
    let _ = CHECK.set(check_credentials);
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

/// The worker.
// SAFETY: no other library has a function of this name.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
pub(crate) extern "C-unwind" fn pgtls_ext_worker_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // What was there before this worker came may be unsaved, too.
    let mut saved = (Instant::now(), 0);
    let mut checked = Instant::now();
    while BackgroundWorker::wait_latch(Some(timeout(saved.0, checked))) {
        let reload = BackgroundWorker::sighup_received();
        if reload {
            // SAFETY: outside of any transaction, as the server's own processes do it.
            unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
        }
        // A reload is also the way to have everything saved now.
        if reload || saved.0.elapsed() >= SAVE_INTERVAL {
            let changes = save::changes();
            // What could not be saved is tried again.
            let done = changes == saved.1 || save::write();
            saved = (Instant::now(), if done { changes } else { saved.1 });
        }
        if guc::credential_check_interval().is_some_and(|interval| checked.elapsed() >= interval) {
            if let Some(check) = CHECK.get() {
                check();
            }
            checked = Instant::now();
        }
    }
    // A worker that ends with 0 is never started again. This may be somebody's `kill`, after which it should be; at a
    // shutdown the server starts nothing.
    // SAFETY: ends this process as the server's own launchers end.
    unsafe { pg_sys::proc_exit(1) };
}

/// How long there is nothing to do.
fn timeout(saved: Instant, checked: Instant) -> Duration {
    let left = SAVE_INTERVAL.saturating_sub(saved.elapsed());
    let until_check = guc::credential_check_interval()
        .map_or(left, |interval| interval.saturating_sub(checked.elapsed()));
    // A wait of no time at all would be one without end.
    left.min(until_check).max(Duration::from_millis(10))
}
