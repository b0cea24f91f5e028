//! `d2i_X509`, `d2i_X509_CRL` and `d2i_X509_REQ`.

use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Crl, X509Req};

use super::mutate::{self, Random};
use super::{Differences, count};
use crate::prelude::*;
use crate::requests::{attributes, wants};
use pgtls_core::x509::request::parse_requests;

/// Certificates without a fresh key, so that they are the same in every run, and small.
fn certificates() -> Vec<Vec<u8>> {
    let rsa =
        seq(&[&algorithm_null("rsaEncryption"), &bit_string(&seq(&[&integer(1), &integer(3)]))]);
    let with_names = |subject: Vec<u8>| {
        let extensions = vec![
            extension("basicConstraints", true, &seq(&[&[1, 1, 0xff][..], &[2, 1, 3]])),
            extension("keyUsage", true, &[3, 2, 1, 6]),
            extension("subjectAltName", false, &seq_of(&[tlv(0x82, b"a.example")])),
        ];
        CertificateParts {
            subject,
            public_key: rsa.clone(),
            signature_algorithm: algorithm_null("sha256WithRSAEncryption"),
            extensions,
            ..Default::default()
        }
        .to_der()
    };
    let typed = |tag, value: &[u8]| seq_of(&[tlv(SET, &attribute("CN", tag, value))]);
    let handmade = fixtures::handmade().into_iter().map(|fixture| fixture.der);
    let mut all: Vec<_> = handmade.filter(|der| der.len() < 1200).collect();
    all.extend([
        with_names(name("/C=DE/O=Acme/CN=alice")),
        with_names(typed(30, b"\0a\0b\0c")),
        with_names(typed(28, b"\0\0\0a\0\x01\0\0")),
        with_names(typed(12, "\u{e9}\u{20ac}\u{1f600}".as_bytes())),
        with_names(typed(20, b"a\xe9b")),
        with_names(typed(18, b"123")),
        with_names(typed(3, &[3, 0xa8])),
        with_names(typed(0x30, &[2, 1, 5])),
        with_names(typed(7, b"x")),
    ]);
    all
}

fn lists() -> Vec<Vec<u8>> {
    let now = 1_700_000_000;
    let ca = name("/O=Acme/CN=CA");
    let base = || CrlParts::new(&ca, now - 1000, now + 1000);
    let place = full_name(&[uri("http://crl.test/a.crl")]);
    let parts = [
        base(),
        base().revoke(&[5], now, &[reason(1)]).revoke(&[0x80, 1], now, &[]),
        base()
            .revoke(&[9], now, &[certificate_issuer(&name("/CN=other"))])
            .revoke(&[5], now, &[reason(8)])
            .with(crl_number(3))
            .with(authority_key_id(&[tlv(0x80, b"id")]))
            .with(idp(&[place, INDIRECT.to_vec()])),
        base().with(crl_number(3)).with(delta_of(2)),
        CrlParts { version: None, next_update: None, ..base() },
        CrlParts { next_update: None, ..base().revoke(&[5], now, &[]) },
    ];
    parts.iter().map(|parts| parts.sealed(&parts.tbs(), &[0x5a; 70])).collect()
}

fn certificate_requests() -> Vec<Vec<u8>> {
    let public_key = CertificateParts::default().public_key;
    let wanted = [extension("keyUsage", false, &[3, 2, 7, 0x80])];
    let request = |attributes: Vec<u8>| {
        let signed = seq(&[&integer(0), &name("/O=Acme/CN=alice"), &public_key, &attributes]);
        seq(&[&signed, &algorithm("ecdsa-with-SHA256"), &bit_string(&[0x5a; 70])])
    };
    let password = seq(&[&oid("challengePassword"), &tlv(SET, &tlv(12, b"secret"))]);
    vec![
        request(attributes(&[wants(&wanted)])),
        request(attributes(&[password, wants(&wanted)])),
        request(attributes(&[])),
        request(Vec::new()),
    ]
}

/// Tries so many changes of `seeds`.
fn compare(
    seeds: &[Vec<u8>],
    count: usize,
    ours: impl Fn(&[u8]) -> Result<(), Error>,
    theirs: impl Fn(&[u8]) -> Result<(), ErrorStack>,
) {
    let mut random = Random::new(11);
    let mut differences = Differences::default();
    let mut taken = 0;
    for round in 0..count {
        let seed = &seeds[round % seeds.len()];
        let der = if round < seeds.len() { seed.clone() } else { mutate::der(seed, &mut random) };
        let (mine, other) = (ours(&der), theirs(&der));
        taken += usize::from(other.is_ok());
        match (mine, other) {
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
            (Ok(_), Err(error)) if is_excepted(&error) => {}
            (Ok(_), Err(error)) => {
                differences.add(|| format!("round {round}, refused, {error}: {}", hex(&der)));
            }
            (Err(error), Ok(_)) => {
                differences.add(|| format!("round {round}, taken, {error}: {}", hex(&der)));
            }
        }
    }
    differences.assert_none(taken, count);
}

/// What OpenSSL refuses and the core does not:
///
/// * dates that are too short, which newer versions find out when they read, and older ones when
///   they compare;
fn is_excepted(error: &ErrorStack) -> bool {
    error.to_string().contains("time is too short")
}

fn hex(der: &[u8]) -> String {
    der::hex(der)
}

/// As a block of text, since there OpenSSL takes what follows for none of its business.
fn block(label: &str, der: &[u8]) -> Vec<u8> {
    pem::encode(label, der).into_bytes()
}

#[test]
fn certificates_are_taken_where_openssl_takes_them() {
    compare(
        &certificates(),
        count(160_000, 16_000),
        |der| parse_certificates(&block("CERTIFICATE", der)).map(drop),
        |der| X509::from_der(der).map(drop),
    );
}

#[test]
fn lists_are_taken_where_openssl_takes_them() {
    compare(
        &lists(),
        count(80_000, 8_000),
        |der| parse_crls(block("X509 CRL", der))?.remove(0).crl.map(drop),
        |der| X509Crl::from_der(der).map(drop),
    );
}

#[test]
fn requests_are_taken_where_openssl_takes_them() {
    compare(
        &certificate_requests(),
        count(60_000, 6_000),
        |der| parse_requests(&block("CERTIFICATE REQUEST", der)).map(drop),
        |der| X509Req::from_der(der).map(drop),
    );
}
