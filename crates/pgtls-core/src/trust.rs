//! What OpenSSL says of a chain, and what follows from it: which question it answers, the alert that the client is sent,
//! the words in the server's log.
//!
//! OpenSSL is asked by whoever can reach the files that the server trusts; here is only its answer.

use crate::certificate::Certificate;

/// OpenSSL's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The chain leads to something that the server trusts: the subjects, leaf first.
    Trusted(Vec<String>),
    /// It does not.
    Refused(Refusal),
}

/// Why a chain is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// OpenSSL's `X509_V_ERR_*` code.
    pub code: i32,
    /// OpenSSL's text for it.
    pub text: String,
    /// How far from the leaf the certificate is that it is about; the leaf is 0.
    pub depth: u32,
    /// That certificate, if there is one.
    pub certificate: Option<Box<Certificate>>,
    /// What the server logs behind `could not accept SSL connection: `.
    pub logged: String,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The chain: issuers, signatures, constraints.
    Chain,
    /// What the certificate may be used for.
    Purpose,
    /// Revocation, or that it cannot be told.
    Revocation,
    /// Dates of certificates.
    Validity,
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

    /// The TLS alert that the client is sent for it, with its number (OpenSSL's `ssl_x509err2alert`).
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

/// OpenSSL's numbers for the outcome of a verification (`openssl/x509_vfy.h`).
pub(crate) mod code {
    pub(crate) const UNSPECIFIED: i32 = 1;
    pub(crate) const UNABLE_TO_GET_ISSUER_CERT: i32 = 2;
    pub(crate) const UNABLE_TO_GET_CRL: i32 = 3;
    pub(crate) const UNABLE_TO_DECRYPT_CERT_SIGNATURE: i32 = 4;
    pub(crate) const UNABLE_TO_DECRYPT_CRL_SIGNATURE: i32 = 5;
    pub(crate) const UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY: i32 = 6;
    pub(crate) const CERT_SIGNATURE_FAILURE: i32 = 7;
    pub(crate) const CRL_SIGNATURE_FAILURE: i32 = 8;
    pub(crate) const CERT_NOT_YET_VALID: i32 = 9;
    pub(crate) const CERT_HAS_EXPIRED: i32 = 10;
    pub(crate) const CRL_NOT_YET_VALID: i32 = 11;
    pub(crate) const CRL_HAS_EXPIRED: i32 = 12;
    pub(crate) const ERROR_IN_CERT_NOT_BEFORE_FIELD: i32 = 13;
    pub(crate) const ERROR_IN_CERT_NOT_AFTER_FIELD: i32 = 14;
    pub(crate) const ERROR_IN_CRL_LAST_UPDATE_FIELD: i32 = 15;
    pub(crate) const ERROR_IN_CRL_NEXT_UPDATE_FIELD: i32 = 16;
    pub(crate) const OUT_OF_MEM: i32 = 17;
    pub(crate) const DEPTH_ZERO_SELF_SIGNED_CERT: i32 = 18;
    pub(crate) const SELF_SIGNED_CERT_IN_CHAIN: i32 = 19;
    pub(crate) const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: i32 = 20;
    pub(crate) const UNABLE_TO_VERIFY_LEAF_SIGNATURE: i32 = 21;
    pub(crate) const CERT_CHAIN_TOO_LONG: i32 = 22;
    pub(crate) const CERT_REVOKED: i32 = 23;
    pub(crate) const PATH_LENGTH_EXCEEDED: i32 = 25;
    pub(crate) const INVALID_PURPOSE: i32 = 26;
    pub(crate) const CERT_UNTRUSTED: i32 = 27;
    pub(crate) const CERT_REJECTED: i32 = 28;
    pub(crate) const KEYUSAGE_NO_CERTSIGN: i32 = 32;
    pub(crate) const UNABLE_TO_GET_CRL_ISSUER: i32 = 33;
    pub(crate) const KEYUSAGE_NO_CRL_SIGN: i32 = 35;
    pub(crate) const UNHANDLED_CRITICAL_CRL_EXTENSION: i32 = 36;
    pub(crate) const DIFFERENT_CRL_SCOPE: i32 = 44;
    pub(crate) const APPLICATION_VERIFICATION: i32 = 50;
    pub(crate) const CRL_PATH_VALIDATION_ERROR: i32 = 54;
    pub(crate) const HOSTNAME_MISMATCH: i32 = 62;
    pub(crate) const EMAIL_MISMATCH: i32 = 63;
    pub(crate) const IP_ADDRESS_MISMATCH: i32 = 64;
    pub(crate) const DANE_NO_MATCH: i32 = 65;
    pub(crate) const EE_KEY_TOO_SMALL: i32 = 66;
    pub(crate) const CA_KEY_TOO_SMALL: i32 = 67;
    pub(crate) const CA_MD_TOO_WEAK: i32 = 68;
    pub(crate) const INVALID_CALL: i32 = 69;
    pub(crate) const STORE_LOOKUP: i32 = 70;
    pub(crate) const INVALID_CA: i32 = 79;
    pub(crate) const EC_KEY_EXPLICIT_PARAMS: i32 = 94;
}
