//! The TLS layer of a connection: a borrowed OpenSSL `SSL` object.
//!
//! Owned by the server, never freed here. Everything that is handed out is a copy. None of
//! OpenSSL's functions called here can raise a PostgreSQL error, so they need no guard.

use std::ffi::{c_char, c_int};
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::asn1::Asn1BitStringRef;
use openssl::nid::Nid;
use openssl::ssl::{NameType, SslRef};
use openssl::stack::StackRef;
use openssl::x509::store::X509StoreRef;
use openssl::x509::{X509, X509CrlRef, X509Ref};
use pgtls_core::offer::Newest;

use crate::pg::datum::text::lossless;
use crate::pg::openssl::ffi::{
    X509_CRL_get0_signature, X509_NAME_get0_der, X509_STORE_get0_param, X509_cmp_time,
    i2d_ASN1_INTEGER,
};
use crate::pg::openssl::trust_store::{self, Object};
use crate::pg::openssl::{client_hello, group};

/// A live TLS connection.
pub(crate) struct Tls<'a> {
    ssl: &'a SslRef,
}

/// One extension of the client certificate, as OpenSSL prints it.
pub(crate) struct PrintedExtension {
    /// OpenSSL's short name, or the dotted OID where it has none.
    pub(crate) name: String,
    /// OpenSSL's text for the value; lower-case hex of the raw value where it cannot print it.
    pub(crate) value: String,
    /// Whether the extension is marked critical.
    pub(crate) critical: bool,
}

impl<'a> Tls<'a> {
    /// Borrows the server's object; `None` for a null pointer.
    ///
    /// # Safety
    /// `ssl` is null or a live object that stays alive for `'a`.
    pub(in crate::pg) unsafe fn from_ptr(ssl: *mut openssl_sys::SSL) -> Option<Self> {
        if ssl.is_null() {
            return None;
        }
        // SAFETY: not null, and alive for 'a by the caller's contract.
        Some(Self { ssl: unsafe { SslRef::from_ptr(ssl) } })
    }

    /// The protocol version, such as `TLSv1.3` (`SSL_get_version`).
    pub(crate) fn version(&self) -> &'static str {
        self.ssl.version_str()
    }

    /// The cipher suite in OpenSSL's spelling (`SSL_get_cipher`).
    pub(crate) fn cipher(&self) -> Option<&'static str> {
        self.ssl.current_cipher().map(|cipher| cipher.name())
    }

    /// The bits of the cipher's algorithm, as in `pg_stat_ssl.bits` (`SSL_get_cipher_bits`).
    pub(crate) fn cipher_bits(&self) -> Option<i32> {
        self.ssl.current_cipher().map(|cipher| cipher.bits().algorithm)
    }

    /// The group of the key exchange in TLS spelling, such as `x25519`; `None` where none was
    /// negotiated (plain RSA key exchange of TLS 1.2).
    pub(crate) fn key_exchange_group(&self) -> Option<String> {
        self.key_exchange_group_bytes().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// The same name, without a copy of it.
    pub(in crate::pg) fn key_exchange_group_bytes(&self) -> Option<&'static [u8]> {
        group::name(self.ssl)
    }

    /// The server name that the client asked for (SNI), as bytes chosen by the client.
    pub(crate) fn server_name(&self) -> Option<&[u8]> {
        self.ssl.servername_raw(NameType::HOST_NAME)
    }

    /// The application protocol agreed on (ALPN).
    pub(crate) fn application_protocol(&self) -> Option<&[u8]> {
        self.ssl.selected_alpn_protocol()
    }

    /// The newest version that the client offered, as far as that is known.
    pub(in crate::pg) fn newest_offered(&self) -> Option<Newest> {
        let suites = client_hello::cipher_suites(self.ssl);
        Newest::of(client_hello::legacy_version(self.ssl), suites)
    }

    /// The groups that the client offered, by the numbers that OpenSSL has for them.
    pub(in crate::pg) fn offered_groups(&self) -> impl Iterator<Item = c_int> {
        client_hello::groups(self.ssl)
    }

    /// DER of the certificate that the client presented.
    pub(crate) fn peer_certificate_der(&self) -> Option<Vec<u8>> {
        self.ssl.peer_certificate().and_then(|certificate| der(&certificate))
    }

    /// DER of the certificates that the client sent along with its own, in the order it sent them
    /// (`SSL_get_peer_cert_chain`, which on the server's side leaves the client's own out).
    pub(crate) fn sent_chain_der(&self) -> Vec<Vec<u8>> {
        self.ssl.peer_cert_chain().map(ders).unwrap_or_default()
    }

    /// DER of the chain as OpenSSL verified it, from the client's certificate to the trust anchor
    /// (`SSL_get0_verified_chain`); empty without a client certificate.
    pub(crate) fn verified_chain_der(&self) -> Vec<Vec<u8>> {
        self.ssl.verified_chain().map(ders).unwrap_or_default()
    }

    /// The chain that OpenSSL verified or failed to verify, leaf first; borrowed, without a copy of
    /// anything.
    pub(in crate::pg) fn borrowed_chain(&self) -> impl Iterator<Item = &X509Ref> {
        self.ssl.verified_chain().into_iter().flatten()
    }

    /// What verification of the client's chain said (`SSL_get_verify_result`); 0 also without a
    /// certificate.
    pub(in crate::pg) fn verify_result(&self) -> i64 {
        // SAFETY: `ssl` is live.
        unsafe { openssl_sys::SSL_get_verify_result(self.ssl.as_ptr()) }
    }

    /// The context that the connection was made with.
    pub(in crate::pg) fn context(&self) -> *const openssl_sys::SSL_CTX {
        // SAFETY: `ssl` is live; the result is live as long.
        unsafe { openssl_sys::SSL_get_SSL_CTX(self.ssl.as_ptr()) }
    }

    /// DER of the certificate that this session was shown by the server (`SSL_get_certificate`).
    pub(crate) fn server_certificate_der(&self) -> Option<Vec<u8>> {
        self.ssl.certificate().and_then(der)
    }

    /// The extensions of the client's certificate as OpenSSL prints them, in the certificate's
    /// order.
    pub(crate) fn peer_extensions(&self) -> Vec<PrintedExtension> {
        self.ssl
            .peer_certificate()
            .map(|certificate| printed_extensions(&certificate))
            .unwrap_or_default()
    }
}

