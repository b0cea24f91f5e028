//! `pgtls_explain_login` and `pgtls_check_login`: would this client get in?

use std::ffi::CStr;
use std::net::IpAddr;
use std::path::Path;

use pgrx::datum::Inet;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::TimestampWithTimeZone;
use pgtls_core::login::ending;
use pgtls_core::login::explain::explain;
use pgtls_core::login::facts::{Crls, Facts, Question, Remark};
use pgtls_core::login::step::Explanation;
use pgtls_core::time::UnixTime;
use pgtls_core::verify::judgement::Judgement;
use pgtls_core::verify::verdict::Verdict;
use pgtls_core::x509::bundle::parse_certificates;
use pgtls_core::x509::certificate::Certificate;

use super::mapping::{Server, checked_mappings};
use crate::error::{Error, Form, Result};
use crate::pg::datum::rows::{Rows, row};
use crate::pg::datum::text::lossless;
use crate::pg::datum::time::{self, moment};
use crate::pg::openssl::trust_store::Settings;
use crate::pg::openssl::verify::{self, Policy};
use crate::pg::server::{auth_files, catalog, files, guc};

/// Most chains of one certificate that are looked at, each of which lasts longer than the one before.
const MOST_PATHS: usize = 16;

/// The arguments as SQL has them.
struct Given<'a> {
    certificate: Option<&'a [u8]>,
    role: Option<&'a CStr>,
    database: Option<&'a CStr>,
    client_addr: Option<Inet>,
    at: Option<TimestampWithTimeZone>,
    ssl: Option<bool>,
    crls: Option<&'a [u8]>,
}

/// The arguments.
struct Arguments<'a> {
    certificates: Vec<Certificate>,
    role: &'a CStr,
    database: &'a CStr,
    address: Option<IpAddr>,
    at: UnixTime,
    tls: bool,
    crls: Crls,
}

impl<'a> Arguments<'a> {
    /// `None` if one is NULL that has to be given.
    fn new(given: &Given<'a>) -> Result<Option<Self>> {
        let (Some(role), Some(database), Some(at), Some(tls)) =
            (given.role, given.database, given.at, given.ssl)
        else {
            return Ok(None);
        };
        let certificates = given.certificate.map(parse_certificates).transpose();
        let address = given
            .client_addr
            .as_ref()
            .map(|address| address.0.parse().map_err(|_| Error::NotOneAddress(address.0.clone())));
        let at = moment(at).ok_or(Error::MomentOutOfRange)?;
        let crls = match given.crls {
            Some(word) => Crls::from_word(word).ok_or_else(|| Error::UnknownWord {
                word: lossless(word).into_owned(),
                argument: "crls",
                words: "Pass as_they_are or as_if_renewed.",
            })?,
            // Lists live for days, and who asks about the future asks about the certificate.
            None if at > time::now() => Crls::AsIfRenewed,
            None => Crls::AsTheyAre,
        };
        Ok(Some(Self {
            certificates: certificates.map_err(Error::argument(Form::Text))?.unwrap_or_default(),
            role,
            database,
            address: address.transpose()?,
            at,
            tls,
            crls,
        }))
    }

    fn explain(&self) -> Explanation {
        let server = Server::new();
        let around = server.around();
        let settings = Settings::current();
        let (rules, mappings) = (auth_files::rules(&around), checked_mappings(&around));
        let read =
            rules.iter().map(|line| &line.file).chain(mappings.iter().map(|line| &line.file));
        let facts = Facts {
            remarks: remarks(read.cloned().chain(settings.files())),
            tls: settings.facts(),
            require_tls: guc::require_tls(),
            trust: self.judgement(&settings),
            role: catalog::role(self.role),
            database: catalog::database(self.database, self.role),
            slots: catalog::slots(),
            rules: &rules,
            mappings: &mappings,
        };
        let question = Question {
            certificates: &self.certificates,
            role: self.role.to_bytes(),
            database: self.database.to_bytes(),
            address: self.address,
            tls: self.tls,
            at: self.at,
            crls: self.crls,
        };
        explain(&question, &facts, &around)
    }

