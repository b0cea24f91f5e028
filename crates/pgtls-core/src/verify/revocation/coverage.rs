//! What revocation lists mean apart from a certificate: the state of a list, and what it does to
//! the clients of an authority.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;

use super::behaviour::{DeltaLists, EmptyScopes, Rules};
use super::crl_set::CrlSet;
use super::status::{CertificateStatus, Status, WhyUnknown};
use super::{Authority, Question, Subject, above, check_time, has_empty_scope, unsupported_kind};
use crate::crl::Crl;
use crate::limits;
use crate::time::UnixTime;
use crate::work;
use crate::x509::certificate::Certificate;

/// State of a list, apart from any certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListStatus {
    /// OpenSSL can use it now.
    Current,
    /// Its nextUpdate has come.
    Stale,
    /// Its thisUpdate has not come yet.
    NotYetValid,
    /// A date of it does not have the form that RFC 5280 asks for.
    MalformedDate,
    /// None of the authorities with its issuer's name signed it.
    BadSignature,
    /// None of the authorities has its issuer's name, and the key identifier it asks for.
    UnknownIssuer,
    /// A kind of list that the server does not use: delta, indirect, for some reasons only, with a
    /// scope that is empty or contradicts itself, or with a critical extension that OpenSSL does
    /// not process.
    Unsupported,
}

impl ListStatus {
    /// The word that SQL shows: `current`, `stale`, `not_yet_valid`, `malformed_date`,
    /// `bad_signature`, `unknown_issuer` or `unsupported`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Stale => "stale",
            Self::NotYetValid => "not_yet_valid",
            Self::MalformedDate => "malformed_date",
            Self::BadSignature => "bad_signature",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Unsupported => "unsupported",
        }
    }

    fn of_time(time: Result<(), WhyUnknown>) -> Self {
        match time {
            Ok(()) => Self::Current,
            Err(WhyUnknown::Expired) => Self::Stale,
            Err(WhyUnknown::NotYetValid) => Self::NotYetValid,
            Err(_) => Self::MalformedDate,
        }
    }
}

/// State of a list at `now`, and whether its signature is good; that is `None` if no authority may
/// have signed it.
///
/// A wrong signature comes first, then what kind of list it is, then its time, then that its issuer
/// is not known: clients may send the certificate of the issuer, so the list counts all the same.
pub fn list_status<C: Borrow<Certificate>>(
    crl: &Crl,
    authorities: &[C],
    now: UnixTime,
    rules: Rules,
) -> (ListStatus, Option<bool>) {
    let mut signature = None;
    for authority in authorities.iter().map(|c| Authority::of(c.borrow())) {
        work::between();
        if signature != Some(true) && authority.may_have_signed(crl) {
            let key = authority.certificate.public_key_der();
            signature = Some(crl.check_signature(key).is_good());
        }
    }
    let known = signature.is_some();
    let status = match signature {
        Some(false) => ListStatus::BadSignature,
        _ if is_unsupported(crl, rules) => ListStatus::Unsupported,
        _ => match ListStatus::of_time(check_time(crl, now)) {
            ListStatus::Current if !known => ListStatus::UnknownIssuer,
            status => status,
        },
    };
    (status, signature)
}

fn is_unsupported(crl: &Crl, rules: Rules) -> bool {
    unsupported_kind(crl).is_some()
        || crl.is_delta() && rules.delta_lists != Some(DeltaLists::TakenForComplete)
        || crl.unhandled_critical().is_some()
        || has_empty_scope(crl) && rules.empty_scopes != Some(EmptyScopes::Accepted)
}

/// Whether client certificates of an authority can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CoverageStatus {
    /// A list can tell about each of them.
    Covered,
    /// The list's nextUpdate has come.
    Stale,
    /// The list's thisUpdate has not come yet.
    NotYetValid,
    /// There is no list.
    Missing,
    /// The authority did not sign the list, or may not.
    BadSignature,
    /// The list is only about some of them: those with a certain distribution point, or none.
    OutOfScope,
    /// The list is of a kind that OpenSSL does not use, or has a date that it cannot use.
    Unsupported,
    /// There are no lists, so the server does not check.
    NotChecked,
}

impl CoverageStatus {
    /// The word that SQL shows: `covered`, `stale`, `not_yet_valid`, `missing`, `bad_signature`,
    /// `out_of_scope`, `unsupported` or `not_checked`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::Stale => "stale",
            Self::NotYetValid => "not_yet_valid",
            Self::Missing => "missing",
            Self::BadSignature => "bad_signature",
            Self::OutOfScope => "out_of_scope",
            Self::Unsupported => "unsupported",
            Self::NotChecked => "not_checked",
        }
    }

    fn of(status: Status) -> Self {
        let Status::Unknown(why) = status else { return Self::Covered };
        match why {
            WhyUnknown::Expired => Self::Stale,
            WhyUnknown::NotYetValid => Self::NotYetValid,
            WhyUnknown::CrlMissing | WhyUnknown::IssuerUnknown => Self::Missing,
            WhyUnknown::OutOfScope => Self::OutOfScope,
            WhyUnknown::BadSignature | WhyUnknown::NoCrlSign | WhyUnknown::IssuerKeyUnreadable => {
                Self::BadSignature
            }
            WhyUnknown::MalformedThisUpdate
            | WhyUnknown::MalformedNextUpdate
            | WhyUnknown::UnhandledCritical
            | WhyUnknown::DependsOnVersion => Self::Unsupported,
        }
    }
}

