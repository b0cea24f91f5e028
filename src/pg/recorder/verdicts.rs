//! What OpenSSL says of the chains of clients by what is in force, judged once for all processes.
//!
//! To judge a chain can take half a second where a large list is in force, since OpenSSL checks the
//! list's signature. So a process that was forked after the last reload judges every chain that is
//! known, and writes down what was said and for how long it holds. Whoever finds a chain there need
//! neither load what is in force nor ask OpenSSL.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use openssl::sha::sha256;
use pgtls_core::text;
use pgtls_core::verify::verdict::Verdict;
use pgtls_core::work;
use serde::{Deserialize, Serialize};

use crate::pg::recorder::in_force::Numbers;
use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::shared_file::SharedFile;
use crate::pg::server::files;

const FILE: SharedFile = SharedFile { name: "pg_stat_tmp/pgtls_ext.verdicts" };

/// Largest file that is read.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The format of the file.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    version: u64,
    /// Of what is in force, by which chains were judged.
    numbers: Numbers,
}

/// What was said of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// `None` if nothing can be said that holds for longer than a moment.
    pub(crate) verdict: Option<Verdict>,
    /// The seconds of Unix time, both included, for which it holds.
    pub(crate) holds: RangeInclusive<i64>,
}

/// What was written down, by the SHA-256 of the chain.
pub(crate) struct Verdicts(HashMap<[u8; 32], Known>);

impl Verdicts {
    /// What is said of a chain at this second, and for how long.
    pub(crate) fn of(&self, chain: &[u8], now: i64) -> Option<(Verdict, RangeInclusive<i64>)> {
        let known = self.known(chain, now)?;
        Some((known.verdict.clone()?, known.holds.clone()))
    }

    /// Whether a chain need not be judged again at this second.
    pub(crate) fn has(&self, chain: &[u8], now: i64) -> bool {
        self.known(chain, now).is_some()
    }

    fn known(&self, chain: &[u8], now: i64) -> Option<&Known> {
        self.0.get(&sha256(chain)).filter(|known| known.holds.contains(&now))
    }
}

/// What was read last: which writing of the file it was, what is in force by it, and what it says.
type Kept = (u64, Numbers, Rc<Verdicts>);

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// What was written down of what is in force by these numbers; `None` if nothing was.
pub(crate) fn written(numbers: Numbers) -> Option<Rc<Verdicts>> {
    let segment = Segment::in_child()?;
    let number = segment.shared().verdicts.load(Ordering::Acquire);
    if number == 0 {
        return None;
    }
    let known = KEPT.with_borrow(|kept| {
        let kept = kept.as_ref().filter(|kept| (kept.0, kept.1) == (number, numbers));
        kept.map(|kept| kept.2.clone())
    });
    if known.is_some() {
        return known;
    }
    KEPT.set(None);
    let verdicts = Rc::new(read(numbers)?);
    KEPT.set(Some((number, numbers, verdicts.clone())));
    Some(verdicts)
}

fn read(numbers: Numbers) -> Option<Verdicts> {
    let content = files::open_up_to(FILE.path(), MAX_BYTES).and_then(files::Readable::read).ok()?;
    let mut lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let head: Head = serde_json::from_slice(lines.next()?).ok()?;
    if head.version != VERSION || head.numbers != numbers {
        return None;
    }
    let mut verdicts = HashMap::new();
    for line in lines {
        work::between();
        let (key, known): (String, Known) = serde_json::from_slice(line).ok()?;
        let key = <[u8; 32]>::try_from(text::unhex(&key)?).ok()?;
        if verdicts.try_reserve(1).is_err() {
            work::out_of_memory();
        }
        verdicts.insert(key, known);
    }
    Some(Verdicts(verdicts))
}

/// Writes down what `judge` says of these chains by what is in force, which had these numbers
/// before anything was judged. If something else comes into force meanwhile, nobody uses what is
/// written.
pub(crate) fn write(
    numbers: Numbers,
    chains: impl Iterator<Item = Vec<u8>>,
    mut judge: impl FnMut(&[u8]) -> Known,
) -> Result<(), String> {
    let Some(segment) = Segment::in_child() else { return Ok(()) };
    let mut judged = HashSet::new();
    let written = FILE.replace(|file| {
        serde_json::to_writer(&mut *file, &Head { version: VERSION, numbers })?;
        for chain in chains {
            let key = sha256(&chain);
            if judged.try_reserve(1).is_err() {
                work::out_of_memory();
            }
            if judged.insert(key) {
                writeln!(file)?;
                serde_json::to_writer(&mut *file, &(text::hex(&key), judge(&chain)))?;
            }
        }
        Ok(())
    });
    written.map_err(|error| {
        format!("pgtls_ext could not write \"{}\": {error}", FILE.path().display())
    })?;
    segment.shared().verdicts.fetch_add(1, Ordering::Release);
    Ok(())
}