    /// What OpenSSL says of the chain; `None` if there is none to judge.
    fn judgement(&self, settings: &Settings) -> Option<Result<Judgement, String>> {
        self.certificates.first()?;
        settings.facts().ca_file?;
        Some(self.judged_at(settings, self.at))
    }

    fn judged_at(&self, settings: &Settings, at: UnixTime) -> Result<Judgement, String> {
        let policy = Policy::at(at)?;
        verify::examine(&settings.store()?, &self.certificates, policy, self.crls)
    }

    /// The chain that lasts longest. When a certificate of one ends, OpenSSL may find another.
    fn last_path(&self, settings: &Settings) -> Vec<Certificate> {
        let judged = |at| match self.judged_at(settings, at) {
            Ok(judgement) if matches!(judgement.verdict, Verdict::Trusted(_)) => {
                Some(judgement.path)
            }
            _ => None,
        };
        let usable = self.address.is_some() && self.tls && !self.certificates.is_empty();
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

/// The files that were changed since the server loaded its configuration.
fn remarks(files: impl Iterator<Item = String>) -> Vec<Remark> {
    let mut files: Vec<String> =
        files.chain([auth_files::hba_file(), auth_files::ident_file()]).collect();
    files.sort();
    files.dedup();
    files
        .into_iter()
        .filter(|file| files::changed_since_load(Path::new(file)))
        .map(|source| Remark {
            detail: "changed since the server loaded its configuration: the answer is for the file as it is now"
                .to_owned(),
            source,
        })
        .collect()
}

#[pg_extern(sql = false)]
#[expect(clippy::too_many_arguments, reason = "the arguments of the SQL function")]
fn pgtls_explain_login(
    certificate: Option<&[u8]>,
    role: Option<&CStr>,
    database: Option<&CStr>,
    client_addr: Option<Inet>,
    at: Option<TimestampWithTimeZone>,
    ssl: Option<bool>,
    crls: Option<&[u8]>,
) -> Result<Rows, ErrorReport> {
    let given = Given { certificate, role, database, client_addr, at, ssl, crls };
    let Some(arguments) = Arguments::new(&given)? else { return Ok(Rows::none()) };
    let explanation = arguments.explain();
    let rows = explanation.steps().iter().zip(1..).map(|(step, number)| {
        let mut row = row(step.columns());
        row.push(("step".into(), i64::into(number)));
        row
    });
    Ok(rows.collect())
}

#[pg_extern(sql = false)]
#[expect(clippy::too_many_arguments, reason = "the arguments of the SQL function")]
fn pgtls_check_login(
    certificate: Option<&[u8]>,
    role: Option<&CStr>,
    database: Option<&CStr>,
    client_addr: Option<Inet>,
    at: Option<TimestampWithTimeZone>,
    ssl: Option<bool>,
    crls: Option<&[u8]>,
) -> Result<Option<bool>, ErrorReport> {
    let given = Given { certificate, role, database, client_addr, at, ssl, crls };
    let arguments = Arguments::new(&given)?;
    Ok(arguments.and_then(|arguments| arguments.explain().admitted()))
}

#[pg_extern(sql = false)]
fn pgtls_login_ends_at(
    certificate: Option<&[u8]>,
    role: Option<&CStr>,
    database: Option<&CStr>,
    client_addr: Option<Inet>,
) -> Result<Rows, ErrorReport> {
    let (at, ssl, crls) =
        (Some(time::transaction_start()), Some(true), Some(&b"as_if_renewed"[..]));
    let given = Given { certificate, role, database, client_addr, at, ssl, crls };
    let Some(arguments) = Arguments::new(&given)? else { return Ok(Rows::none()) };
    let path = arguments.last_path(&Settings::current());
    let role = catalog::role(arguments.role);
    // Whether it is admitted now is said by the lists as they are.
    let now = Arguments { crls: Crls::AsTheyAre, ..arguments };
    let ending = ending::ending(&now.explain(), &path, role.as_ref());
    Ok(std::iter::once(row(ending.columns())).collect())
}
