//! The what-if login: the facts about this server that its steps are worked out from.

use std::ffi::CStr;
use std::net::IpAddr;
use std::path::Path;

use pgtls_core::login::access::Surroundings;
use pgtls_core::login::ending::{self, Ending};
use pgtls_core::login::explain;
use pgtls_core::login::facts::{
    Crls, Facts, HandshakeRefusal, KeyUse, Question, Remark, Replication, Untranslatable,
};
use pgtls_core::login::step::Explanation;
use pgtls_core::time::UnixTime;
use pgtls_core::verify::judgement::Judgement;
use pgtls_core::verify::verdict::Verdict;
use pgtls_core::work;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::access::{AuthFiles, Server};
use crate::checks::basis::{Basis, TlsConfiguration};
use crate::checks::configuration;
use crate::pg::datum::text::first_unsayable;
use crate::pg::openssl::{handshake_trial, verify};
use crate::pg::server::{catalog, files, guc};

/// Most chains of one certificate that are looked at, each of which lasts longer than the one
/// before.
const MOST_PATHS: usize = 16;

/// What a login takes for each byte of its certificates: names are shown escaped, and several steps
/// show them.
const MEMORY_FACTOR: usize = 64;

/// What logins are judged by, gathered once for any number of them.
pub(crate) struct Conditions {
    pub(crate) tls: TlsConfiguration,
    pub(crate) auth: AuthFiles,
}

/// A login that is asked about.
pub(crate) struct Login<'a> {
    /// What the client sends: its own certificate first. Empty if it has none.
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) role: &'a CStr,
    /// Empty for physical replication.
    pub(crate) database: &'a CStr,
    /// Where it comes from; `None` over the Unix socket.
    pub(crate) address: Option<IpAddr>,
    pub(crate) at: UnixTime,
    pub(crate) tls: bool,
    /// The only protocol version that it speaks; `None` if it speaks those of libpq.
    pub(crate) protocol_version: Option<String>,
    /// The host name that it connects to; `None` if that is not asked about.
    pub(crate) host: Option<String>,
    pub(crate) crls: Crls,
    pub(crate) replication: Replication,
    /// By which configuration.
    pub(crate) basis: Basis,
}

