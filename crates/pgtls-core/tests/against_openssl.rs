//! Every column of every certificate equals what OpenSSL says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use openssl::x509::X509;
use pgtls_core::parse_certificates;

#[test]
fn names_of_the_system_certificates_equal_those_of_openssl() {
    for file in common::system_certificate_files() {
        let text = std::fs::read(&file).unwrap();
        let [certificate] = &parse_certificates(&text).unwrap()[..] else { panic!("{file:?}") };
        let reference = X509::from_pem(&text).unwrap();
        for (name, reference) in [
            (certificate.subject(), reference.subject_name()),
            (certificate.issuer(), reference.issuer_name()),
        ] {
            assert_eq!(Some(name.oneline().into()), common::openssl::oneline(reference));
            assert_eq!(Some(name.rfc2253().into()), common::openssl::rfc2253(reference));
        }
        assert_eq!(certificate.problems(), []);
    }
}