impl Tls<'_> {
    /// DER of the revocation lists that this session's context holds: those of the CRL file as of
    /// the last load, and those of the CRL directory that the verification of this session's client
    /// needed. `None` if the context does not check revocation.
    pub(crate) fn crls_in_force(&self) -> Option<Vec<Vec<u8>>> {
        let mut lists = Vec::new();
        self.each_crl_in_force(|crl| lists.extend(crl_der(crl))).then_some(lists)
    }

    /// The signatures of the same lists, which tell one list from another. `None` as there.
    pub(crate) fn crl_signatures_in_force(&self) -> Option<Vec<Vec<u8>>> {
        let mut signatures = Vec::new();
        self.each_crl_in_force(|crl| {
            signatures.extend(crl_signature(crl).map(<[u8]>::to_vec));
        })
        .then_some(signatures)
    }

    /// Calls `visit` with every list of the context's store; `false`, and no call, if it does not
    /// check revocation.
    fn each_crl_in_force(&self, mut visit: impl FnMut(&X509CrlRef)) -> bool {
        // SAFETY: the connection is live, so its context, the context's store, and the store's
        // parameters and objects are. The server changes a store only while it makes a context or
        // verifies a client, and neither happens while a function runs in this single-threaded
        // process.
        unsafe {
            let context = openssl_sys::SSL_get_SSL_CTX(self.ssl.as_ptr());
            let store = openssl_sys::SSL_CTX_get_cert_store(context);
            if store.is_null() {
                return false;
            }
            let flags = openssl_sys::X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store));
            if flags & openssl_sys::X509_V_FLAG_CRL_CHECK == 0 {
                return false;
            }
            for object in trust_store::objects(X509StoreRef::from_ptr(store)) {
                if let Object::Crl(crl) = object {
                    visit(crl);
                }
            }
        }
        true
    }
}

/// The DER of a list; `None` if there is no memory for it.
pub(in crate::pg) fn crl_der(crl: &X509CrlRef) -> Option<Vec<u8>> {
    let mut der = Vec::new();
    der.try_reserve_exact(crl_length(crl)?).ok()?;
    der.resize(der.capacity(), 0);
    let mut end = der.as_mut_ptr();
    // SAFETY: a live list, and room for its length; it does not change in between.
    let written = unsafe { openssl_sys::i2d_X509_CRL(crl.as_ptr(), &mut end) };
    der.truncate(usize::try_from(written).ok()?);
    Some(der)
}

/// How long that is.
pub(in crate::pg) fn crl_length(crl: &X509CrlRef) -> Option<usize> {
    // SAFETY: a live list; with a null pointer the function only measures.
    usize::try_from(unsafe { openssl_sys::i2d_X509_CRL(crl.as_ptr(), ptr::null_mut()) }).ok()
}