impl Login<'_> {
    /// Its steps.
    pub(crate) fn explain(&self) -> Explanation {
        let server = Server::new();
        let around = server.around();
        let conditions = Conditions {
            tls: TlsConfiguration::of(self.basis),
            auth: AuthFiles::of(self.basis, &around),
        };
        self.explain_under(&conditions, self.remarks(&conditions.auth), &around)
    }

    /// Its steps under conditions that were gathered before.
    pub(crate) fn explain_under(
        &self,
        conditions: &Conditions,
        remarks: Vec<Remark>,
        around: &Surroundings<'_>,
    ) -> Explanation {
        let size: usize = self.certificates.iter().map(|one| one.as_der().len()).sum();
        work::expect(size.saturating_mul(MEMORY_FACTOR));
        let Conditions { tls, auth } = conditions;
        let facts = Facts {
            remarks,
            tls: tls.facts(),
            require_tls: guc::require_tls(),
            version_refusal: self.version_refusal(tls),
            server_certificate: self.host.as_ref().map(|_| tls.server_certificate()),
            trust: self.judgement(tls),
            key_use: self.key_use(tls),
            role: catalog::role(self.role),
            database: catalog::database(self.database, self.role),
            untranslatable: self.untranslatable(),
            slots: catalog::slots(),
            limits_walsenders: catalog::limits_walsenders(),
            rules: &auth.rules,
            mappings: &auth.mappings,
        };
        let question = Question {
            certificates: &self.certificates,
            role: self.role.to_bytes(),
            database: self.database.to_bytes(),
            address: self.address,
            tls: self.tls,
            protocol_version: self.protocol_version.as_deref(),
            host: self.host.as_deref(),
            at: self.at,
            crls: self.crls,
            replication: self.replication,
        };
        explain::explain(&question, &facts, around)
    }

    /// Whether the connection is encrypted: never over the Unix socket.
    fn uses_tls(&self) -> bool {
        self.address.is_some() && self.tls
    }

    /// How the server refuses the client's protocol version, if it does.
    fn version_refusal(&self, tls: &TlsConfiguration) -> Option<HandshakeRefusal> {
        let version = self.protocol_version.as_deref().filter(|_| self.uses_tls())?;
        tls.with_settings(|settings| handshake_trial::version_refusal(version, settings))
    }

    /// Whether the client can use its key, if it gets to use it.
    fn key_use(&self, tls: &TlsConfiguration) -> Option<KeyUse> {
        let leaf = self.certificates.first()?;
        if !self.uses_tls() || tls.facts().ca_file.is_none() {
            return None;
        }
        let version = self.protocol_version.as_deref();
        tls.with_settings(|settings| handshake_trial::key_use(leaf, version, settings))
    }

    /// What the database cannot show of the names in the client's certificate.
    fn untranslatable(&self) -> Untranslatable {
        let Some(leaf) = self.certificates.first() else { return Untranslatable::default() };
        let Some((number, encoding)) = catalog::encoding(self.database) else {
            return Untranslatable::default();
        };
        Untranslatable {
            encoding,
            in_subject: first_unsayable(leaf.subject().oneline(), number),
            in_issuer: first_unsayable(leaf.issuer().oneline(), number),
        }
    }

    /// Where what is on file differs from what is in force, and which of the two the answer is for.
    fn remarks(&self, auth: &AuthFiles) -> Vec<Remark> {
        let answer = match self.basis {
            Basis::InForce => "is not in force: the answer is for what is in force",
            Basis::OnFile => {
                "is not in force: the answer is for what is on file, as after a reload"
            }
        };
        let items = configuration::differences(auth);
        let differs = items.iter().filter(|item| item.in_force == Some(false)).map(|item| Remark {
            detail: match &item.problem {
                Some(problem) => format!("what is on file {answer} ({problem})"),
                None => format!("the value on file {answer}"),
            },
            source: match &item.value_on_file {
                Some(value) => format!("{} = {value}", item.name),
                None => item.name.clone(),
            },
        });
        // Of what is not known to be in force, nothing but times can be said.
        let unknown = items.iter().filter(|item| item.in_force.is_none() && item.is_read_once());
        let rules =
            auth.rules.iter().map(|line| &line.file).filter(|_| auth.rules_in_force.is_none());
        let mappings = auth
            .mappings
            .iter()
            .map(|line| &line.file)
            .filter(|_| auth.mappings_in_force.is_none());
        let unknown = unknown.filter_map(|item| item.value_on_file.as_ref());
        let mut files: Vec<&String> = unknown.chain(rules).chain(mappings).collect();
        files.sort();
        files.dedup();
        let files = files.into_iter().filter(|file| files::changed_since_load(Path::new(file)));
        let detail = "changed since the server loaded its configuration: the answer is for the file as it is now";
        let files =
            files.map(|source| Remark { detail: detail.to_owned(), source: source.clone() });
        differs.chain(files).collect()
    }

    /// Until when it succeeds, if it does.
    pub(crate) fn ends_at(self) -> Ending {
        let path = self.last_path(&TlsConfiguration::of(self.basis));
        let role = catalog::role(self.role);
        // Whether it is admitted now is said by the CRLs as they are.
        let now = Self { crls: Crls::AsTheyAre, ..self };
        ending::ending(&now.explain(), &path, role.as_ref())
    }

    /// What OpenSSL says of the chain; `None` if there is none to judge.
    fn judgement(&self, tls: &TlsConfiguration) -> Option<Result<Judgement, String>> {
        self.certificates.first()?;
        tls.facts().ca_file?;
        Some(self.judged_at(tls, self.at))
    }

    fn judged_at(&self, tls: &TlsConfiguration, at: UnixTime) -> Result<Judgement, String> {
        let (store, policy) = tls.trust(at)?;
        verify::examine(&store, &self.certificates, policy, self.crls)
    }

    /// The chain that lasts longest. When a certificate of one ends, OpenSSL may find another.
    fn last_path(&self, tls: &TlsConfiguration) -> Vec<Certificate> {
        let judged = |at| match self.judged_at(tls, at) {
            Ok(judgement) if matches!(judgement.verdict, Verdict::Trusted(_)) => {
                Some(judgement.path)
            }
            _ => None,
        };
        let usable = self.uses_tls() && !self.certificates.is_empty();
        let mut path = Some(self.at).filter(|_| usable).and_then(judged).unwrap_or_default();
        for _ in 0..MOST_PATHS {
            let Some(end) = ending::first_end(&path) else { break };
            match judged(end) {
                Some(next) if ending::first_end(&next) > Some(end) => path = next,
                _ => break,
            }
        }
        path
    }
}
