//! The certificates and revocation lists that the server trusts and knows, loaded by OpenSSL as the server has it done.
//!
//! `ssl_ca_file` and `ssl_crl_file` can both hold certificates and lists, so they are loaded by the very function that
//! the server calls. The files are those of the settings, never an argument's.

use std::cell::RefCell;
use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::rc::Rc;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::store::{X509Store, X509StoreBuilder, X509StoreRef};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509CrlRef, X509Ref};
use pgtls_core::login::facts::TlsFacts;
use pgtls_core::time::UnixTime;
use pgtls_core::work;

use crate::pg::datum::text::lossless;
use crate::pg::server::files::{self, Identity};
use crate::pg::server::settings;

unsafe extern "C" {
    /// Loads certificates and lists from a file and adds a directory to look in (`openssl/x509_vfy.h`); openssl-sys lacks
    /// it.
    fn X509_STORE_load_locations(
        store: *mut openssl_sys::X509_STORE,
        file: *const c_char,
        directory: *const c_char,
    ) -> c_int;
    /// `openssl/x509_vfy.h`; openssl-sys lacks it.
    fn X509_OBJECT_get0_X509_CRL(
        object: *const openssl_sys::X509_OBJECT,
    ) -> *mut openssl_sys::X509_CRL;
}

/// The server's TLS settings.
pub(crate) struct Settings {
    enabled: bool,
    ca_file: CString,
    crl_file: CString,
    crl_directory: CString,
}

impl Settings {
    /// As this backend has them.
    pub(crate) fn current() -> Self {
        Self {
            enabled: settings::text(c"ssl").is_some_and(|ssl| ssl == "on"),
            ca_file: path(c"ssl_ca_file"),
            crl_file: path(c"ssl_crl_file"),
            crl_directory: path(c"ssl_crl_dir"),
        }
    }

    /// For the core.
    pub(crate) fn facts(&self) -> TlsFacts {
        TlsFacts {
            enabled: self.enabled,
            ca_file: text(&self.ca_file),
            crls: [&self.crl_file, &self.crl_directory]
                .into_iter()
                .filter_map(|crl| text(crl))
                .collect(),
        }
    }

    /// The files that are read once, when the server loads its configuration.
    pub(crate) fn files(&self) -> Vec<String> {
        [&self.ca_file, &self.crl_file].into_iter().filter_map(|file| text(file)).collect()
    }

    /// Whether every certificate of a chain needs a list.
    fn checks_crls(&self) -> bool {
        !self.crl_file.is_empty() || !self.crl_directory.is_empty()
    }

    /// A store of what the files hold now; or why the server could not load them.
    ///
    /// One of files that have not changed is not made anew. OpenSSL looks into a directory while it judges, and what it
    /// finds stays in the store, so nothing is kept if there is one.
    pub(crate) fn store(&self) -> Result<TrustStore, String> {
        let stamp = self.stamp();
        let known = KEPT.with_borrow(|kept| {
            let kept = kept.as_ref().filter(|(known, _)| Some(known) == stamp.as_ref());
            kept.map(|(_, store)| store.clone())
        });
        if let Some(store) = known {
            return Ok(store);
        }
        // What is outdated goes first: the old and the new content of a large file need not be there at once.
        KEPT.set(None);
        let store = self.fill()?;
        let changes = stamp.as_ref().and_then(|_| changes(&store).ok());
        let store = TrustStore(Rc::new(Content { store, changes }));
        KEPT.set(stamp.map(|stamp| (stamp, store.clone())));
        Ok(store)
    }

    /// Which content the files have; `None` if a store of it is not to be kept.
    fn stamp(&self) -> Option<Vec<Identity>> {
        let files = [&self.ca_file, &self.crl_file].into_iter().filter(|file| !file.is_empty());
        let stamp: Option<Vec<_>> =
            files.map(|file| Some(files::open(&os_path(file)).ok()?.identity)).collect();
        let size = |identity: &Identity| identity.size();
        stamp
            .filter(|stamp| stamp.iter().map(size).sum::<u64>() <= KEPT_BYTES)
            .filter(|_| self.crl_directory.is_empty())
    }