/// The signature of a list, which tells one list from another.
pub(in crate::pg) fn crl_signature(crl: &X509CrlRef) -> Option<&[u8]> {
    let mut signature: *const openssl_sys::ASN1_BIT_STRING = ptr::null();
    // SAFETY: a live list; the signature belongs to it.
    unsafe {
        X509_CRL_get0_signature(crl.as_ptr(), &mut signature, ptr::null_mut());
        (!signature.is_null()).then(|| Asn1BitStringRef::from_ptr(signature.cast_mut()).as_slice())
    }
}

/// Writes the DER of a certificate to the start of `room`, and says how long it is; `None` if it
/// does not fit.
pub(in crate::pg) fn copy_der(certificate: &X509Ref, room: &mut [u8]) -> Option<usize> {
    let x509 = certificate.as_ptr();
    // SAFETY: `x509` is live; without a buffer only the length is computed.
    let length = usize::try_from(unsafe { openssl_sys::i2d_X509(x509, ptr::null_mut()) }).ok()?;
    let mut start = room.get_mut(..length).filter(|room| !room.is_empty())?.as_mut_ptr();
    // SAFETY: there is room for the length just computed.
    let written = unsafe { openssl_sys::i2d_X509(x509, &mut start) };
    usize::try_from(written).ok().filter(|written| *written == length)
}

/// SHA-256 of the DER of a certificate.
pub(in crate::pg) fn fingerprint(certificate: &X509Ref) -> Option<[u8; 32]> {
    let mut digest = [0_u8; 32];
    let mut length: std::ffi::c_uint = 0;
    // SAFETY: the certificate is live, and SHA-256 has 32 bytes.
    let done = unsafe {
        openssl_sys::X509_digest(
            certificate.as_ptr(),
            openssl_sys::EVP_sha256(),
            digest.as_mut_ptr(),
            &mut length,
        )
    };
    (done == 1 && length == 32).then_some(digest)
}

/// Writes the DER of the certificate's serial number to the start of `room`, and says how long it
/// is.
pub(in crate::pg) fn copy_serial(certificate: &X509Ref, room: &mut [u8]) -> Option<usize> {
    // SAFETY: the certificate is live, the number belongs to it; the buffer is used as in
    // `copy_der`.
    unsafe {
        let serial = openssl_sys::X509_get_serialNumber(certificate.as_ptr());
        let length = usize::try_from(i2d_ASN1_INTEGER(serial, ptr::null_mut())).ok()?;
        let mut start = room.get_mut(..length).filter(|room| !room.is_empty())?.as_mut_ptr();
        let written = i2d_ASN1_INTEGER(serial, &mut start);
        usize::try_from(written).ok().filter(|written| *written == length)
    }
}

/// The DER of the certificate's subject, which the certificate owns.
pub(in crate::pg) fn subject_der(certificate: &X509Ref) -> Option<&[u8]> {
    // SAFETY: the certificate is live, and the name belongs to it.
    unsafe { name_der(certificate, openssl_sys::X509_get_subject_name(certificate.as_ptr())) }
}

/// The DER of the name of the certificate's issuer, which the certificate owns.
pub(in crate::pg) fn issuer_der(certificate: &X509Ref) -> Option<&[u8]> {
    // SAFETY: the certificate is live, and the name belongs to it.
    unsafe { name_der(certificate, openssl_sys::X509_get_issuer_name(certificate.as_ptr())) }
}

/// # Safety
/// The name belongs to the certificate.
unsafe fn name_der(_owner: &X509Ref, name: *const openssl_sys::X509_NAME) -> Option<&[u8]> {
    let mut der: *const u8 = ptr::null();
    let mut length = 0_usize;
    // SAFETY: the name is live as long as its owner, and so is its encoding.
    unsafe {
        let found = X509_NAME_get0_der(name, &mut der, &mut length) == 1;
        (found && !der.is_null()).then(|| std::slice::from_raw_parts(der, length))
    }
}

/// The end of the certificate, as it is written there: the tag and the text of a time.
pub(in crate::pg) fn not_after(certificate: &X509Ref) -> Option<(u8, &[u8])> {
    // SAFETY: the certificate is live, and the time and its text belong to it.
    unsafe {
        let time: *const openssl_sys::ASN1_STRING =
            openssl_sys::X509_getm_notAfter(certificate.as_ptr()).cast();
        let length = usize::try_from(openssl_sys::ASN1_STRING_length(time)).ok()?;
        let text = openssl_sys::ASN1_STRING_get0_data(time);
        let tag = u8::try_from(openssl_sys::ASN1_STRING_type(time)).ok()?;
        (!text.is_null()).then(|| (tag, std::slice::from_raw_parts(text, length)))
    }
}

