//! Certificates to compare on: every key type, every extension with a column, and the hostile ones.

use std::sync::LazyLock;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::dsa::Dsa;
use openssl::ec::{Asn1Flag, EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

use super::der::{self, CertificateParts, element, extension, name, oid, sequence};

/// A certificate with a name for messages and files.
pub(crate) struct Fixture {
    pub(crate) name: &'static str,
    pub(crate) der: Vec<u8>,
}

/// Every fixture that OpenSSL takes. Made once, because making keys takes its time.
pub(crate) fn all() -> &'static [Fixture] {
    static ALL: LazyLock<Vec<Fixture>> =
        LazyLock::new(|| signed().into_iter().chain(handmade()).collect());
    &ALL
}

/// The DER of one of them.
pub(crate) fn named(name: &str) -> &'static [u8] {
    &all().iter().find(|fixture| fixture.name == name).unwrap().der
}

/// Certificates with real keys and signatures.
fn signed() -> Vec<Fixture> {
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let odd_rsa = PKey::from_rsa(Rsa::generate(1031).unwrap()).unwrap();
    let dsa = PKey::from_dsa(Dsa::generate(1024).unwrap()).unwrap();
    let mut explicit = EcGroup::from_curve_name(Nid::SECP384R1).unwrap();
    explicit.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
    let explicit = PKey::from_ec_key(EcKey::generate(&explicit).unwrap()).unwrap();
    let sha256 = MessageDigest::sha256();
    let fixtures = [
        ("rsa", certificate(&rsa, sha256)),
        ("rsa-sha512", certificate(&rsa, MessageDigest::sha512())),
        ("rsa-1031", certificate(&odd_rsa, sha256)),
        ("dsa", certificate(&dsa, sha256)),
        ("p256", certificate(&ec(Nid::X9_62_PRIME256V1), sha256)),
        ("p384", certificate(&ec(Nid::SECP384R1), MessageDigest::sha384())),
        ("p521", certificate(&ec(Nid::SECP521R1), MessageDigest::sha512())),
        ("k256", certificate(&ec(Nid::SECP256K1), sha256)),
        ("b233", certificate(&ec(Nid::SECT233K1), sha256)),
        ("p384-explicit", certificate(&explicit, sha256)),
        ("ed25519", certificate(&PKey::generate_ed25519().unwrap(), MessageDigest::null())),
        ("ed448", certificate(&PKey::generate_ed448().unwrap(), MessageDigest::null())),
        ("leaf", leaf()),
    ];
    fixtures.into_iter().map(|(name, x509)| Fixture { name, der: x509.to_der().unwrap() }).collect()
}

/// A leaf of about 2 kB with every extension that has a column.
pub(crate) fn leaf() -> X509 {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let issuer_key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let issuer = builder(&issuer_key, "Acme Intermediate").build();
    let mut builder = builder(&key, "alice");
    builder.set_issuer_name(&x509_name("Acme Intermediate")).unwrap();
    let constraints = BasicConstraints::new().critical().build().unwrap();
    builder.append_extension(constraints).unwrap();
    let usage = KeyUsage::new().critical().digital_signature().key_encipherment().build().unwrap();
    builder.append_extension(usage).unwrap();
    let extended = ExtendedKeyUsage::new()
        .client_auth()
        .server_auth()
        .other("1.3.6.1.4.1.99999.7")
        .other("OCSPSigning")
        .build()
        .unwrap();
    builder.append_extension(extended).unwrap();
    let context = builder.x509v3_context(Some(&issuer), None);
    let mut names = SubjectAlternativeName::new();
    names.email("alice@example.com").uri("spiffe://example.com/alice?x=1,2");
    names.ip("192.0.2.1").ip("2001:db8::7");
    for index in 0..24 {
        names.dns(&format!("host-{index}.database.internal.example.com"));
    }
    let names = names.build(&context).unwrap();
    let subject_key_id = SubjectKeyIdentifier::new().build(&context).unwrap();
    let authority = AuthorityKeyIdentifier::new().issuer(true).build(&context).unwrap();
    for extension in [names, subject_key_id, authority] {
        builder.append_extension(extension).unwrap();
    }
    for (oid_text, value) in [
        ("crlDistributionPoints", distribution_points(&["http://crl.example.com/1.crl"])),
        ("authorityInfoAccess", information_access()),
    ] {
        let object = openssl::asn1::Asn1Object::from_str(oid_text).unwrap();
        let contents = openssl::asn1::Asn1OctetString::new_from_bytes(&value).unwrap();
        let extension = openssl::x509::X509Extension::new_from_der(&object, false, &contents);
        builder.append_extension(extension.unwrap()).unwrap();
    }
    builder.sign(&issuer_key, MessageDigest::sha256()).unwrap();
    builder.build()
}

