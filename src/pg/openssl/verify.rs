//! Has OpenSSL judge a client's chain, with the question that the server's TLS layer puts to it at a login.

use std::cell::RefCell;
use std::ffi::{c_char, c_int};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContext, SslMethod};
use openssl::stack::Stack;
use openssl::x509::verify::X509VerifyParamRef;
use openssl::x509::{X509, X509Ref, X509StoreContext, X509StoreContextRef};
use pgtls_core::time::UnixTime;
use pgtls_core::verify::verdict::{Refusal, Unreadable, Verdict};
use pgtls_core::x509::certificate::Certificate;

use crate::pg::openssl::trust_store::{TrustStore, reason};
use crate::pg::server::settings;

unsafe extern "C" {
    // `openssl/x509_vfy.h`; openssl-sys lacks them.
    fn X509_STORE_CTX_set_default(
        context: *mut openssl_sys::X509_STORE_CTX,
        name: *const c_char,
    ) -> c_int;
    fn X509_STORE_CTX_get0_param(
        context: *mut openssl_sys::X509_STORE_CTX,
    ) -> *mut openssl_sys::X509_VERIFY_PARAM;
}

/// How chains are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The moment to judge for.
    at: UnixTime,
    /// OpenSSL's security level, which forbids weak keys and digests.
    security_level: c_int,
}

impl Policy {
    /// The server's for clients, at a moment. An error in words if the settings allow no TLS.
    pub(crate) fn at(at: UnixTime) -> Result<Self, String> {
        Ok(Self { at, security_level: security_level()? })
    }

    /// Whether the only difference is the moment.
    pub(crate) fn is_like(self, other: Self) -> bool {
        Self { at: other.at, ..self } == other
    }
}

thread_local! {
    /// The last value of `ssl_ciphers` and what OpenSSL made of it, which takes longer than judging a chain.
    static LEVEL: RefCell<Option<(String, c_int)>> = const { RefCell::new(None) };
}

/// The security level that OpenSSL has for the server's connections: its default, or what `ssl_ciphers` says.
fn security_level() -> Result<c_int, String> {
    let ciphers = settings::text(c"ssl_ciphers").unwrap_or_default();
    let known = LEVEL.with_borrow(|level| {
        level.as_ref().filter(|(known, _)| *known == ciphers).map(|(_, level)| *level)
    });
    if let Some(level) = known {
        return Ok(level);
    }
    let ask = || -> Result<u32, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls())?;
        context.set_cipher_list(&ciphers)?;
        Ok(context.build().security_level())
    };
    let level = ask().map_err(|error| format!("invalid ssl_ciphers: {}", reason(&error)))?;
    let level = c_int::try_from(level).unwrap_or(c_int::MAX);
    LEVEL.set(Some((ciphers, level)));
    Ok(level)
}

/// What OpenSSL says of a client with this chain: its own certificate first, then what it sends along, in any order.
///
/// # Errors
/// In words, if OpenSSL cannot come to a verdict.
pub(crate) fn judge(
    store: &TrustStore,
    chain: &[Certificate],
    policy: Policy,
) -> Result<Verdict, String> {
    let verdict = ask(store, chain, policy).map_err(|error| error.to_string());
    // The verification may leave its reasons behind, also after a success: the next TLS call must not find them.
    drop(ErrorStack::get());
    verdict
}

fn ask(store: &TrustStore, chain: &[Certificate], policy: Policy) -> Result<Verdict, ErrorStack> {
    let mut certificates = Stack::new()?;
    for (certificate, position) in chain.iter().zip(1..) {
        match X509::from_der(certificate.as_der()) {
            Ok(read) if certificate.trailing_bytes() == 0 => certificates.push(read)?,
            read => return Ok(unreadable(certificate, position, read.err())),
        }
    }
    let Some(leaf) = certificates.get(0).map(ToOwned::to_owned) else {
        return Err(ErrorStack::get());
    };
    X509StoreContext::new()?.init(store.as_ref(), &leaf, &certificates, |context| {
        apply(policy, context)?;
        let trusted = context.verify_cert()?;
        Ok(if trusted { Verdict::Trusted(subjects(context)) } else { refused(context) })
    })
}

/// Asks for what a server asks of its clients' certificates, as `ssl_verify_cert_chain` of OpenSSL does.
fn apply(policy: Policy, context: &mut X509StoreContextRef) -> Result<(), ErrorStack> {
    // SAFETY: the context is live and initialised; the name is a static string.
    let done = unsafe { X509_STORE_CTX_set_default(context.as_ptr(), c"ssl_client".as_ptr()) };
    if done != 1 {
        return Err(ErrorStack::get());
    }
    // SAFETY: the parameters belong to the context, which is borrowed for as long as they are used here.
    let parameters =
        unsafe { X509VerifyParamRef::from_ptr_mut(X509_STORE_CTX_get0_param(context.as_ptr())) };
    parameters.set_time(policy.at.0);
    parameters.set_auth_level(policy.security_level);
    Ok(())
}

/// What becomes of a client that sends this certificate (`tls_process_client_certificate` of OpenSSL).
fn unreadable(certificate: &Certificate, position: usize, error: Option<ErrorStack>) -> Verdict {
    let problem = certificate.refusal().map(|problem| problem.to_string());
    Verdict::Unreadable(Unreadable {
        position,
        problem: problem.unwrap_or_else(|| "OpenSSL refuses it".to_owned()),
        logged: error.map_or("cert length mismatch".to_owned(), |error| reason(&error)),
    })
}

fn subjects(context: &X509StoreContextRef) -> Vec<String> {
    let chain = context.chain().into_iter().flatten();
    chain.filter_map(read).map(|c| c.subject().oneline().to_owned()).collect()
}

fn read(x509: &X509Ref) -> Option<Certificate> {
    Certificate::from_openssl(&x509.to_der().ok()?).ok()
}

fn refused(context: &X509StoreContextRef) -> Verdict {
    let result = context.error();
    // The server logs the oldest reason in OpenSSL's queue: that of a signature check, if one failed.
    let oldest = ErrorStack::get().errors().first().and_then(openssl::error::Error::reason);
    Verdict::Refused(Refusal {
        code: result.as_raw(),
        text: result.error_string().to_owned(),
        depth: context.error_depth(),
        certificate: context.current_cert().and_then(read).map(Box::new),
        logged: oldest.unwrap_or("certificate verify failed").to_owned(),
    })
}