/// Where a certificate of the chain is outside its dates now; leaf first.
pub(in crate::pg) fn depth_outside_dates<'a>(
    chain: impl Iterator<Item = &'a X509Ref>,
) -> Option<usize> {
    // OpenSSL checks from the anchor to the leaf, so the last one is the one that it complained of.
    chain
        .enumerate()
        .filter(|(_, certificate)| {
            // SAFETY: the certificate is live, and its dates belong to it. Zero is an error, else
            // the sign says before or after now.
            unsafe {
                let x509 = certificate.as_ptr();
                X509_cmp_time(openssl_sys::X509_getm_notBefore(x509), ptr::null_mut()) > 0
                    || X509_cmp_time(openssl_sys::X509_getm_notAfter(x509), ptr::null_mut()) < 0
            }
        })
        .map(|(depth, _)| depth)
        .last()
}

fn der(certificate: &X509Ref) -> Option<Vec<u8>> {
    certificate.to_der().ok()
}

fn ders(stack: &StackRef<X509>) -> Vec<Vec<u8>> {
    stack.iter().filter_map(der).collect()
}

fn printed_extensions(certificate: &X509Ref) -> Vec<PrintedExtension> {
    let x509 = certificate.as_ptr();
    // SAFETY: `x509` is live for the whole function, because `certificate` borrows it.
    let count = unsafe { openssl_sys::X509_get_ext_count(x509) };
    (0..count)
        .filter_map(|index| {
            // SAFETY: `index` is within the count just read; the result belongs to the certificate.
            let extension = unsafe { openssl_sys::X509_get_ext(x509, index) };
            // SAFETY: checked for null, and part of the live certificate.
            (!extension.is_null()).then(|| unsafe { print_extension(extension) })
        })
        .collect()
}

/// # Safety
/// `extension` is a live extension.
unsafe fn print_extension(extension: *mut openssl_sys::X509_EXTENSION) -> PrintedExtension {
    // SAFETY: the caller's contract; the objects read from the extension belong to it.
    let (object, critical) = unsafe {
        (
            openssl_sys::X509_EXTENSION_get_object(extension),
            openssl_sys::X509_EXTENSION_get_critical(extension) != 0,
        )
    };
    // SAFETY: every extension has an object identifier.
    let object = unsafe { openssl::asn1::Asn1ObjectRef::from_ptr(object) };
    // An object that OpenSSL does not know has a short name too, "UNDEF"; its text is the dotted
    // OID.
    let known = Some(object.nid()).filter(|nid| *nid != Nid::UNDEF);
    let name = known.and_then(|nid| nid.short_name().ok());
    let name = name.map_or_else(|| object.to_string(), str::to_owned);
    // SAFETY: the caller's contract.
    let value = unsafe { extension_text(extension).unwrap_or_else(|| extension_hex(extension)) };
    PrintedExtension { name, value, critical }
}

/// The text of `X509V3_EXT_print`; `None` where OpenSSL does not know the extension or cannot
/// decode it.
///
/// # Safety
/// `extension` is a live extension.
unsafe fn extension_text(extension: *mut openssl_sys::X509_EXTENSION) -> Option<String> {
    // SAFETY: an owned memory BIO, freed below on the only way out; the data it points to is copied
    // before that.
    unsafe {
        let bio = openssl_sys::BIO_new(openssl_sys::BIO_s_mem());
        if bio.is_null() {
            return None;
        }
        let printed = openssl_sys::X509V3_EXT_print(bio, extension.cast(), 0, 0) > 0;
        let mut data: *mut c_char = ptr::null_mut();
        let length = usize::try_from(openssl_sys::BIO_get_mem_data(bio, &mut data)).unwrap_or(0);
        let text = (printed && !data.is_null())
            .then(|| lossless(std::slice::from_raw_parts(data.cast(), length)).into_owned());
        openssl_sys::BIO_free_all(bio);
        // A failed print leaves its reasons in the queue, where the server's next TLS call would
        // find them.
        openssl_sys::ERR_clear_error();
        text
    }
}

/// The raw value in lower-case hex.
///
/// # Safety
/// `extension` is a live extension.
unsafe fn extension_hex(extension: *mut openssl_sys::X509_EXTENSION) -> String {
    // SAFETY: every extension has a value, which belongs to it.
    let bytes = unsafe {
        let data = openssl_sys::X509_EXTENSION_get_data(extension);
        openssl::asn1::Asn1StringRef::from_ptr(data.cast()).as_slice()
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
