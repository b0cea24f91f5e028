//! What OpenSSL finds in a directory of CRLs (`ssl_crl_dir`): the rules of `X509_LOOKUP_hash_dir`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::checks::crl_file::{ListedCrl, lists_of};
use crate::pg::server::files;

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
/// OpenSSL loads `HASH.r0`, `HASH.r1` and so on up to the first that is missing, where HASH is that
/// of the issuer's name; whatever else is in the directory it never sees. One that is there and
/// cannot be loaded whole ends the search in OpenSSL 3.5.7, with nothing of it used, but neither in
/// 3.0.22 nor in 3.6.5.
pub(super) fn lists_in(directory: &Path) -> Vec<ListedCrl> {
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
pub(super) fn hashed_name(path: &Path, separator: &str) -> Option<(String, u32)> {
    let (hash, number) = path.file_name()?.to_str()?.split_once(separator)?;
    let is_hash =
        hash.len() == 8 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // OpenSSL writes the number without leading zeros.
    let number = number.parse().ok().filter(|parsed: &u32| parsed.to_string() == number)?;
    is_hash.then(|| (hash.to_owned(), number))
}

/// OpenSSL takes several directories, separated as in PATH.
pub(super) fn directories(setting: Option<&str>) -> impl Iterator<Item = &Path> {
    setting.into_iter().flat_map(|paths| paths.split(':')).map(Path::new)
}
