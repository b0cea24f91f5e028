//! What is in force against what is on file, setting by setting, by content and not by time.

use std::path::Path;
use std::rc::Rc;

use pgtls_core::login::{hba, ident};
use pgtls_core::x509::bundle::parse_certificates;

use crate::checks::access::{AuthFiles, Server};
use crate::checks::basis::{self, Basis};
use crate::checks::crl_file::lists_of;
use crate::pg::openssl::trust_store::TrustStore;
use crate::pg::recorder::in_force::InForce;
use crate::pg::recorder::same_files;
use crate::pg::server::tls_settings::{self, TlsSettings};
use crate::pg::server::{auth_files, files};

/// A setting in force and on file.
pub(crate) struct Item {
    /// The setting's name.
    pub(crate) name: String,
    /// Its value in force; `None` for an empty one, and where that is not known.
    pub(crate) value_in_force: Option<String>,
    /// Its value after a reload; `None` for an empty one.
    pub(crate) value_on_file: Option<String>,
    /// Whether a reload would change nothing of it, neither the value nor the content of the file
    /// that it names; `None` where that is not known.
    pub(crate) in_force: Option<bool>,
    /// When what is in force was loaded, in microseconds of the server's epoch.
    pub(crate) loaded_at: Option<i64>,
    /// When the file that it names last changed, in the same unit.
    pub(crate) changed_at: Option<i64>,
    /// What differs, or why the server could not load it.
    pub(crate) problem: Option<String>,
}

/// The settings that name files whose content counts.
const CERTIFICATE_FILE: &str = "ssl_cert_file";
const CA_FILE: &str = "ssl_ca_file";
const CRL_FILE: &str = "ssl_crl_file";
const HBA_FILE: &str = "hba_file";
const IDENT_FILE: &str = "ident_file";

impl Item {
    /// Whether it names a file that is read when the server loads its configuration, and never
    /// again.
    pub(crate) fn is_read_once(&self) -> bool {
        [CA_FILE, CRL_FILE, HBA_FILE, IDENT_FILE].contains(&&*self.name)
    }

    /// One of the files of rules and mappings, whose names cannot change while the server runs.
    fn of_rules(name: &str, file: String, in_force: Option<bool>, problem: Option<String>) -> Self {
        let differs = in_force == Some(false);
        let difference = || "holds other lines than those in force".to_owned();
        // Only where: the content of a line is not for everybody who may see this.
        let place = |problem: String| problem.split(": ").next().unwrap_or_default().to_owned();
        let refused = problem
            .map(|problem| format!("the server would not load it, because of {}", place(problem)));
        Self {
            name: name.to_owned(),
            value_in_force: Some(file.clone()),
            in_force,
            loaded_at: None,
            changed_at: files::last_change(Path::new(&file)),
            problem: refused.or_else(|| differs.then(difference)),
            value_on_file: Some(file),
        }
    }
}

/// All settings of TLS and authentication that have a value in force or on file.
pub(crate) fn all_items() -> Vec<Item> {
    let server = Server::new();
    items(&AuthFiles::of(Basis::OnFile, &server.around()), Trial::Always)
}

/// The same for somebody who wants to know what differs, where the files of rules and mappings have
/// been compared: where it is not known what is in force, no file is tried.
pub(crate) fn differences(auth: &AuthFiles) -> Vec<Item> {
    items(auth, Trial::WhereCompared)
}

/// When it is tried whether the server could load the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    Always,
    WhereCompared,
}

fn items(auth: &AuthFiles, trial: Trial) -> Vec<Item> {
    let mut items = tls_items(trial);
    let problems = match auth.basis {
        Basis::OnFile => (hba::problem(&auth.rules), ident::problem(&auth.mappings)),
        Basis::InForce => (None, None),
    };
    let (rules, mappings) = (auth.rules_in_force, auth.mappings_in_force);
    items.push(Item::of_rules(HBA_FILE, auth_files::hba_file(), rules, problems.0));
    items.push(Item::of_rules(IDENT_FILE, auth_files::ident_file(), mappings, problems.1));
    items
}

fn tls_items(trial: Trial) -> Vec<Item> {
    let on_file = TlsSettings::on_file();
    let in_force = basis::in_force();
    let (in_force, unknown) = match in_force {
        Ok(in_force) => (in_force, None),
        Err(why) => (None, Some(why)),
    };
    // What is loaded can be loaded.
    let are_loaded = in_force.as_ref().is_some_and(|it| are_in_force(it, &on_file));
    let is_tried = !are_loaded && (trial == Trial::Always || in_force.is_some());
    let refused = (on_file.is_on() && is_tried).then(|| TrustStore::load(&on_file).err()).flatten();
    let contents = in_force.as_ref().map(|in_force| Contents {
        in_force: in_force.clone(),
        on_file: &on_file,
        are_loaded,
    });
    let item = |name: &std::ffi::CStr| {
        let value_in_force = in_force.as_ref().and_then(|in_force| in_force.settings.text(name));
        let value_on_file = on_file.text(name);
        if value_in_force.is_none() && value_on_file.is_none() {
            return None;
        }
        let path = on_file.path(name).filter(|_| name.to_bytes().ends_with(b"_file"));
        let name = name.to_string_lossy().into_owned();
        let same_value = in_force.as_ref().map(|_| value_in_force == value_on_file);
        let difference = match (same_value, &contents) {
            (Some(true), Some(contents)) => contents.difference(&name, path.as_deref()),
            _ => None,
        };
        let refusal = refused.as_ref().filter(|why| {
            path.as_ref().is_some_and(|path| {
                [CA_FILE, CRL_FILE].contains(&&*name) && why.contains(&*path.display().to_string())
            })
        });
        Some(Item {
            in_force: same_value.map(|same| same && difference.is_none()),
            loaded_at: in_force.as_ref().and_then(|in_force| in_force.loaded_at),
            changed_at: path.as_deref().and_then(files::last_change),
            problem: refusal.cloned().or(difference).or_else(|| unknown.clone()),
            name,
            value_in_force,
            value_on_file,
        })
    };
    tls_settings::NAMES.iter().filter_map(|name| item(name)).collect()
}