/// Certificates made byte by byte: what no tool would issue, but OpenSSL takes.
pub(crate) fn handmade() -> Vec<Fixture> {
    let base = CertificateParts::default;
    let with = |extensions: Vec<Vec<u8>>| CertificateParts { extensions, ..base() }.to_der();
    let fixtures = [
        ("plain", base().to_der()),
        ("version-1", CertificateParts { version: None, ..base() }.to_der()),
        ("version-9", CertificateParts { version: Some(vec![8]), ..base() }.to_der()),
        (
            "unique-ids",
            CertificateParts {
                unique_ids: vec![element(0x81, &[0, 1]), element(0xa2, &element(3, &[0, 2]))],
                ..base()
            }
            .to_der(),
        ),
        ("serial-zero", CertificateParts { serial: vec![0], ..base() }.to_der()),
        ("serial-negative", CertificateParts { serial: vec![0xff, 0x01], ..base() }.to_der()),
        ("serial-minimum", CertificateParts { serial: vec![0x80], ..base() }.to_der()),
        ("serial-high-bit", CertificateParts { serial: vec![0, 0xff], ..base() }.to_der()),
        ("serial-40-bytes", CertificateParts { serial: vec![0x7f; 40], ..base() }.to_der()),
        ("serial-negative-33", CertificateParts { serial: vec![0x9a; 33], ..base() }.to_der()),
        ("dates-1900s", dates(b"19000301000000Z", b"19491231235959Z").to_der()),
        ("dates-late", dates(b"20500101000000Z", b"99991231235959Z").to_der()),
        ("dates-year-0", dates(b"00000101000000Z", b"01000228000000Z").to_der()),
        (
            "dates-utc-edges",
            CertificateParts {
                not_before: element(23, b"500101000000Z"),
                not_after: element(23, b"491231235959Z"),
                ..base()
            }
            .to_der(),
        ),
        (
            "dates-without-seconds",
            CertificateParts { not_before: element(23, b"2501010000Z"), ..base() }.to_der(),
        ),
        ("names-empty", CertificateParts { subject: name(&[]), ..base() }.to_der()),
        (
            "names-multi-valued",
            CertificateParts {
                subject: sequence(&[
                    element(der::SET, &der::attribute("C", 19, b"DE")),
                    element(
                        der::SET,
                        &[
                            der::attribute("CN", 12, "Jos\u{e9}, \"#1\"".as_bytes()),
                            der::attribute("emailAddress", 22, b"jose@example.com"),
                            der::attribute("1.3.6.1.4.1.99999.5.5.5", 12, b"x"),
                        ]
                        .concat(),
                    ),
                    element(der::SET, &der::attribute("CN", 30, b"\0s\0e\0c\0o\0n\0d")),
                ]),
                ..base()
            }
            .to_der(),
        ),
        (
            "names-nul",
            CertificateParts {
                subject: name(&[("CN", "alice\0.example.com"), ("OU", " \n#\u{7f}")]),
                ..base()
            }
            .to_der(),
        ),
        (
            "names-64k",
            CertificateParts {
                subject: name(&[("O", "a,".repeat(32 << 10).as_str()), ("CN", "last")]),
                ..base()
            }
            .to_der(),
        ),
        (
            "ca-path-length",
            with(vec![extension("basicConstraints", &sequence(&[&[1, 1, 0xff][..], &[2, 1, 3]]))]),
        ),
        ("ca-false-explicit", with(vec![extension("basicConstraints", &sequence(&[&[1, 1, 0]]))])),
        ("key-usage-all", with(vec![extension("keyUsage", &[3, 3, 7, 0xff, 0x80])])),
        ("key-usage-none", with(vec![extension("keyUsage", &[3, 1, 0])])),
        (
            "key-ids",
            with(vec![
                extension("subjectKeyIdentifier", &element(4, &[0xab, 0xcd])),
                extension("authorityKeyIdentifier", &sequence(&[element(0x80, &[0x12, 0x00])])),
            ]),
        ),
        ("san-many", with(vec![extension("subjectAltName", &many_names(10_000))])),
        ("san-empty", with(vec![extension("subjectAltName", &sequence::<Vec<u8>>(&[]))])),
        (
            "urls-several",
            with(vec![
                extension(
                    "crlDistributionPoints",
                    &distribution_points(&["http://a.example/1.crl", "ldap:///cn=x?list"]),
                ),
                extension("authorityInfoAccess", &information_access()),
            ]),
        ),
        ("extension-unknown", with(vec![extension("1.3.6.1.4.1.99999.9", b"not DER at all")])),
        ("ber", der::to_ber(&base().to_der())),
    ];
    fixtures.into_iter().map(|(name, der)| Fixture { name, der }).collect()
}

