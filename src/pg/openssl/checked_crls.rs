//! Which revocation lists of a store OpenSSL has checked: a list's signature is checked once and
//! not for every chain, for it takes half a second for a list of a million entries.
//!
//! `check_crl` of OpenSSL's `x509_vfy.c` looks at a list's issuer, scope, dates and signature. It
//! is called through a function of ours, which leaves out only what could not come out differently:
//! the list is the same object, its issuer the same certificate of the chain, there is no extension
//! by which its scope would depend on the certificate, and the moment is between its dates.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::OnceLock;

use foreign_types::ForeignTypeRef;
use openssl::hash::MessageDigest;
use openssl::x509::store::X509StoreRef;
use openssl::x509::{X509Ref, X509StoreContext, X509StoreContextRef};

use crate::pg::openssl::ffi::{
    CheckCrl, X509_CRL_get_ext_by_NID, X509_STORE_CTX_get_check_crl,
    X509_STORE_CTX_get0_current_issuer, X509_STORE_CTX_get0_param, X509_STORE_set_check_crl,
    X509_VERIFY_PARAM_get_time, X509_cmp_time,
};

/// A list, by its place in memory, and the SHA-256 of the certificate that it was checked with. A
/// store keeps its lists for as long as it is there.
type Checked = HashSet<(usize, [u8; 32])>;

/// What was checked of the lists of one store.
#[derive(Default, Clone)]
pub(in crate::pg) struct CheckedCrls(Rc<RefCell<Checked>>);

/// OpenSSL's own function.
static ORIGINAL: OnceLock<CheckCrl> = OnceLock::new();

thread_local! {
    /// Of the store by which a chain is being judged; `None` where every check counts.
    static CURRENT: RefCell<Option<CheckedCrls>> = const { RefCell::new(None) };
}

impl CheckedCrls {
    /// Of a store that has just been made. If OpenSSL's function cannot be had, all stays as it is.
    pub(in crate::pg) fn of(store: &X509StoreRef) -> Self {
        if ORIGINAL.get().is_none()
            && let Some(original) = original(store)
        {
            let _ = ORIGINAL.set(original);
        }
        if ORIGINAL.get().is_some() {
            // SAFETY: the store is live, and this is the type of function that it calls.
            unsafe { X509_STORE_set_check_crl(store.as_ptr(), check) };
        }
        Self::default()
    }

    /// Judges by that store. What was checked before is not checked again.
    pub(in crate::pg) fn during<T>(&self, judge: impl FnOnce() -> T) -> T {
        /// Nothing is left behind, however the judging ends.
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                CURRENT.set(None);
            }
        }
        CURRENT.set(Some(self.clone()));
        let _reset = Reset;
        judge()
    }
}

/// What OpenSSL calls for a store for which nothing else was set.
fn original(store: &X509StoreRef) -> Option<CheckCrl> {
    let context = X509StoreContext::new().ok()?;
    // SAFETY: both are live; without a certificate nothing is verified with it. Dropping the
    // context cleans it up.
    unsafe {
        let null = ptr::null_mut::<c_void>();
        let context = context.as_ptr();
        if openssl_sys::X509_STORE_CTX_init(context, store.as_ptr(), null.cast(), null.cast()) != 1
        {
            return None;
        }
        X509_STORE_CTX_get_check_crl(context)
    }
}

/// OpenSSL calls it for each list that it has found for a certificate; 1 means that the list is
/// good.
unsafe extern "C" fn check(
    context: *mut openssl_sys::X509_STORE_CTX,
    crl: *mut openssl_sys::X509_CRL,
) -> c_int {
    let Some(original) = ORIGINAL.get() else { return 0 };
    let current = CURRENT.with(|current| current.try_borrow().ok().and_then(|it| it.clone()));
    // SAFETY: OpenSSL passes the live context of the verification and a list of its store.
    let key = current.as_ref().and_then(|_| unsafe { key(context, crl) });
    let (Some(CheckedCrls(checked)), Some(key)) = (current, key) else {
        // SAFETY: as above.
        return unsafe { original(context, crl) };
    };
    if checked.try_borrow().is_ok_and(|checked| checked.contains(&key)) {
        return 1;
    }
    // SAFETY: as above.
    let done = unsafe { original(context, crl) };
    if done == 1
        && let Ok(mut checked) = checked.try_borrow_mut()
        && checked.try_reserve(1).is_ok()
    {
        checked.insert(key);
    }
    done
}

/// By what the check of a list is remembered; `None` if it has to be done in any case.
///
/// # Safety
/// The arguments that OpenSSL passes.
unsafe fn key(
    context: *mut openssl_sys::X509_STORE_CTX,
    crl: *mut openssl_sys::X509_CRL,
) -> Option<(usize, [u8; 32])> {
    // SAFETY: the caller's contract; what is read belongs to the context and the list, which are
    // live.
    unsafe {
        let issuer = X509_STORE_CTX_get0_current_issuer(context);
        let reference: &X509StoreContextRef = X509StoreContextRef::from_ptr(context);
        let in_chain = reference.chain()?.iter().any(|one| one.as_ptr() == issuer);
        let scoped = [openssl_sys::NID_issuing_distribution_point, openssl_sys::NID_delta_crl]
            .iter()
            .any(|nid| X509_CRL_get_ext_by_NID(crl, *nid, -1) >= 0);
        if issuer.is_null() || !in_chain || scoped {
            return None;
        }
        let mut moment = X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(context));
        let begins = openssl_sys::X509_CRL_get0_lastUpdate(crl);
        let ends = openssl_sys::X509_CRL_get0_nextUpdate(crl);
        let is_current = X509_cmp_time(begins, &mut moment) < 0
            && (ends.is_null() || X509_cmp_time(ends, &mut moment) > 0);
        if !is_current {
            return None;
        }
        let digest = X509Ref::from_ptr(issuer).digest(MessageDigest::sha256()).ok()?;
        Some((crl as usize, digest.as_ref().try_into().ok()?))
    }
}
