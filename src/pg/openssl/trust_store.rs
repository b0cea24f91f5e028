//! The certificates and revocation lists that the server trusts and knows, loaded by OpenSSL as the
//! server has it done.
//!
//! `ssl_ca_file` and `ssl_crl_file` can both hold certificates and lists, so they are loaded by the
//! very function that the server calls. The files are those of the settings, never an argument's.

use std::cell::RefCell;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::rc::Rc;

use foreign_types::ForeignTypeRef;
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::store::{X509Store, X509StoreBuilder, X509StoreBuilderRef, X509StoreRef};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Crl, X509CrlRef, X509Name, X509Ref};
use pgtls_core::time::UnixTime;
use pgtls_core::work;
use pgtls_core::x509::certificate::Certificate;
use pgtls_core::x509::name::Name;

use crate::pg::datum::text::lossless;
use crate::pg::openssl::checked_crls::CheckedCrls;
use crate::pg::openssl::ffi::{
    X509_OBJECT_get0_X509_CRL, X509_STORE_add_crl, X509_STORE_get0_param, X509_STORE_load_locations,
};
use crate::pg::openssl::server_context::Material;
use crate::pg::server::files::{self, Identity};
use crate::pg::server::tls_settings::TlsSettings;

/// What the files hold now that the settings name, as OpenSSL reads it; or why the server could not
/// load them.
pub(in crate::pg) fn material(settings: &TlsSettings) -> Result<Material, String> {
    let store = fill(settings)?;
    Ok(Material::of(&store))
}

/// Which content the files have; `None` if a store of it is not to be kept.
fn stamp(settings: &TlsSettings) -> Option<Vec<Identity>> {
    let files = [c"ssl_ca_file", c"ssl_crl_file"]
        .map(|name| settings.get(name))
        .into_iter()
        .filter(|file| !file.is_empty());
    let stamp: Option<Vec<_>> =
        files.map(|file| Some(files::open(&os_path(file)).ok()?.identity)).collect();
    let size = |identity: &Identity| identity.size();
    stamp
        .filter(|stamp| stamp.iter().map(size).sum::<u64>() <= KEPT_BYTES)
        .filter(|_| settings.get(c"ssl_crl_dir").is_empty())
}

fn fill(settings: &TlsSettings) -> Result<X509Store, String> {
    let store = empty()?;
    load_authorities(&store, settings)?;
    load_crls(&store, settings)?;
    Ok(store)
}

/// A store without anything in it.
pub(in crate::pg) fn empty() -> Result<X509Store, String> {
    Ok(X509StoreBuilder::new().map_err(|error| reason(&error))?.build())
}

/// What a file holds that is to be `ssl_ca_file`; or why the server could not load it.
pub(in crate::pg) fn authorities_in(file: &CStr) -> Result<Material, String> {
    let store = empty()?;
    load(&store, file, c"")?;
    X509Name::load_client_ca_file(os_path(file)).map_err(|problem| reason(&problem))?;
    Ok(Material::of(&store))
}

/// What a file holds that is to be `ssl_crl_file`; or why the server could not load it.
pub(in crate::pg) fn crls_in(file: &CStr) -> Result<Material, String> {
    let store = empty()?;
    load(&store, file, c"")?;
    Ok(Material::of(&store))
}

/// Takes in what `ssl_ca_file` holds; an error if the server could not.
pub(in crate::pg) fn load_authorities(
    store: &X509StoreRef,
    settings: &TlsSettings,
) -> Result<(), String> {
    let file = settings.get(c"ssl_ca_file");
    if file.is_empty() {
        return Err("ssl_ca_file is not set".to_owned());
    }
    let refused =
        |reason| format!("could not load root certificate file \"{}\": {reason}", shown(file));
    load(store, file, c"").map_err(refused)?;
    // The server tells clients the names of these CAs, and reads the file once more for that, by
    // other rules.
    X509Name::load_client_ca_file(os_path(file)).map_err(|problem| refused(reason(&problem)))?;
    Ok(())
}

