//! What the server would make of the TLS files and settings, tried out in a context of our own.
//!
//! The calls are those of the server's `be_tls_init`, in its order and with its words. Nothing of a
//! private key or of a passphrase leaves this module.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use openssl::dh::Dh;
use openssl::ec::EcKey;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslContext, SslContextBuilder, SslFiletype, SslMethod};
use openssl::x509::X509;

use crate::pg::openssl::ffi::SSL_CTX_set_default_passwd_cb;
use crate::pg::openssl::protocol;
use crate::pg::openssl::trust_store::{self, reason};
use crate::pg::server::auth_files::VERSION;
use crate::pg::server::files;
use crate::pg::server::tls_settings::TlsSettings;

/// What the server would say against a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    /// The server's message.
    pub(crate) message: String,
    /// What to do about it; empty if the message says it.
    pub(crate) hint: &'static str,
    /// Whether it keeps the server from starting only, and a reload goes on without.
    pub(crate) only_at_start: bool,
}

impl Objection {
    fn new(message: String) -> Self {
        Self { message, hint: "", only_at_start: false }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }
}

/// A setting that was tried.
pub(crate) struct Tried {
    pub(crate) setting: &'static CStr,
    /// What would be loaded, or what the server says against it; `None` if it got no further before
    /// this.
    pub(crate) outcome: Option<Result<String, Objection>>,
}

/// The first version in which groups are a list (`ssl_groups`), and TLS 1.3 has cipher suites of
/// its own.
const FIRST_WITH_GROUPS: u32 = 18;

type Outcome = Result<String, Objection>;
type Trial = fn(&mut SslContextBuilder, &TlsSettings) -> Outcome;

/// What is tried, in the server's order.
fn trials() -> Vec<(&'static CStr, Trial)> {
    let with_groups = VERSION.0 >= FIRST_WITH_GROUPS;
    let groups: (&CStr, Trial) =
        if with_groups { (c"ssl_groups", groups) } else { (c"ssl_ecdh_curve", curve) };
    vec![
        (c"ssl_cert_file", certificate),
        (c"ssl_key_file", key),
        (c"ssl_min_protocol_version", min_version),
        (c"ssl_max_protocol_version", max_version),
        (c"ssl_dh_params_file", dh_parameters),
        groups,
        (c"ssl_ciphers", ciphers),
        (c"ssl_tls13_ciphers", suites),
        (c"ssl_ca_file", authorities),
        // The server loads both at once.
        (c"ssl_crl_file", crls),
        (c"ssl_crl_dir", crls),
    ]
}

/// Tries all of them, up to the first that the server would stop at.
pub(crate) fn run(settings: &TlsSettings) -> Vec<Tried> {
    let mut context = SslContext::builder(SslMethod::tls());
    if let Ok(context) = &context {
        // SAFETY: a live context; the function has the type that OpenSSL calls.
        unsafe { SSL_CTX_set_default_passwd_cb(context.as_ptr(), no_passphrase) };
    }
    let mut is_stopped = false;
    let mut tried = Vec::new();
    for (setting, trial) in trials() {
        // The server always has a certificate, a key and the like; other settings may be empty.
        let is_done = setting == c"ssl_crl_dir" && !settings.get(c"ssl_crl_file").is_empty();
        if settings.get(setting).is_empty() || is_done {
            continue;
        }
        let outcome = (!is_stopped).then(|| match &mut context {
            Ok(context) => trial(context, settings),
            Err(problem) => {
                let reason = reason(problem);
                Err(Objection::new(format!("could not create SSL context: {reason}")))
            }
        });
        is_stopped |= matches!(&outcome, Some(Err(objection)) if !objection.only_at_start);
        tried.push(Tried { setting, outcome });
    }
    drop(ErrorStack::get());
    tried
}

/// As the server does it at a reload where it may not ask for a passphrase.
unsafe extern "C" fn no_passphrase(_: *mut c_char, _: c_int, _: c_int, _: *mut c_void) -> c_int {
    0
}

fn shown(settings: &TlsSettings, name: &CStr) -> String {
    settings.text(name).unwrap_or_default()
}

