//! `pgtls_explain_login` and `pgtls_check_login`: would this client get in?

use std::ffi::CStr;
use std::net::IpAddr;
use std::path::Path;

use pgrx::datum::Inet;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::TimestampWithTimeZone;
use pgtls_core::login::explain::explain;
use pgtls_core::login::facts::{Facts, Question, Remark};
use pgtls_core::login::step::Explanation;
use pgtls_core::time::UnixTime;
use pgtls_core::verify::verdict::Verdict;
use pgtls_core::x509::bundle::parse_certificates_as_sent;
use pgtls_core::x509::certificate::Certificate;

use super::mapping::{Server, checked_mappings};
use crate::error::{Error, Form, Result};
use crate::pg::datum::rows::{Rows, row};
use crate::pg::datum::time::moment;
use crate::pg::openssl::trust_store::Settings;
use crate::pg::openssl::verify::{self, Policy};
use crate::pg::server::{auth_files, catalog, files, guc};

/// The arguments of both functions.
struct Arguments<'a> {
    certificates: Vec<Certificate>,
    role: &'a CStr,
    database: &'a CStr,
    address: Option<IpAddr>,
    at: UnixTime,
    tls: bool,
}

impl<'a> Arguments<'a> {
    /// `None` if one is NULL that has to be given.
    fn new(
        certificate: Option<&[u8]>,
        role: Option<&'a CStr>,
        database: Option<&'a CStr>,
        client_addr: Option<Inet>,
        at: Option<TimestampWithTimeZone>,
        ssl: Option<bool>,
    ) -> Result<Option<Self>> {
        let (Some(role), Some(database), Some(at), Some(tls)) = (role, database, at, ssl) else {
            return Ok(None);
        };
        let certificates = certificate.map(parse_certificates_as_sent).transpose();
        let address = client_addr
            .map(|address| address.0.parse().map_err(|_| Error::NotOneAddress(address.0)));
        Ok(Some(Self {
            certificates: certificates.map_err(Error::argument(Form::Text))?.unwrap_or_default(),
            role,
            database,
            address: address.transpose()?,
            at: moment(at).ok_or(Error::MomentOutOfRange)?,
            tls,
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
            trust: self.verdict(&settings),
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
        };
        explain(&question, &facts, &around)
    }

    /// What OpenSSL says of the chain; `None` if there is none to judge.
    fn verdict(&self, settings: &Settings) -> Option<Result<Verdict, String>> {
        self.certificates.first()?;
        settings.facts().ca_file?;
        let policy = Policy::at(self.at);
        Some(
            policy.and_then(|policy| verify::judge(&settings.store()?, &self.certificates, policy)),
        )
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
fn pgtls_explain_login(
    certificate: Option<&[u8]>,
    role: Option<&CStr>,
    database: Option<&CStr>,
    client_addr: Option<Inet>,
    at: Option<TimestampWithTimeZone>,
    ssl: Option<bool>,
) -> Result<Rows, ErrorReport> {
    let arguments = Arguments::new(certificate, role, database, client_addr, at, ssl)?;
    let Some(arguments) = arguments else { return Ok(Rows::none()) };
    let explanation = arguments.explain();
    let rows = explanation.steps().iter().zip(1..).map(|(step, number)| {
        let mut row = row(step.columns());
        row.push(("step".into(), i64::into(number)));
        row
    });
    Ok(rows.collect())
}

#[pg_extern(sql = false)]
fn pgtls_check_login(
    certificate: Option<&[u8]>,
    role: Option<&CStr>,
    database: Option<&CStr>,
    client_addr: Option<Inet>,
    at: Option<TimestampWithTimeZone>,
    ssl: Option<bool>,
) -> Result<Option<bool>, ErrorReport> {
    let arguments = Arguments::new(certificate, role, database, client_addr, at, ssl)?;
    Ok(arguments.and_then(|arguments| arguments.explain().admitted()))
}
