//! The files with which the extension finds out what the OpenSSL of a server does
//! (`src/pg/openssl/probe`): they are what the test PKI makes, apart from their signatures, which
//! are good.
//!
//! `PGTLS_WRITE_PROBE=1` makes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509Crl};
use testpki::x509::{crl_number, delta_of, idp};
use testpki::{CertificateParts, CrlParts, Key, der, name};

/// 2026-01-01 and 2051-01-01.
const FROM: i64 = 1_767_225_600;
const TO: i64 = 2_556_144_000;

/// A key that everybody knows; nobody trusts it.
fn key(text: &str) -> Key {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let number = BigNum::from_slice(&openssl::sha::sha256(text.as_bytes())).unwrap();
    let mut point = EcPoint::new(&group).unwrap();
    let mut context = BigNumContext::new().unwrap();
    point.mul_generator2(&group, &number, &mut context).unwrap();
    let key = EcKey::from_private_components(&group, &number, &point).unwrap();
    let pem = PKey::from_ec_key(key).unwrap().private_key_to_pem_pkcs8().unwrap();
    Key::from_pem(&String::from_utf8(pem).unwrap())
}

/// The file, what is signed in it, and the whole.
fn made(root: &Key, client: &Key) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let subject = name("/CN=pgtls_ext probe");
    let certificate = |parts: CertificateParts| {
        let parts =
            CertificateParts { not_before: der::time(FROM), not_after: der::time(TO), ..parts };
        (parts.tbs(), parts.sign(root))
    };
    let list = |extension| {
        let parts = CrlParts::new(&subject, FROM, TO).with(crl_number(2)).with(extension);
        (parts.tbs(), parts.sign(root))
    };
    let id = b"probe";
    let anchor = CertificateParts::new(&subject, root, &subject, &[1]).ca().key_id(id);
    let leaf = CertificateParts::new(&name("/CN=pgtls_ext client"), client, &subject, &[2]);
    [
        ("root.der", certificate(anchor)),
        ("client.der", certificate(leaf)),
        ("empty_scope.crl", list(idp(&[]))),
        ("delta.crl", list(delta_of(1))),
    ]
    .map(|(file, (signed, whole))| (file, signed, whole))
    .into()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/pg/openssl/probe")
}

#[test]
fn the_probes_are_what_they_are_said_to_be() {
    let (root, client) = (key("pgtls_ext probe"), key("pgtls_ext client"));
    let made = made(&root, &client);
    if std::env::var_os("PGTLS_WRITE_PROBE").is_some() {
        for (file, _, whole) in &made {
            fs::write(directory().join(file), whole).unwrap();
        }
    }
    for (file, signed, _) in &made {
        let found = fs::read(directory().join(file)).unwrap();
        let (body, rest) = der::split(&found);
        assert!(rest.is_empty(), "{file}");
        assert!(body.starts_with(signed), "{file} is not what is made today");
        let is_signed = match file.ends_with(".crl") {
            true => X509Crl::from_der(&found).unwrap().verify(root.openssl()),
            false => X509::from_der(&found).unwrap().verify(root.openssl()),
        };
        assert!(is_signed.unwrap(), "{file}");
    }
}
