//! What revocation lists say about certificates, exactly as the server decides it.
//!
//! PostgreSQL sets `X509_V_FLAG_CRL_CHECK` and `X509_V_FLAG_CRL_CHECK_ALL` as soon as it has a CRL
//! file or directory, and neither extended CRL support nor deltas. This module makes the decisions
//! that OpenSSL 3.0 to 3.6 then makes (`check_revocation` in `x509_vfy.c`; the functions are named
//! below), on pure data and at a given time: which list is the best for a certificate, whether it
//! may be used, and whether the certificate is in it. RFC 5280, section 6.3, says what the
//! decisions are about, but where it and OpenSSL differ, OpenSSL is right: its verdict lets clients
//! in.
//!
//! Refuses to guess: what OpenSSL versions decide differently (delta lists and empty scopes) is
//! decided by the [`Rules`] of the one at hand, and is [`WhyUnknown::DependsOnVersion`] where those
//! do not say.
//!
//! The chain is taken as verified otherwise. OpenSSL checks revocation after it has built the chain
//! and checked its extensions, and before dates and signatures of the certificates; the first
//! certificate from the leaf up that is not good is the one whose error the handshake fails with.

pub mod behaviour;
pub mod coverage;
pub mod crl_set;
pub mod status;

use std::borrow::Borrow;

use self::behaviour::{DeltaLists, EmptyScopes, Rule, Rules, SelfSigned};
use self::crl_set::{CrlSet, Listed};
use self::status::{CertificateStatus, PassedOver, Status, WhyPassedOver, WhyUnknown};

use crate::crl::{Crl, NextUpdate, Reason, SignatureCheck};
use crate::time::UnixTime;
use crate::x509::certificate::Certificate;
use crate::x509::distribution_point::{DistributionPoint, DistributionPointName};
use crate::x509::extension::AuthorityKeyId;
use crate::x509::general_name::{GeneralName, GeneralNameKind, is_directory_name};
use crate::x509::name::Name;
use crate::x509::serial::Serial;

/// Status of each certificate of a chain at `now`, leaf first, trust anchor last and checked too.
///
/// Every certificate gets its verdict, whatever those below it got; OpenSSL stops at the first that
/// is not good.
pub fn statuses<'a, C: Borrow<Certificate>>(
    chain: &[C],
    crls: &'a CrlSet,
    now: UnixTime,
    rules: Rules,
) -> Vec<CertificateStatus<'a>> {
    let authorities: Vec<_> = chain.iter().map(|c| Authority::of(c.borrow())).collect();
    let authorities: Vec<_> = authorities.iter().collect();
    chain
        .iter()
        .enumerate()
        .map(|(depth, certificate)| {
            let subject = Subject::of(certificate.borrow());
            let above = above(&authorities, depth);
            Question { subject: &subject, authorities: above, crls, now }.answer(rules)
        })
        .collect()
}

/// The certificates that can have signed the list for the one at `depth`: those above, or the last
/// one itself.
fn above<T>(authorities: &[T], depth: usize) -> &[T] {
    let first = (depth + 1).min(authorities.len().saturating_sub(1));
    authorities.get(first..).unwrap_or_default()
}

/// Reason flags of a distribution point (OpenSSL: `CRLDP_ALL_REASONS`): bits in the order of the
/// octets.
const ALL_REASONS: u16 = 0x807f;

/// Points for a list, most important first (OpenSSL: `CRL_SCORE_…`). That the issuer's name fits
/// and that its key is in the chain are worth points there too, but a list without them is not
/// considered at all under the server's flags.
mod score {
    pub(super) const NO_CRITICAL: u16 = 0x100;
    pub(super) const SCOPE: u16 = 0x080;
    pub(super) const TIME: u16 = 0x040;
    /// The key is that of the certificate right above, rather than of one further up.
    pub(super) const ISSUER_CERTIFICATE: u16 = 0x010;
    /// What every list has that is considered.
    pub(super) const CONSIDERED: u16 = 0x020 | 0x008 | 0x004;
}

/// A certificate whose status is asked for, or one that stands for many.
struct Subject<'a> {
    issuer: &'a Name,
    issuer_canonical: Vec<u8>,
    /// `None` for one that stands for many, none of which is revoked.
    serial: Option<&'a Serial>,
    is_ca: bool,
    is_self_signed: bool,
    points: Vec<DistributionPoint>,
}

impl<'a> Subject<'a> {
    fn of(certificate: &'a Certificate) -> Self {
        Self {
            issuer: certificate.issuer(),
            issuer_canonical: certificate.issuer().canonical(),
            serial: Some(certificate.serial()),
            is_ca: certificate.is_ca() == Some(true),
            is_self_signed: certificate.self_signed(),
            points: certificate.distribution_points().unwrap_or_default(),
        }
    }

