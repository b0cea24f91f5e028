//! The background worker: reads what was saved, saves it now and then and at the end, and checks
//! the certificates of connected sessions if asked to.
//!
//! It needs shared memory and files, but no database. A piece of work that fails, also for want of
//! memory, is given up with a line in the log and tried again later. If the worker itself fails it
//! is started again after a while.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, SignalWakeFlags,
};
use pgtls_core::verify::credential::Standing;

use crate::checks::access::{Server, checked_mappings};
use crate::checks::basis::Basis;
use crate::checks::configuration;
use crate::checks::credentials::{Credential, Sessions, are_verdicts_written, write_verdicts};
use crate::pg::recorder::sessions::{self, Recorded};
use crate::pg::recorder::{in_force, publication, rules_in_force, save, shared_file, status};
use crate::pg::server::guc::Action;
use crate::pg::server::tls_settings::TlsSettings;
use crate::pg::server::{auth_files, backends, guc, process};

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
process::background_worker!(pgtls_ext_publisher_main, publish);

/// Writes down what this process, which is younger than the last reload, knows to be in force, and
/// what is said of the clients' certificates by that.
fn publish() {
    if !in_force::is_published() {
        publish_what_is_in_force();
    }
    done(write_verdicts);
}

fn publish_what_is_in_force() {
    done(|| {
        publication::publish();
        Ok(())
    });
    done(|| {
        configuration::publish_same_files();
        Ok(())
    });
    done(|| {
        let server = Server::new();
        let around = server.around();
        rules_in_force::publish(|| (auth_files::rules(&around), checked_mappings(&around)));
        Ok(())
    });
}

/// Has the server start a process that inherits what is in force now, and writes it down for all
/// others. If the server has no place for one, it is asked again later. What the process takes for
/// it, it gives back with its end.
fn ask_for_publisher() -> bool {
    BackgroundWorkerBuilder::new("pgtls_ext publisher")
        .set_type("pgtls_ext publisher")
        .set_library("pgtls_ext")
        .set_function("pgtls_ext_publisher_main")
        .enable_shmem_access(None)
        .set_start_time(BgWorkerStartTime::ConsistentState)
        .set_restart_time(None)
        .load_dynamic()
        .is_ok()
}

/// How long to wait before the server is asked again for a publisher.
const ASK_AGAIN: Duration = Duration::from_secs(5);

fn run() {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    status::note_worker();
    shared_file::clean();
    done(save::load);
    // What was there before this worker came may be unsaved, too.
    let mut saved = (Instant::now(), 0);
    let mut checked = Instant::now();
    let mut judged = Instant::now();
    // This process is young itself, if there is no place for another.
    if !ask_for_publisher() {
        publish();
    }
    while BackgroundWorker::wait_latch(Some(timeout(saved.0, checked))) {
        let reload = BackgroundWorker::sighup_received();
        if reload {
            done(|| {
                process::reload_configuration();
                Ok(())
            });
        }
        let verdicts_due = judged.elapsed() >= SAVE_INTERVAL;
        if reload || !in_force::is_published() || (verdicts_due && verdicts_lack()) {
            ask_for_publisher();
        }
        if verdicts_due {
            judged = Instant::now();
        }
        // A reload is also the way to have everything saved now.
        if reload || saved.0.elapsed() >= SAVE_INTERVAL {
            done(save::load);
            let changes = save_changes(saved.1);
            saved = (Instant::now(), changes);
        }
        if check_interval().is_some_and(|interval| checked.elapsed() >= interval) {
            done(|| {
                check_credentials();
                Ok(())
            });
            checked = Instant::now();
        }
    }
    // At a shutdown, backends are told to end when the worker is, or before: what a login leaves
    // behind is in shared memory by then, but for one that is under way.
    save_changes(saved.1);
    // This may be somebody's `kill`, after which the worker should come back; at a shutdown the
    // server starts nothing.
    process::exit_and_be_restarted()
}

/// Whether nothing was written down of some chain.
fn verdicts_lack() -> bool {
    let mut lack = false;
    done(|| {
        lack = !are_verdicts_written();
        Ok(())
    });
    lack
}

/// Saves what has changed, and says up to which change all is saved. What could not be saved is
/// tried again.
fn save_changes(saved: u64) -> u64 {
    let changes = save::changes();
    if changes == saved || done(save::write) { changes } else { saved }
}

/// Does a piece of work, and says whether it was done; if not, the reason is one line in the log.
fn done(work: impl FnOnce() -> Result<(), String>) -> bool {
    match process::attempt(work).and_then(|done| done) {
        Ok(()) => true,
        Err(why) if why.starts_with("pgtls_ext") => {
            pgrx::log!("{why}");
            false
        }
        Err(why) => {
            pgrx::log!("pgtls_ext worker gives up what it was doing, and tries again later: {why}");
            false
        }
    }
}

