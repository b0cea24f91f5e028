//! `pgtls_explain_login`, `pgtls_check_login` and `pgtls_login_ends_at`: would this client get in,
//! and until when?

use std::ffi::CStr;

use pgrx::datum::Inet;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::TimestampWithTimeZone;
use pgtls_core::login::facts::{Crls, Replication};
use pgtls_core::x509::bundle::parse_certificates_as_sent;

use crate::checks::basis::Basis;
use crate::checks::login::Login;
use crate::error::{Error, Form, Result};
use crate::pg::datum::rows::{Rows, row};
use crate::pg::datum::text::lossless;
use crate::pg::datum::time::{self, moment};
use crate::pg::openssl::protocol;

/// The arguments as SQL has them.
struct Given<'a> {
    certificate: Option<&'a [u8]>,
    role: Option<&'a CStr>,
    database: Option<&'a CStr>,
    client_addr: Option<Inet>,
    at: Option<TimestampWithTimeZone>,
    ssl: Option<bool>,
    crls: Option<&'a [u8]>,
    replication: Option<bool>,
    on_file: Option<bool>,
    protocol_version: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

/// The words for protocol versions.
const PROTOCOL_VERSIONS: &str = "Pass TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3.";

impl<'a> Given<'a> {
    /// `None` if one is NULL that has to be given.
    fn login(&self) -> Result<Option<Login<'a>>> {
        let (Some(role), Some(at), Some(tls)) = (self.role, self.at, self.ssl) else {
            return Ok(None);
        };
        let (replication, database) = match (self.replication, self.database) {
            (Some(true), None) => (Replication::Physical, c""),
            (Some(true), Some(database)) => (Replication::Logical, database),
            (Some(false), Some(database)) => (Replication::No, database),
            (None, Some(database)) => (Replication::NotSaid, database),
            (Some(false) | None, None) => return Ok(None),
        };
        let certificates = self.certificate.map(parse_certificates_as_sent).transpose();
        let address = self
            .client_addr
            .as_ref()
            .map(|address| address.0.parse().map_err(|_| Error::NotOneAddress(address.0.clone())));
        let at = moment(at).ok_or(Error::MomentOutOfRange)?;
        let crls = match self.crls {
            Some(word) => Crls::from_word(word).ok_or_else(|| Error::UnknownWord {
                word: lossless(word).into_owned(),
                argument: "crls",
                words: "Pass as_they_are or as_if_renewed.",
            })?,
            // CRLs live for days, and who asks about the future asks about the certificate.
            None if at > time::now() => Crls::AsIfRenewed,
            None => Crls::AsTheyAre,
        };
        let protocol_version = self.protocol_version.map(|word| {
            let word = lossless(word);
            protocol::version(&word).map(|_| word.clone().into_owned()).ok_or_else(|| {
                Error::UnknownWord {
                    word: word.into_owned(),
                    argument: "protocol_version",
                    words: PROTOCOL_VERSIONS,
                }
            })
        });
        Ok(Some(Login {
            certificates: certificates.map_err(Error::argument(Form::Text))?.unwrap_or_default(),
            role,
            database,
            address: address.transpose()?,
            at,
            tls,
            protocol_version: protocol_version.transpose()?,
            host: self.host.map(|host| lossless(host).into_owned()),
            crls,
            replication,
            basis: Basis::on_file(self.on_file.unwrap_or_default()),
        }))
    }
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
    replication: Option<bool>,
    on_file: Option<bool>,
    protocol_version: Option<&[u8]>,
    host: Option<&[u8]>,
) -> Result<Rows, ErrorReport> {
    let given = Given {
        certificate,
        role,
        database,
        client_addr,
        at,
        ssl,
        crls,
        replication,
        on_file,
        protocol_version,
        host,
    };
    let Some(login) = given.login()? else { return Ok(Rows::none()) };
    let explanation = login.explain();
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
    replication: Option<bool>,
    on_file: Option<bool>,
    protocol_version: Option<&[u8]>,
    host: Option<&[u8]>,
) -> Result<Option<bool>, ErrorReport> {
    let given = Given {
        certificate,
        role,
        database,
        client_addr,
        at,
        ssl,
        crls,
        replication,
        on_file,
        protocol_version,
        host,
    };
    Ok(given.login()?.and_then(|login| login.explain().admitted()))
}

#[pg_extern(sql = false)]
fn pgtls_login_ends_at(
    certificate: Option<&[u8]>,
    role: Option<&CStr>,
    database: Option<&CStr>,
    client_addr: Option<Inet>,
) -> Result<Rows, ErrorReport> {
    let given = Given {
        certificate,
        role,
        database,
        client_addr,
        at: Some(time::transaction_start()),
        ssl: Some(true),
        crls: Some(b"as_if_renewed"),
        replication: Some(false),
        on_file: Some(false),
        protocol_version: None,
        host: None,
    };
    let Some(login) = given.login()? else { return Ok(Rows::none()) };
    Ok(std::iter::once(row(login.ends_at().columns())).collect())
}
