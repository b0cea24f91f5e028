//! What the files hold that the server's settings name, as they are now: `ssl_ca_file`, `ssl_crl_file`, `ssl_crl_dir`.
//!
//! A CRL may have a million entries, so what was read of a file is kept until the file changes, up to
//! [`KEPT_BYTES`] in all. A backend that never asks keeps nothing. A file that cannot be read is a problem in words, never
//! an error: one bad file must not hide the others.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use memchr::memmem;
use pgtls_core::crl::{Crl, parse_crls};
use pgtls_core::verify::revocation::crl_set::CrlSet;
use pgtls_core::x509::certificate::Certificate;

use crate::pg::server::files::{self, Identity};
use crate::pg::server::settings;

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
    /// Whether it is used only by some versions of OpenSSL, or for some chains; then there is a problem, too.
    pub(super) is_uncertain: bool,
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
        let mut lists = file.iter().flat_map(|file| lists_of(file, false)).collect::<Vec<_>>();
        let is_loadable = lists.iter().all(|list| list.problem.is_none());
        if let Some(file) = file.as_ref().filter(|_| lists.is_empty()) {
            let problem = "holds certificates and no revocation list".to_owned();
            lists.push(ListedCrl::problem(file, false, problem));
        }
        let is_configured = file.is_some() || directory.is_some();
        if let Some(file) = settings::path(c"ssl_ca_file").filter(|_| is_configured) {
            // OpenSSL takes lists from the CA file too, if it has any.
            let found = lists_of(&file, false).into_iter().filter(|list| list.crl.is_some());
            lists.extend(found);
        }
        for directory in directories(directory.as_deref()) {
            lists.extend(lists_in(directory));
        }
        Self { lists, is_configured, is_loadable }
    }

    /// The lists that the server can use, as a set to judge by; `None` if it does not check revocation.
    pub(super) fn usable(&self) -> Option<Usable> {
        let set = |is_usable: fn(&ListedCrl) -> bool| {
            let mut set = CrlSet::new();
            for list in self.lists.iter().filter(|list| is_usable(list)) {
                if let Some(crl) = &list.crl {
                    set.push(crl.clone(), list.file.display().to_string());
                }
            }
            set
        };
        let is_uncertain = self.lists.iter().any(|list| list.is_uncertain);
        self.is_configured.then(|| Usable {
            certain: set(|list| list.problem.is_none()),
            all: is_uncertain.then(|| set(|list| list.problem.is_none() || list.is_uncertain)),
        })
    }
}

/// The lists that the server can use.
pub(super) struct Usable {
    /// Those that are used in any case.
    pub(super) certain: CrlSet,
    /// With those that may be used, if there are any.
    pub(super) all: Option<CrlSet>,
}

impl ListedCrl {
    /// What is there instead of a list.
    fn problem(file: &Path, in_directory: bool, problem: String) -> Self {
        let file = file.to_owned();
        let problem = Some(problem);
        Self { file, position: None, crl: None, problem, in_directory, is_uncertain: false }
    }
}

/// OpenSSL takes several directories, separated as in PATH.
fn directories(setting: Option<&str>) -> impl Iterator<Item = &Path> {
    setting.into_iter().flat_map(|paths| paths.split(':')).map(Path::new)
}

/// The certificates that the server trusts, or why `ssl_ca_file` cannot be read; `None` if none is configured.
///
/// OpenSSL takes certificates from wherever it takes lists, and trusts them as those of the CA file.
pub(super) fn authorities() -> Option<Result<Vec<Certificate>, String>> {
    let path = settings::path(c"ssl_ca_file")?;
    let read = || {
        let content = files::open(&path)?.read()?;
        pgtls_core::x509::bundle::parse_certificates(&content).map_err(|error| error.to_string())
    };
    let mut authorities = match read() {
        Ok(authorities) => authorities,
        Err(problem) => return Some(Err(format!("{}: {problem}", path.display()))),
    };
    let mut others = Vec::new();
    let crl_file = settings::path(c"ssl_crl_file");
    others.extend(crl_file.iter().flat_map(|file| certificates_of(file)));
    let directory = settings::text(c"ssl_crl_dir");
    for directory in directories(directory.as_deref()) {
        let paths = files::list(directory).map(|(paths, _)| paths).unwrap_or_default();
        let hashed = paths.iter().filter(|path| hashed_name(path, ".").is_some());
        others.extend(hashed.flat_map(|path| certificates_of(path)));
    }
    others.retain(|certificate| !authorities.contains(certificate));
    authorities.extend(others);
    Some(Ok(authorities))
}

/// The certificates of a file; none if it cannot be read.
fn certificates_of(file: &Path) -> Vec<Certificate> {
    Kept::of(file).map_or_else(|_| Vec::new(), |content| content.certificates.clone())
}

