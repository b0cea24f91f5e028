//! Certificates to compare on: every key type, every extension with a column, and the hostile ones;
//! and those that the system has.

use std::path::PathBuf;
use std::sync::LazyLock;

use testpki::der::{self, SET, attribute, seq_of, tlv};
use testpki::x509::{
    authority_key_id, crl_points, directory, dns, extension, information_access, issuer_and_serial,
    key_id, point, subject_key_id,
};
use testpki::{Cert, CertBuilder, CertificateParts, Curve, Digest, Eku, Key, name};

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
    let rsa = Key::rsa();
    let fixtures = [
        ("rsa", authority(&rsa, Digest::Sha256)),
        ("rsa-sha512", authority(&rsa, Digest::Sha512)),
        ("rsa-1031", authority(&Key::fresh_rsa(1031), Digest::Sha256)),
        ("dsa", authority(&Key::dsa(1024), Digest::Sha256)),
        ("p256", authority(&Key::on(Curve::P256), Digest::Sha256)),
        ("p384", authority(&Key::on(Curve::P384), Digest::Sha384)),
        ("p521", authority(&Key::on(Curve::P521), Digest::Sha512)),
        ("k256", authority(&Key::on(Curve::K256), Digest::Sha256)),
        ("b233", authority(&Key::on(Curve::B233), Digest::Sha256)),
        ("p384-explicit", authority(&Key::on(Curve::P384Explicit), Digest::Sha256)),
        ("ed25519", authority(&Key::ed25519(), Digest::Sha256)),
        ("ed448", authority(&Key::ed448(), Digest::Sha256)),
        ("leaf", leaf()),
    ];
    fixtures.map(|(name, cert)| Fixture { name, der: cert.der().to_vec() }).into()
}

/// From 2025 to 2055.
fn builder(common_name: &str, key: &Key) -> CertBuilder {
    let builder = CertBuilder::new(format!("/C=DE/O=Acme, Inc./CN={common_name}"));
    builder.key(key).not_before(1_735_689_600).not_after(2_682_374_400).no_key_identifiers()
}

/// A self-signed authority.
fn authority(key: &Key, digest: Digest) -> Cert {
    let key_id = subject_key_id(&key.identifier());
    builder("Acme Root", key).bare().ca().digest(digest).with(key_id).build().cert
}

