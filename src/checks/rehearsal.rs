//! The rehearsal of a change: what a new CA file, CRL file, `pg_hba.conf`, `pg_ident.conf` or another
//! date would do to everybody who has been seen.
//!
//! Clients with a certificate are those of the inventory, each with its latest certificate, and each
//! with every role and database that it has logged in to; clients without one are those that are
//! connected now. Each is asked the what-if login twice. Nothing is loaded into the server.

use std::collections::HashSet;
use std::ffi::CString;
use std::net::IpAddr;

use pgtls_core::login::access::Surroundings;
use pgtls_core::login::facts::{Crls, Replication};
use pgtls_core::login::rehearsal::{Change, Verdict, first_inclusion};
use pgtls_core::login::{hba, ident};
use pgtls_core::time::UnixTime;
use pgtls_core::work;
use pgtls_core::x509::bundle::certificates_from_openssl;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::access::{AuthFiles, Server};
use crate::checks::basis::{self, Basis, Rehearsed, TlsConfiguration};
use crate::checks::inventory::Usage;
use crate::checks::login::{Conditions, Login};
use crate::error::{Error, Result};
use crate::pg::datum::time;
use crate::pg::memory;
use crate::pg::recorder::in_force::{InForce, Replaced};
use crate::pg::recorder::inventory::{self, Known};
use crate::pg::recorder::sessions::{self, Recorded};
use crate::pg::server::auth_files::{self, VERSION};
use crate::pg::server::backends;
use crate::pg::server::memory_file::MemoryFile;

/// What differs from what is in force. A text stands for the whole content of a file; an empty one
/// of CAs or CRLs for a setting that names no file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changes<'a> {
    /// Of `ssl_ca_file`.
    pub(crate) ca: Option<&'a [u8]>,
    /// Of `ssl_crl_file`.
    pub(crate) crl: Option<&'a [u8]>,
    /// Of `pg_hba.conf`.
    pub(crate) hba: Option<&'a [u8]>,
    /// Of `pg_ident.conf`.
    pub(crate) ident: Option<&'a [u8]>,
    /// The moment of the logins.
    pub(crate) at: Option<UnixTime>,
}

/// Somebody who has been seen, in one role and one database.
pub(crate) struct Client {
    /// Its own certificate first; empty if it has none.
    certificates: Vec<Certificate>,
    /// The subject of its certificate.
    pub(crate) identity: Option<String>,
    pub(crate) fingerprint: Option<[u8; 32]>,
    pub(crate) role: Vec<u8>,
    pub(crate) database: Vec<u8>,
    pub(crate) address: Option<IpAddr>,
    tls: bool,
    /// In microseconds of the server's epoch; `None` for who is connected without a certificate.
    pub(crate) last_seen: Option<i64>,
    pub(crate) logins: Option<u64>,
    /// How many sessions it has now.
    pub(crate) connected: i64,
}

/// What a change does to one client.
pub(crate) struct Outcome {
    pub(crate) client: Client,
    pub(crate) change: Change,
}

/// A change that is to be rehearsed.
pub(crate) struct Rehearsal<'s> {
    around: Surroundings<'s>,
    now: Conditions,
    after: Conditions,
    /// Certificates that the server has itself, so that it is not known whether a client sends
    /// them.
    held: HashSet<Vec<u8>>,
    moment: UnixTime,
    at: UnixTime,
}

impl<'s> Rehearsal<'s> {
    pub(crate) fn new(changes: &Changes<'_>, server: &'s Server) -> Result<Self> {
        let around = server.around();
        let now = Conditions {
            tls: TlsConfiguration::of(Basis::InForce),
            auth: AuthFiles::of(Basis::InForce, &around),
        };
        let in_force = basis::in_force().map_err(Error::Internal)?.ok_or(Error::NotPreloaded)?;
        let after = Conditions {
            tls: TlsConfiguration::Rehearsed(Box::new(rehearsed(changes, &in_force)?)),
            auth: auth_files(changes, &around)?,
        };
        let moment = time::now();
        let held = in_force.authorities_der().into_iter().collect();
        Ok(Self { around, now, after, held, moment, at: changes.at.unwrap_or(moment) })
    }

    /// What becomes of each client.
    pub(crate) fn outcomes(&self) -> Result<impl Iterator<Item = Outcome>> {
        let clients = clients()?;
        Ok(clients.map(|client| {
            memory::check_for_interrupts();
            Outcome { change: self.change(&client), client }
        }))
    }

    fn change(&self, client: &Client) -> Change {
        if client.fingerprint.is_some() && client.certificates.is_empty() {
            return Change::unknown("its certificate was too large to be recorded");
        }
        if client.address.is_none() {
            return Change::unknown("its address is not known");
        }
        let change = self.change_with(client, client.certificates.clone());
        let sent = |certificate: &&Certificate| !self.held.contains(certificate.as_der());
        let surely: Vec<_> = client.certificates.iter().filter(sent).cloned().collect();
        if surely.len() == client.certificates.len() || surely.is_empty() {
            return change;
        }
        let with_less = self.change_with(client, surely);
        if with_less.after == change.after {
            return change;
        }
        Change {
            after: Verdict::Unknown,
            reason: Some(
                "it is not known whether the client sends the CA certificates that the server has \
                 now"
                .to_owned(),
            ),
            ..with_less
        }
    }

