//! What OpenSSL says of a chain, and what follows from it: which question it answers, the alert
//! that the client is sent, the words in the server's log.
//!
//! OpenSSL is asked by whoever can reach the files that the server trusts; here is only its answer.

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;
use crate::verify::verify_error::{Topic, code};
use crate::x509::certificate::Certificate;

/// OpenSSL's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The chain leads to something that the server trusts: its certificates, leaf first.
    Trusted(Vec<Link>),
    /// It does not.
    Refused(Refusal),
    /// One of the certificates cannot be read, so there is no chain.
    Unreadable(Unreadable),
}

/// A certificate that a server cannot read when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Which of those that are sent, counted from 1.
    pub position: usize,
    /// What is wrong with it, and where.
    pub problem: String,
    /// What the server logs behind `could not accept SSL connection: `.
    pub logged: String,
}

impl Unreadable {
    /// The TLS alert that the client is sent for it, with its number.
    pub const ALERT: (&'static str, u8) = ("decode error", 50);
}

/// A certificate of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its subject, as `/CN=alice`.
    pub subject: String,
    /// When it begins, if the date is one.
    pub not_before: Option<UnixTime>,
    /// When it ends, if the date is one.
    pub not_after: Option<UnixTime>,
}

impl From<&Certificate> for Link {
    fn from(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject().oneline().to_owned(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }
}

/// Why a chain is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// OpenSSL's `X509_V_ERR_*` code.
    pub code: i32,
    /// OpenSSL's text for it.
    pub text: String,
    /// How far from the leaf the certificate is that it is about; the leaf is 0.
    pub depth: u32,
    /// That certificate, if there is one; it is not written down with the rest.
    #[serde(skip)]
    pub certificate: Option<Box<Certificate>>,
    /// What the server logs behind `could not accept SSL connection: `.
    pub logged: String,
}

impl Refusal {
    /// What it is about.
    pub fn topic(&self) -> Topic {
        match self.code {
            code::CERT_NOT_YET_VALID
            | code::CERT_HAS_EXPIRED
            | code::ERROR_IN_CERT_NOT_BEFORE_FIELD
            | code::ERROR_IN_CERT_NOT_AFTER_FIELD => Topic::Validity,
            code::INVALID_PURPOSE | code::CERT_UNTRUSTED | code::CERT_REJECTED => Topic::Purpose,
            code::UNABLE_TO_GET_CRL
            | code::UNABLE_TO_DECRYPT_CRL_SIGNATURE
            | code::CRL_SIGNATURE_FAILURE
            | code::CRL_NOT_YET_VALID
            | code::CRL_HAS_EXPIRED
            | code::ERROR_IN_CRL_LAST_UPDATE_FIELD
            | code::ERROR_IN_CRL_NEXT_UPDATE_FIELD
            | code::CERT_REVOKED
            | code::UNABLE_TO_GET_CRL_ISSUER
            | code::KEYUSAGE_NO_CRL_SIGN
            | code::UNHANDLED_CRITICAL_CRL_EXTENSION
            | code::DIFFERENT_CRL_SCOPE
            | code::CRL_PATH_VALIDATION_ERROR => Topic::Revocation,
            _ => Topic::Chain,
        }
    }

    /// Whether the chain just ended: a certificate's issuer was neither sent nor is it trusted.
    pub fn lacks_an_issuer(&self) -> bool {
        matches!(
            self.code,
            code::UNABLE_TO_GET_ISSUER_CERT
                | code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY
                | code::UNABLE_TO_VERIFY_LEAF_SIGNATURE
        )
    }

    /// The TLS alert that the client is sent for it, with its number (OpenSSL's
    /// `ssl_x509err2alert`).
    pub fn alert(&self) -> (&'static str, u8) {
        use code::*;
        match self.code {
            APPLICATION_VERIFICATION => ("handshake failure", 40),
            CA_KEY_TOO_SMALL
            | EC_KEY_EXPLICIT_PARAMS
            | CA_MD_TOO_WEAK
            | CERT_NOT_YET_VALID
            | CERT_REJECTED
            | CERT_UNTRUSTED
            | CRL_NOT_YET_VALID
            | DANE_NO_MATCH
            | EE_KEY_TOO_SMALL
            | EMAIL_MISMATCH
            | ERROR_IN_CERT_NOT_AFTER_FIELD
            | ERROR_IN_CERT_NOT_BEFORE_FIELD
            | ERROR_IN_CRL_LAST_UPDATE_FIELD
            | ERROR_IN_CRL_NEXT_UPDATE_FIELD
            | HOSTNAME_MISMATCH
            | IP_ADDRESS_MISMATCH
            | UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY => ("bad certificate", 42),
            INVALID_PURPOSE => ("unsupported certificate", 43),
            CERT_REVOKED => ("certificate revoked", 44),
            CERT_HAS_EXPIRED | CRL_HAS_EXPIRED => ("certificate expired", 45),
            CERT_CHAIN_TOO_LONG
            | DEPTH_ZERO_SELF_SIGNED_CERT
            | INVALID_CA
            | PATH_LENGTH_EXCEEDED
            | SELF_SIGNED_CERT_IN_CHAIN
            | UNABLE_TO_GET_CRL
            | UNABLE_TO_GET_CRL_ISSUER
            | UNABLE_TO_GET_ISSUER_CERT
            | UNABLE_TO_GET_ISSUER_CERT_LOCALLY
            | UNABLE_TO_VERIFY_LEAF_SIGNATURE => ("unknown CA", 48),
            CERT_SIGNATURE_FAILURE
            | CRL_SIGNATURE_FAILURE
            | UNABLE_TO_DECRYPT_CERT_SIGNATURE
            | UNABLE_TO_DECRYPT_CRL_SIGNATURE => ("decrypt error", 51),
            INVALID_CALL | OUT_OF_MEM | STORE_LOOKUP | UNSPECIFIED => ("internal error", 80),
            _ => ("certificate unknown", 46),
        }
    }

    /// The DETAIL that the server logs since PostgreSQL 16 (its first line).
    pub fn logged_detail(&self) -> String {
        format!("Client certificate verification failed at depth {}: {}.", self.depth, self.text)
    }
}