/// In the process that publishes what is in force: finds out once for all whether the files of CAs
/// and CRLs hold just that.
pub(crate) fn publish_same_files() {
    let Ok(Some(in_force)) = basis::in_force() else { return };
    let settings = TlsSettings::current();
    let before = same_files::Files::of(&settings);
    let contents = Contents { in_force: in_force.clone(), on_file: &settings, are_loaded: false };
    let differs = |name: &std::ffi::CStr| {
        let path = settings.path(name);
        contents.difference(&name.to_string_lossy(), path.as_deref()).is_some()
    };
    let is_same =
        in_force.settings == settings && !differs(c"ssl_ca_file") && !differs(c"ssl_crl_file");
    // What changed while it was being read is not known to be the same.
    if is_same && before == same_files::Files::of(&settings) {
        same_files::publish(&before);
    }
}

/// Whether the files are known to hold what is in force, without a look into them.
pub(crate) fn files_are_in_force(in_force: &InForce) -> bool {
    are_in_force(in_force, &TlsSettings::on_file())
}

fn are_in_force(in_force: &InForce, on_file: &TlsSettings) -> bool {
    in_force.settings == *on_file && same_files::are(&same_files::Files::of(on_file))
}

/// The content of files, compared with what was loaded from them.
struct Contents<'a> {
    in_force: Rc<InForce>,
    on_file: &'a TlsSettings,
    /// Whether the files of CAs and CRLs are known to hold what is in force.
    are_loaded: bool,
}

impl Contents<'_> {
    /// What differs, as a clause; `None` if nothing does, or the content does not count.
    fn difference(&self, name: &str, path: Option<&Path>) -> Option<String> {
        let path = path?;
        match name {
            CERTIFICATE_FILE => self.certificate_file(path),
            CA_FILE | CRL_FILE if self.are_loaded => None,
            CA_FILE => self.ca_file(path),
            CRL_FILE => self.crl_file(path),
            _ => None,
        }
    }

    fn certificate_file(&self, path: &Path) -> Option<String> {
        let shown = self.in_force.chain_der();
        if shown.is_empty() {
            return None;
        }
        match certificates(path) {
            Ok(certificates) if certificates == shown => None,
            Ok(_) => Some("holds other certificates than the one in force".to_owned()),
            Err(why) => Some(why),
        }
    }

    fn ca_file(&self, path: &Path) -> Option<String> {
        let mut on_file = match certificates(path) {
            Ok(certificates) => certificates,
            Err(why) => return Some(why),
        };
        // OpenSSL trusts certificates wherever it takes CRLs from.
        let others = self.on_file.path(c"ssl_crl_file").map(|path| certificates(&path));
        on_file.extend(others.and_then(Result::ok).unwrap_or_default());
        let in_force = self.in_force.authorities_der();
        let added = on_file.iter().filter(|one| !in_force.contains(one)).count();
        let removed = in_force.iter().filter(|one| !on_file.contains(one)).count();
        match (added, removed) {
            (0, 0) => None,
            (added, removed) => Some(format!(
                "holds {added} certificates that are not in force, and lacks {removed} that are"
            )),
        }
    }

    fn crl_file(&self, path: &Path) -> Option<String> {
        let mut listed = lists_of(path, false);
        if let Some(ca_file) = self.on_file.path(c"ssl_ca_file") {
            listed.extend(lists_of(&ca_file, false).into_iter().filter(|one| one.crl.is_some()));
        }
        if let Some(problem) = listed.iter().find_map(|one| one.problem.clone()) {
            return Some(problem);
        }
        let on_file: Vec<&[u8]> =
            listed.iter().filter_map(|one| Some(one.crl.as_ref()?.signature())).collect();
        let in_force = self.in_force.crl_signatures();
        let added = on_file.iter().filter(|one| !in_force.iter().any(|known| known == *one));
        let removed = in_force.iter().filter(|one| !on_file.contains(&&***one));
        match (added.count(), removed.count()) {
            (0, 0) => None,
            (added, removed) => Some(format!(
                "holds {added} CRLs that are not in force, and lacks {removed} that are"
            )),
        }
    }
}

/// The certificates of a file in DER.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let content = files::open(path)?.read()?;
    let certificates = parse_certificates(&content).map_err(|error| error.to_string())?;
    Ok(certificates.iter().map(|one| one.as_der().to_vec()).collect())
}
