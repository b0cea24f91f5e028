//! Has OpenSSL judge a client's chain, with the question that the server's TLS layer puts to it at
//! a login.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContext, SslMethod};
use openssl::stack::Stack;
use openssl::x509::verify::X509VerifyParamRef;
use openssl::x509::{X509, X509Ref, X509StoreContext, X509StoreContextRef};
use pgtls_core::login::facts::Crls;
use pgtls_core::time::UnixTime;
use pgtls_core::verify::judgement::Judgement;
use pgtls_core::verify::verdict::{Link, Refusal, Unreadable, Verdict};
use pgtls_core::work;
use pgtls_core::x509::certificate::Certificate;

use crate::pg::datum::cstr;
use crate::pg::openssl::ffi::{
    ERR_peek_error, X509_STORE_CTX_get0_param, X509_STORE_CTX_set_default,
    X509_STORE_CTX_set_verify_cb,
};
use crate::pg::openssl::trust_store::{TrustStore, give_up_without_memory, reason};
use crate::pg::server::tls_settings::TlsSettings;

/// `X509_V_ERR_OUT_OF_MEM` of `openssl/x509_vfy.h`; openssl-sys lacks it.
const OUT_OF_MEMORY: c_int = 17;

/// How chains are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The moment to judge for.
    at: UnixTime,
    /// OpenSSL's security level, which forbids weak keys and digests.
    security_level: c_int,
}

impl Policy {
    /// The server's for clients with these settings, at a moment. An error in words if they allow
    /// no TLS.
    pub(crate) fn of(settings: &TlsSettings, at: UnixTime) -> Result<Self, String> {
        Ok(Self { at, security_level: security_level(settings)? })
    }

    /// With the security level of what is in force.
    pub(crate) fn with_level(at: UnixTime, security_level: c_int) -> Self {
        Self { at, security_level }
    }

    /// Whether the only difference is the moment.
    pub(crate) fn is_like(self, other: Self) -> bool {
        Self { at: other.at, ..self } == other
    }
}

thread_local! {
    /// The last value of `ssl_ciphers` and what OpenSSL made of it, which takes longer than judging
    /// a chain.
    static LEVEL: RefCell<Option<(String, c_int)>> = const { RefCell::new(None) };
}

