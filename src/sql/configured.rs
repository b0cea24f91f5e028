//! What the files hold that the server's settings name, as they are now: `ssl_ca_file`, `ssl_crl_file`, `ssl_crl_dir`.
//!
//! A CRL may have a million entries, so what was read of a file is kept until the file changes, up to
//! [`KEPT_BYTES`] in all. A backend that never asks keeps nothing. A file that cannot be read is a problem in words, never
//! an error: one bad file must not hide the others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use pgtls_core::Certificate;
use pgtls_core::crl::{Crl, parse_crls};
use pgtls_core::revocation::CrlSet;

use crate::pg::files::{self, Identity};
use crate::pg::settings;

/// How much of the files' content a backend keeps, in bytes of the file: the lists of a file take less than that in
/// memory. It is room for a CRL of two million entries.
const KEPT_BYTES: usize = 128 * 1024 * 1024;

/// The first byte of a list in DER; its second has the high bit set, because the list is longer than 127 bytes.
const DER_SEQUENCE: u8 = 0x30;

/// A revocation list in one of the configured files, or what is wrong in its place.
#[derive(Debug, Clone)]
pub(super) struct ListedCrl {
    /// The file, as the settings name it.
    pub(super) file: PathBuf,
    /// Which list of the file, from 1; `None` if the problem is the file's.
    pub(super) position: Option<usize>,
    /// The list.
    pub(super) crl: Option<Crl>,
    /// Why the server cannot use it, apart from what the list itself says.
    pub(super) problem: Option<String>,
    /// Whether it is from `ssl_crl_dir`, which the server looks into at every login.
    pub(super) in_directory: bool,
}

/// The revocation lists of the configured files.
pub(super) struct Crls {
    /// Every list and every problem, in the order in which the server reads them.
    pub(super) lists: Vec<ListedCrl>,
    /// Whether a file or a directory is configured; if not, the server does not check revocation.
    pub(super) is_configured: bool,
    /// Whether the server would load `ssl_crl_file` as it is now. If not, a reload is refused, and so is a start.
    pub(super) is_loadable: bool,
}

impl Crls {
    /// Reads the files that the settings name now.
    pub(super) fn read() -> Self {
        let file = settings::path(c"ssl_crl_file");
        let directory = settings::text(c"ssl_crl_dir");
        let mut lists = Vec::new();
        if let Some(file) = &file {
            lists.extend(lists_of(file, false));
        }
        let is_loadable = lists.iter().all(|list| list.problem.is_none());
        let is_configured = file.is_some() || directory.is_some();
        if let Some(file) = settings::path(c"ssl_ca_file").filter(|_| is_configured) {
            // OpenSSL takes lists from the CA file too, if it has any.
            let found = lists_of(&file, false).into_iter().filter(|list| list.crl.is_some());
            lists.extend(found);
        }
        // OpenSSL takes several directories, separated as in PATH.
        for directory in directory.iter().flat_map(|paths| paths.split(':')) {
            lists.extend(lists_in(Path::new(directory)));
        }
        Self { lists, is_configured, is_loadable }
    }

    /// The lists that the server can use, as a set to judge by; `None` if it does not check revocation.
    pub(super) fn usable(&self) -> Option<CrlSet> {
        let mut set = CrlSet::new();
        for list in self.lists.iter().filter(|list| list.problem.is_none()) {
            if let Some(crl) = &list.crl {
                set.push(crl.clone(), list.file.display().to_string());
            }
        }
        self.is_configured.then_some(set)
    }
}

/// The certificates of `ssl_ca_file`, or why it cannot be read; `None` if none is configured.
pub(super) fn authorities() -> Option<Result<Vec<Certificate>, String>> {
    let path = settings::path(c"ssl_ca_file")?;
    let read = || {
        let content = files::open(&path)?.read()?;
        pgtls_core::parse_certificates(&content).map_err(|error| error.to_string())
    };
    Some(read().map_err(|problem| format!("{}: {problem}", path.display())))
}

/// The lists of one file.
fn lists_of(file: &Path, in_directory: bool) -> Vec<ListedCrl> {
    let listed = |position, crl, problem| ListedCrl {
        file: file.to_owned(),
        position,
        crl,
        problem,
        in_directory,
    };
    match Kept::lists(file) {
        Ok(members) => members
            .iter()
            .map(|member| match &member.crl {
                Ok(crl) => listed(Some(member.position), Some(crl.clone()), None),
                Err(problem) => listed(Some(member.position), None, Some(problem.clone())),
            })
            .collect(),
        Err(problem) => vec![listed(None, None, Some(problem))],
    }
}