/// Takes in what `ssl_crl_file` and `ssl_crl_dir` hold, if one of them is set; an error if the
/// server could not.
pub(in crate::pg) fn load_crls(store: &X509StoreRef, settings: &TlsSettings) -> Result<(), String> {
    if !settings.checks_crls() {
        return Ok(());
    }
    let [file, directory] = [c"ssl_crl_file", c"ssl_crl_dir"].map(|name| settings.get(name));
    check_directories(directory)?;
    load(store, file, directory).map_err(|reason| {
        let place = match (file.is_empty(), directory.is_empty()) {
            (false, true) => format!("file \"{}\"", shown(file)),
            (true, _) => format!("directory \"{}\"", shown(directory)),
            (false, false) => {
                format!("file \"{}\" or directory \"{}\"", shown(file), shown(directory))
            }
        };
        format!("could not load SSL certificate revocation list {place}: {reason}")
    })?;
    check_crls(store).map_err(|error| reason(&error))
}

/// Whether a store wants a list for every certificate of a chain.
pub(in crate::pg) fn checks_crls(store: &X509StoreRef) -> bool {
    // SAFETY: the store is live, and so are its parameters.
    let flags =
        unsafe { openssl_sys::X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store.as_ptr())) };
    flags & openssl_sys::X509_V_FLAG_CRL_CHECK != 0
}