    fn fill(&self) -> Result<X509Store, String> {
        let mut store = X509StoreBuilder::new().map_err(|error| reason(&error))?;
        if self.ca_file.is_empty() {
            return Err("ssl_ca_file is not set".to_owned());
        }
        load(&store, &self.ca_file, c"").map_err(|reason| {
            format!("could not load root certificate file \"{}\": {reason}", shown(&self.ca_file))
        })?;
        if self.checks_crls() {
            check_directories(&self.crl_directory)?;
            load(&store, &self.crl_file, &self.crl_directory).map_err(|reason| {
                let place = match (self.crl_file.is_empty(), self.crl_directory.is_empty()) {
                    (false, true) => format!("file \"{}\"", shown(&self.crl_file)),
                    (true, _) => format!("directory \"{}\"", shown(&self.crl_directory)),
                    (false, false) => format!(
                        "file \"{}\" or directory \"{}\"",
                        shown(&self.crl_file),
                        shown(&self.crl_directory)
                    ),
                };
                format!("could not load SSL certificate revocation list {place}: {reason}")
            })?;
            let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
            store.set_flags(flags).map_err(|error| reason(&error))?;
        }
        Ok(store.build())
    }
}

/// What the server trusts, and the revocation lists that it knows.
#[derive(Clone)]
pub(crate) struct TrustStore(Rc<Content>);

struct Content {
    store: X509Store,
    /// See [`TrustStore::changes`].
    changes: Option<Vec<UnixTime>>,
}

impl TrustStore {
    /// The moments at which a certificate or list in it begins or ends, in order. `None` if they are not known, or what it
    /// is made of may change unnoticed.
    pub(crate) fn changes(&self) -> Option<&[UnixTime]> {
        self.0.changes.as_deref()
    }

    /// Whether both are the same, and not only alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl AsRef<X509StoreRef> for TrustStore {
    fn as_ref(&self) -> &X509StoreRef {
        &self.0.store
    }
}

/// Something in a store.
pub(in crate::pg) enum Object<'a> {
    Certificate(&'a X509Ref),
    Crl(&'a X509CrlRef),
}

/// What is in a store now. The caller must not have OpenSSL look for more while it goes through it.
pub(in crate::pg) fn objects(store: &X509StoreRef) -> impl Iterator<Item = Object<'_>> {
    // SAFETY: the store is live and owns the list; a backend has one thread, which is here.
    let list = unsafe { openssl_sys::X509_STORE_get0_objects(store.as_ptr()) };
    // SAFETY: as above; a store without objects has a null list, which has no members.
    let count = unsafe { openssl_sys::OPENSSL_sk_num(list.cast()) };
    (0..count).filter_map(move |index| {
        // SAFETY: a member of the list, which holds objects. What is in one belongs to the store, and lives as long.
        unsafe {
            let object: *const openssl_sys::X509_OBJECT =
                openssl_sys::OPENSSL_sk_value(list.cast(), index).cast();
            let certificate = openssl_sys::X509_OBJECT_get0_X509(object);
            if !certificate.is_null() {
                return Some(Object::Certificate(X509Ref::from_ptr(certificate)));
            }
            let crl = X509_OBJECT_get0_X509_CRL(object);
            (!crl.is_null()).then(|| Object::Crl(X509CrlRef::from_ptr(crl)))
        }
    })
}

/// The moments at which something in a store begins or ends.
fn changes(store: &X509StoreRef) -> Result<Vec<UnixTime>, ErrorStack> {
    let epoch = Asn1Time::from_unix(0)?;
    let mut changes = Vec::new();
    for object in objects(store) {
        let (begins, ends) = match object {
            Object::Certificate(it) => (it.not_before(), Some(it.not_after())),
            Object::Crl(it) => (it.last_update(), it.next_update()),
        };
        for time in [begins].into_iter().chain(ends) {
            changes.push(moment(&epoch, time)?);
        }
    }
    changes.sort_unstable();
    Ok(changes)
}