    /// The same for a client that sends these certificates.
    fn change_with(&self, client: &Client, certificates: Vec<Certificate>) -> Change {
        let [role, database] = [&client.role, &client.database].map(|name| {
            // A name of the catalogue has no NUL in it.
            CString::new(name.as_slice()).unwrap_or_default()
        });
        let mut login = Login {
            certificates,
            role: &role,
            database: &database,
            address: client.address,
            at: self.moment,
            tls: client.tls,
            protocol_version: None,
            host: None,
            crls: Crls::AsTheyAre,
            replication: Replication::No,
            basis: Basis::InForce,
        };
        let now = login.explain_under(&self.now, Vec::new(), &self.around);
        login.at = self.at;
        if self.at > self.moment {
            // CRLs live for days, and who asks about the future asks about the certificate.
            login.crls = Crls::AsIfRenewed;
        }
        let after = login.explain_under(&self.after, Vec::new(), &self.around);
        Change::between(&now, &after)
    }
}

/// What a given file is refused for: the server would not take it, and keep what it has.
fn refused(argument: &'static str) -> impl Fn(String) -> Error {
    move |problem| Error::NotTaken { argument, problem }
}

fn file(argument: &'static str, text: &[u8]) -> Result<MemoryFile> {
    MemoryFile::new(text).map_err(|error| refused(argument)(error.to_string()))
}

fn rehearsed(changes: &Changes<'_>, in_force: &InForce) -> Result<Rehearsed> {
    let mut facts = in_force.settings.facts();
    let mut replaced = Replaced::default();
    match changes.ca {
        Some([]) => facts.ca_file = None,
        Some(text) => {
            replaced.set_authorities(&file("ca", text)?).map_err(refused("ca"))?;
            facts.ca_file.get_or_insert_with(|| "argument ca".to_owned());
        }
        None => {}
    }
    match changes.crl {
        Some([]) => replaced.unset_crls(!in_force.settings.get(c"ssl_crl_dir").is_empty()),
        Some(text) => {
            replaced.set_crls(&file("crl", text)?).map_err(refused("crl"))?;
            if facts.crls.is_empty() {
                facts.crls = vec!["argument crl".to_owned()];
            }
        }
        None => {}
    }
    let asks = facts.enabled && facts.ca_file.is_some();
    let store = asks.then(|| in_force.store_with(&replaced)).transpose();
    Ok(Rehearsed {
        facts,
        store: store.map_err(Error::Internal)?,
        security_level: in_force.security_level,
    })
}

fn auth_files(changes: &Changes<'_>, around: &Surroundings<'_>) -> Result<AuthFiles> {
    let mut files = AuthFiles::of(Basis::InForce, around);
    if let Some(text) = changes.hba {
        let lines = auth_files::rules_in(&auth_file("hba", text)?, around);
        if let Some(problem) = hba::problem(&lines) {
            return Err(refused("hba")(problem));
        }
        files.rules = lines;
    }
    if let Some(text) = changes.ident {
        let mut lines = auth_files::mappings_in(&auth_file("ident", text)?);
        ident::check_patterns(&mut lines, around);
        if let Some(problem) = ident::problem(&lines) {
            return Err(refused("ident")(problem));
        }
        files.mappings = lines;
    }
    Ok(files)
}

/// A text that the server's own parser can have: it names no other file.
fn auth_file(argument: &'static str, text: &[u8]) -> Result<MemoryFile> {
    match first_inclusion(text, VERSION) {
        Some(line) => Err(Error::Inclusion { argument, line }),
        None => file(argument, text),
    }
}

/// Everybody who has been seen: the latest certificate of each identity with each role and database,
/// and who is connected without a certificate.
fn clients() -> Result<impl Iterator<Item = Client>> {
    let usage = Usage::now();
    let known = inventory::known().ok_or(Error::NotPreloaded)?;
    let with_certificates: HashSet<(i32, i64)> = sessions::recorded()
        .iter()
        .filter(|recorded| recorded.chain_length > 0)
        .map(Recorded::key)
        .collect();
    let without =
        backends::connected()?.into_iter().filter(move |one| !with_certificates.contains(&one.key));
    let without = without.map(|one| Client {
        certificates: Vec::new(),
        identity: None,
        fingerprint: None,
        role: one.role.into_bytes(),
        database: one.database.into_bytes(),
        address: Some(one.address),
        tls: one.tls,
        last_seen: None,
        logins: None,
        connected: 1,
    });
    let with = known.flat_map(move |known| match usage.superseded_by(&known.chain) {
        Some(_) => Vec::new(),
        None => of_certificate(&known, usage.connected(&known.fingerprint)),
    });
    Ok(with.chain(without))
}

/// A certificate with each role and database that it was used for.
fn of_certificate(known: &Known, connected: i64) -> Vec<Client> {
    let certificates = certificates_from_openssl(&known.chain).unwrap_or_default();
    let mut clients = Vec::new();
    for role in &known.roles {
        for database in &known.databases {
            let client = Client {
                certificates: certificates.clone(),
                identity: certificates.first().map(|leaf| leaf.subject().oneline().to_owned()),
                fingerprint: Some(known.fingerprint),
                role: role.clone(),
                database: database.clone(),
                address: known.address,
                tls: true,
                last_seen: Some(known.last_seen),
                logins: Some(known.logins),
                connected,
            };
            work::push(&mut clients, client);
        }
    }
    clients
}
