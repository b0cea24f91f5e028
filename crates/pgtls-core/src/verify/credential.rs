//! What a client certificate that was good at login is worth now.
//!
//! Three things are looked at: its dates, whether today's files still lead from it to a trusted CA,
//! and whether today's CRLs revoke it. The last two come in as a verdict on the chain, from whoever
//! can reach the files.

use std::fmt;

use crate::time::UnixTime;
use crate::verify::verdict::{Link, Refusal, Verdict};
use crate::verify::verify_error::{Topic, code};
use crate::x509::certificate::Certificate;

/// The standing of a certificate, as SQL shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Good, and for longer than the renewal window.
    Valid,
    /// Good, but it ends within the renewal window, or in the last third of its life if that is
    /// shorter.
    RenewSoon,
    /// Past its end.
    Expired,
    /// Before its beginning.
    NotYetValid,
    /// Revoked by a CRL, itself or a CA above it.
    Revoked,
    /// The CA file does not lead to it any more.
    Untrusted,
    /// CRLs are checked, and one that is needed is missing or stale.
    CrlUnavailable,
    /// There is no certificate.
    None,
    /// It cannot be told: too little of the chain was recorded, or a file cannot be read.
    Unknown,
}

impl Standing {
    /// The word for it in SQL.
    pub fn label(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::RenewSoon => "renew_soon",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::Untrusted => "untrusted",
            Self::CrlUnavailable => "crl_unavailable",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }

    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Valid,
        Self::RenewSoon,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::Untrusted,
        Self::CrlUnavailable,
        Self::None,
        Self::Unknown,
    ];

    /// Whether a session with such a certificate should not be there: a login with it would be
    /// refused for what the certificate is. A missing CRL says nothing of the certificate, so it
    /// does not count.
    pub fn is_invalid(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid | Self::Revoked | Self::Untrusted)
    }
}

impl Standing {
    fn of(refusal: &Refusal) -> Self {
        match (refusal.code, refusal.topic()) {
            (code::CERT_HAS_EXPIRED, _) => Self::Expired,
            (code::CERT_NOT_YET_VALID, _) => Self::NotYetValid,
            (code::CERT_REVOKED, _) => Self::Revoked,
            (_, Topic::Revocation) => Self::CrlUnavailable,
            _ => Self::Untrusted,
        }
    }
}

/// A standing and the sentence that explains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The standing.
    pub standing: Standing,
    /// What it rests on; `None` for what needs no explanation.
    pub detail: Option<String>,
    /// When the first certificate of the chain ends, and with it what the credential is good for.
    pub ends_at: Option<UnixTime>,
}

impl Assessment {
    /// A standing that needs no explanation.
    pub fn plain(standing: Standing) -> Self {
        Self { standing, detail: None, ends_at: None }
    }

    /// The standing at `now` of the first certificate of a chain, given what validation of the
    /// chain says, or why it could not be validated. `None` if there is no certificate.
    ///
    /// It ends when the first certificate of the chain ends that validation has found, or else of
    /// the chain as it was recorded. That one is due for renewal in the last `renewal_window`
    /// seconds of its life, but not before the last third of it: what lives for an hour is not
    /// always due.
    ///
    /// Where several things are wrong, revocation comes first, then the certificate's own dates,
    /// then the rest. What cannot be told is [`Standing::Unknown`], so that a file that cannot be
    /// read ends no session.
    pub fn of(
        chain: &[Certificate],
        verdict: &Result<Verdict, String>,
        now: UnixTime,
        renewal_window: i64,
    ) -> Option<Self> {
        let recorded: Vec<Link> = chain.iter().map(Link::from).collect();
        let links = match verdict {
            Ok(Verdict::Trusted(links)) if !links.is_empty() => links,
            _ => &recorded,
        };
        let first = links.iter().filter(|link| link.not_after.is_some());
        let first = first.min_by_key(|link| link.not_after);
        let mut assessment = Self::judged(chain, verdict, now)?;
        assessment.ends_at = first.and_then(|link| link.not_after);
        if assessment.standing == Standing::Valid
            && let Some(first) = first
            && is_due(first, now, renewal_window)
        {
            assessment.standing = Standing::RenewSoon;
            assessment.detail = Some(ending(first, links));
        }
        Some(assessment)
    }