/// The security level that OpenSSL has for the server's connections: its default, or what
/// `ssl_ciphers` says.
pub(crate) fn security_level(settings: &TlsSettings) -> Result<c_int, String> {
    let ciphers = settings.text(c"ssl_ciphers").unwrap_or_default();
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

/// What OpenSSL says of a client with this chain: its own certificate first, then what it sends
/// along, in any order.
///
/// # Errors
/// In words, if OpenSSL cannot come to a verdict.
pub(crate) fn judge(
    store: &TrustStore,
    chain: &[Certificate],
    policy: Policy,
) -> Result<Verdict, String> {
    let chain = match as_the_server_reads(chain) {
        Ok(chain) => chain,
        Err(unreadable) => return Ok(unreadable),
    };
    let verdict = store.checked().during(|| ask(store, &chain, policy));
    // The verification may leave its reasons behind, also after a success: the next TLS call must
    // not find them.
    let left = ErrorStack::get();
    if matches!(&verdict, Ok(Verdict::Refused(refusal)) if refusal.code == OUT_OF_MEMORY) {
        work::out_of_memory();
    }
    give_up_without_memory(&left);
    verdict.map_err(|error| {
        give_up_without_memory(&error);
        error.to_string()
    })
}

/// Most errors that are noted of one chain: one of each kind for each certificate of a long one.
const MAX_NOTED: usize = 100;

/// What is noted while OpenSSL goes on after an error.
struct Notes {
    crls: Crls,
    found: Vec<Refusal>,
    /// What was raised meanwhile, for want of memory or because somebody cancelled: nothing may
    /// unwind through OpenSSL.
    raised: Option<Box<dyn Any + Send>>,
}

impl Notes {
    const fn new(crls: Crls) -> Self {
        Self { crls, found: Vec::new(), raised: None }
    }
}

thread_local! {
    static NOTES: RefCell<Notes> = const { RefCell::new(Notes::new(Crls::AsTheyAre)) };
}

/// As [`judge`], but OpenSSL goes on after an error, to find what else there is: the first is its
/// verdict.
///
/// # Errors
/// In words, if OpenSSL cannot come to a verdict.
pub(crate) fn examine(
    store: &TrustStore,
    chain: &[Certificate],
    policy: Policy,
    crls: Crls,
) -> Result<Judgement, String> {
    let chain = match as_the_server_reads(chain) {
        Ok(chain) => chain,
        Err(verdict) => {
            return Ok(Judgement { verdict, also: Vec::new(), path: Vec::new(), namesake: false });
        }
    };
    NOTES.set(Notes::new(crls));
    let judgement = in_context(store, &chain, policy, |context| {
        // SAFETY: the context is live and initialised; the function has the type that OpenSSL
        // calls.
        unsafe { X509_STORE_CTX_set_verify_cb(context.as_ptr(), note) };
        let trusted = context.verify_cert();
        if let Some(raised) = NOTES.with_borrow_mut(|notes| notes.raised.take()) {
            resume_unwind(raised);
        }
        let trusted = trusted?;
        let path = context.chain().into_iter().flatten().filter_map(read).collect();
        let mut found = NOTES.with_borrow_mut(|notes| std::mem::take(&mut notes.found)).into_iter();
        let verdict = match found.next() {
            Some(refusal) => Verdict::Refused(refusal),
            None if trusted => Verdict::Trusted(links(context)),
            None => refused(context),
        };
        let namesake = match &verdict {
            Verdict::Refused(refusal) if refusal.lacks_an_issuer() => {
                refusal.certificate.as_ref().is_some_and(|last| store.has_named(last.issuer()))
            }
            _ => false,
        };
        Ok(Judgement { verdict, also: found.collect(), path, namesake })
    });
    let left = ErrorStack::get();
    if matches!(&judgement, Ok(judgement)
        if matches!(&judgement.verdict, Verdict::Refused(it) if it.code == OUT_OF_MEMORY))
    {
        work::out_of_memory();
    }
    give_up_without_memory(&left);
    judgement.map_err(|error| {
        give_up_without_memory(&error);
        error.to_string()
    })
}

/// OpenSSL calls it for each certificate (`ok` is 1) and each error (0), and goes on if it returns
/// 1.
unsafe extern "C" fn note(ok: c_int, context: *mut openssl_sys::X509_STORE_CTX) -> c_int {
    if ok == 1 || context.is_null() {
        return ok;
    }
    // SAFETY: OpenSSL passes the live context of the verification, which nobody else uses
    // meanwhile.
    let context = unsafe { X509StoreContextRef::from_ptr(context) };
    let ended = context.error().as_raw() == openssl_sys::X509_V_ERR_CRL_HAS_EXPIRED;
    NOTES.with(|notes| {
        let Ok(mut notes) = notes.try_borrow_mut() else { return 0 };
        if ended && notes.crls == Crls::AsIfRenewed {
            return 1;
        }
        if notes.found.len() >= MAX_NOTED || notes.found.try_reserve(1).is_err() {
            return 0;
        }
        // Nothing in here is used again after a panic.
        match catch_unwind(AssertUnwindSafe(|| refusal(context, oldest_reason()))) {
            Ok(refusal) => {
                notes.found.push(refusal);
                1
            }
            Err(raised) => {
                notes.raised = Some(raised);
                0
            }
        }
    })
}

/// The oldest reason in OpenSSL's queue, which stays there.
fn oldest_reason() -> Option<String> {
    // SAFETY: both only read; the text is a static string or null.
    let reason = unsafe { openssl_sys::ERR_reason_error_string(ERR_peek_error()) };
    // SAFETY: as above.
    let reason = unsafe { cstr::bytes(reason) }?;
    Some(String::from_utf8_lossy(reason).into_owned())
}

fn ask(store: &TrustStore, chain: &[X509], policy: Policy) -> Result<Verdict, ErrorStack> {
    in_context(store, chain, policy, |context| {
        let trusted = context.verify_cert()?;
        Ok(if trusted { Verdict::Trusted(links(context)) } else { refused(context) })
    })
}

/// Asks with everything set up for a chain.
fn in_context<T>(
    store: &TrustStore,
    chain: &[X509],
    policy: Policy,
    ask: impl FnOnce(&mut X509StoreContextRef) -> Result<T, ErrorStack>,
) -> Result<T, ErrorStack> {
    let mut certificates = Stack::new()?;
    for certificate in chain {
        certificates.push(certificate.clone())?;
    }
    let Some(leaf) = chain.first() else {
        return Err(ErrorStack::get());
    };
    X509StoreContext::new()?.init(store.as_ref(), leaf, &certificates, |context| {
        apply(policy, context)?;
        ask(context)
    })
}

/// Asks for what a server asks of its clients' certificates, as `ssl_verify_cert_chain` of OpenSSL
/// does.
fn apply(policy: Policy, context: &mut X509StoreContextRef) -> Result<(), ErrorStack> {
    // SAFETY: the context is live and initialised; the name is a static string.
    let done = unsafe { X509_STORE_CTX_set_default(context.as_ptr(), c"ssl_client".as_ptr()) };
    if done != 1 {
        return Err(ErrorStack::get());
    }
    // SAFETY: the parameters belong to the context, which is borrowed for as long as they are used
    // here.
    let parameters =
        unsafe { X509VerifyParamRef::from_ptr_mut(X509_STORE_CTX_get0_param(context.as_ptr())) };
    parameters.set_time(policy.at.0);
    parameters.set_auth_level(policy.security_level);
    Ok(())
}

/// The certificates that a client sends, or what becomes of it if OpenSSL cannot read one
/// (`tls_process_client_certificate`): the first of the chain that is one.
fn as_the_server_reads(chain: &[Certificate]) -> Result<Vec<X509>, Verdict> {
    let read = chain.iter().zip(1..).map(|(certificate, position)| {
        let error = match X509::from_der(certificate.as_der()) {
            Ok(read) if certificate.trailing_bytes() == 0 => return Ok(read),
            read => read.err(),
        };
        if let Some(error) = &error {
            give_up_without_memory(error);
        }
        let problem = certificate.refusal().map(|problem| problem.to_string());
        Err(Verdict::Unreadable(Unreadable {
            position,
            problem: problem.unwrap_or_else(|| "OpenSSL refuses it".to_owned()),
            logged: error.map_or("cert length mismatch".to_owned(), |error| reason(&error)),
        }))
    });
    read.collect()
}

fn links(context: &X509StoreContextRef) -> Vec<Link> {
    let chain = context.chain().into_iter().flatten();
    chain.filter_map(read).map(|certificate| Link::from(&certificate)).collect()
}

fn read(x509: &X509Ref) -> Option<Certificate> {
    Certificate::from_openssl(&x509.to_der().ok()?).ok()
}

fn refused(context: &X509StoreContextRef) -> Verdict {
    // The server logs the oldest reason in OpenSSL's queue: that of a signature check, if one
    // failed.
    Verdict::Refused(refusal(context, oldest_reason()))
}

/// OpenSSL's sentence for a result of a verification (`X509_V_ERR_...`).
pub(crate) fn error_text(code: i32) -> &'static str {
    // SAFETY: any number has a sentence.
    unsafe { openssl::x509::X509VerifyResult::from_raw(code) }.error_string()
}

fn refusal(context: &X509StoreContextRef, oldest: Option<String>) -> Refusal {
    let result = context.error();
    Refusal {
        code: result.as_raw(),
        text: result.error_string().to_owned(),
        depth: context.error_depth(),
        certificate: context.current_cert().and_then(read).map(Box::new),
        logged: oldest.unwrap_or_else(|| "certificate verify failed".to_owned()),
    }
}
