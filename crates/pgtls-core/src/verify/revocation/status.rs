//! The answers: the revocation status of a certificate, and why a CRL was not used.

use std::fmt;

use crate::crl::Reason;
use crate::time::UnixTime;
use crate::verify::revocation::crl_set::Listed;

/// What the lists say about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// A list that OpenSSL accepts is about this certificate, and the certificate is not in it.
    Good,
    /// It is in the list.
    Revoked {
        /// Since when; `None` if the list's date is none.
        at: Option<UnixTime>,
        /// Why, if the list says so.
        reason: Option<Reason>,
    },
    /// OpenSSL does not ask ([`SelfSigned::Skipped`]).
    NotChecked,
    /// No list can tell, so the server refuses the certificate.
    Unknown(WhyUnknown),
}

impl Status {
    /// The word that SQL shows: `good`, `revoked`, `not_checked`, or the one of [`WhyUnknown`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Revoked { .. } => "revoked",
            Self::NotChecked => "not_checked",
            Self::Unknown(why) => why.as_str(),
        }
    }

    /// Whether the server lets the certificate pass.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Good | Self::NotChecked)
    }

    /// The `X509_V_ERR_…` number with which OpenSSL refuses the certificate, 0 if it does not;
    /// `None` where that depends on the version.
    pub fn verify_error(self) -> Option<i32> {
        match self {
            Self::Good | Self::NotChecked => Some(0),
            Self::Revoked { .. } => Some(23),
            Self::Unknown(why) => why.verify_error(),
        }
    }
}

/// Why no list can tell, in the order in which OpenSSL looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyUnknown {
    /// The certificate of its issuer is not known, so neither is the list, nor who may have signed
    /// it.
    IssuerUnknown,
    /// There is none of this issuer that is meant for TLS certificates and signed with a key of the
    /// chain.
    CrlMissing,
    /// The issuer's certificate has a key usage, and it does not include signing lists.
    NoCrlSign,
    /// The list is about other certificates: of CAs only, of end entities only, or of another
    /// distribution point.
    OutOfScope,
    /// The list's date does not have the form that RFC 5280 asks for.
    MalformedThisUpdate,
    /// The list is from the future.
    NotYetValid,
    /// The date of the next list does not have the form that RFC 5280 asks for.
    MalformedNextUpdate,
    /// The next list is due.
    Expired,
    /// OpenSSL cannot read the issuer's public key.
    IssuerKeyUnreadable,
    /// The issuer's key did not sign this list.
    BadSignature,
    /// The list, or an entry, has a critical extension that OpenSSL does not process.
    UnhandledCritical,
    /// OpenSSL versions disagree about one of the lists ([`Rules`]).
    DependsOnVersion,
}

impl WhyUnknown {
    /// The word that SQL shows: `issuer_unknown`, `crl_missing`, `no_crl_sign`, `out_of_scope`,
    /// `malformed_date`, `crl_not_yet_valid`, `crl_expired`, `issuer_key_unreadable`,
    /// `bad_signature` or `unsupported`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IssuerUnknown => "issuer_unknown",
            Self::CrlMissing => "crl_missing",
            Self::NoCrlSign => "no_crl_sign",
            Self::OutOfScope => "out_of_scope",
            Self::MalformedThisUpdate | Self::MalformedNextUpdate => "malformed_date",
            Self::NotYetValid => "crl_not_yet_valid",
            Self::Expired => "crl_expired",
            Self::IssuerKeyUnreadable => "issuer_key_unreadable",
            Self::BadSignature => "bad_signature",
            Self::UnhandledCritical | Self::DependsOnVersion => "unsupported",
        }
    }

    /// The `X509_V_ERR_…` number, see [`Status::verify_error`].
    fn verify_error(self) -> Option<i32> {
        match self {
            Self::IssuerUnknown => Some(20),
            Self::CrlMissing => Some(3),
            Self::NoCrlSign => Some(35),
            Self::OutOfScope => Some(44),
            Self::MalformedThisUpdate => Some(15),
            Self::MalformedNextUpdate => Some(16),
            Self::NotYetValid => Some(11),
            Self::Expired => Some(12),
            Self::IssuerKeyUnreadable => Some(6),
            Self::BadSignature => Some(8),
            Self::UnhandledCritical => Some(36),
            Self::DependsOnVersion => None,
        }
    }
}

