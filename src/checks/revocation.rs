//! Revocation: what do the CRLs say about a certificate, and what do they do to the clients of each
//! CA?
//!
//! Three things are told apart: what this session's TLS context holds, what is in force for new
//! logins, and what the files that the settings name hold now.

use std::cell::OnceCell;
use std::rc::Rc;

use pgtls_core::crl::Crl;
use pgtls_core::time::UnixTime;
use pgtls_core::verify::revocation::behaviour::Rules;
use pgtls_core::verify::revocation::coverage::{self, chain_of};
use pgtls_core::verify::revocation::crl_set::CrlSet;
use pgtls_core::verify::revocation::status::{CertificateStatus, Status, WhyUnknown};
use pgtls_core::verify::revocation::statuses;
use pgtls_core::x509::bundle::certificates_from_openssl;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::basis;
use crate::checks::crl_directory::{directories, lists_in};
use crate::checks::crl_file::ListedCrl;
use crate::checks::session_certificate::client_chain;
use crate::checks::tls_files::{Crls, Usable, authorities};
use crate::error::{Error, Result};
use crate::pg::connection::port::Session;
use crate::pg::datum::time;
use crate::pg::openssl::probe;
use crate::pg::recorder::in_force::InForce;
use crate::pg::recorder::inventory;
use crate::pg::server::tls_settings::TlsSettings;

/// Where the CRLs of a session's context are said to be from: OpenSSL does not remember the files.
const CONTEXT: &str = "server context";

/// What the CRLs say about one certificate of a chain.
#[derive(Clone)]
pub(crate) struct Checked {
    /// By which CRLs.
    pub(crate) by: By,
    /// Its place in the chain: 0 is the client's own.
    pub(crate) depth: i64,
    pub(crate) certificate: Certificate,
    pub(crate) answer: Answer,
    /// The CRL that decided, or the best one that cannot be used.
    pub(crate) crl: Option<Crl>,
    /// Where that is from, or the file that cannot be read.
    pub(crate) source: Option<String>,
    /// Why there is no better answer, as a clause.
    pub(crate) detail: Option<String>,
}

/// By which CRLs a certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Those of the context that this session was made with.
    Login,
    /// Those of the files as they are now.
    File,
}

impl By {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::File => "file",
        }
    }
}

/// What is known of a certificate's revocation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// What the CRLs say.
    Status(Status),
    /// The server does not check.
    NotChecked,
    /// The server would not load the files.
    Unreadable,
}

impl Answer {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::NotChecked => Status::NotChecked.as_str(),
            Self::Unreadable => "unreadable",
        }
    }
}

/// What OpenSSL does where its versions differ: the one that runs is asked.
pub(crate) fn rules() -> Rules {
    probe::behaviour()
}

thread_local! {
    /// The answers as of the login: neither the chain nor the context nor that moment changes
    /// during a session.
    static AT_LOGIN: OnceCell<Rc<Vec<Checked>>> = const { OnceCell::new() };
}

/// The chain of this session's client, by the context that it was made with and then by the files.
pub(crate) fn of_session() -> Result<Vec<Checked>> {
    let Some(chain) = client_chain()? else { return Ok(Vec::new()) };
    let chain: Vec<Certificate> =
        chain.entries().iter().map(|entry| entry.certificate.clone()).collect();
    let mut checked = at_login(&chain)?.to_vec();
    checked.extend(by_files(&chain));
    Ok(checked)
}

/// A certificate, and its issuers as far as they are known: among the given ones and in the CA
/// file.
pub(crate) fn of_certificate(leaf: &Certificate, others: &[Certificate]) -> Vec<Checked> {
    // OpenSSL looks for issuers among what it trusts first.
    let mut known =
        authorities(&TlsSettings::on_file()).and_then(std::result::Result::ok).unwrap_or_default();
    known.extend_from_slice(others);
    let chain = chain_of(leaf, &known, time::now());
    let mut checked = by_files(&chain);
    // A chain that does not end at a root has no issuer for its last certificate, which must not
    // pass for its own. The server refuses such a chain before it looks at a CRL.
    if let (Some(last), Some(top)) = (chain.last(), checked.last_mut())
        && !last.subject().matches(last.issuer())
        && matches!(top.answer, Answer::Status(_))
    {
        *top = issuer_unknown(top);
    }
    checked
}

fn issuer_unknown(checked: &Checked) -> Checked {
    let why = WhyUnknown::IssuerUnknown;
    let detail = format!(
        "{why}: \"{}\" is neither in ssl_ca_file nor among the given certificates",
        checked.certificate.issuer().oneline()
    );
    let answer = Answer::Status(Status::Unknown(why));
    Checked {
        detail: Some(detail),
        ..plain(checked.by, checked.depth, &checked.certificate, answer)
    }
}

