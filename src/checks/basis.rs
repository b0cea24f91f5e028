//! By which configuration something is judged: the one in force, or the files.

use std::ffi::c_int;
use std::rc::Rc;

use pgtls_core::login::facts::TlsFacts;
use pgtls_core::time::UnixTime;
use pgtls_core::x509::certificate::Certificate;

use crate::pg::openssl::trust_store::TrustStore;
use crate::pg::openssl::verify::Policy;
use crate::pg::recorder::in_force::{self, InForce, Unknown};
use crate::pg::server::tls_settings::TlsSettings;

/// By which configuration something is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The one that new logins meet now. Without preloading only the files are known, and stand for
    /// it.
    InForce,
    /// The files as they are now: what new logins would meet after a reload.
    OnFile,
}

impl Basis {
    /// By that argument of SQL functions.
    pub(crate) fn on_file(on_file: bool) -> Self {
        if on_file { Self::OnFile } else { Self::InForce }
    }
}

/// What is in force; `None` where only the files can be known, and an error in words where nothing
/// is known.
pub(crate) fn in_force() -> Result<Option<Rc<InForce>>, String> {
    match in_force::current() {
        Ok(in_force) => Ok(Some(in_force)),
        Err(Unknown::NotPreloaded) => Ok(None),
        Err(Unknown::NotPublished(why)) => Err(format!("what is in force is not known: {why}")),
    }
}

/// The TLS configuration that logins are judged by.
pub(crate) enum TlsConfiguration {
    InForce(Rc<InForce>),
    OnFile(TlsSettings),
    /// What is in force with some of it replaced.
    Rehearsed(Box<Rehearsed>),
    /// Why it is not known.
    Unknown(String),
}

/// A configuration that is not there yet.
pub(crate) struct Rehearsed {
    pub(crate) facts: TlsFacts,
    /// What clients' chains are judged by; `None` if no client is asked for a certificate.
    pub(crate) store: Option<TrustStore>,
    pub(crate) security_level: c_int,
}

impl TlsConfiguration {
    pub(crate) fn of(basis: Basis) -> Self {
        let in_force = match basis {
            Basis::InForce => in_force(),
            Basis::OnFile => Ok(None),
        };
        match in_force {
            Ok(Some(in_force)) => Self::InForce(in_force),
            Ok(None) => Self::OnFile(TlsSettings::on_file()),
            Err(why) => Self::Unknown(why),
        }
    }

    /// For the core. What is not known is as this process has it.
    pub(crate) fn facts(&self) -> TlsFacts {
        match self {
            Self::InForce(in_force) => in_force.settings.facts(),
            Self::OnFile(settings) => settings.facts(),
            Self::Rehearsed(rehearsed) => rehearsed.facts.clone(),
            Self::Unknown(_) => TlsSettings::current().facts(),
        }
    }

    /// Asks something of the settings. A rehearsal changes none of those that are asked for, and what
    /// is not known is as this process has it.
    pub(crate) fn with_settings<T>(&self, ask: impl FnOnce(&TlsSettings) -> T) -> T {
        match self {
            Self::InForce(in_force) => ask(&in_force.settings),
            Self::OnFile(settings) => ask(settings),
            Self::Rehearsed(_) | Self::Unknown(_) => ask(&TlsSettings::current()),
        }
    }

    /// The certificate that the server shows to a client; an error in words if it is not known.
    pub(crate) fn server_certificate(&self) -> Result<Certificate, String> {
        if self.with_settings(TlsSettings::chooses_by_host) {
            return Err("with ssl_sni the server chooses its certificate by host name".to_owned());
        }
        let first = |chain: Vec<Vec<u8>>| chain.into_iter().next();
        let der = match self {
            Self::InForce(in_force) => first(in_force.chain_der()),
            Self::OnFile(settings) => first(in_force::own_chain_der(settings)?),
            Self::Rehearsed(_) => None,
            Self::Unknown(why) => return Err(why.clone()),
        };
        let der = der.ok_or("the server has no certificate")?;
        Certificate::from_der(&der).map_err(|error| error.to_string())
    }

    /// What a client's chain is judged by at a moment; an error in words if it cannot be judged.
    pub(crate) fn trust(&self, at: UnixTime) -> Result<(TrustStore, Policy), String> {
        match self {
            Self::InForce(in_force) if in_force.asks_clients => {
                Ok((in_force.store()?, Policy::with_level(at, in_force.security_level)))
            }
            Self::Rehearsed(rehearsed) => {
                let store =
                    rehearsed.store.clone().ok_or("no client is asked for a certificate")?;
                Ok((store, Policy::with_level(at, rehearsed.security_level)))
            }
            Self::InForce(_) => {
                Err("no client is asked for a certificate by what is in force".to_owned())
            }
            Self::OnFile(settings) => Ok((TrustStore::load(settings)?, Policy::of(settings, at)?)),
            Self::Unknown(why) => Err(why.clone()),
        }
    }
}
