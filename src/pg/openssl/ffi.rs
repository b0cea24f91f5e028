//! Functions of OpenSSL that the openssl-sys crate does not declare: the only place for them.
//!
//! None of them raises a PostgreSQL error. What each needs of its arguments is what OpenSSL's manual
//! says; whoever calls one says why that holds.

use std::ffi::{c_char, c_int, c_ulong, c_void};

/// Judges a revocation list in the course of a verification (`X509_STORE_CTX_check_crl_fn`).
pub(in crate::pg) type CheckCrl = unsafe extern "C" fn(
    context: *mut openssl_sys::X509_STORE_CTX,
    crl: *mut openssl_sys::X509_CRL,
) -> c_int;

unsafe extern "C" {
    // --- openssl/ssl.h

    /// The version that the client wrote into its ClientHello.
    pub(in crate::pg) fn SSL_client_version(ssl: *const openssl_sys::SSL) -> c_int;

    // --- openssl/x509_vfy.h

    /// Loads certificates and lists from a file and adds a directory to look in.
    pub(in crate::pg) fn X509_STORE_load_locations(
        store: *mut openssl_sys::X509_STORE,
        file: *const c_char,
        directory: *const c_char,
    ) -> c_int;
    /// Adds a list and counts one more reference to it.
    pub(in crate::pg) fn X509_STORE_add_crl(
        store: *mut openssl_sys::X509_STORE,
        crl: *mut openssl_sys::X509_CRL,
    ) -> c_int;
    /// The parameters of a store, which belong to it.
    pub(in crate::pg) fn X509_STORE_get0_param(
        store: *const openssl_sys::X509_STORE,
    ) -> *mut openssl_sys::X509_VERIFY_PARAM;
    /// Has lists judged by another function than OpenSSL's own.
    pub(in crate::pg) fn X509_STORE_set_check_crl(
        store: *mut openssl_sys::X509_STORE,
        check: CheckCrl,
    );
    /// The list in an object of a store; null if it is none.
    pub(in crate::pg) fn X509_OBJECT_get0_X509_CRL(
        object: *const openssl_sys::X509_OBJECT,
    ) -> *mut openssl_sys::X509_CRL;
    pub(in crate::pg) fn X509_STORE_CTX_set_default(
        context: *mut openssl_sys::X509_STORE_CTX,
        name: *const c_char,
    ) -> c_int;
    pub(in crate::pg) fn X509_STORE_CTX_set_verify_cb(
        context: *mut openssl_sys::X509_STORE_CTX,
        callback: unsafe extern "C" fn(c_int, *mut openssl_sys::X509_STORE_CTX) -> c_int,
    );
    pub(in crate::pg) fn X509_STORE_CTX_get0_param(
        context: *mut openssl_sys::X509_STORE_CTX,
    ) -> *mut openssl_sys::X509_VERIFY_PARAM;
    pub(in crate::pg) fn X509_STORE_CTX_get_check_crl(
        context: *const openssl_sys::X509_STORE_CTX,
    ) -> Option<CheckCrl>;
    pub(in crate::pg) fn X509_STORE_CTX_get0_current_issuer(
        context: *const openssl_sys::X509_STORE_CTX,
    ) -> *mut openssl_sys::X509;
    pub(in crate::pg) fn X509_VERIFY_PARAM_get_time(
        parameters: *const openssl_sys::X509_VERIFY_PARAM,
    ) -> libc::time_t;

    // --- openssl/x509.h

    /// Without a time it compares with the present.
    pub(in crate::pg) fn X509_cmp_time(
        time: *const openssl_sys::ASN1_TIME,
        with: *mut libc::time_t,
    ) -> c_int;
    pub(in crate::pg) fn X509_CRL_get_ext_by_NID(
        crl: *const openssl_sys::X509_CRL,
        nid: c_int,
        after: c_int,
    ) -> c_int;
    /// The signature of a list, which belongs to it.
    pub(in crate::pg) fn X509_CRL_get0_signature(
        crl: *const openssl_sys::X509_CRL,
        signature: *mut *const openssl_sys::ASN1_BIT_STRING,
        algorithm: *mut *const openssl_sys::X509_ALGOR,
    );
    /// The DER of a name, which belongs to it.
    pub(in crate::pg) fn X509_NAME_get0_der(
        name: *const openssl_sys::X509_NAME,
        der: *mut *const u8,
        length: *mut usize,
    ) -> c_int;

    // --- openssl/asn1.h

    pub(in crate::pg) fn i2d_ASN1_INTEGER(
        number: *const openssl_sys::ASN1_INTEGER,
        out: *mut *mut u8,
    ) -> c_int;

    // --- openssl/ssl.h

    pub(in crate::pg) fn SSL_CTX_set_default_passwd_cb(
        context: *mut openssl_sys::SSL_CTX,
        callback: unsafe extern "C" fn(*mut c_char, c_int, c_int, *mut c_void) -> c_int,
    );
    /// The name of an alert, which is static.
    pub(in crate::pg) fn SSL_alert_desc_string_long(value: c_int) -> *const c_char;
    /// The key exchange of a cipher suite.
    pub(in crate::pg) fn SSL_CIPHER_get_kx_nid(cipher: *const openssl_sys::SSL_CIPHER) -> c_int;

    // --- openssl/err.h

    /// The oldest error of the queue, which stays there.
    pub(in crate::pg) fn ERR_peek_error() -> c_ulong;
}