/// What the context of this session said of the chain when the client logged in.
fn at_login(chain: &[Certificate]) -> Result<Rc<Vec<Checked>>> {
    if let Some(known) = AT_LOGIN.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let session = Session::current();
    let crls = session.as_ref().and_then(Session::tls).and_then(|tls| tls.crls_in_force());
    let set = crls
        .map(|crls| {
            let mut set = CrlSet::new();
            for crl in crls {
                set.push(Crl::from_der(crl).map_err(Error::SessionCrl)?, CONTEXT);
            }
            Ok(set)
        })
        .transpose()?;
    let checked = Rc::new(check(By::Login, chain, set.as_ref(), time::session_start()));
    Ok(AT_LOGIN.with(|cell| cell.get_or_init(|| checked).clone()))
}

/// What the configured files say of the chain now.
fn by_files(chain: &[Certificate]) -> Vec<Checked> {
    let crls = Crls::read(&TlsSettings::on_file());
    if crls.is_loadable {
        return by_usable(chain, crls.usable().as_ref());
    }
    let unreadable = crls.lists.iter().find(|list| list.problem.is_some() && !list.in_directory);
    let entry = |(depth, certificate): (i64, &Certificate)| Checked {
        source: unreadable.map(|list| list.file.display().to_string()),
        detail: unreadable.and_then(|list| list.problem.clone()),
        ..plain(By::File, depth, certificate, Answer::Unreadable)
    };
    (0..).zip(chain).map(entry).collect()
}

/// The answers by what can be used of the files. Where it is uncertain what that is, nothing can be
/// said of a certificate for which it makes a difference.
fn by_usable(chain: &[Certificate], usable: Option<&Usable>) -> Vec<Checked> {
    let now = time::now();
    let certain = check(By::File, chain, usable.map(|usable| &usable.certain), now);
    let Some(all) = usable.and_then(|usable| usable.all.as_ref()) else { return certain };
    let all = check(By::File, chain, Some(all), now);
    let decide = |(certain, all): (Checked, Checked)| {
        if certain.answer.as_str() == all.answer.as_str() {
            return certain;
        }
        let unsupported = Answer::Status(Status::Unknown(WhyUnknown::DependsOnVersion));
        let detail = "it depends on a file whose use by OpenSSL is not certain".to_owned();
        Checked {
            detail: Some(detail),
            ..plain(By::File, certain.depth, &certain.certificate, unsupported)
        }
    };
    certain.into_iter().zip(all).map(decide).collect()
}

/// The answer for each certificate of the chain; without a set, revocation is not checked.
fn check(by: By, chain: &[Certificate], set: Option<&CrlSet>, at: UnixTime) -> Vec<Checked> {
    let Some(set) = set else {
        let entry = |(depth, one)| plain(by, depth, one, Answer::NotChecked);
        return (0..).zip(chain).map(entry).collect();
    };
    let entry = |((depth, one), status): ((i64, &Certificate), &CertificateStatus<'_>)| Checked {
        crl: status.list.map(|list| list.crl.clone()),
        source: status.list.map(|list| list.source.to_string()),
        detail: detail(status),
        ..plain(by, depth, one, Answer::Status(status.status))
    };
    (0..).zip(chain).zip(&statuses(chain, set, at, rules())).map(entry).collect()
}

fn plain(by: By, depth: i64, certificate: &Certificate, answer: Answer) -> Checked {
    let certificate = certificate.clone();
    Checked { by, depth, certificate, answer, crl: None, source: None, detail: None }
}

/// Why the CRLs cannot tell; for a CRL that is missing, why those of the same issuer are none.
fn detail(status: &CertificateStatus<'_>) -> Option<String> {
    let Status::Unknown(why) = status.status else { return None };
    let passed_over = status.passed_over.iter();
    let passed_over: Vec<String> = passed_over
        .map(|one| format!("that of \"{}\" is not used, because {}", one.list.source, one.why))
        .collect();
    if passed_over.is_empty() {
        return Some(why.to_string());
    }
    Some(format!("{why}: {}", passed_over.join("; ")))
}

/// A CRL of the files or in force, and what it is good for.
pub(crate) struct CrlState {
    pub(crate) listed: ListedCrl,
    /// `None` where the file holds no CRL that can be read.
    pub(crate) status: Option<coverage::ListStatus>,
    pub(crate) signature_valid: Option<bool>,
    /// Whether new logins are judged by it; `None` where that is not known.
    pub(crate) in_force: Option<bool>,
    /// Whether it is in a file, so that they will be after a reload.
    pub(crate) on_file: bool,
}

