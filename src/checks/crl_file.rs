//! What one file with CRLs holds, and which of it the server takes.
//!
//! A CRL may have a million entries, so what was read of a file is kept until the file changes, up
//! to [`KEPT_BYTES`] in all. A backend that never asks keeps nothing. A file that cannot be read is
//! a problem in words, never an error: one bad file must not hide the others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use memchr::memmem;
use pgtls_core::crl::{Crl, parse_crls};
use pgtls_core::form::is_der;
use pgtls_core::work;
use pgtls_core::x509::certificate::Certificate;

use crate::pg::openssl::probe;
use crate::pg::server::files::{self, Identity};

/// A revocation list in one of the configured files, or what is wrong in its place.
#[derive(Debug, Clone)]
pub(crate) struct ListedCrl {
    /// The file, as the settings name it.
    pub(crate) file: PathBuf,
    /// Which list of the file, from 1; `None` if the problem is the file's.
    pub(crate) position: Option<usize>,
    /// The list.
    pub(crate) crl: Option<Crl>,
    /// Why the server cannot use it, apart from what the list itself says.
    pub(crate) problem: Option<String>,
    /// Whether it is from `ssl_crl_dir`, which the server looks into at every login.
    pub(crate) in_directory: bool,
    /// Whether it is used only by some versions of OpenSSL, or for some chains; then there is a
    /// problem, too.
    pub(crate) is_uncertain: bool,
}

impl ListedCrl {
    /// One that is in force and in no file any more.
    pub(super) fn in_force_only(crl: Crl) -> Self {
        let file = PathBuf::new();
        Self {
            crl: Some(crl),
            ..Self { problem: None, ..Self::problem(&file, false, String::new()) }
        }
    }

    /// What is there instead of a list.
    pub(super) fn problem(file: &Path, in_directory: bool, problem: String) -> Self {
        let file = file.to_owned();
        let problem = Some(problem);
        Self { file, position: None, crl: None, problem, in_directory, is_uncertain: false }
    }
}

/// The lists of one file.
pub(super) fn lists_of(file: &Path, in_directory: bool) -> Vec<ListedCrl> {
    let content = match Kept::of(file) {
        Ok(content) => content,
        Err(problem) => return vec![ListedCrl::problem(file, in_directory, problem)],
    };
    let listed = |member: &Member| ListedCrl {
        file: file.to_owned(),
        position: Some(member.position),
        crl: member.crl.as_ref().ok().cloned(),
        problem: member.crl.as_ref().err().cloned(),
        in_directory,
        is_uncertain: false,
    };
    work::collect(content.members.iter().map(listed))
}

/// The certificates of a file; none if it cannot be read.
pub(super) fn certificates_of(file: &Path) -> Vec<Certificate> {
    Kept::of(file).map_or_else(|_| Vec::new(), |content| content.certificates.clone())
}

/// One list as it was read from a file.
struct Member {
    position: usize,
    crl: Result<Crl, String>,
}

/// What the server finds in a file.
struct Content {
    members: Vec<Member>,
    certificates: Vec<Certificate>,
}

/// What was read of a file.
struct Kept {
    identity: Identity,
    size: usize,
    content: Rc<Content>,
}

thread_local! {
    /// What was read, by path.
    static KEPT: RefCell<HashMap<PathBuf, Kept>> = RefCell::new(HashMap::new());
}

impl Kept {
    /// What is in a file: what was kept of it if it has not changed, else it is read anew.
    fn of(path: &Path) -> Result<Rc<Content>, String> {
        let file = files::open(path)?;
        let identity = file.identity;
        let known = KEPT.with_borrow(|kept| {
            kept.get(path).filter(|kept| kept.identity == identity).map(|kept| kept.content.clone())
        });
        if let Some(content) = known {
            return Ok(content);
        }
        // What is outdated goes first: the old and the new content of a large file need not be
        // there at once.
        KEPT.with_borrow_mut(|kept| kept.remove(path));
        let bytes = file.read()?;
        let size = bytes.len();
        let content = Rc::new(Content::read(bytes)?);
        KEPT.with_borrow_mut(|kept| {
            let others: usize = kept.values().map(|kept| kept.size).sum();
            if others.saturating_add(size) > KEPT_BYTES {
                kept.clear();
            }
            if size <= KEPT_BYTES {
                kept.insert(path.to_owned(), Self { identity, size, content: content.clone() });
            }
        });
        Ok(content)
    }
}

impl Content {
    fn read(bytes: Vec<u8>) -> Result<Self, String> {
        if is_der(&bytes) {
            return Err("is DER, but the server reads PEM only".to_owned());
        }
        // Most files of lists have no certificates, and are large.
        let certificates = match memmem::find(&bytes, b"CERTIFICATE-----") {
            Some(_) => Self::certificates(&bytes)?,
            None => Vec::new(),
        };
        let members = match parse_crls(bytes) {
            Ok(members) => members,
            Err(pgtls_core::error::Error::NoPemBlock { .. }) if !certificates.is_empty() => {
                Vec::new()
            }
            Err(error) => return Err(error.to_string()),
        };
        let member = |member: pgtls_core::crl::Member| Member {
            position: member.position,
            crl: member.crl.map_err(|error| error.to_string()).and_then(loadable),
        };
        Ok(Self { members: work::collect(members.into_iter().map(member)), certificates })
    }

    /// The certificates among PEM blocks of any kind; of what is too large for a bundle of
    /// certificates, none.
    fn certificates(bytes: &[u8]) -> Result<Vec<Certificate>, String> {
        use pgtls_core::error::Error::{NoPemBlock, TooLarge};
        match pgtls_core::x509::bundle::parse_certificates(bytes) {
            Ok(certificates) => Ok(certificates),
            Err(NoPemBlock { .. } | TooLarge { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A list that the server can load. What is strange about one is for the OpenSSL that runs to
/// judge: its versions differ.
fn loadable(crl: Crl) -> Result<Crl, String> {
    let why = (!crl.problems().is_empty()).then(|| probe::why_unreadable(crl.as_der())).flatten();
    why.map_or(Ok(crl), Err)
}

/// How much of the files' content a backend keeps, in bytes of the file: the lists of a file take
/// less than that in memory. It is room for a CRL of two million entries.
const KEPT_BYTES: usize = 128 * 1024 * 1024;