/// How long to wait before sessions are looked at again; `None` for ever. While the transaction of
/// one is waited for, its end is looked for more often.
fn check_interval() -> Option<Duration> {
    let interval = guc::credential_check_interval()?;
    Some(if is_waiting() { interval.min(LOOK_AGAIN) } else { interval })
}

/// How often it is looked whether a transaction is over.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long there is nothing to do.
fn timeout(saved: Instant, checked: Instant) -> Duration {
    let left = SAVE_INTERVAL.saturating_sub(saved.elapsed());
    let until_check =
        check_interval().map_or(left, |interval| interval.saturating_sub(checked.elapsed()));
    // A wait of no time at all would be one without end.
    let until_asked = if in_force::is_published() { left } else { ASK_AGAIN };
    left.min(until_check).min(until_asked).max(Duration::from_millis(10))
}

thread_local! {
    /// The sessions that the worker has spoken of, and as what.
    static REPORTED: RefCell<HashSet<(Key, Standing)>> = RefCell::default();
    /// Those whose transaction is waited for, and since when.
    static WAITED_FOR: RefCell<HashMap<Key, Instant>> = RefCell::default();
    /// Whether it has been said that too many would have to be ended.
    static HELD_BACK: Cell<bool> = const { Cell::new(false) };
}

/// A session, by process ID and start.
type Key = (i32, i64);

/// What the worker does with a session that a login would not get any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Report,
    Wait,
    Terminate,
}

/// What the worker does at every interval: says which sessions have a certificate that is not good
/// any more, each once, and ends them if `credential_action` says so.
///
/// Sessions are judged by what is in force: the server would admit anybody else again at once.
/// Nobody is ended while the CA file depends on the host name that the client asked for, which is
/// not looked at, nor while so many would be that a file is more likely wrong than they are.
fn check_credentials() {
    let sessions = Sessions::judged(Basis::InForce);
    let may_end =
        guc::credential_action() == Action::Terminate && !TlsSettings::current().chooses_by_host();
    let too_many = may_end && sessions.are_too_many(guc::credential_max_share());
    if too_many {
        status::note_held_back();
    }
    if too_many && !HELD_BACK.replace(true) {
        let (invalid, count) = (sessions.invalid.len(), sessions.count);
        pgrx::log!(
            "pgtls_ext ends no session: the certificates of {invalid} of {count} would not be \
             accepted any more, which is above pgtls_ext.credential_max_share"
        );
    }
    HELD_BACK.set(too_many);
    let mut reported = REPORTED.take();
    let mut waited_for = WAITED_FOR.take();
    let mut now_invalid = HashSet::new();
    let mut now_waited_for = HashMap::new();
    let grace = guc::credential_grace();
    let busy = if may_end && !too_many && !grace.is_zero() && !sessions.invalid.is_empty() {
        backends::in_transaction()
    } else {
        HashSet::new()
    };
    for (recorded, credential) in sessions.invalid {
        let (key, standing) = (recorded.key(), credential.assessment.standing);
        let since = waited_for.remove(&key).unwrap_or_else(Instant::now);
        let mut deed = match () {
            () if !may_end || too_many => Deed::Report,
            () if busy.contains(&key) && since.elapsed() < grace => Deed::Wait,
            () => Deed::Terminate,
        };
        if deed == Deed::Wait {
            now_waited_for.insert(key, since);
        } else if deed == Deed::Terminate && !sessions::terminate(&recorded, standing) {
            deed = Deed::Report;
        }
        if deed == Deed::Terminate || !reported.remove(&(key, standing)) {
            report(&recorded, &credential, deed);
        }
        now_invalid.insert((key, standing));
    }
    REPORTED.set(now_invalid);
    WAITED_FOR.set(now_waited_for);
    status::note_check();
}

fn is_waiting() -> bool {
    WAITED_FOR.with_borrow(|waited_for| !waited_for.is_empty())
}

fn report(recorded: &Recorded, credential: &Credential, deed: Deed) {
    let done = match deed {
        Deed::Report => "",
        Deed::Wait => ", waiting for its transaction",
        Deed::Terminate => ", terminating its session",
    };
    pgrx::log!(
        "client certificate \"{}\" of process {} is {}{done}: {}",
        credential.subject.as_deref().unwrap_or_default().escape_debug(),
        recorded.pid,
        credential.assessment.standing.label(),
        credential.assessment.detail.as_deref().unwrap_or_default(),
    );
}
