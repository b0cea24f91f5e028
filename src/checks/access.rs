//! Rules and mappings: which of them decide, and whether an identity may be a role.
//!
//! What is not known to be in force is read from the files as they are now. Where the server would
//! not load a file as it is, an answer is `None` then.

use pgtls_core::login::access::Surroundings;
use pgtls_core::login::hba::{self, Client, ClientName};
use pgtls_core::login::ident;

use crate::checks::basis::Basis;
use crate::pg::connection::port::Session;
use crate::pg::recorder::{rules_in_force, sessions};
use crate::pg::server::auth_files;
use crate::pg::server::catalog::Catalog;
use crate::pg::server::network::System;
use crate::pg::server::regex::Engine;

/// What matching asks of this server; what it has found out is kept for one question.
pub(crate) struct Server {
    patterns: Engine,
    network: System,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { patterns: Engine::new(), network: System::default() }
    }

    pub(crate) fn around(&self) -> Surroundings<'_> {
        Surroundings {
            version: auth_files::VERSION,
            patterns: &self.patterns,
            roles: &Catalog,
            network: &self.network,
        }
    }
}

/// The mappings with everything that is wrong with them.
pub(crate) fn checked_mappings(around: &Surroundings<'_>) -> Vec<ident::Line> {
    let mut lines = auth_files::mappings();
    ident::check_patterns(&mut lines, around);
    lines
}

/// The rules and mappings that logins are judged by.
pub(crate) struct AuthFiles {
    /// Which of them these are.
    pub(crate) basis: Basis,
    pub(crate) rules: Vec<hba::Line>,
    pub(crate) mappings: Vec<ident::Line>,
    /// Whether what is in force is known, and the same as what is on file; `None` if it is not
    /// known.
    pub(crate) rules_in_force: Option<bool>,
    pub(crate) mappings_in_force: Option<bool>,
}

impl AuthFiles {
    /// By this basis, as far as it is known: else the files stand for it.
    pub(crate) fn of(basis: Basis, around: &Surroundings<'_>) -> Self {
        let (rules, mappings) = (auth_files::rules(around), checked_mappings(around));
        let in_force = rules_in_force::current().ok();
        let known_rules = in_force.as_ref().and_then(|in_force| in_force.rules.as_deref());
        let known_mappings = in_force.as_ref().and_then(|in_force| in_force.mappings.as_deref());
        let rules_in_force = known_rules.map(|known| same_rules(known, &rules));
        let mappings_in_force = known_mappings.map(|known| same_mappings(known, &mappings));
        let by_force = basis == Basis::InForce;
        Self {
            basis,
            rules: known_rules.filter(|_| by_force).map_or(rules, <[_]>::to_vec),
            mappings: known_mappings.filter(|_| by_force).map_or(mappings, <[_]>::to_vec),
            rules_in_force,
            mappings_in_force,
        }
    }
}

/// Whether both say the same; where it stands may differ.
fn same_rules(known: &[hba::Line], on_file: &[hba::Line]) -> bool {
    known.len() == on_file.len()
        && known.iter().zip(on_file).all(|(a, b)| (&a.rule, &a.problem) == (&b.rule, &b.problem))
}

/// The same of mappings.
fn same_mappings(known: &[ident::Line], on_file: &[ident::Line]) -> bool {
    known.len() == on_file.len()
        && known
            .iter()
            .zip(on_file)
            .all(|(a, b)| (&a.mapping, &a.problem) == (&b.mapping, &b.problem))
}

/// Whether an identity may be a role by a map of the file; `None` if the server would not load the
/// file.
pub(crate) fn is_mapped(map: Option<&[u8]>, identity: &[u8], role: &[u8]) -> Option<bool> {
    let server = Server::new();
    let around = server.around();
    if map.is_none_or(<[u8]>::is_empty) {
        return Some(ident::admits(&[], None, identity, role, &around));
    }
    let mut lines = auth_files::mappings();
    let admitted = ident::admits(&lines, map, identity, role, &around);
    // Afterwards: what the search has compiled is known to be valid or not.
    ident::check_patterns(&mut lines, &around);
    ident::problem(&lines).is_none().then_some(admitted)
}

/// How a rule compares this session's certificate with a role.
pub(crate) struct Comparison {
    /// Whether it does.
    pub(crate) compares: bool,
    name: ClientName,
    pub(crate) map: Option<Vec<u8>>,
}

impl Comparison {
    /// By the rule that this session logged in by, if that is recorded; else by the one that
    /// matches now. `None` if there is no rule, or no telling which are in force.
    pub(crate) fn of_session(session: &Session, around: &Surroundings<'_>) -> Option<Self> {
        Self::recorded().or_else(|| Self::by_rule_now(session, around))
    }

    fn recorded() -> Option<Self> {
        let recorded = sessions::recorded_own()?;
        let method = recorded.method?;
        Some(Self {
            compares: method == b"cert" || recorded.client_cert.as_deref() == Some(b"verify-full"),
            name: match recorded.client_name.as_deref() {
                Some(b"DN") => ClientName::Subject,
                _ => ClientName::CommonName,
            },
            map: recorded.map,
        })
    }

    fn by_rule_now(session: &Session, around: &Surroundings<'_>) -> Option<Self> {
        let lines = auth_files::rules(around);
        if hba::problem(&lines).is_some() {
            return None;
        }
        let client = Client {
            address: session.address(),
            tls: session.tls_in_use(),
            role: session.role(),
            database: Some(session.database()),
        };
        let (_, rule) = hba::first_match(&lines, &client, around)?;
        Some(Self { compares: rule.compares_name(), name: rule.client_name, map: rule.map.clone() })
    }

    /// The name in this session's certificate that is compared; `None` if there is none.
    pub(crate) fn identity<'s>(&self, session: &'s Session) -> Option<&'s [u8]> {
        let identity = match self.name {
            ClientName::CommonName => session.client_common_name(),
            ClientName::Subject => session.client_distinguished_name(),
        };
        identity.filter(|identity| !identity.is_empty())
    }
}
