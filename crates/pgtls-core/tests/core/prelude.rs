//! What the tests of the core use, in one place: a name of the core that moves is followed here.

pub(crate) use pgtls_core::asn1::oid::Oid;
pub(crate) use pgtls_core::crl::{
    Crl, Cursor, Entry, NextUpdate, Reason, SignatureCheck, parse_crls,
};
pub(crate) use pgtls_core::error::Error;
pub(crate) use pgtls_core::time::UnixTime;
pub(crate) use pgtls_core::value::Value;
pub(crate) use pgtls_core::verify::chain::Chain;
pub(crate) use pgtls_core::verify::revocation::behaviour::{
    DeltaLists, EmptyScopes, Rules, SelfSigned,
};
pub(crate) use pgtls_core::verify::revocation::coverage::{
    CoverageStatus, ListStatus, coverage, list_status,
};
pub(crate) use pgtls_core::verify::revocation::crl_set::CrlSet;
pub(crate) use pgtls_core::verify::revocation::status::{Status, WhyPassedOver, WhyUnknown};
pub(crate) use pgtls_core::verify::revocation::statuses;
pub(crate) use pgtls_core::x509::bundle::{each_certificate, parse_certificates};
pub(crate) use pgtls_core::x509::certificate::Certificate;
pub(crate) use pgtls_core::x509::distribution_point::DistributionPointName;
pub(crate) use pgtls_core::x509::general_name::GeneralNameKind;
pub(crate) use pgtls_core::x509::name::Name;
pub(crate) use pgtls_core::x509::serial::Serial;
pub(crate) use pgtls_core::{json, limits, pem};
pub(crate) use testpki::der::{SET, attribute, bit_string, concat, integer, oid, seq, seq_of, tlv};
pub(crate) use testpki::x509::{
    INDIRECT, ONLY_ATTRIBUTE, ONLY_CA, ONLY_USER, algorithm, algorithm_null, authority_key_id,
    certificate_issuer, crl_number, crl_points, delta_of, directory, extension, freshest,
    full_name, idp, reason, relative_name, uri,
};
pub(crate) use testpki::{
    CertificateParts, CrlParts, Curve, Key, Order, der, many_entries, many_serial, name,
};

pub(crate) use crate::fixtures::{self, Fixture};
pub(crate) use crate::{fuzzing, reference};

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The PEM form of a revocation list.
pub(crate) fn list_pem(der: &[u8]) -> Vec<u8> {
    der::pem("X509 CRL", der).into_bytes()
}

/// So many random cases, the same ones in every run, so that a failure is the change's own.
/// `PROPTEST_CASES` asks for another number, and for cases that nobody has tried yet.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = |cases| Config { cases, failure_persistence: None, ..Config::default() };
    match std::env::var("PROPTEST_CASES") {
        Ok(cases) => TestRunner::new(config(cases.parse().unwrap())),
        Err(_) => {
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config(cases), rng)
        }
    }
}