    /// Any client certificate that this authority issued, without distribution points.
    fn client_of(authority: &'a Certificate) -> Self {
        Self {
            issuer: authority.subject(),
            issuer_canonical: authority.subject().canonical(),
            serial: None,
            is_ca: false,
            is_self_signed: false,
            points: Vec::new(),
        }
    }
}

/// A certificate that may have signed lists.
struct Authority<'a> {
    certificate: &'a Certificate,
    subject_canonical: Vec<u8>,
    key_id: Option<Box<[u8]>>,
}

impl<'a> Authority<'a> {
    fn of(certificate: &'a Certificate) -> Self {
        let subject_canonical = certificate.subject().canonical();
        Self { certificate, subject_canonical, key_id: certificate.key_id() }
    }

    /// Whether an authority key identifier can mean this certificate.
    fn may_be_meant_by(&self, meant: Option<&AuthorityKeyId>) -> bool {
        let (serial, issuer) = (self.certificate.serial(), self.certificate.issuer());
        meant.is_none_or(|meant| meant.may_mean(serial, issuer, self.key_id.as_deref()))
    }

    /// Whether a list can be one that it signed.
    fn may_have_signed(&self, crl: &Crl) -> bool {
        self.subject_canonical == crl.issuer_canonical()
            && self.may_be_meant_by(crl.authority_key_id())
    }

    /// Whether it can have issued a certificate that names it as its issuer.
    fn may_have_issued(&self, certificate: &Certificate) -> bool {
        self.may_be_meant_by(certificate.authority().as_ref())
    }

    fn is_valid_at(&self, now: UnixTime) -> bool {
        self.certificate.not_before().is_some_and(|start| start <= now)
            && self.certificate.not_after().is_some_and(|end| now <= end)
    }

    /// Whether its key usage, if it has one, includes signing lists.
    fn may_sign_lists(&self) -> bool {
        self.certificate.key_usage().is_none_or(|usages| usages.contains(&"cRLSign"))
    }
}

/// A list that may be the one for the certificate.
struct Candidate<'a, 's, 'c> {
    list: &'a Listed,
    score: u16,
    issuer: &'s Authority<'c>,
    /// The reasons that are answered for once this list is used.
    reasons: u16,
}

/// One certificate, who may have signed its list, and the lists.
struct Question<'a, 's, 'c> {
    subject: &'s Subject<'c>,
    authorities: &'s [&'s Authority<'c>],
    crls: &'a CrlSet,
    now: UnixTime,
}

