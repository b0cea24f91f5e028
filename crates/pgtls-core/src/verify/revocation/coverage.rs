//! What revocation lists mean apart from a certificate: the state of a list, and what it does to the clients of an authority.

use std::borrow::Borrow;
use std::collections::HashMap;

use super::behaviour::{EmptyScopes, Rules};
use super::crl_set::CrlSet;
use super::status::{CertificateStatus, Status, WhyUnknown};
use super::{Authority, Question, Subject, above, check_time, has_empty_scope, unsupported_kind};
use crate::crl::Crl;
use crate::limits;
use crate::time::UnixTime;
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
    /// A kind of list that the server does not use: delta, indirect, for some reasons only, with a scope that is empty
    /// or contradicts itself, or with a critical extension that OpenSSL does not process.
    Unsupported,
}

impl ListStatus {
    /// The word that SQL shows: `current`, `stale`, `not_yet_valid`, `malformed_date`, `bad_signature`,
    /// `unknown_issuer` or `unsupported`.
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

/// State of a list at `now`, and whether its signature is good; that is `None` if no authority may have signed it.
///
/// A wrong signature comes first, then what kind of list it is, then its time, then that its issuer is not known: clients
/// may send the certificate of the issuer, so the list counts all the same.
pub fn list_status<C: Borrow<Certificate>>(
    crl: &Crl,
    authorities: &[C],
    now: UnixTime,
    rules: Rules,
) -> (ListStatus, Option<bool>) {
    let mut signature = None;
    for authority in authorities.iter().map(|c| Authority::of(c.borrow())) {
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
        || crl.is_delta()
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
    /// The word that SQL shows: `covered`, `stale`, `not_yet_valid`, `missing`, `bad_signature`, `out_of_scope`,
    /// `unsupported` or `not_checked`.
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
            WhyUnknown::CrlMissing => Self::Missing,
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
    /// The verdict about a client certificate of this authority that is not revoked and has no distribution points.
    /// `None` if the server does not check.
    pub clients: Option<CertificateStatus<'a>>,
    /// The first on the way from this authority up to its root that is not good itself, as its position among the
    /// authorities, and the verdict. It is there that its clients fail if `clients` is good.
    pub refused_above: Option<(usize, CertificateStatus<'a>)>,
    /// Whether the way up ends in a self-signed certificate. If not, clients fail for that reason.
    pub is_anchored: bool,
}

impl Coverage<'_> {
    /// Whether every client certificate of this authority is refused, whatever it is.
    pub fn refuses_all(&self) -> bool {
        !self.is_anchored
            || self.refused_above.is_some()
            || self.clients.as_ref().is_some_and(|clients| match clients.status {
                Status::Good | Status::NotChecked | Status::Revoked { .. } => false,
                // Those with the right distribution point may pass.
                Status::Unknown(WhyUnknown::OutOfScope) => false,
                Status::Unknown(_) => true,
            })
    }
}

/// What the lists mean for the clients of each authority at `now`; `crls` is `None` if the server has no list configured.
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
        let Some(crls) = crls else {
            let status = CoverageStatus::NotChecked;
            return Coverage { status, clients: None, refused_above: None, is_anchored };
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
        Coverage { status, clients, refused_above, is_anchored }
    };
    (0..known.len()).map(cover).collect()
}

/// A chain for a certificate that nobody has verified: the certificate itself, then the issuers that OpenSSL would choose
/// among `authorities`, as far up as there are any.
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
/// As OpenSSL builds it from a CA file: of several possible issuers the first that is valid, or the first.
fn path(
    authorities: &[Authority<'_>],
    by_subject: &HashMap<&[u8], Vec<usize>>,
    start: usize,
    now: UnixTime,
) -> (Vec<usize>, bool) {
    let mut path = vec![start];
    let mut next = authorities.get(start);
    while let Some(current) = next.filter(|_| path.len() <= limits::MAX_CHAIN) {
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
