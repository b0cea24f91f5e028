//! What the OpenSSL of this server does where its versions differ. It is tried, because distributors move changes between
//! versions.

use std::sync::OnceLock;

use openssl::error::{Error, ErrorStack};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Crl, X509StoreContext, X509StoreContextRef};
use pgtls_core::verify::revocation::behaviour::{Rules, SelfSigned};

use crate::pg::openssl::trust_store::{give_up_without_memory, reason};

/// The behaviour of this OpenSSL. About rare kinds of CRLs it is not asked, so what depends on them is `unsupported`.
pub(crate) fn behaviour() -> Rules {
    let self_signed =
        if wants_list_for_self_signed() { SelfSigned::Checked } else { SelfSigned::Skipped };
    Rules { self_signed, ..Rules::default() }
}

/// Why this OpenSSL cannot read a revocation list; `None` if it can. From 3.5 on it refuses dates without seconds, which
/// earlier ones read and then call malformed.
pub(crate) fn why_unreadable(crl: &[u8]) -> Option<String> {
    let why = X509Crl::from_der(crl).err()?;
    // Which comes first depends on the version, and some only say that the reason is another entry.
    let is_specific = |it: &&str| *it != NESTED && !it.ends_with(" lib");
    let specific = why.errors().iter().filter_map(Error::reason).find(is_specific);
    Some(specific.map_or_else(|| reason(&why), str::to_owned))
}

/// What OpenSSL says where the reason is in another entry of its queue.
const NESTED: &str = "nested asn1 error";

/// A self-signed certificate from 2026 to 2051, whose key nobody has.
const PROBE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBgDCCASWgAwIBAgIURYTk2xByGXD0t/7VuywvUwE8PSAwCgYIKoZIzj0EAwIw\n\
FDESMBAGA1UEAwwJcGd0bHNfZXh0MCAXDTI2MTEyMjA1MDQ1N1oYDzIwNTEwNzE0\n\
MDUwNDU3WjAUMRIwEAYDVQQDDAlwZ3Rsc19leHQwWTATBgcqhkjOPQIBBggqhkjO\n\
PQMBBwNCAAQI7hK6RnfbmFVOOk4C16OV5rqBx5EjUDbvwsIDvg9oz2b+O2ZPD4ti\n\
QyoP4mT2QoOp0BKpM9CtgTlWeceNTMhTo1MwUTAfBgNVHSMEGDAWgBTe6F3Mej7r\n\
IjJolcmgkbCYfqMKrDAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBTe6F3Mej7r\n\
IjJolcmgkbCYfqMKrDAKBggqhkjOPQQDAgNJADBGAiEAoe+WBQw/BoxSXGMXWKOS\n\
L7o455FVWUnMLgHnz8kwqwECIQCxzzik5F9fFHYeIqK1UqRf6IIrvgwqAXKx12dI\n\
FHU9BA==\n\
-----END CERTIFICATE-----\n";

/// A moment at which it is valid, 2030-01-01.
const PROBE_TIME: i64 = 1_893_456_000;

/// Whether OpenSSL wants a revocation list for a self-signed certificate, if lists are checked. That changed with 3.6, and
/// distributors move changes between versions, so it is tried.
fn wants_list_for_self_signed() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let trial = || -> Result<bool, ErrorStack> {
        let certificate = X509::from_pem(PROBE.as_bytes())?;
        let mut store = X509StoreBuilder::new()?;
        store.add_cert(certificate.clone())?;
        let mut parameters = X509VerifyParam::new()?;
        parameters.set_time(PROBE_TIME);
        parameters.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
        store.set_param(&parameters)?;
        let (store, others) = (store.build(), Stack::new()?);
        let ask = |context: &mut X509StoreContextRef| context.verify_cert();
        Ok(!X509StoreContext::new()?.init(&store, &certificate, &others, ask)?)
    };
    *ANSWER.get_or_init(|| {
        let wants = trial().unwrap_or_else(|problem| {
            give_up_without_memory(&problem);
            true
        });
        give_up_without_memory(&ErrorStack::get());
        wants
    })
}
