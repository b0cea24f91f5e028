//! By which configuration something is judged: the one in force, or the files.

use std::rc::Rc;

use pgtls_core::time::UnixTime;

use crate::pg::openssl::trust_store::{Settings, TrustStore};
use crate::pg::openssl::verify::Policy;
use crate::pg::recorder::in_force::{self, InForce, Unknown};

/// By which configuration something is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The one that new logins meet now. Without preloading only the files are known, and stand for it.
    InForce,
    /// The files as they are now: what new logins would meet after a reload.
    OnFile,
}

/// What is in force; `None` where only the files can be known, and an error in words where nothing is known.
pub(crate) fn in_force() -> Result<Option<Rc<InForce>>, String> {
    match in_force::current() {
        Ok(in_force) => Ok(Some(in_force)),
        Err(Unknown::NotPreloaded) => Ok(None),
        Err(Unknown::NotPublished(why)) => Err(format!("what is in force is not known: {why}")),
    }
}

impl Basis {
    /// By that argument of SQL functions.
    pub(crate) fn on_file(on_file: bool) -> Self {
        if on_file { Self::OnFile } else { Self::InForce }
    }

    /// What a client's chain is judged by at a moment; an error in words if it cannot be judged.
    pub(crate) fn trust(self, at: UnixTime) -> Result<(TrustStore, Policy), String> {
        let in_force = match self {
            Self::InForce => in_force()?,
            Self::OnFile => None,
        };
        let Some(in_force) = in_force else {
            return Ok((Settings::current().store()?, Policy::at(at)?));
        };
        if !in_force.asks_clients {
            return Err("no client is asked for a certificate by what is in force".to_owned());
        }
        Ok((in_force.store()?, Policy::with_level(at, in_force.security_level)))
    }
}
