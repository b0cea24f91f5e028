//! Whether a client's chain is one that the server's TLS accepts.
//!
//! The verdict is OpenSSL's, because OpenSSL is what the server asks. This module only puts the question as the server's
//! TLS layer puts it, and names the answer: the code, the certificate it is about, the alert that the client is sent.
//! Filling the store with what the server trusts is for others.

use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId, X509StoreContext, X509StoreContextRef};

use crate::certificate::Certificate;
use crate::time::UnixTime;

/// How the server has chains verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The moment to judge for.
    pub at: UnixTime,
    /// Whether every certificate of the chain needs a CRL.
    pub check_crls: bool,
    /// OpenSSL's security level, which forbids weak keys and digests.
    pub security_level: i32,
}

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
    pub certificate: Option<Certificate>,
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

/// Asks OpenSSL for its verdict on a client's certificate, given what else the client sends.
///
/// `store` holds what the server trusts and knows. It is used up, because the question becomes part of it.
///
/// # Errors
/// If OpenSSL cannot read a certificate, or cannot come to a verdict.
pub fn verify(
    mut store: X509StoreBuilder,
    leaf: &Certificate,
    sent: &[Certificate],
    policy: Policy,
) -> Result<Verdict, ErrorStack> {
    let mut parameters = X509VerifyParam::new()?;
    parameters.set_time(policy.at.0);
    parameters.set_auth_level(policy.security_level);
    parameters.set_purpose(X509PurposeId::SSL_CLIENT)?;
    if policy.check_crls {
        parameters.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
    }
    store.set_param(&parameters)?;
    let store = store.build();

    let leaf = X509::from_der(leaf.as_der())?;
    let mut others = Stack::new()?;
    others.push(leaf.clone())?;
    for certificate in sent {
        others.push(X509::from_der(certificate.as_der())?)?;
    }
    let verdict = X509StoreContext::new()?.init(&store, &leaf, &others, |context| {
        let trusted = context.verify_cert()?;
        Ok(if trusted { Verdict::Trusted(subjects(context)) } else { refused(context) })
    });
    // The verification may leave its reasons behind, also after a success: the next TLS call must not find them.
    drop(ErrorStack::get());
    verdict
}

fn subjects(context: &X509StoreContextRef) -> Vec<String> {
    let chain = context.chain().into_iter().flatten();
    chain.filter_map(read).map(|c| c.subject().oneline().to_owned()).collect()
}

fn read(x509: &openssl::x509::X509Ref) -> Option<Certificate> {
    Certificate::from_der(&x509.to_der().ok()?).ok()
}

fn refused(context: &X509StoreContextRef) -> Verdict {
    let result = context.error();
    // The server logs the oldest reason in OpenSSL's queue: that of a signature check, if one failed.
    let oldest = ErrorStack::get().errors().first().and_then(openssl::error::Error::reason);
    Verdict::Refused(Refusal {
        code: result.as_raw(),
        text: result.error_string().to_owned(),
        depth: context.error_depth(),
        certificate: context.current_cert().and_then(read),
        logged: oldest.unwrap_or("certificate verify failed").to_owned(),
    })
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
mod code {
    pub(super) const UNSPECIFIED: i32 = 1;
    pub(super) const UNABLE_TO_GET_ISSUER_CERT: i32 = 2;
    pub(super) const UNABLE_TO_GET_CRL: i32 = 3;
    pub(super) const UNABLE_TO_DECRYPT_CERT_SIGNATURE: i32 = 4;
    pub(super) const UNABLE_TO_DECRYPT_CRL_SIGNATURE: i32 = 5;
    pub(super) const UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY: i32 = 6;
    pub(super) const CERT_SIGNATURE_FAILURE: i32 = 7;
    pub(super) const CRL_SIGNATURE_FAILURE: i32 = 8;
    pub(super) const CERT_NOT_YET_VALID: i32 = 9;
    pub(super) const CERT_HAS_EXPIRED: i32 = 10;
    pub(super) const CRL_NOT_YET_VALID: i32 = 11;
    pub(super) const CRL_HAS_EXPIRED: i32 = 12;
    pub(super) const ERROR_IN_CERT_NOT_BEFORE_FIELD: i32 = 13;
    pub(super) const ERROR_IN_CERT_NOT_AFTER_FIELD: i32 = 14;
    pub(super) const ERROR_IN_CRL_LAST_UPDATE_FIELD: i32 = 15;
    pub(super) const ERROR_IN_CRL_NEXT_UPDATE_FIELD: i32 = 16;
    pub(super) const OUT_OF_MEM: i32 = 17;
    pub(super) const DEPTH_ZERO_SELF_SIGNED_CERT: i32 = 18;
    pub(super) const SELF_SIGNED_CERT_IN_CHAIN: i32 = 19;
    pub(super) const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: i32 = 20;
    pub(super) const UNABLE_TO_VERIFY_LEAF_SIGNATURE: i32 = 21;
    pub(super) const CERT_CHAIN_TOO_LONG: i32 = 22;
    pub(super) const CERT_REVOKED: i32 = 23;
    pub(super) const PATH_LENGTH_EXCEEDED: i32 = 25;
    pub(super) const INVALID_PURPOSE: i32 = 26;
    pub(super) const CERT_UNTRUSTED: i32 = 27;
    pub(super) const CERT_REJECTED: i32 = 28;
    pub(super) const UNABLE_TO_GET_CRL_ISSUER: i32 = 33;
    pub(super) const KEYUSAGE_NO_CRL_SIGN: i32 = 35;
    pub(super) const UNHANDLED_CRITICAL_CRL_EXTENSION: i32 = 36;
    pub(super) const DIFFERENT_CRL_SCOPE: i32 = 44;
    pub(super) const APPLICATION_VERIFICATION: i32 = 50;
    pub(super) const CRL_PATH_VALIDATION_ERROR: i32 = 54;
    pub(super) const HOSTNAME_MISMATCH: i32 = 62;
    pub(super) const EMAIL_MISMATCH: i32 = 63;
    pub(super) const IP_ADDRESS_MISMATCH: i32 = 64;
    pub(super) const DANE_NO_MATCH: i32 = 65;
    pub(super) const EE_KEY_TOO_SMALL: i32 = 66;
    pub(super) const CA_KEY_TOO_SMALL: i32 = 67;
    pub(super) const CA_MD_TOO_WEAK: i32 = 68;
    pub(super) const INVALID_CALL: i32 = 69;
    pub(super) const STORE_LOOKUP: i32 = 70;
    pub(super) const INVALID_CA: i32 = 79;
    pub(super) const EC_KEY_EXPLICIT_PARAMS: i32 = 94;
}
