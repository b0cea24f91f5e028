//! This process as the server started it: its entry, its configuration, its end.

use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgMemoryContexts, PgTryBuilder, pg_sys};

use crate::pg::memory;

/// Makes `$main` the function `$name`, by which the server finds what a background worker is to
/// run.
macro_rules! background_worker {
    ($name:ident, $main:path) => {
        /// What the server calls in the process of the worker.
        // SAFETY: no other library has a function of this name.
        #[allow(unsafe_code, reason = "the server looks the name up")]
        #[unsafe(no_mangle)]
        #[pgrx::pg_guard]
        extern "C-unwind" fn $name(_argument: pgrx::pg_sys::Datum) {
            $main();
        }
    };
}
pub(crate) use background_worker;

/// Whether the server is loading the libraries of `shared_preload_libraries`.
pub(crate) fn is_being_preloaded() -> bool {
    // SAFETY: a plain read of a variable of this process.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Reads the configuration files again, as the server's own processes do when they are told to.
pub(crate) fn reload_configuration() {
    // SAFETY: outside of any transaction, as the server's own processes do it.
    unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
}

/// Ends this process so that the server starts it again: one that ends with 0 never is.
pub(crate) fn exit_and_be_restarted() {
    // SAFETY: ends this process as the server's own launchers end.
    unsafe { pg_sys::proc_exit(1) };
}

/// Whether this background worker has been told to end.
pub(in crate::pg) fn is_told_to_end() -> bool {
    // SAFETY: a read of a flag that the handler of the signal sets.
    unsafe { (&raw const pg_sys::ShutdownRequestPending).read_volatile() != 0 }
}

/// Whether there is a process with this number, of this server or of somebody else.
pub(in crate::pg) fn is_running(pid: i32) -> bool {
    // SAFETY: sends nothing.
    pid > 0 && unsafe { libc::kill(pid, 0) } == 0
}

/// Does a piece of a worker's work. An error of the server in it, or ours, is the piece's end and
/// not the process's; what it says is the result.
pub(crate) fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let in_context = AssertUnwindSafe(move || {
        // What the server's functions leave behind goes with it.
        let mut context = PgMemoryContexts::new("pgtls_ext worker's piece of work");
        // SAFETY: the context is this function's own, and outlives the work.
        unsafe { context.switch_to(|_| work()) }
    });
    let done = PgTryBuilder::new(|| Ok({ in_context }()))
        .catch_others(|error| {
            Err(match error {
                CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
                    report.message().to_owned()
                }
                CaughtError::RustPanic { ereport, .. } => ereport.message().to_owned(),
            })
        })
        .execute();
    // What was given up need not be said again.
    let _ = memory::has_run_out();
    done
}
