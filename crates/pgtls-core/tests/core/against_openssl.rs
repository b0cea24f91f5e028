//! Every column of every certificate equals what the `openssl x509` command and the OpenSSL library
//! say.
//!
//! Compared on Debian's ca-certificates and on the fixtures. The expected row is made from
//! OpenSSL's output alone, with all columns in it, so that a column cannot be forgotten.

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use openssl::asn1::Asn1Object;
use openssl::x509::{X509, X509NameRef};

use crate::prelude::*;

#[test]
fn every_column_of_the_system_certificates() {
    for file in fixtures::system_certificate_files() {
        let text = std::fs::read(&file).unwrap();
        let [certificate] = &parse_certificates(&text).unwrap()[..] else { panic!("{file:?}") };
        compare(&file.display().to_string(), certificate, &X509::from_pem(&text).unwrap());
        assert_eq!(certificate.problems(), []);
    }
}

#[test]
fn every_column_of_the_fixtures() {
    let mut compared = 0;
    for Fixture { name, der } in fixtures::all() {
        let certificate = Certificate::from_der(der).unwrap();
        assert_eq!(certificate.problems(), [], "{name}");
        if let Some(reference) = reference(der) {
            compare(name, &certificate, &reference);
            compared += 1;
        }
    }
    assert!(compared + TOO_SHORT_DATES >= fixtures::all().len());
}

/// How many fixtures have a date without seconds, which OpenSSL reads up to 3.4 and refuses since.
const TOO_SHORT_DATES: usize = 2;