/// What the lists mean for the client certificates of one authority.
#[derive(Debug, Clone)]
pub struct Coverage<'a> {
    /// Whether its client certificates can be checked.
    pub status: CoverageStatus,
    /// The verdict about a client certificate of this authority that is not revoked and has no
    /// distribution points. `None` if the server does not check.
    pub clients: Option<CertificateStatus<'a>>,
    /// The first on the way from this authority up to its root that is not good itself, as its
    /// position among the authorities, and the verdict. It is there that its clients fail if
    /// `clients` is good.
    pub refused_above: Option<(usize, CertificateStatus<'a>)>,
    /// Whether the way up ends in a self-signed certificate. If not, clients fail for that reason.
    pub is_anchored: bool,
    /// The topmost on the way up whose validity period does not include `now`, as its position
    /// among the authorities. OpenSSL checks the dates from the root down, after everything about
    /// CRLs.
    pub outside_dates: Option<(usize, OutsideDates)>,
}

/// On which side of its validity period a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutsideDates {
    /// Before it.
    NotYetValid,
    /// After it.
    Expired,
}

impl OutsideDates {
    /// `None` inside the period; also where a date is malformed, with which OpenSSL refuses the
    /// certificate anyway.
    fn of(certificate: &Certificate, now: UnixTime) -> Option<Self> {
        match (certificate.not_before(), certificate.not_after()) {
            (_, Some(end)) if end < now => Some(Self::Expired),
            (Some(start), _) if start > now => Some(Self::NotYetValid),
            _ => None,
        }
    }
}

/// A predicate, such as `has expired`.
impl fmt::Display for OutsideDates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYetValid => "is not yet valid",
            Self::Expired => "has expired",
        })
    }
}

impl Coverage<'_> {
    /// Whether every client certificate of this authority is refused, whatever it is.
    pub fn refuses_all(&self) -> bool {
        !self.is_anchored
            || self.refused_above.is_some()
            || self.outside_dates.is_some()
            || self.clients.as_ref().is_some_and(|clients| match clients.status {
                Status::Good | Status::NotChecked | Status::Revoked { .. } => false,
                // Those with the right distribution point may pass.
                Status::Unknown(WhyUnknown::OutOfScope) => false,
                Status::Unknown(_) => true,
            })
    }

    /// What the configuration does to the client certificates of this authority, as a clause.
    /// `authorities` are those that [`coverage`] was asked about.
    pub fn effect<C: Borrow<Certificate>>(&self, authorities: &[C]) -> String {
        const ALL_REFUSED: &str = "every client certificate issued by this CA is refused at login";
        let name = |position: usize| {
            let authority: Option<&Certificate> = authorities.get(position).map(Borrow::borrow);
            authority.map_or("", |authority| authority.subject().oneline())
        };
        if !self.is_anchored {
            return format!("{ALL_REFUSED}: its own issuer is not in ssl_ca_file");
        }
        if let Some((above, verdict)) = &self.refused_above {
            return format!("{ALL_REFUSED}: {} is {}", name(*above), in_words(verdict.status));
        }
        let clients = self.clients.as_ref();
        if let Some(clients) = clients
            && !clients.status.is_good()
            && self.status != CoverageStatus::OutOfScope
        {
            return format!("{ALL_REFUSED}: their status is {}", in_words(clients.status));
        }
        if let Some((position, side)) = self.outside_dates {
            return format!("{ALL_REFUSED}: {} {side}", name(position));
        }
        let Some(clients) = clients else {
            return "revocation is not checked: neither ssl_crl_file nor ssl_crl_dir is set"
                .to_owned();
        };
        if self.status == CoverageStatus::OutOfScope {
            return "client certificates issued by this CA are refused at login, unless they name the distribution point of its CRL"
                .to_owned();
        }
        let revoked = clients.list.map_or(0, |list| list.crl.revoked_count());
        format!("client certificates issued by this CA are checked against {revoked} revoked ones")
    }
}

