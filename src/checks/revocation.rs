//! Revocation: what do the CRLs say about a certificate, and what do they do to the clients of each CA?
//!
//! Two things are told apart everywhere: what this session's TLS context holds, and what the files that the settings name
//! hold now.

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

use crate::checks::crl_file::ListedCrl;
use crate::checks::session_certificate::client_chain;
use crate::checks::tls_files::{Crls, Usable, authorities};
use crate::error::{Error, Result};
use crate::pg::connection::port::Session;
use crate::pg::datum::time;
use crate::pg::openssl::probe;
use crate::pg::recorder::inventory;

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
    /// The answers as of the login: neither the chain nor the context nor that moment changes during a session.
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

/// A certificate, and its issuers as far as they are known: among the given ones and in the CA file.
pub(crate) fn of_certificate(leaf: &Certificate, others: &[Certificate]) -> Vec<Checked> {
    // OpenSSL looks for issuers among what it trusts first.
    let mut known = authorities().and_then(std::result::Result::ok).unwrap_or_default();
    known.extend_from_slice(others);
    let chain = chain_of(leaf, &known, time::now());
    let mut checked = by_files(&chain);
    // A chain that does not end at a root has no issuer for its last certificate, which must not pass for its own. The
    // server refuses such a chain before it looks at a CRL.
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
    let crls = Crls::read();
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

/// The answers by what can be used of the files. Where it is uncertain what that is, nothing can be said of a certificate
/// for which it makes a difference.
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

/// A CRL of the files, and what it is good for.
pub(crate) struct CrlState {
    pub(crate) listed: ListedCrl,
    /// `None` where the file holds no CRL that can be read.
    pub(crate) status: Option<coverage::ListStatus>,
    pub(crate) signature_valid: Option<bool>,
    /// Whether it is in force, as far as that is known.
    pub(crate) in_force: Option<bool>,
}

/// All CRLs of the configured files.
pub(crate) fn crls() -> Vec<CrlState> {
    let now = time::now();
    let mut authorities = authorities().and_then(std::result::Result::ok).unwrap_or_default();
    add_intermediates(&mut authorities);
    let session = Session::current();
    // Without TLS this session has no context to look into; with one that does not check there is no CRL in force.
    let signatures = session
        .as_ref()
        .and_then(Session::tls)
        .map(|tls| tls.crl_signatures_in_force().unwrap_or_default());
    let state = |listed: ListedCrl| {
        let judged = listed.crl.as_ref();
        let judged = judged.map(|crl| coverage::list_status(crl, &authorities, now, rules()));
        let in_force = in_force(&listed, signatures.as_deref());
        CrlState {
            status: judged.map(|(status, _)| status),
            signature_valid: judged.and_then(|(_, signature)| signature),
            in_force,
            listed,
        }
    };
    Crls::read().lists.into_iter().map(state).collect()
}

fn in_force(listed: &ListedCrl, signatures: Option<&[Vec<u8>]>) -> Option<bool> {
    if listed.is_uncertain {
        return None;
    }
    // The server reads the directory at each login.
    if listed.in_directory {
        return Some(listed.crl.is_some() && listed.problem.is_none());
    }
    let Some(crl) = &listed.crl else { return Some(false) };
    Some(signatures?.iter().any(|known| known == crl.signature()))
}

/// What the CRLs do to the clients of a CA.
pub(crate) struct CaCoverage {
    /// `None` if the CA file cannot be read.
    pub(crate) authority: Option<Certificate>,
    /// Whether its clients can be checked.
    pub(crate) crl_status: &'static str,
    /// Whether every client certificate that it issued is refused; `None` if that is not known.
    pub(crate) clients_refused: Option<bool>,
    /// What happens to the clients, as a clause.
    pub(crate) effect: String,
}

impl CaCoverage {
    fn unreadable(authority: Option<Certificate>, effect: String) -> Self {
        Self { authority, crl_status: "unreadable", clients_refused: None, effect }
    }
}

/// The coverage of every CA: of the files, and intermediate ones that clients have sent.
pub(crate) fn coverage() -> Vec<CaCoverage> {
    let mut authorities = match authorities() {
        None => return Vec::new(),
        Some(Ok(authorities)) => authorities,
        Some(Err(problem)) => return vec![CaCoverage::unreadable(None, problem)],
    };
    add_intermediates(&mut authorities);
    let crls = Crls::read();
    let usable = crls.usable();
    let set = usable.as_ref().map(|usable| &usable.certain);
    let covered = coverage::coverage(&authorities, set, time::now(), rules());
    authorities
        .iter()
        .zip(&covered)
        .filter(|(authority, _)| authority.is_ca() != Some(false))
        .map(|(authority, coverage)| {
            let own = Some(authority.clone());
            if !crls.is_loadable {
                let effect = "the server refuses to load ssl_crl_file as it is now, and goes on with what it has; it would not start";
                return CaCoverage::unreadable(own, effect.to_owned());
            }
            CaCoverage {
                authority: own,
                crl_status: coverage.status.as_str(),
                clients_refused: Some(coverage.refuses_all()),
                effect: coverage.effect(&authorities),
            }
        })
        .collect()
}

/// Adds the intermediate CAs that clients have sent, as far as they are known: the client of this session, and with
/// preloading those of the inventory. The server checks their CRLs, though it need not have their certificates.
fn add_intermediates(authorities: &mut Vec<Certificate>) {
    let own = client_chain().ok().flatten();
    let own = own.iter().flat_map(|chain| chain.entries()).map(|entry| entry.certificate.clone());
    let known = inventory::known().unwrap_or_default();
    let known =
        known.iter().flat_map(|known| certificates_from_openssl(&known.chain).unwrap_or_default());
    for certificate in own.chain(known) {
        let is_intermediate = certificate.is_ca() == Some(true) && !certificate.self_signed();
        if is_intermediate && !authorities.contains(&certificate) {
            authorities.push(certificate);
        }
    }
}
