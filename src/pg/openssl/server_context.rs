//! What a TLS context of the server holds: its own certificate, whom it trusts, and how it asks.

use std::ffi::c_int;
use std::ptr;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::ssl::{SslContextRef, SslVerifyMode};
use openssl::stack::StackRef;
use openssl::x509::store::X509StoreRef;
use openssl::x509::{X509, X509Crl, X509CrlRef, X509Ref};

use crate::pg::openssl::trust_store::{self, Object};

/// Certificates and lists that OpenSSL has read, each counted once more.
#[derive(Default)]
pub(crate) struct Material {
    pub(crate) certificates: Vec<X509>,
    pub(crate) crls: Vec<X509Crl>,
}

impl Material {
    /// All that is in a store now.
    pub(in crate::pg) fn of(store: &X509StoreRef) -> Self {
        let mut material = Self::default();
        for object in trust_store::objects(store) {
            match object {
                Object::Certificate(certificate) => {
                    material.certificates.push(certificate.to_owned());
                }
                Object::Crl(crl) => material.crls.extend(counted(crl)),
            }
        }
        material
    }
}

/// One more reference to a list.
fn counted(crl: &X509CrlRef) -> Option<X509Crl> {
    // SAFETY: the list is live; the reference that is counted here is given back when the result is
    // dropped.
    unsafe {
        (openssl_sys::X509_CRL_up_ref(crl.as_ptr()) == 1).then(|| X509Crl::from_ptr(crl.as_ptr()))
    }
}

/// A context that somebody else owns.
pub(in crate::pg) struct ServerContext<'a>(&'a SslContextRef);

impl ServerContext<'_> {
    /// # Safety
    /// `context` is null, or stays alive for as long as the result is used.
    pub(in crate::pg) unsafe fn new(context: *mut openssl_sys::SSL_CTX) -> Option<Self> {
        // SAFETY: not null, and alive by the caller's contract.
        (!context.is_null()).then(|| Self(unsafe { SslContextRef::from_ptr(context) }))
    }

    /// What it shows of itself: its own certificate, and those that it sends along.
    pub(in crate::pg) fn chain(&self) -> Vec<X509> {
        let mut chain: *mut openssl_sys::stack_st_X509 = ptr::null_mut();
        // SAFETY: the context is live. What is found belongs to it, and is null if it sends nothing
        // along.
        let others: Option<&StackRef<X509>> = unsafe {
            openssl_sys::SSL_CTX_get_extra_chain_certs(self.0.as_ptr(), &mut chain);
            (!chain.is_null()).then(|| StackRef::from_ptr(chain))
        };
        let others = others.into_iter().flatten();
        self.0.certificate().into_iter().chain(others).map(X509Ref::to_owned).collect()
    }

    /// What it trusts and knows.
    pub(in crate::pg) fn material(&self) -> Material {
        Material::of(self.0.cert_store())
    }

    /// Whether it asks clients for a certificate.
    pub(in crate::pg) fn asks_clients(&self) -> bool {
        self.0.verify_mode().contains(SslVerifyMode::PEER)
    }

    /// Whether it wants a list for every certificate of a chain.
    pub(in crate::pg) fn checks_crls(&self) -> bool {
        trust_store::checks_crls(self.0.cert_store())
    }

    /// The lowest and the highest protocol version that it does, by their numbers on the wire; 0
    /// for no limit.
    pub(in crate::pg) fn protocols(&self) -> (c_int, c_int) {
        let context = self.0.as_ptr();
        // SAFETY: the context is live; both only read.
        unsafe {
            (
                openssl_sys::SSL_CTX_get_min_proto_version(context),
                openssl_sys::SSL_CTX_get_max_proto_version(context),
            )
        }
    }

    /// OpenSSL's security level.
    pub(in crate::pg) fn security_level(&self) -> c_int {
        c_int::try_from(self.0.security_level()).unwrap_or(c_int::MAX)
    }
}
