//! OpenSSL's verification errors (`X509_V_ERR_...` in x509_vfy.h).

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
    pub(crate) const UNHANDLED_CRITICAL_EXTENSION: i32 = 34;
    pub(crate) const UNABLE_TO_GET_CRL_ISSUER: i32 = 33;
    pub(crate) const KEYUSAGE_NO_CRL_SIGN: i32 = 35;
    pub(crate) const UNHANDLED_CRITICAL_CRL_EXTENSION: i32 = 36;
    pub(crate) const DIFFERENT_CRL_SCOPE: i32 = 44;
    pub(crate) const PERMITTED_VIOLATION: i32 = 47;
    pub(crate) const EXCLUDED_VIOLATION: i32 = 48;
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
