//! Validates a client's chain against the files that the server's settings name now, as the server would at a login.
//!
//! OpenSSL judges, because OpenSSL is what the server uses. The store is made as the server makes its own
//! (`be_tls_init`): the CA file, then the CRL file and directory, with CRLs checked for the whole chain if either is set.

use std::cell::RefCell;
use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;
use std::rc::Rc;

use foreign_types::ForeignTypeRef;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::{X509, X509StoreContext, X509StoreContextRef};
use pgtls_core::credential::{Cause, Verdict};

use super::files::{self, Identity};
use super::sys;

unsafe extern "C" {
    /// `openssl/x509_vfy.h`; openssl-sys lacks it.
    fn X509_STORE_load_locations(
        store: *mut openssl_sys::X509_STORE,
        file: *const c_char,
        directory: *const c_char,
    ) -> c_int;
    /// `openssl/x509_vfy.h`; openssl-sys lacks it.
    fn X509_STORE_CTX_set_default(
        context: *mut openssl_sys::X509_STORE_CTX,
        name: *const c_char,
    ) -> c_int;
}

/// The trust that the server's files express now.
#[derive(Clone)]
pub(crate) struct Trust(Rc<Result<X509Store, String>>);

thread_local! {
    /// What was last read in this process, and from what: reading a large CRL takes seconds.
    static LAST: RefCell<Option<(Vec<Stamp>, Trust)>> = const { RefCell::new(None) };
}

/// A file and which content it has; `None` if it cannot be read.
type Stamp = (PathBuf, Option<Identity>);

impl Trust {
    /// Reads the files, unless they are what they were at the last call.
    pub(crate) fn of_files() -> Self {
        // SAFETY: as in `store`.
        let (ca_file, crl_file, crl_directory) = unsafe { settings() };
        // A directory is read while chains are validated, and what was found stays in the store.
        if crl_directory.is_some() {
            return Self(Rc::new(store()));
        }
        let stamps = ca_file.into_iter().chain(crl_file).map(stamp).collect();
        LAST.with_borrow_mut(|last| match last {
            Some((known, trust)) if *known == stamps => trust.clone(),
            _ => {
                let trust = Self(Rc::new(store()));
                *last = Some((stamps, trust.clone()));
                trust
            }
        })
    }

    /// What the server would say of a client with this chain; the DER of its certificates, leaf first.
    pub(crate) fn verdict(&self, chain: &[impl AsRef<[u8]>]) -> Verdict {
        match self.0.as_ref() {
            Ok(store) => validate(store, chain)
                .unwrap_or_else(|error| Verdict::Impossible(error.to_string())),
            Err(why) => Verdict::Impossible(why.clone()),
        }
    }
}

/// The server's settings `ssl_ca_file`, `ssl_crl_file` and `ssl_crl_dir`.
///
/// # Safety
/// No setting is changed while the result is in use.
unsafe fn settings<'a>() -> (Option<&'a CStr>, Option<&'a CStr>, Option<&'a CStr>) {
    // SAFETY: the server's variables are null or NUL-terminated; the caller's contract.
    unsafe { (setting(sys::ssl_ca_file), setting(sys::ssl_crl_file), setting(sys::ssl_crl_dir)) }
}

/// Opening a file also says whether it is one, and of a size that can be read.
fn stamp(file: &CStr) -> Stamp {
    let path = PathBuf::from(OsStr::from_bytes(file.to_bytes()));
    let identity = files::open(&path).ok().map(|file| file.identity);
    (path, identity)
}

fn store() -> Result<X509Store, String> {
    // SAFETY: settings of the server; null or NUL-terminated, and not changed while this function runs.
    let (ca_file, crl_file, crl_directory) = unsafe {
        (setting(sys::ssl_ca_file), setting(sys::ssl_crl_file), setting(sys::ssl_crl_dir))
    };
    let Some(ca_file) = ca_file else {
        return Err("ssl_ca_file is not set".to_owned());
    };
    let mut builder = X509StoreBuilder::new().map_err(|error| error.to_string())?;
    let store = builder.as_ptr();
    let readable = stamp(ca_file).1.is_some();
    // SAFETY: the store is live, the name is NUL-terminated.
    let load = || unsafe { X509_STORE_load_locations(store, ca_file.as_ptr(), ptr::null()) };
    if !readable || load() != 1 {
        clear_errors();
        return Err("ssl_ca_file could not be loaded".to_owned());
    }
    if crl_file.is_some() || crl_directory.is_some() {
        let name = |name: Option<&CStr>| name.map_or(ptr::null(), CStr::as_ptr);
        let crl_file = crl_file.filter(|file| stamp(file).1.is_some());
        // If that fails, the CRLs are missing, and validation says so.
        // SAFETY: the store is live, the names are null or NUL-terminated.
        unsafe { X509_STORE_load_locations(store, name(crl_file), name(crl_directory)) };
        clear_errors();
        let flags = openssl::x509::verify::X509VerifyFlags::CRL_CHECK
            | openssl::x509::verify::X509VerifyFlags::CRL_CHECK_ALL;
        builder.set_flags(flags).map_err(|error| error.to_string())?;
    }
    Ok(builder.build())
}

/// A setting that names a file or directory; `None` where it is empty.
///
/// # Safety
/// `value` is null or NUL-terminated, and lives long enough.
unsafe fn setting<'a>(value: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller's contract.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }).filter(|value| !value.is_empty())
}

fn validate(
    store: &X509Store,
    chain: &[impl AsRef<[u8]>],
) -> Result<Verdict, openssl::error::ErrorStack> {
    let mut certificates = chain.iter().map(|der| X509::from_der(der.as_ref()));
    let Some(leaf) = certificates.next().transpose()? else {
        return Ok(Verdict::Impossible("there is no certificate".to_owned()));
    };
    let mut rest = Stack::new()?;
    for certificate in certificates {
        rest.push(certificate?)?;
    }
    let verdict = X509StoreContext::new()?.init(store, &leaf, &rest, |context| {
        // SAFETY: the context is live, the name is a static string.
        unsafe { X509_STORE_CTX_set_default(context.as_ptr(), c"ssl_client".as_ptr()) };
        let good = context.verify_cert()?;
        Ok(if good { Verdict::Good } else { bad(context) })
    });
    clear_errors();
    verdict
}

fn bad(context: &X509StoreContextRef) -> Verdict {
    let result = context.error();
    Verdict::Bad {
        cause: Cause::of_verify_result(result.as_raw().into()),
        depth: context.error_depth().into(),
        text: result.error_string().to_owned(),
    }
}

/// A failure leaves its reasons in the queue, where the server's next TLS call would find them.
fn clear_errors() {
    // SAFETY: the queue is this thread's own.
    unsafe { openssl_sys::ERR_clear_error() };
}
