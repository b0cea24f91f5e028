//! What becomes of a client's protocol version and key with what the server offers: tried, in a
//! handshake in memory.
//!
//! Which curves and signature algorithms go with which protocol version depends on the version of
//! OpenSSL and on settings, so nothing is told from tables. The server of the trial has the
//! protocol limits, cipher suites and groups of the configuration that is asked about, the client
//! what libpq leaves to OpenSSL, and a fresh key of the same kind. Its certificate is accepted
//! whoever signed it: that is judged elsewhere.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, c_int};
use std::io::{self, Read, Write};
use std::rc::Rc;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::{X509, X509NameBuilder};
use pgtls_core::login::facts::{HandshakeRefusal, KeyUse};
use pgtls_core::x509::certificate::Certificate;

use crate::pg::datum::cstr;
use crate::pg::openssl::ffi::SSL_alert_desc_string_long;
use crate::pg::openssl::protocol;
use crate::pg::openssl::trust_store::give_up_without_memory;
use crate::pg::server::tls_settings::TlsSettings;

/// The settings that the outcome depends on.
const DECIDING: [&CStr; 6] = [
    c"ssl_min_protocol_version",
    c"ssl_max_protocol_version",
    c"ssl_ciphers",
    c"ssl_tls13_ciphers",
    c"ssl_ecdh_curve",
    c"ssl_groups",
];

/// What libpq asks for at least (`ssl_min_protocol_version` of a connection).
const LIBPQ_AT_LEAST: SslVersion = SslVersion::TLS1_2;

/// A handshake in memory takes a handful of turns.
const MOST_TURNS: usize = 16;

/// OpenSSL gives the reason for an alert as its number and this.
const ALERT_OFFSET: c_int = 1000;

/// What the server says of a client that speaks no version that it takes.
const NO_SHARED_VERSION: &str = "unsupported protocol";

/// Its words where the certificate of the trial may be what is missing, rather than the server's.
const NO_SHARED_CIPHER: &str = "no shared cipher";

/// A client, and those settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Case {
    client: Client,
    settings: Vec<Box<CStr>>,
}

/// A client that tries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Client {
    /// The kind of its key; `None` if it has none.
    key: Option<KeyKind>,
    /// The only version that it speaks; `None` if it speaks those of libpq.
    version: Option<String>,
}

/// How a trial ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// With a connection, in which the client did or did not send its certificate.
    Connected { sent: bool },
    /// The server refuses.
    Refused(HandshakeRefusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum KeyKind {
    Curve(Nid),
    Ed25519,
    Ed448,
    /// RSA for RSASSA-PSS alone.
    RsaPss,
}

thread_local! {
    /// What was tried in this process.
    static TRIED: RefCell<HashMap<Case, Option<End>>> = RefCell::default();
}

/// Whether the key of this certificate can be used by a client that speaks this version, or those of
/// libpq; `None` if that is not known. It always can if it is an ordinary RSA key, of which the size
/// is judged with the chain.
pub(crate) fn key_use(
    certificate: &Certificate,
    version: Option<&str>,
    settings: &TlsSettings,
) -> Option<KeyUse> {
    let kind = match Id::from_raw(certificate.key_nid().as_raw()) {
        Id::EC => KeyKind::Curve(certificate.curve_nid()?),
        Id::ED25519 => KeyKind::Ed25519,
        Id::ED448 => KeyKind::Ed448,
        Id::RSA_PSS => KeyKind::RsaPss,
        _ => return None,
    };
    let client = Client { key: Some(kind), version: version.map(str::to_owned) };
    match end(client, settings)? {
        End::Connected { sent: true } => Some(KeyUse::Usable),
        End::Connected { sent: false } => Some(KeyUse::NotSent),
        // That is not about the key.
        End::Refused(refusal) if refusal.logged == NO_SHARED_VERSION => None,
        End::Refused(refusal) => Some(KeyUse::Refused(refusal)),
    }
}

/// How the server refuses a client that speaks only this version; `None` if it does not, or if that
/// is not known.
pub(crate) fn version_refusal(version: &str, settings: &TlsSettings) -> Option<HandshakeRefusal> {
    match end(Client { key: None, version: Some(version.to_owned()) }, settings)? {
        End::Refused(refusal) => Some(refusal),
        End::Connected { .. } => None,
    }
}

/// How the handshake of this client ends, if that is known.
fn end(client: Client, settings: &TlsSettings) -> Option<End> {
    let case = Case { client, settings: DECIDING.map(|name| settings.get(name).into()).to_vec() };
    if let Some(known) = TRIED.with_borrow(|tried| tried.get(&case).cloned()) {
        return known;
    }
    let end = tried(&case.client, settings).unwrap_or_else(|problem| {
        give_up_without_memory(&problem);
        None
    });
    TRIED.with_borrow_mut(|tried| tried.insert(case, end.clone()));
    end
}

/// A fresh key of that kind.
fn fresh(kind: KeyKind) -> Result<PKey<Private>, ErrorStack> {
    match kind {
        KeyKind::Ed25519 => PKey::generate_ed25519(),
        KeyKind::Ed448 => PKey::generate_ed448(),
        KeyKind::RsaPss => {
            let mut context = PkeyCtx::new_id(Id::RSA_PSS)?;
            context.keygen_init()?;
            context.keygen()
        }
        KeyKind::Curve(curve) => {
            let group = EcGroup::from_curve_name(curve)?;
            PKey::from_ec_key(EcKey::generate(&group)?)
        }
    }
}

/// A certificate for it.
fn certificate(key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "trial")?;
    let name = name.build();
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(1)?)?;
    builder.set_pubkey(key)?;
    let digest = match key.id() {
        Id::ED25519 | Id::ED448 => MessageDigest::null(),
        _ => MessageDigest::sha256(),
    };
    builder.sign(key, digest)?;
    Ok(builder.build())
}

