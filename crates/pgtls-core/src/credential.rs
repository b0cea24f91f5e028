//! What a client certificate that was good at login is worth now.
//!
//! Three things are looked at: its dates, whether today's files still lead from it to a trusted CA, and whether today's
//! CRLs revoke it. The last two come in as a verdict on the chain, from whoever can reach the files.

use std::fmt;

use crate::{Certificate, UnixTime};

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
    /// Not enough of the certificate was recorded to tell.
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

/// What path validation says of a chain today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It leads to a trusted CA, and nothing in it is revoked.
    Good,
    /// It does not pass.
    Bad {
        /// Why not.
        cause: Cause,
        /// Where in the chain: 0 is the client's certificate.
        depth: i64,
        /// The explanation of whoever validated.
        text: String,
    },
    /// It could not be validated, for a reason that is not the chain's: no CA file, for example.
    Impossible(String),
}

/// Why a chain does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A certificate is past its end.
    Expired,
    /// A certificate is before its beginning.
    NotYetValid,
    /// A certificate is revoked.
    Revoked,
    /// A CRL that is needed is missing, stale or unusable.
    Crl,
    /// Anything else: no way to a trusted CA, a bad signature, a wrong purpose.
    Untrusted,
}

impl Cause {
    /// What a verification result of OpenSSL means (`openssl/x509_vfy.h`).
    pub fn of_verify_result(result: i64) -> Self {
        match result {
            10 => Self::Expired,
            9 => Self::NotYetValid,
            23 => Self::Revoked,
            // Everything about a CRL but that it revokes: missing, undecodable, badly signed, out of its time, with bad
            // dates, without issuer, by a key that may not sign it, with an unknown critical extension, out of scope.
            3 | 5 | 8 | 11 | 12 | 15 | 16 | 33 | 35 | 36 | 44 => Self::Crl,
            _ => Self::Untrusted,
        }
    }

    fn standing(self) -> Standing {
        match self {
            Self::Expired => Standing::Expired,
            Self::NotYetValid => Standing::NotYetValid,
            Self::Revoked => Standing::Revoked,
            Self::Crl => Standing::CrlUnavailable,
            Self::Untrusted => Standing::Untrusted,
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

    /// The standing of `certificate` at `now`. `verdict` is what validation of its chain says; without one only the dates
    /// count.
    ///
    /// Where several things are wrong, revocation comes first, then the certificate's own dates, then the rest.
    pub fn of(
        certificate: &Certificate,
        verdict: Option<&Verdict>,
        now: UnixTime,
        renewal_window: i64,
    ) -> Self {
        if let Some(Verdict::Bad { cause: Cause::Revoked, .. }) = verdict {
            return Self::bad(verdict);
        }
        let ends = certificate.not_after();
        if let Some(ends) = ends.filter(|ends| *ends < now) {
            return Self::with(Standing::Expired, format_args!("expired at {ends}"));
        }
        if let Some(begins) = certificate.not_before().filter(|begins| *begins > now) {
            return Self::with(Standing::NotYetValid, format_args!("not valid before {begins}"));
        }
        match verdict {
            Some(Verdict::Good) | None => {}
            Some(_) => return Self::bad(verdict),
        }
        match ends {
            Some(ends) if ends.0.saturating_sub(now.0) <= renewal_window => {
                Self::with(Standing::RenewSoon, format_args!("expires at {ends}"))
            }
            _ => Self::plain(Standing::Valid),
        }
    }

    fn bad(verdict: Option<&Verdict>) -> Self {
        match verdict {
            Some(Verdict::Bad { cause, depth, text }) => {
                Self::with(cause.standing(), format_args!("{text} at depth {depth}"))
            }
            Some(Verdict::Impossible(why)) => {
                Self::with(Standing::Untrusted, format_args!("{why}"))
            }
            Some(Verdict::Good) | None => Self::plain(Standing::Valid),
        }
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
    use openssl::x509::X509;

    use super::*;

    /// Valid from 1000 to 2000.
    fn certificate() -> Certificate {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_not_before(&Asn1Time::from_unix(1000).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(2000).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Certificate::from_der(&builder.build().to_der().unwrap()).unwrap()
    }

    fn bad(result: i64) -> Verdict {
        let cause = Cause::of_verify_result(result);
        Verdict::Bad { cause, depth: 1, text: "why".to_owned() }
    }

    #[test]
    fn dates_count_to_the_second() {
        let certificate = certificate();
        for (now, expected) in [
            (999, Standing::NotYetValid),
            (1000, Standing::Valid),
            (1899, Standing::Valid),
            (1900, Standing::RenewSoon),
            (2000, Standing::RenewSoon),
            (2001, Standing::Expired),
        ] {
            for verdict in [None, Some(Verdict::Good)] {
                let found = Assessment::of(&certificate, verdict.as_ref(), UnixTime(now), 100);
                assert_eq!(found.standing, expected, "{now}");
                assert_eq!(found.detail.is_none(), expected == Standing::Valid, "{now}");
            }
        }
    }

    #[test]
    fn the_worst_comes_first() {
        let certificate = certificate();
        let standing = |verdict: &Verdict, now| {
            Assessment::of(&certificate, Some(verdict), UnixTime(now), 100).standing
        };
        for (verdict, good, expired) in [
            (bad(23), Standing::Revoked, Standing::Revoked),
            (bad(20), Standing::Untrusted, Standing::Expired),
            (bad(3), Standing::CrlUnavailable, Standing::Expired),
            (bad(10), Standing::Expired, Standing::Expired),
            (bad(9), Standing::NotYetValid, Standing::Expired),
            (Verdict::Impossible("no file".to_owned()), Standing::Untrusted, Standing::Expired),
        ] {
            assert_eq!(standing(&verdict, 1500), good, "{verdict:?}");
            assert_eq!(standing(&verdict, 2500), expired, "{verdict:?}");
        }
        let found = Assessment::of(&certificate, Some(&bad(23)), UnixTime(1500), 0);
        assert_eq!(found.detail.as_deref(), Some("why at depth 1"));
    }

    #[test]
    fn a_missing_crl_ends_no_session() {
        assert!(Standing::Revoked.is_invalid() && Standing::Untrusted.is_invalid());
        assert!(!Standing::CrlUnavailable.is_invalid() && !Standing::Unknown.is_invalid());
    }
}