    /// The standing without a look at how long it will last.
    fn judged(
        chain: &[Certificate],
        verdict: &Result<Verdict, String>,
        now: UnixTime,
    ) -> Option<Self> {
        let certificate = chain.first()?;
        let refusal = match verdict {
            Ok(Verdict::Refused(refusal)) => Some(refusal),
            Ok(Verdict::Trusted(_) | Verdict::Unreadable(_)) | Err(_) => None,
        };
        if let Some(refusal) = refusal.filter(|refusal| refusal.code == code::CERT_REVOKED) {
            return Some(Self::refused(refusal, chain));
        }
        let ends = certificate.not_after();
        if let Some(ends) = ends.filter(|ends| *ends < now) {
            return Some(Self::with(Standing::Expired, format_args!("expired at {ends}")));
        }
        if let Some(begins) = certificate.not_before().filter(|begins| *begins > now) {
            let detail = format_args!("not valid before {begins}");
            return Some(Self::with(Standing::NotYetValid, detail));
        }
        // Nobody logs in with one, so this is one of another server.
        if let Ok(Verdict::Unreadable(unreadable)) = verdict {
            let problem = &unreadable.problem;
            return Some(Self::with(Standing::Unknown, format_args!("{problem}")));
        }
        if let Err(why) = verdict {
            return Some(Self::with(Standing::Unknown, format_args!("{why}")));
        }
        if let Some(refusal) = refusal {
            return Some(Self::refused(refusal, chain));
        }
        Some(Self::plain(Standing::Valid))
    }

    /// A chain that was verified at login ends in a self-signed certificate. One that does not was
    /// cut, and then it says nothing that its continuation is missing.
    fn refused(refusal: &Refusal, chain: &[Certificate]) -> Self {
        let whole = chain.last().is_some_and(Certificate::self_signed);
        if refusal.lacks_an_issuer() && !whole {
            let detail = format_args!("the chain was too large to be recorded whole");
            return Self::with(Standing::Unknown, detail);
        }
        let detail = format_args!("{} at depth {}", refusal.text, refusal.depth);
        Self::with(Standing::of(refusal), detail)
    }

    fn with(standing: Standing, detail: fmt::Arguments<'_>) -> Self {
        Self { standing, detail: Some(detail.to_string()), ends_at: None }
    }

    /// What cannot be told, and why.
    pub fn unknown(why: &str) -> Self {
        Self::with(Standing::Unknown, format_args!("{why}"))
    }
}

/// The standing of a certificate by its dates alone.
pub fn standing_by_dates(link: &Link, now: UnixTime, renewal_window: i64) -> Standing {
    if link.not_after.is_some_and(|ends| ends < now) {
        return Standing::Expired;
    }
    if link.not_before.is_some_and(|begins| begins > now) {
        return Standing::NotYetValid;
    }
    if is_due(link, now, renewal_window) { Standing::RenewSoon } else { Standing::Valid }
}

/// Whether a certificate is in the renewal window, which is no longer than a third of its life.
fn is_due(link: &Link, now: UnixTime, renewal_window: i64) -> bool {
    let Some(ends) = link.not_after else { return false };
    let third = link.not_before.map_or(i64::MAX, |begins| ends.0.saturating_sub(begins.0) / 3);
    ends.0.saturating_sub(now.0) <= renewal_window.min(third)
}

