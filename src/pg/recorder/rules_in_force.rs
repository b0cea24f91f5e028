//! The rules of `pg_hba.conf` and the mappings of `pg_ident.conf` that are in force, written down
//! for all processes.
//!
//! The server keeps them where no process can look after its login. So a process that was forked
//! after a reload reads the files at once, and knows from the postmaster's messages what was not
//! reloaded: of that it keeps what was written down before. A file that has changed since the
//! reload began may or may not be what the server has read; then it is not known what is in force.
//! What is written down has no option of an external method, so no secret.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgtls_core::login::{hba, ident};
use serde::{Deserialize, Serialize};

use crate::pg::memory;
use crate::pg::recorder::in_force::Unknown;
use crate::pg::recorder::reload::{self, Reload};
use crate::pg::recorder::reload_error;
use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::shared_file::SharedFile;
use crate::pg::server::files;

const FILE: SharedFile = SharedFile { name: "pg_stat_tmp/pgtls_ext.rules" };

/// Largest file that is read.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// How long a reader waits for what is about to be written down.
const PATIENCE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(10);

/// What is in force; `None` where it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// Of which postmaster, and of which reload of it.
    of: Reload,
    pub(crate) rules: Option<Vec<hba::Line>>,
    pub(crate) mappings: Option<Vec<ident::Line>>,
}

thread_local! {
    /// What was read last, and its number.
    static KEPT: RefCell<Option<(u64, Rc<Rules>)>> = const { RefCell::new(None) };
}

/// Called in a process that was forked after the last reload. `read` gives what the files hold now.
pub(crate) fn publish(read: impl FnOnce() -> (Vec<hba::Line>, Vec<ident::Line>)) {
    let Some(segment) = Segment::in_child() else { return };
    let of = Reload::inherited();
    let before = load().ok().filter(|before| before.of.started == of.started);
    // After a crash the postmaster goes on with what it has.
    let is_written = before.as_ref().is_some_and(|before| before.of == of);
    if !is_written {
        let rules = decide(of, before, read());
        if let Err(why) = FILE.replace(|file| Ok(serde_json::to_writer(file, &rules)?)) {
            pgrx::log!(
                "pgtls_ext could not write down in \"{}\" which rules are in force: {why}",
                FILE.path().display(),
            );
            return;
        }
    }
    let shared = segment.shared();
    shared.rules_published.store(reload::generation(), Ordering::Release);
    shared.publications.fetch_add(1, Ordering::Release);
}

fn decide(
    of: Reload,
    before: Option<Rules>,
    (rules, mappings): (Vec<hba::Line>, Vec<ident::Line>),
) -> Rules {
    let [hba_refused, ident_refused] = reload_error::refused_files();
    let is_start = before.is_none();
    let (rules_before, mappings_before) =
        before.map_or((None, None), |before| (before.rules, before.mappings));
    let is_older =
        |file: &str| files::last_change(Path::new(file)).is_none_or(|changed| changed <= of.read);
    // A server does not start with a `pg_hba.conf` that it cannot use, but does with such a
    // `pg_ident.conf`: with none. Of a file that has changed since, nothing can be said that was
    // not said by the server.
    let rules = match rules.iter().all(|line| is_older(&line.file)) {
        _ if hba_refused => rules_before,
        false => None,
        true if hba::problem(&rules).is_some() => rules_before,
        true => Some(rules),
    };
    let mappings = match mappings.iter().all(|line| is_older(&line.file)) {
        _ if ident_refused => mappings_before,
        false => None,
        true if ident::problem(&mappings).is_none() => Some(mappings),
        true if is_start => Some(Vec::new()),
        true => mappings_before,
    };
    Rules { of, rules, mappings }
}

fn load() -> Result<Rules, String> {
    let content = files::open_up_to(FILE.path(), MAX_BYTES).and_then(files::Readable::read)?;
    serde_json::from_slice(&content).map_err(|error| error.to_string())
}

/// What is in force now.
pub(crate) fn current() -> Result<Rc<Rules>, Unknown> {
    let segment = Segment::in_child().ok_or(Unknown::NotPreloaded)?;
    let shared = segment.shared();
    let mut waited = Duration::ZERO;
    loop {
        let number = shared.publications.load(Ordering::Acquire);
        let is_current = shared.rules_published.load(Ordering::Acquire)
            == shared.generation.load(Ordering::Acquire);
        let known = KEPT.with_borrow(|kept| {
            kept.as_ref().filter(|kept| is_current && kept.0 == number).map(|kept| kept.1.clone())
        });
        if let Some(known) = known {
            return Ok(known);
        }
        if is_current && let Ok(rules) = load() {
            let rules = Rc::new(rules);
            KEPT.set(Some((number, rules.clone())));
            return Ok(rules);
        }
        if waited >= PATIENCE {
            let why = "nothing was published since the last reload".to_owned();
            return Err(Unknown::NotPublished(why));
        }
        memory::check_for_interrupts();
        std::thread::sleep(STEP);
        waited += STEP;
    }
}