/// A status in a sentence.
fn in_words(status: Status) -> &'static str {
    match status {
        Status::Good | Status::NotChecked => "good",
        Status::Revoked { .. } => "revoked",
        Status::Unknown(why) => match why {
            WhyUnknown::CrlMissing => "unknown, because the CRL is missing",
            WhyUnknown::IssuerUnknown => "unknown, because its issuer is not known",
            WhyUnknown::Expired => "unknown, because the CRL has expired",
            WhyUnknown::NotYetValid => "unknown, because the CRL is not yet valid",
            WhyUnknown::BadSignature => "unknown, because the signature of the CRL is wrong",
            WhyUnknown::OutOfScope => "unknown, because the CRL is about other certificates",
            WhyUnknown::NoCrlSign => "unknown, because the CA may not sign CRLs",
            WhyUnknown::MalformedThisUpdate | WhyUnknown::MalformedNextUpdate => {
                "unknown, because the CRL has a malformed date"
            }
            WhyUnknown::IssuerKeyUnreadable => "unknown, because the key of the CA cannot be read",
            WhyUnknown::UnhandledCritical | WhyUnknown::DependsOnVersion => {
                "unknown, because the CRL is of a kind that the server does not support"
            }
        },
    }
}

/// What the lists mean for the clients of each authority at `now`; `crls` is `None` if the server
/// has no list configured.
pub fn coverage<'a, C: Borrow<Certificate>>(
    authorities: &[C],
    crls: Option<&'a CrlSet>,
    now: UnixTime,
    rules: Rules,
) -> Vec<Coverage<'a>> {
    let known: Vec<_> = authorities.iter().map(|c| Authority::of(c.borrow())).collect();
    let by_subject = by_subject(&known);
    let cover = |position: usize| {
        let (path, is_anchored) = path(&known, &by_subject, position, now);
        let side = |at: &usize| OutsideDates::of(known.get(*at)?.certificate, now);
        let outside_dates = path.iter().rev().find_map(|at| Some((*at, side(at)?)));
        let Some(crls) = crls else {
            let status = CoverageStatus::NotChecked;
            return Coverage {
                status,
                clients: None,
                refused_above: None,
                is_anchored,
                outside_dates,
            };
        };
        let chain: Vec<_> = path.iter().filter_map(|position| known.get(*position)).collect();
        let ask = |subject: &Subject<'_>, above: &[&Authority<'_>]| {
            Question { subject, authorities: above, crls, now }.answer(rules)
        };
        let clients = chain.first().map(|own| ask(&Subject::client_of(own.certificate), &chain));
        let refused_above = path.iter().zip(&chain).enumerate().find_map(|(depth, (at, own))| {
            let subject = Subject::of(own.certificate);
            let status = ask(&subject, above(&chain, depth));
            (!status.status.is_good()).then_some((*at, status))
        });
        let status = clients
            .as_ref()
            .map_or(CoverageStatus::NotChecked, |clients| CoverageStatus::of(clients.status));
        Coverage { status, clients, refused_above, is_anchored, outside_dates }
    };
    (0..known.len()).map(cover).collect()
}

/// A chain for a certificate that nobody has verified: the certificate itself, then the issuers
/// that OpenSSL would choose among `authorities`, as far up as there are any.
pub fn chain_of<C: Borrow<Certificate>>(
    certificate: &Certificate,
    authorities: &[C],
    now: UnixTime,
) -> Vec<Certificate> {
    let mut all = vec![certificate];
    let others = authorities.iter().map(Borrow::borrow);
    all.extend(others.filter(|authority| *authority != certificate));
    let known: Vec<_> = all.iter().map(|certificate| Authority::of(certificate)).collect();
    let (path, _) = path(&known, &by_subject(&known), 0, now);
    path.iter().filter_map(|position| all.get(*position)).map(|found| (*found).clone()).collect()
}

/// The positions of authorities by the canonical form of their subject.
fn by_subject<'a>(authorities: &'a [Authority<'_>]) -> HashMap<&'a [u8], Vec<usize>> {
    let mut by_subject: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (position, authority) in authorities.iter().enumerate() {
        by_subject.entry(&authority.subject_canonical).or_default().push(position);
    }
    by_subject
}

/// The way from an authority up to its root, as positions, and whether it gets there.
///
/// As OpenSSL builds it from a CA file: of several possible issuers the first that is valid, or the
/// first.
fn path(
    authorities: &[Authority<'_>],
    by_subject: &HashMap<&[u8], Vec<usize>>,
    start: usize,
    now: UnixTime,
) -> (Vec<usize>, bool) {
    let mut path = vec![start];
    let mut next = authorities.get(start);
    while let Some(current) = next.filter(|_| path.len() <= limits::MAX_CHAIN) {
        work::between();
        if current.certificate.self_signed() {
            return (path, true);
        }
        let issuer = current.certificate.issuer().canonical();
        let named = by_subject.get(issuer.as_slice()).map(Vec::as_slice).unwrap_or_default();
        let issuers: Vec<_> = named
            .iter()
            .filter(|position| !path.contains(position))
            .filter_map(|position| Some((*position, authorities.get(*position)?)))
            .filter(|(_, issuer)| issuer.may_have_issued(current.certificate))
            .collect();
        let valid = issuers.iter().find(|(_, issuer)| issuer.is_valid_at(now));
        let issuer = valid.or(issuers.first());
        next = issuer.map(|(_, issuer)| *issuer);
        path.extend(issuer.map(|(position, _)| *position));
    }
    (path, false)
}