/// That a certificate of a chain ends, as a clause.
fn ending(link: &Link, chain: &[Link]) -> String {
    let ends = link.not_after.map(|ends| ends.to_string()).unwrap_or_default();
    if chain.first() == Some(link) {
        return format!("expires at {ends}");
    }
    format!("{}, above it, expires at {ends}", link.subject)
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::x509::{X509, X509Name};

    use super::*;

    /// Valid from 1000 to 2000.
    fn certificate() -> Certificate {
        issued("alice", "alice")
    }

    fn name(common_name: &str) -> X509Name {
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", common_name).unwrap();
        name.build()
    }

    fn issued(subject: &str, issuer: &str) -> Certificate {
        issued_for(subject, issuer, (1000, 2000))
    }

    fn issued_for(subject: &str, issuer: &str, (begins, ends): (i64, i64)) -> Certificate {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_not_before(&Asn1Time::from_unix(begins).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(ends).unwrap()).unwrap();
        builder.set_subject_name(&name(subject)).unwrap();
        builder.set_issuer_name(&name(issuer)).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Certificate::from_der(&builder.build().to_der().unwrap()).unwrap()
    }

    fn refused(code: i32) -> Result<Verdict, String> {
        Ok(Verdict::Refused(Refusal {
            code,
            text: "why".to_owned(),
            depth: 1,
            certificate: None,
            logged: "why".to_owned(),
        }))
    }

    fn assess(verdict: &Result<Verdict, String>, now: i64) -> Assessment {
        Assessment::of(&[certificate()], verdict, UnixTime(now), 100).unwrap()
    }

    #[test]
    fn dates_count_to_the_second() {
        for (now, expected) in [
            (999, Standing::NotYetValid),
            (1000, Standing::Valid),
            (1899, Standing::Valid),
            (1900, Standing::RenewSoon),
            (2000, Standing::RenewSoon),
            (2001, Standing::Expired),
        ] {
            let found = assess(&Ok(Verdict::Trusted(Vec::new())), now);
            assert_eq!(found.standing, expected, "{now}");
            assert_eq!(found.detail.is_none(), expected == Standing::Valid, "{now}");
        }
    }

    /// What a chain of certificates with these lives, leaf first, is worth at `now`.
    fn assess_lives(lives: &[(i64, i64)], now: i64, window: i64) -> Assessment {
        let link = |(depth, (begins, ends)): (usize, &(i64, i64))| Link {
            subject: format!("/CN={depth}"),
            not_before: Some(UnixTime(*begins)),
            not_after: Some(UnixTime(*ends)),
        };
        let links = lives.iter().enumerate().map(link).collect();
        // That of the certificate itself is looked at for what is over.
        let leaf = issued_for("alice", "CA", lives[0]);
        Assessment::of(&[leaf], &Ok(Verdict::Trusted(links)), UnixTime(now), window).unwrap()
    }

    #[test]
    fn the_window_is_no_longer_than_a_third_of_the_life() {
        const HOUR: i64 = 3_600;
        const DAY: i64 = 24 * HOUR;
        let begins = 1_000_000;
        for life in [600, HOUR, DAY, 30 * DAY, 75 * DAY, 90 * DAY, 225 * DAY, 365 * DAY, 3650 * DAY]
        {
            for window in [0, HOUR, 10 * DAY, 75 * DAY, i64::from(i32::MAX)] {
                let ends = begins + life;
                for passed in 0..=200 {
                    let now = begins + life * passed / 200;
                    let left = ends - now;
                    let due = left <= window && left <= life / 3;
                    let found = assess_lives(&[(begins, ends)], now, window);
                    let expected = if due { Standing::RenewSoon } else { Standing::Valid };
                    assert_eq!(found.standing, expected, "{life} {window} {passed}");
                    assert_eq!(found.detail.is_some(), due);
                    assert_eq!(found.ends_at, Some(UnixTime(ends)));
                }
            }
        }
    }

    #[test]
    fn the_first_of_the_chain_that_ends_counts() {
        let (leaf, ca, root) = ((0, 30_000), (0, 9_000), (0, 90_000));
        let at = |now| assess_lives(&[leaf, ca, root], now, 20_000);
        assert_eq!(at(5_000).standing, Standing::Valid);
        let due = at(6_000);
        assert_eq!((due.standing, due.ends_at), (Standing::RenewSoon, Some(UnixTime(9_000))));
        let said = due.detail.unwrap();
        assert!(said.starts_with("/CN=1, above it, expires at 1970-01-01T02:30:00Z"), "{said}");
        // One that lives for a moment is not due because its CA, which lives longer, is.
        let found = assess_lives(&[(8_500, 8_600), ca], 8_510, 20_000);
        assert_eq!((found.standing, found.ends_at), (Standing::Valid, Some(UnixTime(8_600))));
        // Of equal ends the certificate's own.
        let found = assess_lives(&[ca, ca], 8_999, 20_000);
        assert!(found.detail.unwrap().starts_with("expires at"));
        // What was refused ends as the certificates that were recorded.
        let found = assess(&refused(23), 1500);
        assert_eq!((found.standing, found.ends_at), (Standing::Revoked, Some(UnixTime(2000))));
    }

    #[test]
    fn the_worst_comes_first() {
        for (verdict, good, expired) in [
            (refused(23), Standing::Revoked, Standing::Revoked),
            (refused(18), Standing::Untrusted, Standing::Expired),
            (refused(3), Standing::CrlUnavailable, Standing::Expired),
            (refused(10), Standing::Expired, Standing::Expired),
            (refused(9), Standing::NotYetValid, Standing::Expired),
            (Err("no file".to_owned()), Standing::Unknown, Standing::Expired),
        ] {
            assert_eq!(assess(&verdict, 1500).standing, good, "{verdict:?}");
            assert_eq!(assess(&verdict, 2500).standing, expired, "{verdict:?}");
        }
        assert_eq!(assess(&refused(23), 1500).detail.as_deref(), Some("why at depth 1"));
        assert_eq!(Assessment::of(&[], &refused(23), UnixTime(1500), 0), None);
    }

    #[test]
    fn a_chain_that_was_cut_is_not_called_untrusted() {
        let (authority, leaf) = (issued("CA", "CA"), issued("alice", "CA"));
        let standing = |chain: &[&Certificate], code| {
            let chain: Vec<_> = chain.iter().copied().cloned().collect();
            Assessment::of(&chain, &refused(code), UnixTime(1500), 0).unwrap().standing
        };
        for code in [2, 20, 21] {
            assert_eq!(standing(&[&leaf], code), Standing::Unknown, "{code}");
            assert_eq!(standing(&[&leaf, &authority], code), Standing::Untrusted, "{code}");
        }
        assert_eq!(standing(&[&leaf], 7), Standing::Untrusted);
        assert_eq!(standing(&[&leaf], 23), Standing::Revoked);
    }

    #[test]
    fn what_is_not_the_certificates_fault_ends_no_session() {
        assert!(Standing::Revoked.is_invalid() && Standing::Untrusted.is_invalid());
        assert!(!Standing::CrlUnavailable.is_invalid() && !Standing::Unknown.is_invalid());
    }
}