impl<'a, 's, 'c> Question<'a, 's, 'c> {
    fn answer(&self, rules: Rules) -> CertificateStatus<'a> {
        use {DeltaLists as D, EmptyScopes as E};
        if self.subject.is_self_signed && rules.self_signed == SelfSigned::Skipped {
            let status = Status::NotChecked;
            return CertificateStatus { status, list: None, passed_over: Vec::new() };
        }
        let delta = self.lists().find(|list| list.crl.is_delta());
        let empty = self.lists().find(|list| has_empty_scope(&list.crl));
        // Where there is no such list, any rule will do.
        let delta_lists = match (rules.delta_lists, delta) {
            (None, Some(_)) => &[D::Ignored, D::TakenForComplete][..],
            (None, None) | (Some(D::Ignored), _) => &[D::Ignored],
            (Some(D::TakenForComplete), _) => &[D::TakenForComplete],
        };
        let empty_scopes = match (rules.empty_scopes, empty) {
            (None, Some(_)) => &[E::Accepted, E::Ignored][..],
            (None, None) | (Some(E::Accepted), _) => &[E::Accepted],
            (Some(E::Ignored), _) => &[E::Ignored],
        };
        let mut answers = delta_lists.iter().flat_map(|delta_lists| {
            empty_scopes.iter().map(|empty_scopes| {
                let (delta_lists, empty_scopes) = (*delta_lists, *empty_scopes);
                self.judge(Rule { delta_lists, empty_scopes })
            })
        });
        let depends = CertificateStatus {
            status: Status::Unknown(WhyUnknown::DependsOnVersion),
            list: delta.or(empty),
            passed_over: Vec::new(),
        };
        let Some(first) = answers.next() else { return depends };
        if answers.all(|answer| answer.status == first.status) { first } else { depends }
    }

    fn lists(&self) -> impl Iterator<Item = &'a Listed> {
        self.crls.of_issuer(&self.subject.issuer_canonical)
    }

    /// Uses lists until all reasons are answered for (OpenSSL: `check_cert`).
    fn judge(&self, rule: Rule) -> CertificateStatus<'a> {
        let mut answered = 0;
        let mut used = None;
        loop {
            let Some(best) = self.best(answered, rule) else {
                return self.missing(answered, rule);
            };
            let verdict = self.usable(&best).and_then(|()| self.look_up(best.list));
            let done = |status| CertificateStatus {
                status,
                list: Some(best.list),
                passed_over: Vec::new(),
            };
            match verdict {
                Err(why) => return done(Status::Unknown(why)),
                Ok(Some(revoked)) => return done(revoked),
                Ok(None) if best.reasons == answered => return self.missing(answered, rule),
                Ok(None) => answered = best.reasons,
            }
            let first = *used.get_or_insert(best.list);
            if answered == ALL_REASONS {
                return CertificateStatus {
                    status: Status::Good,
                    list: Some(first),
                    passed_over: Vec::new(),
                };
            }
        }
    }

    fn missing(&self, answered: u16, rule: Rule) -> CertificateStatus<'a> {
        let passed_over = self.lists().filter_map(|list| {
            let why = self.consider(list, answered, rule).err()?;
            Some(PassedOver { list, why })
        });
        CertificateStatus {
            status: Status::Unknown(WhyUnknown::CrlMissing),
            list: None,
            passed_over: passed_over.collect(),
        }
    }

    /// The best list (OpenSSL: `get_crl_sk`): the first with most points, unless one with as many
    /// is newer.
    fn best(&self, answered: u16, rule: Rule) -> Option<Candidate<'a, 's, 'c>> {
        let candidates = self.lists().filter_map(|list| self.consider(list, answered, rule).ok());
        candidates.reduce(|best, next| {
            let newer = match (best.list.crl.this_update(), next.list.crl.this_update()) {
                (Some(best), Some(next)) => next > best,
                _ => false,
            };
            if next.score > best.score || next.score == best.score && newer { next } else { best }
        })
    }

    /// Whether a list can be the one, and how good it is (OpenSSL: `get_crl_score`).
    fn consider(
        &self,
        list: &'a Listed,
        answered: u16,
        rule: Rule,
    ) -> Result<Candidate<'a, 's, 'c>, WhyPassedOver> {
        let crl = &list.crl;
        if let Some(why) = unsupported_kind(crl) {
            return Err(why);
        }
        if has_empty_scope(crl) && rule.empty_scopes == EmptyScopes::Ignored {
            return Err(WhyPassedOver::EmptyScope);
        }
        if crl.is_delta() && rule.delta_lists == DeltaLists::Ignored {
            return Err(WhyPassedOver::Delta);
        }
        let (issuer, issuer_score) = self.issuer(crl).ok_or(WhyPassedOver::OtherKey)?;
        let mut score = score::CONSIDERED | issuer_score;
        if crl.unhandled_critical().is_none() {
            score |= score::NO_CRITICAL;
        }
        if check_time(crl, self.now).is_ok() {
            score |= score::TIME;
        }
        let mut reasons = answered;
        if let Some(in_scope) = self.in_scope(crl) {
            if in_scope & !answered == 0 {
                return Err(WhyPassedOver::NoNewReasons);
            }
            reasons |= in_scope;
            score |= score::SCOPE;
        }
        Ok(Candidate { list, score, issuer, reasons })
    }

    /// The certificate whose key should have signed the list, and what that is worth (OpenSSL:
    /// `crl_akid_check`).
    fn issuer(&self, crl: &Crl) -> Option<(&'s Authority<'c>, u16)> {
        let (first, above) = self.authorities.split_first()?;
        if first.may_be_meant_by(crl.authority_key_id()) {
            return Some((first, score::ISSUER_CERTIFICATE));
        }
        let further = above.iter().copied().find(|authority| authority.may_have_signed(crl));
        further.map(|authority| (authority, 0))
    }

    /// The reasons for which the list is about the certificate; `None` if it is not (OpenSSL:
    /// `crl_crldp_check`).
    fn in_scope(&self, crl: &Crl) -> Option<u16> {
        let scope = crl.issuing_distribution_point();
        if let Some(scope) = scope {
            let excluded = if self.subject.is_ca { scope.only_user } else { scope.only_ca };
            if scope.only_attribute || excluded {
                return None;
            }
        }
        let place = scope.and_then(|scope| scope.distribution_point.as_ref());
        for point in &self.subject.points {
            if self.signs_for(point, crl) && self.is_same_place(point, crl, place) {
                return Some(reasons(point));
            }
        }
        place.is_none().then_some(ALL_REASONS)
    }

    /// Whether the list at a distribution point is signed by this list's issuer (OpenSSL:
    /// `crldp_check_crlissuer`).
    fn signs_for(&self, point: &DistributionPoint, crl: &Crl) -> bool {
        match &point.crl_issuer {
            Some(names) => names.iter().any(|name| is_directory_name(name, crl.issuer())),
            None => true,
        }
    }

    fn is_same_place(
        &self,
        point: &DistributionPoint,
        crl: &Crl,
        place: Option<&DistributionPointName>,
    ) -> bool {
        let (Some(name), Some(place)) = (&point.name, place) else { return true };
        // A relative name is below that of who signs the list there (OpenSSL: `setup_dp`).
        let directory = |name: &&GeneralName| name.kind() == GeneralNameKind::DirName;
        let signer = point.crl_issuer.iter().flatten().find(directory);
        let signer = signer.and_then(|name| Name::from_der(name.as_bytes()).ok());
        let base = signer.as_ref().unwrap_or(self.subject.issuer);
        DistributionPointName::same_place((name, base), (place, crl.issuer()))
    }

    /// Whether the best list may be used (OpenSSL: `check_crl`).
    fn usable(&self, candidate: &Candidate<'a, 's, 'c>) -> Result<(), WhyUnknown> {
        let crl = &candidate.list.crl;
        // OpenSSL takes these two for done in a delta.
        if !crl.is_delta() {
            if !candidate.issuer.may_sign_lists() {
                return Err(WhyUnknown::NoCrlSign);
            }
            if candidate.score & score::SCOPE == 0 {
                return Err(WhyUnknown::OutOfScope);
            }
        }
        check_time(crl, self.now)?;
        match crl.check_signature(candidate.issuer.certificate.public_key_der()) {
            SignatureCheck::Good => Ok(()),
            SignatureCheck::KeyUnreadable => Err(WhyUnknown::IssuerKeyUnreadable),
            _ => Err(WhyUnknown::BadSignature),
        }
    }

    /// Looks for the certificate in a list that may be used (OpenSSL: `cert_crl`).
    fn look_up(&self, list: &Listed) -> Result<Option<Status>, WhyUnknown> {
        if list.crl.unhandled_critical().is_some() {
            return Err(WhyUnknown::UnhandledCritical);
        }
        let Some(serial) = self.subject.serial else { return Ok(None) };
        Ok(match list.crl.lookup_of(serial, &self.subject.issuer_canonical) {
            None => None,
            Some(entry) if entry.reason == Some(Reason::RemoveFromCrl) => None,
            Some(entry) => Some(Status::Revoked { at: entry.revoked_at, reason: entry.reason }),
        })
    }
}