/// As the server makes its own (`be_tls_init`), but with a certificate of ours.
fn server_context(settings: &TlsSettings) -> Result<SslContext, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_min_proto_version(protocol::setting(settings, c"ssl_min_protocol_version"))?;
    context.set_max_proto_version(protocol::setting(settings, c"ssl_max_protocol_version"))?;
    let text = |name| settings.text(name);
    if let Some(list) = text(c"ssl_ciphers") {
        context.set_cipher_list(&list)?;
    }
    if let Some(list) = text(c"ssl_tls13_ciphers") {
        context.set_ciphersuites(&list)?;
    }
    if let Some(list) = text(c"ssl_groups").or_else(|| text(c"ssl_ecdh_curve")) {
        context.set_groups_list(&list)?;
    }
    present(&mut context, &fresh(KeyKind::Curve(Nid::X9_62_PRIME256V1))?)?;
    context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    Ok(context.build())
}

fn present(context: &mut SslContextBuilder, key: &PKey<Private>) -> Result<(), ErrorStack> {
    let own = certificate(key)?;
    context.set_certificate(&own)?;
    context.set_private_key(key)
}

/// Both directions of a connection.
#[derive(Default)]
struct Wire {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
}

/// One side of it.
struct Side {
    wire: Rc<RefCell<Wire>>,
    is_server: bool,
}

impl Read for Side {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.wire.borrow_mut();
        let wire = &mut *wire;
        let from = if self.is_server { &mut wire.to_server } else { &mut wire.to_client };
        if from.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        from.read(into)
    }
}

impl Write for Side {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.wire.borrow_mut();
        let wire = &mut *wire;
        let to = if self.is_server { &mut wire.to_client } else { &mut wire.to_server };
        to.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As libpq makes its own, but for a version that is asked about: a client that speaks it can do so.
fn client_context(client: &Client) -> Result<SslContext, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    let only = client.version.as_deref().and_then(protocol::version);
    if only.is_some() {
        context.set_security_level(0);
    }
    context.set_min_proto_version(Some(only.unwrap_or(LIBPQ_AT_LEAST)))?;
    context.set_max_proto_version(only)?;
    if let Some(kind) = client.key {
        present(&mut context, &fresh(kind)?)?;
    }
    Ok(context.build())
}

/// Lets this client try.
fn tried(client: &Client, settings: &TlsSettings) -> Result<Option<End>, ErrorStack> {
    let wire = Rc::new(RefCell::new(Wire::default()));
    let side = |is_server| Side { wire: Rc::clone(&wire), is_server };
    let mut client = SslStream::new(Ssl::new(&*client_context(client)?)?, side(false))?;
    let mut server = SslStream::new(Ssl::new(&*server_context(settings)?)?, side(true))?;
    let mut client_is_done = false;
    for _ in 0..MOST_TURNS {
        if !client_is_done {
            match client.connect() {
                Ok(()) => client_is_done = true,
                Err(error) if error.code() == ErrorCode::WANT_READ => {}
                // It cannot even begin, or does not want to go on with this server.
                Err(_) => return Ok(None),
            }
        }
        match server.accept() {
            Ok(()) => {
                let sent = server.ssl().peer_certificate().is_some();
                return Ok(Some(End::Connected { sent }));
            }
            Err(error) if error.code() == ErrorCode::WANT_READ => {}
            Err(error) => {
                let logged = error.ssl_error().and_then(|stack| {
                    stack.errors().first().and_then(openssl::error::Error::reason)
                });
                let Some(logged) = logged else { return Ok(None) };
                if logged == NO_SHARED_CIPHER {
                    return Ok(None);
                }
                let logged = logged.to_owned();
                let alert = alert(&mut client);
                return Ok(alert.map(|alert| End::Refused(HandshakeRefusal { alert, logged })));
            }
        }
    }
    Ok(None)
}

/// The alert that has come for the client, by name and number.
fn alert(client: &mut SslStream<Side>) -> Option<(String, u8)> {
    let error = match client.ssl().is_init_finished() {
        true => client.ssl_read(&mut [0; 1]).err()?,
        false => client.connect().err()?,
    };
    let reason = error.ssl_error()?.errors().first()?.reason_code();
    let number = u8::try_from(reason.checked_sub(ALERT_OFFSET)?).ok()?;
    // SAFETY: any number has a text, which is static.
    let name = unsafe { cstr::bytes(SSL_alert_desc_string_long(number.into())) }?;
    Some((String::from_utf8_lossy(name).into_owned(), number))
}