/// The lists in a directory, in the order of their names.
///
/// OpenSSL looks for `HASH.r0`, `HASH.r1` and so on up to the first that is missing, where HASH is that of the issuer's
/// name; whatever else is in the directory it never sees.
fn lists_in(directory: &Path) -> Vec<ListedCrl> {
    let in_words = |file: &Path, problem: &str| ListedCrl {
        file: file.to_owned(),
        position: None,
        crl: None,
        problem: Some(problem.to_owned()),
        in_directory: true,
    };
    let (paths, more) = match files::list(directory) {
        Ok(found) => found,
        Err(problem) => return vec![in_words(directory, &problem)],
    };
    let mut numbers: HashMap<String, Vec<u32>> = HashMap::new();
    for (hash, number) in paths.iter().filter_map(|path| hashed_name(path)) {
        numbers.entry(hash).or_default().push(number);
    }
    let mut lists = Vec::new();
    for path in &paths {
        let Some((hash, number)) = hashed_name(path) else {
            lists.push(in_words(path, "not named HASH.rN, so the server never reads it"));
            continue;
        };
        let known = numbers.get(&hash).map(Vec::as_slice).unwrap_or_default();
        let gap = (0..number).find(|earlier| !known.contains(earlier));
        for mut list in lists_of(path, true) {
            let misnamed = list.crl.as_ref().is_some_and(|crl| crl.issuer().hash() != hash);
            let problem = match gap {
                Some(missing) => {
                    Some(format!("not read by the server, because {hash}.r{missing} is missing"))
                }
                None if misnamed => Some("named with the hash of another issuer".to_owned()),
                None => None,
            };
            list.problem = list.problem.or(problem);
            lists.push(list);
        }
    }
    if more {
        lists.push(in_words(directory, "has more files than are looked at here"));
    }
    lists
}

/// The hash and the number of a name such as `9bb9e3c3.r0`.
fn hashed_name(path: &Path) -> Option<(String, u32)> {
    let (hash, number) = path.file_name()?.to_str()?.split_once(".r")?;
    let is_hash =
        hash.len() == 8 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // OpenSSL writes the number without leading zeros.
    let number = number.parse().ok().filter(|parsed: &u32| parsed.to_string() == number)?;
    is_hash.then(|| (hash.to_owned(), number))
}

/// One list as it was read from a file.
struct Member {
    position: usize,
    crl: Result<Crl, String>,
}

/// What was read of a file.
struct Kept {
    identity: Identity,
    size: usize,
    members: Rc<Vec<Member>>,
}

thread_local! {
    /// What was read, by path.
    static KEPT: RefCell<HashMap<PathBuf, Kept>> = RefCell::new(HashMap::new());
}

impl Kept {
    /// The lists of a file: kept ones if it has not changed, else read anew.
    fn lists(path: &Path) -> Result<Rc<Vec<Member>>, String> {
        let file = files::open(path)?;
        let identity = file.identity;
        let known = KEPT.with_borrow(|kept| {
            kept.get(path).filter(|kept| kept.identity == identity).map(|kept| kept.members.clone())
        });
        if let Some(members) = known {
            return Ok(members);
        }
        // What is outdated goes first: the old and the new content of a large file need not be there at once.
        KEPT.with_borrow_mut(|kept| kept.remove(path));
        let content = file.read()?;
        let size = content.len();
        if matches!(content[..], [DER_SEQUENCE, 0x80..=0xff, ..]) {
            return Err("is DER, but the server reads PEM only".to_owned());
        }
        let members = parse_crls(content).map_err(|error| error.to_string())?;
        let member = |member: pgtls_core::crl::Member| Member {
            position: member.position,
            crl: member.crl.map_err(|error| error.to_string()),
        };
        let members = Rc::new(members.into_iter().map(member).collect::<Vec<_>>());
        KEPT.with_borrow_mut(|kept| {
            let others: usize = kept.values().map(|kept| kept.size).sum();
            if others.saturating_add(size) > KEPT_BYTES {
                kept.clear();
            }
            if size <= KEPT_BYTES {
                kept.insert(path.to_owned(), Self { identity, size, members: members.clone() });
            }
        });
        Ok(members)
    }
}