/// OpenSSL would wait for a FIFO.
fn regular(settings: &TlsSettings, name: &CStr, what: &str) -> Result<PathBuf, Objection> {
    let path = settings.path(name).unwrap_or_default();
    files::open(&path).map(drop).map_err(|why| {
        let why = files::in_the_servers_words(&why);
        Objection::new(format!("could not load {what} \"{}\": {why}", shown(settings, name)))
    })?;
    Ok(path)
}

fn certificate(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    const WHAT: &str = "server certificate file";
    let path = regular(settings, c"ssl_cert_file", WHAT)?;
    context.set_certificate_chain_file(&path).map_err(|problem| {
        let (file, reason) = (shown(settings, c"ssl_cert_file"), reason(&problem));
        Objection::new(format!("could not load {WHAT} \"{file}\": {reason}")).hint(
            "The file has to hold PEM: the server's certificate first, then its intermediate CAs.",
        )
    })?;
    let certificates = files::open(&path).and_then(files::Readable::read);
    let certificates = certificates.ok().and_then(|pem| X509::stack_from_pem(&pem).ok());
    let count = certificates.map_or(1, |certificates| certificates.len());
    Ok(format!("{count} certificates"))
}

fn key(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let (file, path) =
        (shown(settings, c"ssl_key_file"), settings.path(c"ssl_key_file").unwrap_or_default());
    check_key_permissions(&path, &file)?;
    context.set_private_key_file(&path, SslFiletype::PEM).map_err(|problem| {
        if needs_passphrase(&path) {
            return Objection::new(format!(
                "private key file \"{file}\" cannot be reloaded because it requires a passphrase"
            ))
            .hint("Set ssl_passphrase_command, and ssl_passphrase_command_supports_reload; whether that command gives the right passphrase is not tried here.");
        }
        Objection::new(format!("could not load private key file \"{file}\": {}", reason(&problem)))
    })?;
    context.check_private_key().map_err(|problem| {
        Objection::new(format!("check of private key failed: {}", reason(&problem)))
            .hint("The key is not that of the first certificate in ssl_cert_file.")
    })?;
    Ok("belongs to the certificate".to_owned())
}

/// As `check_ssl_key_file_permissions` of the server.
fn check_key_permissions(path: &Path, file: &str) -> Result<(), Objection> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        let error = error.to_string();
        let why = error.split(" (os error").next().unwrap_or_default();
        Objection::new(format!("could not access private key file \"{file}\": {why}"))
    })?;
    if !metadata.is_file() {
        let message = format!("private key file \"{file}\" is not a regular file");
        return Err(Objection::new(message));
    }
    // SAFETY: only asks who this process is.
    let own = unsafe { libc::geteuid() };
    let is_own = metadata.uid() == own;
    if !is_own && metadata.uid() != 0 {
        let message =
            format!("private key file \"{file}\" must be owned by the database user or root");
        return Err(Objection::new(message).hint("Change the owner of the file with chown."));
    }
    let forbidden = if is_own { 0o077 } else { 0o037 };
    if metadata.mode() & forbidden != 0 {
        let message = format!("private key file \"{file}\" has group or world access");
        return Err(Objection::new(message).hint("File must have permissions u=rw (0600) or less if owned by the database user, or permissions u=rw,g=r (0640) or less if owned by root."));
    }
    Ok(())
}

/// Whether the key in a file cannot be had without a passphrase.
fn needs_passphrase(path: &Path) -> bool {
    let Ok(mut pem) = files::open(path).and_then(files::Readable::read) else { return false };
    let mut asked = false;
    let key = PKey::private_key_from_pem_callback(&pem, |_| {
        asked = true;
        Ok(0)
    });
    drop((key, ErrorStack::get()));
    pem.fill(0);
    std::hint::black_box(&pem);
    asked
}

/// Whether the key of `ssl_key_file` is that of a certificate; `None` if it cannot be read without
/// a passphrase or at all.
pub(crate) fn key_matches(settings: &TlsSettings, certificate: &[u8]) -> Option<bool> {
    let path = settings.path(c"ssl_key_file")?;
    let mut pem = files::open(&path).and_then(files::Readable::read).ok()?;
    let key = PKey::private_key_from_pem_callback(&pem, |_| Ok(0));
    pem.fill(0);
    std::hint::black_box(&pem);
    let certificate = X509::from_der(certificate).and_then(|certificate| certificate.public_key());
    let matches = match (&key, &certificate) {
        (Ok(key), Ok(public)) => Some(public.public_eq(key)),
        _ => None,
    };
    drop(ErrorStack::get());
    matches
}