fn moment(epoch: &Asn1TimeRef, time: &Asn1TimeRef) -> Result<UnixTime, ErrorStack> {
    let since = epoch.diff(time)?;
    let days = i64::from(since.days).saturating_mul(86_400);
    Ok(UnixTime(days.saturating_add(since.secs.into())))
}

/// How large the files may be, in bytes, of which a store is kept: OpenSSL takes several times that in memory.
const KEPT_BYTES: u64 = 4 * 1024 * 1024;

thread_local! {
    /// The last store that was made in this process, and of what.
    static KEPT: RefCell<Option<(Vec<Identity>, TrustStore)>> = const { RefCell::new(None) };
}

/// OpenSSL opens what is in the directories while it judges, and would wait for a FIFO without end.
fn check_directories(directories: &CStr) -> Result<(), String> {
    let is_hashed = |name: &[u8]| {
        let (hash, rest) = name.split_at_checked(8).unwrap_or_default();
        hash.iter().all(u8::is_ascii_hexdigit) && rest.starts_with(b".")
    };
    for directory in directories.to_bytes().split(|byte| *byte == b':') {
        // One that cannot be read holds nothing for OpenSSL either.
        let (paths, _) = files::list(Path::new(OsStr::from_bytes(directory))).unwrap_or_default();
        for path in paths {
            if path.file_name().is_some_and(|name| is_hashed(name.as_bytes())) {
                files::check(&path).map_err(|problem| format!("{}: {problem}", path.display()))?;
            }
        }
    }
    Ok(())
}

fn load(store: &X509StoreBuilder, file: &CStr, directory: &CStr) -> Result<(), String> {
    // OpenSSL would wait for a FIFO and read a device to its end.
    if !file.is_empty() {
        files::open(&os_path(file))?;
    }
    // OpenSSL reads a file as a whole, and cannot be interrupted in it.
    work::between();
    let or_null = |path: &CStr| if path.is_empty() { ptr::null() } else { path.as_ptr() };
    let store: *mut openssl_sys::X509_STORE = store.as_ptr();
    // SAFETY: a live store; each path is null or NUL-terminated. OpenSSL raises no PostgreSQL error.
    let loaded = unsafe { X509_STORE_load_locations(store, or_null(file), or_null(directory)) };
    // What OpenSSL has to say is taken out of its queue in any case: the next TLS call must not find it.
    let problem = ErrorStack::get();
    work::between();
    if loaded == 1 { Ok(()) } else { Err(reason(&problem)) }
}

/// OpenSSL's first reason, as the server shows it. If it had no memory, that is no answer.
pub(in crate::pg) fn reason(problem: &ErrorStack) -> String {
    give_up_without_memory(problem);
    let first = problem.errors().first();
    first.and_then(|error| error.reason()).unwrap_or("no SSL error reported").to_owned()
}

/// Raises an error if OpenSSL failed for want of memory: then what it says is no answer to what it was asked.
pub(in crate::pg) fn give_up_without_memory(problem: &ErrorStack) {
    // The text of `ERR_R_MALLOC_FAILURE`, whose number depends on the version.
    if problem.errors().iter().any(|error| error.reason() == Some("malloc failure")) {
        work::out_of_memory();
    }
}

/// A file or directory named by a setting; empty if there is none.
fn path(setting: &CStr) -> CString {
    settings::bytes(setting).unwrap_or_default()
}

fn os_path(path: &CStr) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.to_bytes()))
}

fn shown(path: &CStr) -> String {
    lossless(path.to_bytes()).into_owned()
}

fn text(path: &CStr) -> Option<String> {
    (!path.is_empty()).then(|| shown(path))
}