fn dates(not_before: &[u8], not_after: &[u8]) -> CertificateParts {
    CertificateParts {
        not_before: element(24, not_before),
        not_after: element(24, not_after),
        ..CertificateParts::default()
    }
}

/// A `GeneralNames` with so many host names.
pub(crate) fn many_names(count: usize) -> Vec<u8> {
    let names: Vec<_> = (0..count)
        .map(|index| element(0x82, format!("host-{index}.example.com").as_bytes()))
        .collect();
    sequence(&names)
}

pub(crate) fn distribution_points(urls: &[&str]) -> Vec<u8> {
    let points: Vec<_> = urls
        .iter()
        .map(|url| {
            let full_name = element(0xa0, &element(0x86, url.as_bytes()));
            sequence(&[element(0xa0, &full_name)])
        })
        .collect();
    sequence(&points)
}

pub(crate) fn information_access() -> Vec<u8> {
    sequence(&[
        sequence(&[oid("OCSP"), element(0x86, b"http://ocsp.example.com/")]),
        sequence(&[oid("caIssuers"), element(0x86, b"http://ca.example.com/ca.crt")]),
        sequence(&[oid("OCSP"), element(0x86, b"http://ocsp2.example.com/?a=b")]),
    ])
}

fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A self-signed authority.
fn certificate(key: &PKey<Private>, digest: MessageDigest) -> X509 {
    let mut builder = builder(key, "Acme Root");
    builder.append_extension(BasicConstraints::new().ca().build().unwrap()).unwrap();
    let context = builder.x509v3_context(None, None);
    let subject_key_id = SubjectKeyIdentifier::new().build(&context).unwrap();
    builder.append_extension(subject_key_id).unwrap();
    builder.sign(key, digest).unwrap();
    builder.build()
}

fn builder(key: &PKey<Private>, common_name: &str) -> X509Builder {
    let mut serial = BigNum::new().unwrap();
    serial.rand(159, MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
    builder.set_not_before(&Asn1Time::from_str("20250101000000Z").unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_str("20550101000000Z").unwrap()).unwrap();
    builder.set_subject_name(&x509_name(common_name)).unwrap();
    builder.set_issuer_name(&x509_name(common_name)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}

fn x509_name(common_name: &str) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("C", "DE").unwrap();
    name.append_entry_by_text("O", "Acme, Inc.").unwrap();
    name.append_entry_by_text("CN", common_name).unwrap();
    name.build()
}