/// All CRLs of the configured files, and those that are in force and in no file any more.
pub(crate) fn crls() -> Vec<CrlState> {
    let now = time::now();
    let settings = TlsSettings::on_file();
    let mut authorities =
        authorities(&settings).and_then(std::result::Result::ok).unwrap_or_default();
    add_intermediates(&mut authorities);
    let known = Known::now();
    let state = |(listed, on_file): (ListedCrl, bool)| {
        let judged = listed.crl.as_ref();
        let judged = judged.map(|crl| coverage::list_status(crl, &authorities, now, rules()));
        let in_force = known.is_in_force(&listed, &settings).filter(|_| !listed.is_uncertain);
        CrlState {
            status: judged.map(|(status, _)| status),
            signature_valid: judged.and_then(|(_, signature)| signature),
            in_force,
            on_file,
            listed,
        }
    };
    let on_file = Crls::read(&settings).lists;
    let only_in_force = known.others(&on_file);
    let on_file = on_file.into_iter().map(|listed| (listed, true));
    on_file.chain(only_in_force.into_iter().map(|listed| (listed, false))).map(state).collect()
}

/// What is known of the CRLs in force.
enum Known {
    /// All of it.
    InForce(Rc<InForce>),
    /// Without preloading: the signatures of those in the context of this session; `None` if it has
    /// none.
    Context(Option<Vec<Vec<u8>>>),
}

impl Known {
    fn now() -> Self {
        match basis::in_force() {
            Ok(Some(in_force)) => Self::InForce(in_force),
            Err(_) => Self::Context(None),
            Ok(None) => {
                let session = Session::current();
                // A context that does not check has no CRL in force.
                let signatures = session
                    .as_ref()
                    .and_then(Session::tls)
                    .map(|tls| tls.crl_signatures_in_force().unwrap_or_default());
                Self::Context(signatures)
            }
        }
    }

    fn is_in_force(&self, listed: &ListedCrl, on_file: &TlsSettings) -> Option<bool> {
        // The server reads the directory at each login.
        if listed.in_directory {
            let is_looked_into = match self {
                Self::InForce(in_force) => {
                    in_force.checks_crls
                        && in_force.settings.get(c"ssl_crl_dir") == on_file.get(c"ssl_crl_dir")
                }
                Self::Context(_) => true,
            };
            return Some(is_looked_into && listed.crl.is_some() && listed.problem.is_none());
        }
        let Some(crl) = &listed.crl else { return Some(false) };
        let is_known = |signatures: &[Vec<u8>]| signatures.iter().any(|it| it == crl.signature());
        match self {
            Self::InForce(in_force) => {
                Some(in_force.checks_crls && is_known(&in_force.crl_signatures()))
            }
            Self::Context(signatures) => signatures.as_deref().map(is_known),
        }
    }

    /// The CRLs in force that are in none of the files.
    fn others(&self, on_file: &[ListedCrl]) -> Vec<ListedCrl> {
        let Self::InForce(in_force) = self else { return Vec::new() };
        if !in_force.checks_crls {
            return Vec::new();
        }
        let on_file: Vec<&[u8]> = on_file
            .iter()
            .filter(|listed| !listed.in_directory)
            .filter_map(|listed| Some(listed.crl.as_ref()?.signature()))
            .collect();
        let others = in_force.crls_der(|signature| !on_file.contains(&signature));
        others
            .into_iter()
            .filter_map(|der| Crl::from_der(der).ok())
            .map(ListedCrl::in_force_only)
            .collect()
    }
}

/// What the CRLs do to the clients of a CA.
#[derive(Clone)]
pub(crate) struct CaCoverage {
    /// `None` if the CA file cannot be read.
    pub(crate) authority: Option<Certificate>,
    /// By what is in force.
    pub(crate) in_force: Covered,
    /// By the files, as after a reload.
    pub(crate) on_file: Covered,
}

/// Whether the clients of a CA can be checked, and what happens to them.
#[derive(Clone)]
pub(crate) struct Covered {
    pub(crate) crl_status: &'static str,
    /// Whether every client certificate that it issued is refused; `None` if that is not known.
    pub(crate) clients_refused: Option<bool>,
    /// What happens to the clients, as a clause.
    pub(crate) effect: String,
}

impl Covered {
    fn unreadable(effect: String) -> Self {
        Self { crl_status: "unreadable", clients_refused: None, effect }
    }

    /// What is said of a CA that the server does not trust by this configuration.
    fn untrusted() -> Self {
        let effect = "the CA is not trusted".to_owned();
        Self { crl_status: "untrusted", clients_refused: Some(true), effect }
    }

    fn unknown(why: String) -> Self {
        Self { crl_status: "unknown", clients_refused: None, effect: why }
    }
}