/// A leaf of about 2 kB with every extension that has a column.
fn leaf() -> Cert {
    let key = Key::rsa();
    let issuer = builder("Acme Intermediate", &Key::fresh_rsa(2048)).ca().build();
    let issuer_name = directory(&issuer.cert.subject_der());
    let mut builder = builder("alice", &key)
        .by(&issuer)
        .key_usage(&[0, 2])
        .eku(&[Eku::Client, Eku::Server, Eku::Oid("1.3.6.1.4.1.99999.7"), Eku::Oid("OCSPSigning")])
        .san_email("alice@example.com")
        .san_uri("spiffe://example.com/alice?x=1,2")
        .san_ip([192, 0, 2, 1].into())
        .san_ip([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into());
    for index in 0..24 {
        builder = builder.san_dns(&format!("host-{index}.database.internal.example.com"));
    }
    builder
        .with(subject_key_id(&key.identifier()))
        .with(authority_key_id(&[issuer_and_serial(&issuer_name, &issuer.cert.serial_bytes())]))
        .crl_url("http://crl.example.com/1.crl")
        .with(authorities())
        .build()
        .cert
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
                unique_ids: vec![tlv(0x81, &[0, 1]), tlv(0xa2, &tlv(3, &[0, 2]))],
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
                not_before: tlv(23, b"500101000000Z"),
                not_after: tlv(23, b"491231235959Z"),
                ..base()
            }
            .to_der(),
        ),
        (
            "dates-without-seconds",
            CertificateParts { not_before: tlv(23, b"2501010000Z"), ..base() }.to_der(),
        ),
        ("names-empty", CertificateParts { subject: name(""), ..base() }.to_der()),
        (
            "names-multi-valued",
            CertificateParts {
                subject: seq_of(&[
                    tlv(SET, &attribute("C", 19, b"DE")),
                    tlv(
                        SET,
                        &[
                            attribute("CN", 12, "Jos\u{e9}, \"#1\"".as_bytes()),
                            attribute("emailAddress", 22, b"jose@example.com"),
                            attribute("1.3.6.1.4.1.99999.5.5.5", 12, b"x"),
                        ]
                        .concat(),
                    ),
                    tlv(SET, &attribute("CN", 30, b"\0s\0e\0c\0o\0n\0d")),
                ]),
                ..base()
            }
            .to_der(),
        ),
        (
            "names-nul",
            CertificateParts { subject: name("/CN=alice\0.example.com/OU= \n#\u{7f}"), ..base() }
                .to_der(),
        ),
        (
            "names-64k",
            CertificateParts {
                subject: name(&format!("/O={}/CN=last", "a,".repeat(32 << 10))),
                ..base()
            }
            .to_der(),
        ),
        (
            "ca-path-length",
            with(vec![extension(
                "basicConstraints",
                false,
                &seq_of(&[&[1, 1, 0xff][..], &[2, 1, 3]]),
            )]),
        ),
        (
            "ca-false-explicit",
            with(vec![extension("basicConstraints", false, &seq_of(&[&[1, 1, 0]]))]),
        ),
        ("key-usage-all", with(vec![extension("keyUsage", false, &[3, 3, 7, 0xff, 0x80])])),
        ("key-usage-none", with(vec![extension("keyUsage", false, &[3, 1, 0])])),
        (
            "key-ids",
            with(vec![subject_key_id(&[0xab, 0xcd]), authority_key_id(&[key_id(&[0x12, 0x00])])]),
        ),
        ("san-many", with(vec![extension("subjectAltName", false, &many_names(10_000))])),
        ("san-empty", with(vec![extension("subjectAltName", false, &seq_of::<Vec<u8>>(&[]))])),
        (
            "urls-several",
            with(vec![
                crl_points(&["http://a.example/1.crl", "ldap:///cn=x?list"].map(point)),
                authorities(),
            ]),
        ),
        (
            "extension-unknown",
            with(vec![extension("1.3.6.1.4.1.99999.9", false, b"not DER at all")]),
        ),
        ("ber", der::to_ber(&base().to_der())),
    ];
    fixtures.into_iter().map(|(name, der)| Fixture { name, der }).collect()
}

fn dates(not_before: &[u8], not_after: &[u8]) -> CertificateParts {
    CertificateParts {
        not_before: tlv(24, not_before),
        not_after: tlv(24, not_after),
        ..CertificateParts::default()
    }
}

/// A `GeneralNames` with so many host names.
pub(crate) fn many_names(count: usize) -> Vec<u8> {
    let names: Vec<_> = (0..count).map(|index| dns(&format!("host-{index}.example.com"))).collect();
    seq_of(&names)
}

/// Where to ask and where the issuer's certificate is.
fn authorities() -> Vec<u8> {
    information_access(&[
        ("OCSP", "http://ocsp.example.com/"),
        ("caIssuers", "http://ca.example.com/ca.crt"),
        ("OCSP", "http://ocsp2.example.com/?a=b"),
    ])
}

/// The directory of Debian's package ca-certificates.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs";

/// The files of every certificate of Debian's ca-certificates.
pub(crate) fn system_certificate_files() -> Vec<PathBuf> {
    let directory = std::fs::read_dir(SYSTEM_CERTIFICATES)
        .expect("the package ca-certificates has to be installed for this test");
    let mut files: Vec<_> = directory
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .collect();
    files.sort();
    assert!(files.len() > 100, "only {} certificates in {SYSTEM_CERTIFICATES}", files.len());
    files
}

/// The same certificates in one file.
pub(crate) fn system_bundle() -> Vec<u8> {
    std::fs::read(format!("{SYSTEM_CERTIFICATES}/ca-certificates.crt"))
        .expect("the package ca-certificates has to be installed for this test")
}
