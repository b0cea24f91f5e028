//! The certificates of the server: its own, those that it sends along, and the CAs that it trusts.

use std::path::Path;

use pgtls_core::time::UnixTime;
use pgtls_core::verify::credential::{Standing, standing_by_dates};
use pgtls_core::verify::verdict::Link;
use pgtls_core::x509::bundle::parse_certificates;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::basis;
use crate::pg::datum::time;
use crate::pg::openssl::dry_run;
use crate::pg::server::tls_settings::TlsSettings;
use crate::pg::server::{files, guc};

/// What a certificate is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its own.
    Server,
    /// Sent along with it.
    ServerChain,
    /// A CA whose clients it trusts.
    Ca,
}

impl Role {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ServerChain => "server_chain",
            Self::Ca => "ca",
        }
    }
}

/// A certificate in force, on file, or both.
pub(crate) struct ServerCertificate {
    pub(crate) role: Role,
    /// `None` for a file that cannot be read.
    pub(crate) certificate: Option<Certificate>,
    /// What its dates say.
    pub(crate) standing: Standing,
    /// `None` if that is not known.
    pub(crate) in_force: Option<bool>,
    pub(crate) on_file: bool,
    /// Whether `ssl_key_file` has its key; `None` for other certificates than the server's own on
    /// file, and for a key that takes a passphrase.
    pub(crate) key_matches: Option<bool>,
    pub(crate) problem: Option<String>,
    pub(crate) file: Option<String>,
    /// Which one of the file, from 1.
    pub(crate) position: Option<usize>,
}

impl ServerCertificate {
    /// When it ends.
    pub(crate) fn ends_at(&self) -> Option<UnixTime> {
        self.certificate.as_ref().and_then(Certificate::not_after)
    }
}

/// All of them, those on file first, in the order of the files.
pub(crate) fn all() -> Vec<ServerCertificate> {
    let settings = TlsSettings::on_file();
    let in_force = basis::in_force().ok().flatten();
    let known = in_force.is_some();
    let (chain, authorities) = in_force
        .map(|in_force| (in_force.chain_der(), in_force.authorities_der()))
        .unwrap_or_default();
    let mut all = Vec::new();
    if settings.is_on() || known {
        let path = settings.path(c"ssl_cert_file").unwrap_or_default();
        all.extend(of_file(&path, [Role::Server, Role::ServerChain], &chain, known));
        if let Some(path) = settings.path(c"ssl_ca_file") {
            all.extend(of_file(&path, [Role::Ca, Role::Ca], &authorities, known));
        }
    }
    let own = all.iter_mut().find(|one| one.role == Role::Server);
    if let Some(own) = own
        && let Some(certificate) = &own.certificate
    {
        own.key_matches = dry_run::key_matches(&settings, certificate.as_der());
        if own.key_matches == Some(false) {
            own.problem = Some("ssl_key_file holds the key of another certificate".to_owned());
        }
    }
    for (roles, ders) in
        [([Role::Server, Role::ServerChain], chain), ([Role::Ca, Role::Ca], authorities)]
    {
        let others = in_force_only(roles, ders, &all);
        all.extend(others);
    }
    all
}

/// Those of a file: the first has the first role, all others the second.
fn of_file(
    path: &Path,
    roles: [Role; 2],
    in_force: &[Vec<u8>],
    known: bool,
) -> Vec<ServerCertificate> {
    let read = || {
        let content = files::open(path)?.read()?;
        parse_certificates(&content).map_err(|error| error.to_string())
    };
    let file = Some(path.display().to_string());
    match read() {
        Err(problem) => vec![ServerCertificate {
            role: roles[0],
            certificate: None,
            standing: Standing::Unknown,
            in_force: known.then_some(false),
            on_file: true,
            key_matches: None,
            problem: Some(problem),
            file,
            position: None,
        }],
        Ok(certificates) => certificates
            .into_iter()
            .enumerate()
            .map(|(index, certificate)| ServerCertificate {
                role: roles[index.min(1)],
                standing: standing(&certificate),
                in_force: known.then(|| in_force.iter().any(|der| der == certificate.as_der())),
                on_file: true,
                key_matches: None,
                problem: None,
                file: file.clone(),
                position: Some(index + 1),
                certificate: Some(certificate),
            })
            .collect(),
    }
}

/// Those in force that are in no file any more.
fn in_force_only(
    roles: [Role; 2],
    ders: Vec<Vec<u8>>,
    on_file: &[ServerCertificate],
) -> Vec<ServerCertificate> {
    let is_on_file = |der: &[u8]| {
        on_file.iter().filter(|one| roles.contains(&one.role)).any(|one| {
            one.certificate.as_ref().is_some_and(|certificate| certificate.as_der() == der)
        })
    };
    ders.into_iter()
        .enumerate()
        .filter(|(_, der)| !is_on_file(der))
        .filter_map(|(index, der)| {
            let certificate = Certificate::from_der(&der).ok()?;
            Some(ServerCertificate {
                role: roles[index.min(1)],
                standing: standing(&certificate),
                in_force: Some(true),
                on_file: false,
                key_matches: None,
                problem: None,
                file: None,
                position: None,
                certificate: Some(certificate),
            })
        })
        .collect()
}

fn standing(certificate: &Certificate) -> Standing {
    standing_by_dates(&Link::from(certificate), time::now(), guc::renewal_window())
}