/// OpenSSL's view of a certificate; `None` if this version refuses it for a date without seconds.
fn reference(der: &[u8]) -> Option<X509> {
    match X509::from_der(der) {
        Ok(reference) => Some(reference),
        Err(error) if error.to_string().contains("too short") => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_system_bundle_is_read_whole() {
    let bundle = fixtures::system_bundle();
    let certificates = parse_certificates(&bundle).unwrap();
    let reference = X509::stack_from_pem(&bundle).unwrap();
    assert_eq!(certificates.len(), reference.len());
    for (certificate, reference) in certificates.iter().zip(&reference) {
        assert_eq!(certificate.as_der(), reference.to_der().unwrap());
    }
}

/// What OpenSSL itself refuses has to be refused or explained here, so the comparisons above are
/// not all there is.
#[test]
fn columns_do_differ_between_certificates() {
    let [first, second] =
        ["plain", "rsa"].map(|name| Certificate::from_der(fixtures::named(name)).unwrap());
    for column in ["fingerprint", "spki_fingerprint", "key_bits", "signature_algorithm", "serial"] {
        assert_ne!(first.column(column), second.column(column), "{column}");
    }
    assert_eq!(first.column("no such column"), None);
}

/// A certificate in a stream of DER may be followed by others; a lone one may not.
#[test]
fn der_one_after_the_other() {
    let fixtures = fixtures::all();
    let stream: Vec<u8> = fixtures.iter().flat_map(|fixture| fixture.der.clone()).collect();
    let certificates = parse_certificates(&stream).unwrap();
    assert_eq!(certificates.len(), fixtures.len());
    for (certificate, fixture) in certificates.iter().zip(fixtures) {
        if let Some(reference) = reference(&fixture.der) {
            assert_eq!(certificate.as_der(), reference.to_der().unwrap(), "{}", fixture.name);
        }
    }
    assert!(Certificate::from_der(&stream).is_err());
    let cut: Vec<_> = each_certificate(&stream[..stream.len() - 1]).unwrap().collect();
    assert_eq!(cut.iter().position(Result::is_err), Some(fixtures.len() - 1));
    assert_eq!(cut.len(), fixtures.len());
}

fn compare(label: &str, certificate: &Certificate, reference: &X509) {
    let said = Said::about(reference);
    let expected = expected_columns(&said, reference);
    let columns = certificate.columns();
    for (name, expected) in &expected {
        assert_eq!(certificate.column(name).as_ref(), Some(expected), "{label} {name}");
    }
    // OpenSSL has no word for what is odd in a certificate.
    assert_eq!(columns.len(), expected.len() + 1);
    for (name, reference, said) in [
        (certificate.subject(), reference.subject_name(), said.value("subject=")),
        (certificate.issuer(), reference.issuer_name(), said.value("issuer=")),
    ] {
        assert_eq!(name.rfc2253(), said, "{label}");
        assert_eq!(Some(name.rfc2253().into()), reference::rfc2253(reference));
        assert_eq!(name.common_name_bytes(), reference::common_name_bytes(reference));
        for oid in ["CN", "organizationName", "2.5.4.6", "emailAddress"] {
            let oid = Oid::from_text(oid).unwrap();
            let nid = Asn1Object::from_str(&oid.dotted()).unwrap().nid();
            let expected = reference::field(reference, nid);
            assert_eq!(name.field(&oid).map(String::into_bytes), expected, "{label} {oid:?}");
        }
    }
}

/// The row of certificate columns, from OpenSSL's mouth.
fn expected_columns(said: &Said, reference: &X509) -> Vec<(&'static str, Value)> {
    let oneline = |name: &X509NameRef| match reference::oneline(name) {
        Some(bytes) if bytes.is_empty() => Value::Null,
        Some(bytes) => Value::Text(String::from_utf8(bytes).unwrap()),
        // PostgreSQL raises an error; the documented form takes the dotted number.
        None => Value::Text(oneline_with_unknown_types(name)),
    };
    let rfc2253 = said.value("subject=");
    let basic_constraints = said.extension("Basic Constraints").unwrap_or_default();
    let path_length = basic_constraints.split_once("pathlen:").map(|(_, n)| n.parse().unwrap());
    let key_ids = |heading| {
        let lines = said.extension(heading)?;
        let id = lines.lines().next()?.trim_start_matches("keyid:");
        (!id.contains("DirName")).then(|| id.replace(':', "").to_lowercase())
    };
    vec![
        ("subject", oneline(reference.subject_name())),
        ("subject_rfc2253", Some(rfc2253).filter(|text| !text.is_empty()).into()),
        ("cn", common_name(reference).into()),
        ("issuer", oneline(reference.issuer_name())),
        ("serial", Value::Numeric(decimal_serial(reference))),
        ("serial_hex", said.serial().into()),
        ("not_before", Value::Timestamp(unix_time(&said.value("notBefore=")))),
        ("not_after", Value::Timestamp(unix_time(&said.value("notAfter=")))),
        ("san", alternative_names(said, reference).into()),
        ("is_ca", Value::Bool(basic_constraints.contains("CA:TRUE"))),
        ("path_length", path_length.map_or(Value::Null, Value::Int)),
        ("key_usage", said.extension("Key Usage").map(|line| key_usages(&line)).into()),
        (
            "extended_key_usage",
            said.extension("Extended Key Usage").map(|line| extended_key_usages(&line)).into(),
        ),
        ("key_algorithm", said.value("Public Key Algorithm:").into()),
        ("key_bits", Value::Int(i64::from(reference.public_key().unwrap().bits()))),
        ("signature_algorithm", said.value("Signature Algorithm:").into()),
        (
            "fingerprint",
            said.value("sha256 Fingerprint=").replace(':', "").to_lowercase().as_str().into(),
        ),
        ("spki_fingerprint", public_key_fingerprint(reference).into()),
        ("subject_key_id", key_ids("Subject Key Identifier").into()),
        ("authority_key_id", key_ids("Authority Key Identifier").into()),
        ("crl_urls", said.urls("CRL Distribution Points", "URI:").into()),
        ("ocsp_urls", said.urls("Authority Information Access", "OCSP - URI:").into()),
        ("self_signed", Value::Bool(reference::is_self_signed(reference))),
        ("version", Value::Int(i64::from(reference.version()) + 1)),
    ]
}

fn oneline_with_unknown_types(name: &X509NameRef) -> String {
    let mut out = String::new();
    for entry in name.entries() {
        // The binding prints an object without a name dotted.
        let kind = entry
            .object()
            .nid()
            .short_name()
            .ok()
            .filter(|_| entry.object().nid() != openssl::nid::Nid::UNDEF);
        let kind = kind.map_or_else(|| entry.object().to_string(), str::to_owned);
        let value = reference::print_value(entry).unwrap();
        out.push_str(&format!("/{kind}={}", String::from_utf8(value).unwrap()));
    }
    out
}

/// Decoded by OpenSSL's own conversion; with a NUL it is the dump that the column documents.
fn common_name(reference: &X509) -> Option<String> {
    let entry = reference.subject_name().entries_by_nid(openssl::nid::Nid::COMMONNAME).next()?;
    let text = entry.data().to_string().unwrap();
    if !text.contains('\0') {
        return Some(text);
    }
    let value = tlv(12, text.as_bytes());
    Some(value.iter().fold("#".to_owned(), |text, byte| format!("{text}{byte:02X}")))
}

fn decimal_serial(reference: &X509) -> String {
    let serial = reference.serial_number().to_bn().unwrap();
    serial.to_dec_str().unwrap().to_string()
}

fn public_key_fingerprint(reference: &X509) -> String {
    // The key as it stands in the certificate: OpenSSL would write one of its own making otherwise.
    let der = reference.to_der().unwrap();
    let spki = x509_parser::parse_x509_certificate(&der);
    let der = match &spki {
        Ok((_, certificate)) => certificate.public_key().raw.to_vec(),
        Err(_) => reference.public_key().unwrap().public_key_to_der().unwrap(),
    };
    openssl::sha::sha256(&der).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn alternative_names(said: &Said, reference: &X509) -> Option<Vec<String>> {
    let line = said.extension("Subject Alternative Name")?;
    let mut directory_names = reference
        .subject_alt_names()
        .into_iter()
        .flatten()
        .filter_map(|name| Some(reference::rfc2253(name.directory_name()?).unwrap()));
    let names = line.split(", ").filter(|name| !name.is_empty() && *name != "<EMPTY>");
    let names = names.map(|name| match name.split_once(':').unwrap() {
        ("IP Address", address) => format!("IP:{}", ip_address(address)),
        ("DirName", _) => {
            format!("dirName:{}", String::from_utf8(directory_names.next().unwrap()).unwrap())
        }
        _ => name.to_owned(),
    });
    Some(names.collect())
}

/// OpenSSL writes IPv6 addresses with all their zeroes.
fn ip_address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The names that the column has for the bits, by those that OpenSSL prints (x509v3_config(5) has
/// both).
fn key_usages(line: &str) -> Vec<String> {
    let names = [
        ("Digital Signature", "digitalSignature"),
        ("Non Repudiation", "nonRepudiation"),
        ("Key Encipherment", "keyEncipherment"),
        ("Data Encipherment", "dataEncipherment"),
        ("Key Agreement", "keyAgreement"),
        ("Certificate Sign", "keyCertSign"),
        ("CRL Sign", "cRLSign"),
        ("Encipher Only", "encipherOnly"),
        ("Decipher Only", "decipherOnly"),
    ];
    // Without any bit, OpenSSL shows the bytes of the extension instead.
    let items = line.split(", ").filter(|item| *item != "...");
    let name = |item| names.iter().find(|(printed, _)| *printed == item).unwrap().1.to_owned();
    items.map(name).collect()
}

fn extended_key_usages(line: &str) -> Vec<String> {
    let short = |item| {
        let nid = Asn1Object::from_str(item).unwrap().nid();
        let is_known = nid != openssl::nid::Nid::UNDEF;
        if is_known { nid.short_name().unwrap().to_owned() } else { String::from(item) }
    };
    line.split(", ").map(short).collect()
}

/// `2025-01-01 00:00:00Z`, as `-dateopt iso_8601` prints it, counted year by year.
fn unix_time(text: &str) -> UnixTime {
    let numbers: Vec<i64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let [year, month, day, hour, minute, second] = numbers[..] else { panic!("{text}") };
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of = |year| if is_leap(year) { 366 } else { 365 };
    let months = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).unwrap();
    let days = (1970..year).map(days_of).sum::<i64>() - (year..1970).map(days_of).sum::<i64>()
        + months[..before].iter().sum::<i64>()
        + day
        - 1;
    UnixTime(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// What `openssl x509` prints of a certificate.
struct Said(String);

impl Said {
    fn about(certificate: &X509) -> Self {
        let arguments = [
            "x509",
            "-inform",
            "DER",
            "-noout",
            "-subject",
            "-issuer",
            "-nameopt",
            "RFC2253",
            "-serial",
            "-dates",
            "-dateopt",
            "iso_8601",
            "-fingerprint",
            "-sha256",
            "-text",
        ];
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the openssl command has to be installed for this test");
        child.stdin.take().unwrap().write_all(&certificate.to_der().unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        Self(String::from_utf8(output.stdout).unwrap())
    }

    /// What stands after `label` on the first line that starts with it.
    fn value(&self, label: &str) -> String {
        let lines = self.0.lines().map(str::trim_start);
        lines.filter_map(|line| line.strip_prefix(label)).next().unwrap().trim().to_owned()
    }

    /// The serial number, which is printed on lines of 35 bytes.
    fn serial(&self) -> String {
        let (_, after) = self.0.split_once("\nserial=").unwrap();
        after.replace("\\\n", "").lines().next().unwrap().to_owned()
    }

    /// The lines under the heading of an extension, without indentation.
    fn extension(&self, name: &str) -> Option<String> {
        let is_heading = |line: &str| {
            let heading = line.trim().trim_start_matches("X509v3 ");
            heading.strip_prefix(name).is_some_and(|rest| matches!(rest, ":" | ": critical"))
        };
        let mut lines = self.0.lines().skip_while(|line| !is_heading(line));
        let heading = lines.next()?;
        let depth = indentation(heading);
        let body = lines.take_while(|line| line.is_empty() || indentation(line) > depth);
        Some(body.map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned())
    }

    fn urls(&self, name: &str, label: &str) -> Option<Vec<String>> {
        let lines = self.extension(name)?;
        let urls = lines.lines().filter_map(|line| line.strip_prefix(label).map(str::to_owned));
        Some(urls.collect::<Vec<_>>()).filter(|urls| !urls.is_empty())
    }
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