/// The lists of one file.
fn lists_of(file: &Path, in_directory: bool) -> Vec<ListedCrl> {
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
    content.members.iter().map(listed).collect()
}

/// The lists of a file in a directory. OpenSSL reads no further than the first that is broken.
fn lists_of_hashed(file: &Path) -> Vec<ListedCrl> {
    let mut lists = lists_of(file, true);
    if lists.is_empty() {
        return vec![ListedCrl::problem(file, true, "holds no revocation list".to_owned())];
    }
    let broken = lists.iter().position(|list| list.problem.is_some()).unwrap_or(lists.len());
    for list in lists.iter_mut().skip(broken).filter(|list| list.problem.is_none()) {
        let problem = "not read by the server, because of the broken list before it";
        list.problem = Some(problem.to_owned());
    }
    lists
}

/// The lists in a directory, in the order of their names.
///
/// OpenSSL loads `HASH.r0`, `HASH.r1` and so on up to the first that is missing, where HASH is that of the issuer's name;
/// whatever else is in the directory it never sees. One that is there and cannot be loaded whole ends the search in
/// OpenSSL 3.5.7, with nothing of it used, but neither in 3.0.22 nor in 3.6.5.
fn lists_in(directory: &Path) -> Vec<ListedCrl> {
    let in_words = |file: &Path, problem: &str| ListedCrl::problem(file, true, problem.to_owned());
    let (paths, more) = match files::list(directory) {
        Ok(found) => found,
        Err(problem) => return vec![in_words(directory, &problem)],
    };
    let mut lists = Vec::new();
    let mut hashed: HashMap<String, BTreeMap<u32, Vec<ListedCrl>>> = HashMap::new();
    for path in &paths {
        match hashed_name(path, ".r") {
            Some((hash, number)) => {
                hashed.entry(hash).or_default().insert(number, lists_of_hashed(path));
            }
            None => lists.push(in_words(path, "not named HASH.rN, so the server never reads it")),
        }
    }
    for (hash, files) in hashed {
        lists.extend(lists_reached(&hash, files));
    }
    lists.sort_by(|a, b| a.file.cmp(&b.file));
    if more {
        lists.push(in_words(directory, "has more files than are looked at here"));
    }
    lists
}

/// The lists of the files for one hash, by their numbers: which of them does OpenSSL get to?
fn lists_reached(hash: &str, files: BTreeMap<u32, Vec<ListedCrl>>) -> Vec<ListedCrl> {
    let mut missing: Option<u32> = None;
    let mut broken: Option<u32> = None;
    let mut lists = Vec::new();
    for ((number, file), expected) in files.into_iter().zip(0..) {
        if number != expected {
            missing = missing.or(Some(expected));
        }
        if file.iter().any(|list| list.problem.is_some()) {
            broken = broken.or(Some(number));
        }
        for mut list in file.into_iter() {
            let is_misnamed = list.crl.as_ref().is_some_and(|crl| crl.issuer().hash() != hash);
            if list.problem.is_some() {
                // It says so itself.
            } else if let Some(missing) = missing {
                let why = format!("not read by the server, because {hash}.r{missing} is missing");
                list.problem = Some(why);
            } else if is_misnamed {
                // It is used by who comes after a look for that issuer, such as a chain with both.
                list.is_uncertain = true;
                list.problem = Some("named with the hash of another issuer".to_owned());
            } else if let Some(broken) = broken {
                list.is_uncertain = true;
                list.problem = Some(format!(
                    "used by some versions of OpenSSL only, because {hash}.r{broken} cannot be loaded whole"
                ));
            }
            lists.push(list);
        }
    }
    lists
}

/// The hash and the number of a name such as `9bb9e3c3.r0`, which has `.r` between them.
fn hashed_name(path: &Path, separator: &str) -> Option<(String, u32)> {
    let (hash, number) = path.file_name()?.to_str()?.split_once(separator)?;
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
        // What is outdated goes first: the old and the new content of a large file need not be there at once.
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
        if matches!(bytes[..], [DER_SEQUENCE, 0x80..=0xff, ..]) {
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
            crl: member.crl.map_err(|error| error.to_string()),
        };
        Ok(Self { members: members.into_iter().map(member).collect(), certificates })
    }

    /// The certificates among PEM blocks of any kind; of what is too large for a bundle of certificates, none.
    fn certificates(bytes: &[u8]) -> Result<Vec<Certificate>, String> {
        use pgtls_core::error::Error::{NoPemBlock, TooLarge};
        match pgtls_core::x509::bundle::parse_certificates(bytes) {
            Ok(certificates) => Ok(certificates),
            Err(NoPemBlock { .. } | TooLarge { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }
}