/// A clause about the certificate and its list, such as `the CRL of its issuer has expired`.
impl fmt::Display for WhyUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IssuerUnknown => "the certificate of its issuer is not known",
            Self::CrlMissing => "there is no usable CRL of its issuer",
            Self::NoCrlSign => "the key usage of its issuer does not include signing CRLs",
            Self::OutOfScope => "the CRL of its issuer is about other certificates",
            Self::MalformedThisUpdate => "the thisUpdate date of its issuer's CRL is malformed",
            Self::NotYetValid => "the CRL of its issuer is not yet valid",
            Self::MalformedNextUpdate => "the nextUpdate date of its issuer's CRL is malformed",
            Self::Expired => "the CRL of its issuer has expired",
            Self::IssuerKeyUnreadable => "the public key of its issuer cannot be read",
            Self::BadSignature => "the CRL of its issuer has a bad signature",
            Self::UnhandledCritical => {
                "the CRL of its issuer has a critical extension that OpenSSL does not process"
            }
            Self::DependsOnVersion => {
                "OpenSSL versions disagree about a delta CRL or a CRL with an empty scope"
            }
        })
    }
}

/// What the lists say about one certificate of a chain, and which of them said it.
#[derive(Debug, Clone)]
pub struct CertificateStatus<'a> {
    /// The verdict.
    pub status: Status,
    /// The list that decided: the one the certificate is or is not in, or the best one that cannot
    /// be used.
    pub list: Option<&'a Listed>,
    /// If a list is missing: those of the right issuer that were not even considered.
    pub passed_over: Vec<PassedOver<'a>>,
}

/// A list of the right issuer that OpenSSL does not consider.
#[derive(Debug, Clone)]
pub struct PassedOver<'a> {
    /// The list.
    pub list: &'a Listed,
    /// Why not.
    pub why: WhyPassedOver,
}

/// Why OpenSSL does not consider a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyPassedOver {
    /// Its issuing distribution point contradicts itself.
    ContradictoryScope,
    /// Its issuing distribution point says nothing.
    EmptyScope,
    /// It is a delta list.
    Delta,
    /// It is indirect, which the server does not support.
    Indirect,
    /// It is about some reasons only, which the server does not support.
    SomeReasons,
    /// Its authority key identifier names a key that no certificate of the chain has: a CA that
    /// changed its key.
    OtherKey,
    /// It is about reasons that another list has already answered for, and none is about the
    /// others.
    NoNewReasons,
}

impl WhyPassedOver {
    /// The word for it: `contradictory_scope`, `empty_scope`, `delta`, `indirect`, `some_reasons`,
    /// `other_key` or `no_new_reasons`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContradictoryScope => "contradictory_scope",
            Self::EmptyScope => "empty_scope",
            Self::Delta => "delta",
            Self::Indirect => "indirect",
            Self::SomeReasons => "some_reasons",
            Self::OtherKey => "other_key",
            Self::NoNewReasons => "no_new_reasons",
        }
    }
}

/// A clause about the list, such as `it is a delta CRL`.
impl fmt::Display for WhyPassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ContradictoryScope => "its issuing distribution point contradicts itself",
            Self::EmptyScope => "its issuing distribution point is empty",
            Self::Delta => "it is a delta CRL",
            Self::Indirect => "it is an indirect CRL",
            Self::SomeReasons => "it is about some revocation reasons only",
            Self::OtherKey => "it is signed with a key that is not in the chain",
            Self::NoNewReasons => "it is about no further revocation reasons",
        })
    }
}
