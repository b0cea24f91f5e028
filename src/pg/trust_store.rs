//! The certificates and revocation lists that the server trusts and knows, loaded by OpenSSL as the server has it done.
//!
//! `ssl_ca_file` and `ssl_crl_file` can both hold certificates and lists, so they are loaded by the very function that
//! the server calls. The files are those of the settings, never an argument's, and are read anew each time.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr;

use foreign_types::ForeignType;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContext, SslMethod};
use openssl::x509::store::X509StoreBuilder;
use pgtls_core::login::TlsFacts;

use super::text::lossless;
use super::{files, settings};

unsafe extern "C" {
    /// Loads certificates and lists from a file and adds a directory to look in (`openssl/x509_vfy.h`); openssl-sys lacks
    /// it.
    fn X509_STORE_load_locations(
        store: *mut openssl_sys::X509_STORE,
        file: *const c_char,
        directory: *const c_char,
    ) -> c_int;
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
    pub(crate) fn checks_crls(&self) -> bool {
        !self.crl_file.is_empty() || !self.crl_directory.is_empty()
    }

    /// A store of what the files hold now; or why the server could not load them.
    pub(crate) fn store(&self) -> Result<X509StoreBuilder, String> {
        let store = X509StoreBuilder::new().map_err(|error| reason(&error))?;
        load(&store, &self.ca_file, c"").map_err(|reason| {
            format!("could not load root certificate file \"{}\": {reason}", shown(&self.ca_file))
        })?;
        if self.checks_crls() {
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
        }
        Ok(store)
    }
}

/// The security level that OpenSSL has for the server's connections: its default, or what `ssl_ciphers` says.
pub(crate) fn security_level() -> Result<i32, String> {
    let ciphers = settings::text(c"ssl_ciphers").unwrap_or_default();
    let level = || -> Result<u32, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls())?;
        context.set_cipher_list(&ciphers)?;
        Ok(context.build().security_level())
    };
    let level = level().map_err(|error| format!("invalid ssl_ciphers: {}", reason(&error)))?;
    Ok(i32::try_from(level).unwrap_or(i32::MAX))
}

fn load(store: &X509StoreBuilder, file: &CStr, directory: &CStr) -> Result<(), String> {
    // OpenSSL would wait for a FIFO and read a device to its end.
    if !file.is_empty() {
        files::open(Path::new(&shown(file)))?;
    }
    let or_null = |path: &CStr| if path.is_empty() { ptr::null() } else { path.as_ptr() };
    let store: *mut openssl_sys::X509_STORE = store.as_ptr();
    // SAFETY: a live store; each path is null or NUL-terminated. OpenSSL raises no PostgreSQL error.
    let loaded = unsafe { X509_STORE_load_locations(store, or_null(file), or_null(directory)) };
    // What OpenSSL has to say is taken out of its queue in any case: the next TLS call must not find it.
    let problem = ErrorStack::get();
    if loaded == 1 { Ok(()) } else { Err(reason(&problem)) }
}

/// OpenSSL's first reason, as the server shows it.
fn reason(problem: &ErrorStack) -> String {
    let first = problem.errors().first();
    first.and_then(|error| error.reason()).unwrap_or("no SSL error reported").to_owned()
}

/// A file or directory named by a setting; empty if there is none.
fn path(setting: &CStr) -> CString {
    settings::text(setting).and_then(|path| CString::new(path).ok()).unwrap_or_default()
}

fn shown(path: &CStr) -> String {
    lossless(path.to_bytes()).into_owned()
}

fn text(path: &CStr) -> Option<String> {
    (!path.is_empty()).then(|| shown(path))
}