fn min_version(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let value = shown(settings, c"ssl_min_protocol_version");
    let set =
        context.set_min_proto_version(protocol::setting(settings, c"ssl_min_protocol_version"));
    set.map_err(|_| Objection::new("could not set minimum SSL protocol version".to_owned()))?;
    Ok(value)
}

fn max_version(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let value = shown(settings, c"ssl_max_protocol_version");
    let max = protocol::setting(settings, c"ssl_max_protocol_version");
    let set = context.set_max_proto_version(max);
    set.map_err(|_| Objection::new("could not set maximum SSL protocol version".to_owned()))?;
    let min = protocol::setting(settings, c"ssl_min_protocol_version").and_then(protocol::rank);
    if let (Some(min), Some(max)) = (min, max.and_then(protocol::rank))
        && min > max
    {
        return Err(Objection::new("could not set SSL protocol version range".to_owned()).hint(
            "\"ssl_min_protocol_version\" cannot be higher than \"ssl_max_protocol_version\".",
        ));
    }
    Ok(value)
}

/// At a reload the server goes on with parameters of its own if these cannot be used.
fn dh_parameters(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let at_start = |message| Objection { only_at_start: true, ..Objection::new(message) };
    let path = settings.path(c"ssl_dh_params_file").unwrap_or_default();
    let file = shown(settings, c"ssl_dh_params_file");
    let pem = files::open(&path).and_then(files::Readable::read).map_err(|why| {
        let why = files::in_the_servers_words(&why);
        at_start(format!("could not open DH parameters file \"{file}\": {why}"))
    })?;
    let loaded = Dh::params_from_pem(&pem).and_then(|parameters| context.set_tmp_dh(&parameters));
    loaded.map_err(|problem| {
        at_start(format!("could not load DH parameters file: {}", reason(&problem)))
    })?;
    Ok("loaded".to_owned())
}

fn groups(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let value = shown(settings, c"ssl_groups");
    let set = context.set_groups_list(&value);
    set.map_err(|problem| {
        let reason = reason(&problem);
        Objection::new(format!("could not set group names specified in ssl_groups: {reason}"))
    })?;
    Ok(value)
}

fn curve(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let value = shown(settings, c"ssl_ecdh_curve");
    // SAFETY: a NUL-terminated name; looks into a table.
    let number = unsafe { openssl_sys::OBJ_sn2nid(settings.get(c"ssl_ecdh_curve").as_ptr()) };
    let unknown = || Objection::new(format!("ECDH: unrecognized curve name: {value}"));
    if number == 0 {
        return Err(unknown());
    }
    let set =
        EcKey::from_curve_name(Nid::from_raw(number)).and_then(|it| context.set_tmp_ecdh(&it));
    set.map_err(|_| Objection::new("ECDH: could not create key".to_owned()))?;
    Ok(value)
}

fn ciphers(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let value = shown(settings, c"ssl_ciphers");
    let words = match VERSION.0 >= FIRST_WITH_GROUPS {
        true => "could not set the TLSv1.2 cipher list (no valid ciphers available)",
        false => "could not set the cipher list (no valid ciphers available)",
    };
    context.set_cipher_list(&value).map_err(|_| Objection::new(words.to_owned()))?;
    Ok(value)
}

fn suites(context: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let value = shown(settings, c"ssl_tls13_ciphers");
    let words = "could not set the TLSv1.3 cipher suites (no valid ciphers available)";
    context.set_ciphersuites(&value).map_err(|_| Objection::new(words.to_owned()))?;
    Ok(value)
}

fn authorities(_: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let loaded = trust_store::empty().and_then(|it| trust_store::load_authorities(&it, settings));
    loaded.map_err(|message| {
        Objection::new(message).hint("The file has to hold PEM blocks of the kind CERTIFICATE.")
    })?;
    Ok("loaded".to_owned())
}

fn crls(_: &mut SslContextBuilder, settings: &TlsSettings) -> Outcome {
    let loaded = trust_store::empty().and_then(|it| trust_store::load_crls(&it, settings));
    loaded.map_err(|message| {
        Objection::new(message).hint("The file has to hold PEM blocks of the kind X509 CRL.")
    })?;
    Ok("loaded".to_owned())
}
