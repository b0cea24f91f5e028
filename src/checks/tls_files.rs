//! What the files hold that the server's settings name, as they are now: `ssl_ca_file`,
//! `ssl_crl_file`, `ssl_crl_dir`.

use pgtls_core::verify::revocation::crl_set::CrlSet;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::crl_directory::{directories, hashed_name, lists_in};
use crate::checks::crl_file::{ListedCrl, certificates_of, lists_of};
use crate::pg::server::files;
use crate::pg::server::tls_settings::TlsSettings;

/// The revocation lists of the configured files.
pub(crate) struct Crls {
    /// Every list and every problem, in the order in which the server reads them.
    pub(crate) lists: Vec<ListedCrl>,
    /// Whether a file or a directory is configured; if not, the server does not check revocation.
    pub(crate) is_configured: bool,
    /// Whether the server would load `ssl_crl_file` as it is now. If not, a reload is refused, and
    /// so is a start.
    pub(crate) is_loadable: bool,
}

impl Crls {
    /// Reads the files that the settings name.
    pub(crate) fn read(settings: &TlsSettings) -> Self {
        let file = settings.path(c"ssl_crl_file");
        let directory = settings.text(c"ssl_crl_dir");
        let mut lists = file.iter().flat_map(|file| lists_of(file, false)).collect::<Vec<_>>();
        let is_loadable = lists.iter().all(|list| list.problem.is_none());
        if let Some(file) = file.as_ref().filter(|_| lists.is_empty()) {
            let problem = "holds certificates and no revocation list".to_owned();
            lists.push(ListedCrl::problem(file, false, problem));
        }
        let is_configured = file.is_some() || directory.is_some();
        if let Some(file) = settings.path(c"ssl_ca_file").filter(|_| is_configured) {
            // OpenSSL takes lists from the CA file too, if it has any.
            let found = lists_of(&file, false).into_iter().filter(|list| list.crl.is_some());
            lists.extend(found);
        }
        for directory in directories(directory.as_deref()) {
            lists.extend(lists_in(directory));
        }
        Self { lists, is_configured, is_loadable }
    }

    /// The lists that the server can use, as a set to judge by; `None` if it does not check
    /// revocation.
    pub(crate) fn usable(&self) -> Option<Usable> {
        let set = |is_usable: fn(&ListedCrl) -> bool| {
            let mut set = CrlSet::new();
            for list in self.lists.iter().filter(|list| is_usable(list)) {
                if let Some(crl) = &list.crl {
                    set.push(crl.clone(), list.file.display().to_string());
                }
            }
            set
        };
        let is_uncertain = self.lists.iter().any(|list| list.is_uncertain);
        self.is_configured.then(|| Usable {
            certain: set(|list| list.problem.is_none()),
            all: is_uncertain.then(|| set(|list| list.problem.is_none() || list.is_uncertain)),
        })
    }
}

/// The lists that the server can use.
pub(crate) struct Usable {
    /// Those that are used in any case.
    pub(crate) certain: CrlSet,
    /// With those that may be used, if there are any.
    pub(crate) all: Option<CrlSet>,
}

/// The certificates that the server trusts, or why `ssl_ca_file` cannot be read; `None` if none is
/// configured.
///
/// OpenSSL takes certificates from wherever it takes lists, and trusts them as those of the CA
/// file.
pub(crate) fn authorities(settings: &TlsSettings) -> Option<Result<Vec<Certificate>, String>> {
    let path = settings.path(c"ssl_ca_file")?;
    let read = || {
        let content = files::open(&path)?.read()?;
        pgtls_core::x509::bundle::parse_certificates(&content).map_err(|error| error.to_string())
    };
    let authorities = match read() {
        Ok(authorities) => authorities,
        Err(problem) => return Some(Err(format!("{}: {problem}", path.display()))),
    };
    let mut others = Vec::new();
    let crl_file = settings.path(c"ssl_crl_file");
    others.extend(crl_file.iter().flat_map(|file| certificates_of(file)));
    let directory = settings.text(c"ssl_crl_dir");
    for directory in directories(directory.as_deref()) {
        let paths = files::list(directory).map(|(paths, _)| paths).unwrap_or_default();
        let hashed = paths.iter().filter(|path| hashed_name(path, ".").is_some());
        others.extend(hashed.flat_map(|path| certificates_of(path)));
    }
    // The same certificate may be there more than once.
    let mut distinct: Vec<Certificate> = Vec::new();
    for certificate in authorities.into_iter().chain(others) {
        if !distinct.contains(&certificate) {
            distinct.push(certificate);
        }
    }
    Some(Ok(distinct))
}
