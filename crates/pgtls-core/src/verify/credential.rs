//! What a client certificate that was good at login is worth now.
//!
//! Three things are looked at: its dates, whether today's files still lead from it to a trusted CA, and whether today's
//! CRLs revoke it. The last two come in as a verdict on the chain, from whoever can reach the files.

use std::fmt;

use crate::time::UnixTime;
use crate::verify::verdict::{Refusal, Verdict};
use crate::verify::verify_error::{Topic, code};
use crate::x509::certificate::Certificate;

/// The standing of a certificate, as SQL shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Good, and for longer than the renewal window.
    Valid,
    /// Good, but it ends within the renewal window.
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

    /// Whether a session with such a certificate should not be there: a login with it would be refused for what the
    /// certificate is. A missing CRL says nothing of the certificate, so it does not count.
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
}

impl Assessment {
    /// A standing that needs no explanation.
    pub fn plain(standing: Standing) -> Self {
        Self { standing, detail: None }
    }

    /// The standing at `now` of the first certificate of a chain, given what validation of the chain says, or why it
    /// could not be validated. `None` if there is no certificate.
    ///
    /// Where several things are wrong, revocation comes first, then the certificate's own dates, then the rest. What
    /// cannot be told is [`Standing::Unknown`], so that a file that cannot be read ends no session.
    pub fn of(
        chain: &[Certificate],
        verdict: &Result<Verdict, String>,
        now: UnixTime,
        renewal_window: i64,
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
        Some(match ends {
            Some(ends) if ends.0.saturating_sub(now.0) <= renewal_window => {
                Self::with(Standing::RenewSoon, format_args!("expires at {ends}"))
            }
            _ => Self::plain(Standing::Valid),
        })
    }

    /// A chain that was verified at login ends in a self-signed certificate. One that does not was cut, and then it says
    /// nothing that its continuation is missing.
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
        Self { standing, detail: Some(detail.to_string()) }
    }
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
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_not_before(&Asn1Time::from_unix(1000).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(2000).unwrap()).unwrap();
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