/// Why a list is never used under the server's flags, whoever issued it.
fn unsupported_kind(crl: &Crl) -> Option<WhyPassedOver> {
    let scope = crl.issuing_distribution_point()?;
    if scope.is_contradictory() {
        Some(WhyPassedOver::ContradictoryScope)
    } else if scope.indirect {
        Some(WhyPassedOver::Indirect)
    } else if scope.only_some_reasons.is_some() {
        Some(WhyPassedOver::SomeReasons)
    } else {
        None
    }
}

/// Whether a list has an issuing distribution point without anything in it.
fn has_empty_scope(crl: &Crl) -> bool {
    crl.issuing_distribution_point().is_some_and(|scope| *scope == Default::default())
}

/// Whether a list is of its time (OpenSSL: `check_crl_time`). Its last second is the one before
/// nextUpdate.
fn check_time(crl: &Crl, now: UnixTime) -> Result<(), WhyUnknown> {
    match crl.this_update_plain() {
        None => return Err(WhyUnknown::MalformedThisUpdate),
        Some(this_update) if this_update > now => return Err(WhyUnknown::NotYetValid),
        Some(_) => {}
    }
    match crl.next_update() {
        NextUpdate::Malformed => Err(WhyUnknown::MalformedNextUpdate),
        NextUpdate::At(next_update) if next_update <= now => Err(WhyUnknown::Expired),
        NextUpdate::At(_) | NextUpdate::Never => Ok(()),
    }
}

/// The reasons that a distribution point is for (OpenSSL: `setup_dp`).
fn reasons(point: &DistributionPoint) -> u16 {
    let Some(bits) = &point.reasons else { return ALL_REASONS };
    let octet = |at: usize| bits.get(at).copied().unwrap_or_default();
    u16::from_le_bytes([octet(0), octet(1)]) & ALL_REASONS
}