/// The coverage of every CA: of what is in force, of the files, and intermediate ones that clients
/// have sent.
pub(crate) fn coverage() -> Vec<CaCoverage> {
    let on_file = coverage_on_file();
    let in_force = match basis::in_force() {
        Ok(Some(in_force)) => coverage_in_force(&in_force),
        Ok(None) => on_file.clone(),
        Err(why) => {
            let unknown = |(authority, _)| (authority, Covered::unknown(why.clone()));
            on_file.clone().into_iter().map(unknown).collect()
        }
    };
    let of = |covered: &[(Option<Certificate>, Covered)], authority: &Option<Certificate>| {
        let found = covered.iter().find(|(known, _)| known == authority);
        // Without any CA that can be read, the one row says so for all.
        let found = found.or_else(|| covered.iter().find(|(known, _)| known.is_none()));
        found.map_or_else(Covered::untrusted, |(_, covered)| covered.clone())
    };
    let mut authorities: Vec<Option<Certificate>> = Vec::new();
    for (authority, _) in in_force.iter().chain(&on_file) {
        if !authorities.contains(authority) {
            authorities.push(authority.clone());
        }
    }
    if authorities.len() > 1 {
        authorities.retain(Option::is_some);
    }
    let row = |authority| CaCoverage {
        in_force: of(&in_force, &authority),
        on_file: of(&on_file, &authority),
        authority,
    };
    authorities.into_iter().map(row).collect()
}

/// By the files.
fn coverage_on_file() -> Vec<(Option<Certificate>, Covered)> {
    let settings = TlsSettings::on_file();
    let authorities = match authorities(&settings) {
        None => return Vec::new(),
        Some(Ok(authorities)) => authorities,
        Some(Err(problem)) => return vec![(None, Covered::unreadable(problem))],
    };
    let crls = Crls::read(&settings);
    let usable = crls.usable();
    let set = usable.as_ref().map(|usable| &usable.certain);
    let mut covered = covered(authorities, set);
    if !crls.is_loadable {
        let effect = "the server refuses to load ssl_crl_file as it is now, and goes on with what it has; it would not start";
        for (_, covered) in &mut covered {
            *covered = Covered::unreadable(effect.to_owned());
        }
    }
    covered
}

/// By what is in force.
fn coverage_in_force(in_force: &InForce) -> Vec<(Option<Certificate>, Covered)> {
    let authorities = in_force.authorities_der();
    let authorities = authorities.iter().filter_map(|der| Certificate::from_der(der).ok());
    let mut set = in_force.checks_crls.then(CrlSet::new);
    if let Some(set) = &mut set {
        for der in in_force.crls_der(|_| true) {
            if let Ok(crl) = Crl::from_der(der) {
                set.push(crl, CONTEXT);
            }
        }
        // The server looks into the directory at each login.
        let directory = in_force.settings.text(c"ssl_crl_dir");
        for listed in directories(directory.as_deref()).flat_map(lists_in) {
            if let Some(crl) = listed.crl.filter(|_| listed.problem.is_none()) {
                set.push(crl, listed.file.display().to_string());
            }
        }
    }
    covered(authorities.collect(), set.as_ref())
}

/// What a set of CRLs does to the clients of these CAs and of the intermediate ones that clients
/// have sent.
fn covered(
    mut authorities: Vec<Certificate>,
    set: Option<&CrlSet>,
) -> Vec<(Option<Certificate>, Covered)> {
    add_intermediates(&mut authorities);
    let covered = coverage::coverage(&authorities, set, time::now(), rules());
    let rows = authorities.iter().zip(&covered);
    rows.filter(|(authority, _)| authority.is_ca() != Some(false))
        .map(|(authority, coverage)| {
            let covered = Covered {
                crl_status: coverage.status.as_str(),
                clients_refused: Some(coverage.refuses_all()),
                effect: coverage.effect(&authorities),
            };
            (Some(authority.clone()), covered)
        })
        .collect()
}

/// Adds the intermediate CAs that clients have sent, as far as they are known: the client of this
/// session, and with preloading those of the inventory. The server checks their CRLs, though it
/// need not have their certificates.
fn add_intermediates(authorities: &mut Vec<Certificate>) {
    let own = client_chain().ok().flatten();
    let own = own.iter().flat_map(|chain| chain.entries()).map(|entry| entry.certificate.clone());
    let known = inventory::known().into_iter().flatten();
    let known = known.flat_map(|known| certificates_from_openssl(&known.chain).unwrap_or_default());
    for certificate in own.chain(known) {
        let is_intermediate = certificate.is_ca() == Some(true) && !certificate.self_signed();
        if is_intermediate && !authorities.contains(&certificate) {
            authorities.push(certificate);
        }
    }
}
