//! What the OpenSSL of this server does where its versions differ. It is tried, because
//! distributors move changes between versions.
//!
//! The files below `probe/` are a root and a client certificate of it, and lists of that root, good
//! from 2026 to 2051. A test of the core says what is in them.

use std::ffi::c_int;
use std::sync::OnceLock;

use openssl::error::{Error, ErrorStack};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Crl, X509StoreContext};
use pgtls_core::verify::revocation::behaviour::{DeltaLists, EmptyScopes, Rules, SelfSigned};

use crate::pg::openssl::trust_store::{add_crl, give_up_without_memory, reason};

const ROOT: &[u8] = include_bytes!("probe/root.der");
const CLIENT: &[u8] = include_bytes!("probe/client.der");
/// Its issuing distribution point is empty.
const EMPTY_SCOPE: &[u8] = include_bytes!("probe/empty_scope.crl");
/// A delta list.
const DELTA: &[u8] = include_bytes!("probe/delta.crl");

/// Why this OpenSSL cannot read a revocation list; `None` if it can. From 3.5 on it refuses dates
/// without seconds, which earlier ones read and then call malformed.
pub(crate) fn why_unreadable(crl: &[u8]) -> Option<String> {
    let why = X509Crl::from_der(crl).err()?;
    give_up_without_memory(&why);
    // Which comes first depends on the version, and some only say that the reason is another entry.
    let is_specific = |it: &&str| *it != NESTED && !it.ends_with(" lib");
    let specific = why.errors().iter().filter_map(Error::reason).find(is_specific);
    Some(specific.map_or_else(|| reason(&why), str::to_owned))
}

/// What OpenSSL says where the reason is in another entry of its queue.
const NESTED: &str = "nested asn1 error";

/// A moment at which all of them are good, 2030-01-01.
const MOMENT: i64 = 1_893_456_000;

/// `X509_V_OK` and `X509_V_ERR_UNABLE_TO_GET_CRL`.
const ACCEPTED: c_int = 0;
const NO_CRL: c_int = 3;

/// The behaviour of this OpenSSL, tried once in a process, in a millisecond. Where a trial has
/// neither of the outcomes that are known, what depends on it is `unsupported`.
pub(crate) fn behaviour() -> Rules {
    static ANSWER: OnceLock<Rules> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let rules = Rules {
            delta_lists: is_used(DELTA)
                .map(|used| if used { DeltaLists::TakenForComplete } else { DeltaLists::Ignored }),
            empty_scopes: is_used(EMPTY_SCOPE)
                .map(|used| if used { EmptyScopes::Accepted } else { EmptyScopes::Ignored }),
            self_signed: match verdict(ROOT, None) {
                Ok(ACCEPTED) => SelfSigned::Skipped,
                _ => SelfSigned::Checked,
            },
        };
        give_up_without_memory(&ErrorStack::get());
        rules
    })
}

/// Whether a list of the root, which is the only one there, counts as one.
fn is_used(list: &[u8]) -> Option<bool> {
    match verdict(CLIENT, Some(list)) {
        Ok(ACCEPTED) => Some(true),
        Ok(NO_CRL) => Some(false),
        Ok(_) => None,
        Err(problem) => {
            give_up_without_memory(&problem);
            None
        }
    }
}

/// What OpenSSL says of a certificate under the flags that the server sets when it has lists.
fn verdict(certificate: &[u8], list: Option<&[u8]>) -> Result<c_int, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(X509::from_der(ROOT)?)?;
    if let Some(list) = list {
        let list = X509Crl::from_der(list)?;
        add_crl(&mut store, &list)?;
    }
    let mut parameters = X509VerifyParam::new()?;
    parameters.set_time(MOMENT);
    parameters.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
    store.set_param(&parameters)?;
    let (store, certificate, others) = (store.build(), X509::from_der(certificate)?, Stack::new()?);
    X509StoreContext::new()?.init(&store, &certificate, &others, |context| {
        let accepted = context.verify_cert()?;
        Ok(if accepted { ACCEPTED } else { context.error().as_raw() })
    })
}