/// Adds a list to a store that is being made.
pub(in crate::pg) fn add_crl(
    store: &mut X509StoreBuilderRef,
    crl: &X509CrlRef,
) -> Result<(), ErrorStack> {
    // SAFETY: both are live; the store counts a reference of its own.
    let added = unsafe { X509_STORE_add_crl(store.as_ptr(), crl.as_ptr()) };
    if added == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Has OpenSSL want a list for every certificate of a chain.
fn check_crls(store: &X509StoreRef) -> Result<(), ErrorStack> {
    let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
    // SAFETY: the store is live.
    let set = unsafe { openssl_sys::X509_STORE_set_flags(store.as_ptr(), flags.bits()) };
    if set == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// What the server trusts, and the revocation lists that it knows.
#[derive(Clone)]
pub(crate) struct TrustStore(Rc<Content>);

struct Content {
    store: X509Store,
    /// See [`TrustStore::changes`].
    changes: Option<Vec<UnixTime>>,
    checked: CheckedCrls,
}

impl TrustStore {
    /// A store of what the files hold now; or why the server could not load them.
    ///
    /// One of files that have not changed is not made anew. OpenSSL looks into a directory while it
    /// judges, and what it finds stays in the store, so nothing is kept if there is one.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, String> {
        let stamp = stamp(settings);
        let known = KEPT.with_borrow(|kept| {
            let kept = kept.as_ref().filter(|(known, _)| Some(known) == stamp.as_ref());
            kept.map(|(_, store)| store.clone())
        });
        if let Some(store) = known {
            return Ok(store);
        }
        // What is outdated goes first: the old and the new content of a large file need not be
        // there at once.
        KEPT.set(None);
        let store = fill(settings)?;
        let changes = stamp.as_ref().and_then(|_| changes(&store).ok());
        let store = Self::of(store, changes);
        KEPT.set(stamp.map(|stamp| (stamp, store.clone())));
        Ok(store)
    }

    /// A store of what has been read before. `directories` is `ssl_crl_dir`, in which OpenSSL looks
    /// while it judges.
    pub(in crate::pg) fn of_material(
        material: &Material,
        checks_crls: bool,
        directories: &CStr,
    ) -> Result<Self, String> {
        Self::of_parts(&material.certificates, &material.crls, checks_crls, directories)
    }

    /// A store in which files that are given take the place of what `base` has of their kind.
    pub(in crate::pg) fn replacing(
        base: &Material,
        authorities: Option<&Material>,
        crls: Option<&Material>,
        checks_crls: bool,
        directories: &CStr,
    ) -> Result<Self, String> {
        // Both kinds of files can hold both.
        let given = || [authorities, crls].into_iter().flatten();
        let kept = |is_given: bool| Some(base).filter(|_| !is_given).into_iter();
        Self::of_parts(
            given().chain(kept(authorities.is_some())).flat_map(|it| &it.certificates),
            given().chain(kept(crls.is_some())).flat_map(|it| &it.crls),
            checks_crls,
            directories,
        )
    }

    fn of_parts<'m>(
        certificates: impl IntoIterator<Item = &'m X509>,
        crls: impl IntoIterator<Item = &'m X509Crl>,
        checks_crls: bool,
        directories: &CStr,
    ) -> Result<Self, String> {
        let assemble = || -> Result<X509Store, ErrorStack> {
            let mut store = X509StoreBuilder::new()?;
            for certificate in certificates {
                store.add_cert(certificate.clone())?;
            }
            for crl in crls {
                add_crl(&mut store, crl)?;
            }
            let store = store.build();
            if checks_crls {
                check_crls(&store)?;
            }
            Ok(store)
        };
        let store = assemble().map_err(|error| reason(&error))?;
        if !directories.is_empty() {
            check_directories(directories)?;
            load(&store, c"", directories)?;
        }
        let changes = directories.is_empty().then(|| changes(&store).ok()).flatten();
        Ok(Self::of(store, changes))
    }

    fn of(store: X509Store, changes: Option<Vec<UnixTime>>) -> Self {
        let checked = CheckedCrls::of(&store);
        Self(Rc::new(Content { store, changes, checked }))
    }

    /// Which of its lists OpenSSL has checked.
    pub(in crate::pg) fn checked(&self) -> &CheckedCrls {
        &self.0.checked
    }

    /// The moments at which a certificate or list in it begins or ends, in order. `None` if they
    /// are not known, or what it is made of may change unnoticed.
    pub(crate) fn changes(&self) -> Option<&[UnixTime]> {
        self.0.changes.as_deref()
    }

    /// Whether a certificate of this name is trusted.
    pub(in crate::pg) fn has_named(&self, name: &Name) -> bool {
        objects(&self.0.store).any(|object| match object {
            Object::Certificate(it) => it
                .to_der()
                .ok()
                .and_then(|der| Certificate::from_openssl(&der).ok())
                .is_some_and(|it| it.subject().matches(name)),
            Object::Crl(_) => false,
        })
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
        // SAFETY: a member of the list, which holds objects. What is in one belongs to the store,
        // and lives as long.
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

/// How large the files may be, in bytes, of which a store is kept: OpenSSL takes several times that
/// in memory.
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

fn load(store: &X509StoreRef, file: &CStr, directory: &CStr) -> Result<(), String> {
    // OpenSSL would wait for a FIFO and read a device to its end.
    if !file.is_empty() {
        files::open(&os_path(file))
            .map_err(|problem| files::in_the_servers_words(&problem).to_owned())?;
    }
    // OpenSSL reads a file as a whole, and cannot be interrupted in it.
    work::between();
    let or_null = |path: &CStr| if path.is_empty() { ptr::null() } else { path.as_ptr() };
    let store: *mut openssl_sys::X509_STORE = store.as_ptr();
    // SAFETY: a live store; each path is null or NUL-terminated. OpenSSL raises no PostgreSQL
    // error.
    let loaded = unsafe { X509_STORE_load_locations(store, or_null(file), or_null(directory)) };
    // What OpenSSL has to say is taken out of its queue in any case: the next TLS call must not
    // find it.
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

/// Raises an error if OpenSSL failed for want of memory: then what it says is no answer to what it
/// was asked.
pub(in crate::pg) fn give_up_without_memory(problem: &ErrorStack) {
    // The text of `ERR_R_MALLOC_FAILURE`, whose number depends on the version.
    if problem.errors().iter().any(|error| error.reason() == Some("malloc failure")) {
        work::out_of_memory();
    }
}

fn os_path(path: &CStr) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.to_bytes()))
}

fn shown(path: &CStr) -> String {
    lossless(path.to_bytes()).into_owned()
}
