//! Extensions without a column, certificate requests and the linter.
//!
//! Extensions and requests are compared with what OpenSSL prints of them (`openssl x509 -text`,
//! `openssl req -text`): its layout is taken apart and the values have to be the same.

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509Req};
use pgtls_core::error::{Error, OtherInput};
use pgtls_core::value::Value as Column;
use pgtls_core::x509::certificate::Certificate;
use pgtls_core::x509::lint::{Rule, Severity, lint};
use pgtls_core::x509::request::{Request, parse_requests};
use pgtls_core::{json, pem};
use serde_json::{Value, json};

use crate::extensions::{self, Case};
use crate::prelude::*;
use crate::requests::{self, RequestParts};

fn with(extensions: Vec<Vec<u8>>) -> Certificate {
    let der = CertificateParts { extensions, ..CertificateParts::default() }.to_der();
    Certificate::from_der(&der).unwrap()
}

/// A critical extension.
fn critical(oid_text: &str, value: &[u8]) -> Vec<u8> {
    seq_of(&[oid(oid_text), vec![1, 1, 0xff], tlv(4, value)])
}

/// What OpenSSL prints below the heading of the only extension: words, without layout.
fn printed(certificate: &Certificate) -> Vec<String> {
    let text = X509::from_der(certificate.as_der()).unwrap().to_text().unwrap();
    let text = String::from_utf8(text).unwrap();
    let (_, rest) = text.split_once("X509v3 extensions:").unwrap();
    let (extension, _) =
        rest.split_once("    Signature Algorithm: ecdsa-with-SHA256\n    ").unwrap();
    // 3.0 forgets the line break in front of the reasons.
    let extension = extension.replace("Reasons:", "\nReasons:");
    extension
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .skip(1)
        .map(str::to_owned)
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// A general name as OpenSSL prints it.
fn general_name(text: &str) -> String {
    match text.split_once(':').unwrap() {
        ("dirName", name) => {
            let parts: Vec<_> =
                name.split(',').rev().map(|part| part.replace('=', " = ")).collect();
            format!("DirName:{}", parts.join(", "))
        }
        ("IP", value) if value.contains('/') => format!("IP:{value}"),
        ("IP", value) => format!("IP Address:{value}"),
        _ => text.to_owned(),
    }
}

fn colons(hex: &str) -> String {
    let pairs: Vec<_> =
        hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap()).collect();
    pairs.join(":").to_uppercase()
}

/// The lines that OpenSSL prints for a value that the core has decoded as `value`.
fn expected(oid: &str, value: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    match oid {
        "nameConstraints" => {
            for (side, heading) in [("permitted", "Permitted:"), ("excluded", "Excluded:")] {
                lines.push(heading.to_owned());
                lines.extend(texts(&value[side]).into_iter().map(general_name));
            }
        }
        "certificatePolicies" => {
            for policy in value.as_array().unwrap() {
                lines.push(format!("Policy: {}", policy["policy"].as_str().unwrap()));
                for qualifier in policy["qualifiers"].as_array().unwrap() {
                    if let Some(uri) = qualifier["cps"].as_str() {
                        lines.push(format!("CPS: {uri}"));
                        continue;
                    }
                    let notice = &qualifier["user_notice"];
                    let numbers = notice["numbers"].as_array().unwrap();
                    let numbers: Vec<_> = numbers.iter().map(Value::to_string).collect();
                    lines.push("User Notice:".to_owned());
                    let organization = notice["organization"].as_str().unwrap();
                    lines.push(format!("Organization: {organization}"));
                    lines.push(format!("Numbers: {}", numbers.join(", ")));
                    lines.push(format!("Explicit Text: {}", notice["text"].as_str().unwrap()));
                }
            }
        }
        "policyMappings" => {
            let pair = |pair: &Value| {
                let side = |side| pair[side].as_str().unwrap();
                format!("{}:{}", side("issuer"), side("subject"))
            };
            let pairs: Vec<_> = value.as_array().unwrap().iter().map(pair).collect();
            lines.push(pairs.join(", "));
        }
        "policyConstraints" => lines.push(format!(
            "Require Explicit Policy:{}, Inhibit Policy Mapping:{}",
            value["require_explicit_policy"], value["inhibit_policy_mapping"],
        )),
        "inhibitAnyPolicy" => lines.push(value.to_string()),
        "issuerAltName" => {
            let names: Vec<_> = texts(value).into_iter().map(general_name).collect();
            lines.push(names.join(", "));
        }
        "authorityInfoAccess" | "subjectInfoAccess" => {
            for place in value.as_array().unwrap() {
                let method = match place["method"].as_str().unwrap() {
                    "caIssuers" => "CA Issuers",
                    "caRepository" => "CA Repository",
                    other => other,
                };
                lines.push(format!("{method} - {}", place["location"].as_str().unwrap()));
            }
        }
        "ct_precert_scts" => {
            for timestamp in value.as_array().unwrap() {
                let at = |key| timestamp[key].as_str().unwrap();
                let log = colons(at("log_id"));
                let (date, time) = at("timestamp").split_once('T').unwrap();
                assert_eq!(date, "2025-01-01");
                lines.extend([
                    "Signed Certificate Timestamp:".to_owned(),
                    format!("Version   : v{} (0x0)", timestamp["version"]),
                    format!("Log ID    : {}:", &log[..47]),
                    log[48..].to_owned(),
                    format!("Timestamp : Jan  1 {} 2025 GMT", time.trim_end_matches('Z')),
                    "Extensions: none".to_owned(),
                    format!("Signature : {}", at("signature_algorithm")),
                    colons(at("signature")),
                ]);
            }
        }
        "nsCertType" => {
            let long = |name: &str| match name {
                "client" => "SSL Client",
                "email" => "S/MIME",
                "reserved" => "Unused",
                "sslCA" => "SSL CA",
                "objCA" => "Object Signing CA",
                other => panic!("{other}"),
            };
            lines.push(texts(value).into_iter().map(long).collect::<Vec<_>>().join(", "));
        }
        "nsComment" | "nsBaseUrl" => lines.push(value.as_str().unwrap().to_owned()),
        "privateKeyUsagePeriod" => lines.push(value.to_string().replace(
            r#"{"not_before":"2025-01-01T00:00:00Z","not_after":"2026-01-31T23:59:59Z"}"#,
            "Not Before: Jan  1 00:00:00 2025 GMT, Not After: Jan 31 23:59:59 2026 GMT",
        )),
        "freshestCRL" => {
            for point in value.as_array().unwrap() {
                if !point["full_name"].is_null() {
                    lines.push("Full Name:".to_owned());
                    lines.extend(texts(&point["full_name"]).into_iter().map(general_name));
                }
                if let Some(name) = point["relative_name"].as_str() {
                    lines.extend(["Relative Name:".to_owned(), name.replace('=', " = ")]);
                }
                if !point["reasons"].is_null() {
                    let long = |word: &str| match word {
                        "key_compromise" => "Key Compromise",
                        "ca_compromise" => "CA Compromise",
                        other => panic!("{other}"),
                    };
                    let reasons: Vec<_> = texts(&point["reasons"]).into_iter().map(long).collect();
                    lines.extend(["Reasons:".to_owned(), reasons.join(", ")]);
                }
                if !point["crl_issuer"].is_null() {
                    lines.push("CRL Issuer:".to_owned());
                    lines.extend(texts(&point["crl_issuer"]).into_iter().map(general_name));
                }
            }
        }
        other => panic!("{other}"),
    }
    lines
}

#[test]
fn every_kind_of_extension_is_decoded_as_openssl_prints_it() {
    for Case { oid, value, json } in extensions::all() {
        for (extension, is_critical) in
            [(extension(oid, false, &value), false), (critical(oid, &value), true)]
        {
            let certificate = with(vec![extension]);
            let document = json::certificate(&certificate);
            let member = json!({ "critical": is_critical, "value": json });
            assert_eq!(document["extensions"], json!({ oid: member }));
            assert_eq!(document["problems"], Value::Null, "{oid}");
            assert_eq!(printed(&certificate), expected(oid, &json), "{oid}");
        }
    }
}

#[test]
fn extensions_behind_columns_are_decoded_too() {
    let document = json::certificate(&with(vec![
        critical("basicConstraints", &seq_of(&[&[1, 1, 0xff][..], &[2, 1, 3]])),
        extension("subjectAltName", false, &seq_of(&[tlv(0x82, b"a.example")])),
        critical("keyUsage", &[3, 2, 7, 0x80]),
        extension("extendedKeyUsage", false, &seq_of(&[oid("clientAuth")])),
        extension("subjectKeyIdentifier", false, &tlv(4, &[0xab])),
        extension("authorityKeyIdentifier", false, &seq_of(&[tlv(0x80, &[1]), tlv(0x82, &[5])])),
        extension("1.2.3.4", false, b"\0no"),
    ]));
    assert_eq!(
        document["extensions"],
        json!({
            "basicConstraints": { "critical": true, "value": { "ca": true, "path_length": 3 } },
            "subjectAltName": { "critical": false, "value": ["DNS:a.example"] },
            "keyUsage": { "critical": true, "value": ["digitalSignature"] },
            "extendedKeyUsage": { "critical": false, "value": ["clientAuth"] },
            "subjectKeyIdentifier": { "critical": false, "value": "ab" },
            "authorityKeyIdentifier": {
                "critical": false, "value": { "key_id": "01", "issuer": null, "serial": "5" },
            },
            "1.2.3.4": { "critical": false, "hex": "006e6f" },
        })
    );
}

/// The problems of a certificate with one extension.
fn problems(oid: &str, value: &[u8]) -> (Value, Vec<String>) {
    let document = json::certificate(&with(vec![extension(oid, false, value)]));
    let problems = document["problems"].as_array().cloned().unwrap_or_default();
    let problems = problems.iter().map(|problem| problem.as_str().unwrap().to_owned()).collect();
    (document["extensions"][oid].clone(), problems)
}

#[test]
fn what_cannot_be_read_is_hex_and_a_problem() {
    for Case { oid, mut value, json } in extensions::all() {
        // Something follows the value.
        value.extend([5, 0]);
        let (member, found) = problems(oid, &value);
        assert_eq!(member["value"], json, "{oid}");
        assert!(found[0].starts_with(&format!("extension {oid}: ")), "{found:?}");
        // It is cut.
        value.truncate(value.len() - 3);
        let (member, found) = problems(oid, &value);
        assert_eq!(member, json!({ "critical": false, "hex": hex(&value) }), "{oid}");
        assert_eq!(found.len(), 1, "{oid} {found:?}");
    }
    // Inside of what it has understood the reader passes over the rest.
    let minimum = seq_of(&[tlv(0xa0, &seq_of(&[tlv(0x82, b"a"), tlv(0x80, &[1])]))]);
    let (_, found) = problems("nameConstraints", &minimum);
    assert_eq!(found, ["extension nameConstraints: 3 bytes of it are not shown"]);
}

#[test]
fn an_extension_that_is_there_twice_says_nothing() {
    let twice = extension("inhibitAnyPolicy", false, &[2, 1, 1]);
    let document = json::certificate(&with(vec![twice.clone(), twice.clone(), twice]));
    assert_eq!(
        document["extensions"]["inhibitAnyPolicy"],
        json!({ "critical": false, "value": null })
    );
    assert_eq!(
        document["problems"],
        json!(["extension inhibitAnyPolicy: extension is there twice"])
    );
}

#[test]
fn text_for_jsonb_has_no_control_characters() {
    let (member, _) = problems("nsComment", &tlv(22, b"a\0b\n\\"));
    assert_eq!(member["value"], "a\\00b\\0A\\\\");
}

#[test]
fn a_large_certificate_is_not_given_to_the_strict_reader() {
    let many = fixtures::many_names(20_000);
    let large = with(vec![
        extension("subjectAltName", false, &many),
        extension("inhibitAnyPolicy", false, &[2, 1, 1]),
    ]);
    let document = json::certificate(&large);
    assert_eq!(document["extensions"]["inhibitAnyPolicy"]["hex"], "020101");
    let problem = document["problems"][0].as_str().unwrap();
    assert!(problem.contains("more than 262144 bytes"), "{problem}");
    assert_eq!(document["san"].as_array().unwrap().len(), 20_000);
    assert!(rules(&large).contains(&Rule::NotExamined));
}

#[test]
fn distribution_points_that_nobody_needs_are_not_shown() {
    for (count, is_shown) in [(1000, true), (1001, false)] {
        let (member, found) = problems("freshestCRL", &tlv(0x30, &[0x30, 0].repeat(count)));
        assert_eq!(member["value"].is_array(), is_shown, "{found:?}");
        assert_eq!(found.is_empty(), is_shown, "{found:?}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// Requests

fn one(input: &[u8]) -> Request {
    let [request] = &parse_requests(input).unwrap()[..] else { panic!("one request") };
    request.clone()
}

fn column(request: &Request, name: &str) -> Column {
    request.columns().into_iter().find(|(column, _)| *column == name).unwrap().1
}

#[test]
fn a_request_is_as_openssl_prints_it() {
    let der = requests::der();
    let request = one(&der);
    let reference = X509Req::from_der(&der).unwrap();
    let text = String::from_utf8(reference.to_text().unwrap()).unwrap();
    // Whether there are spaces depends on the version.
    let text = text.replace(" = ", "=");
    let key = reference.public_key().unwrap();
    for (name, value, printed) in [
        ("subject", Column::from("/O=Acme/CN=alice"), "Subject: O=Acme, CN=alice"),
        ("cn", Column::from("alice"), "CN=alice"),
        ("san", vec!["DNS:db.example.com".to_owned()].into(), "DNS:db.example.com"),
        ("key_algorithm", "id-ecPublicKey".into(), "Public Key Algorithm: id-ecPublicKey"),
        ("key_bits", i64::from(key.bits()).into(), "Public-Key: (256 bit)"),
        (
            "signature_algorithm",
            "ecdsa-with-SHA256".into(),
            "Signature Algorithm: ecdsa-with-SHA256",
        ),
        ("key_usage", vec!["digitalSignature".to_owned()].into(), "Digital Signature"),
        (
            "extended_key_usage",
            vec!["clientAuth".to_owned()].into(),
            "TLS Web Client Authentication",
        ),
    ] {
        assert_eq!(column(&request, name), value, "{name}");
        assert!(text.contains(printed), "{printed} is not in {text}");
    }
    assert!(reference.verify(&key).unwrap());
    assert_eq!(column(&request, "signature_valid"), true.into());
    assert_eq!(column(&request, "is_ca"), false.into());
    assert_eq!(column(&request, "problems"), Column::Null);
    assert_eq!(column(&request, "subject_rfc2253"), "CN=alice,O=Acme".into());
    assert_eq!(
        column(&request, "extensions"),
        ["subjectAltName", "keyUsage", "extendedKeyUsage"].map(str::to_owned).to_vec().into()
    );
    let spki = openssl::sha::sha256(&key.public_key_to_der().unwrap());
    assert_eq!(column(&request, "spki_fingerprint"), hex(&spki).into());
    assert_eq!(one(request.to_pem().as_bytes()).as_der(), der);
    assert_eq!(request.to_pem().as_bytes(), reference.to_pem().unwrap());
}

#[test]
fn signatures_are_valid_not_valid_or_unknown() {
    let der = requests::der();
    let mut changed = der.clone();
    let at = der.windows(5).position(|bytes| bytes == b"alice").unwrap();
    changed[at] = b'A';
    assert_eq!(one(&changed).signature_valid(), Some(false));
    // The reference agrees, and nothing is left in OpenSSL's queue of errors.
    let reference = X509Req::from_der(&changed).unwrap();
    assert!(!reference.verify(&reference.public_key().unwrap()).unwrap());
    drop(openssl::error::ErrorStack::get());
    assert_eq!(one(&changed).signature_valid(), Some(false));
    assert!(openssl::error::ErrorStack::get().errors().is_empty());
    let unknown = seq_of(&[seq_of(&[oid("1.2.3.4")]), bit_string(&[1, 2, 3])]);
    let request =
        one(&RequestParts { public_key: Some(unknown), ..RequestParts::default() }.to_der());
    assert_eq!(request.signature_valid(), None);
    assert_eq!(column(&request, "key_bits"), Column::Null);
    assert_eq!(column(&request, "key_algorithm"), "1.2.3.4".into());
}

#[test]
fn requests_that_openssl_takes_are_taken() {
    let without = one(&RequestParts { attributes: None, ..RequestParts::default() }.to_der());
    assert_eq!(without.signature_valid(), Some(true));
    assert_eq!(without.problems(), ["a strict reader refuses it: invalid attributes"]);
    assert_eq!(column(&without, "san"), Column::Null);
    let ber = one(&der::to_ber(&requests::der()));
    assert_eq!(column(&ber, "san"), vec!["DNS:db.example.com".to_owned()].into());
    assert_eq!(ber.signature_valid(), Some(false), "the signature is over the DER");
    let version = one(&RequestParts { version: 2, ..RequestParts::default() }.to_der());
    assert!(version.problems().contains(&"version: 2 instead of 0".to_owned()));
    let twice = requests::wants(&[extension("keyUsage", false, &[3, 2, 7, 0x80])]);
    let attributes = Some(requests::attributes(&[twice.clone(), twice]));
    let twice = one(&RequestParts { attributes, ..RequestParts::default() }.to_der());
    assert!(twice.problems().contains(&"attributes: more than one extension request".to_owned()));
    let broken = requests::wants(&[extension("keyUsage", false, b"no")]);
    let attributes = Some(requests::attributes(&[broken]));
    let broken = one(&RequestParts { attributes, ..RequestParts::default() }.to_der());
    assert!(broken.problems()[0].starts_with("extension keyUsage: "), "{:?}", broken.problems());
    assert_eq!(column(&broken, "key_usage"), Column::Null);
}

#[test]
fn several_requests_with_either_label() {
    let (first, second) = (requests::der(), requests::der());
    let text = format!(
        "words\n{}\n{}",
        pem::encode("CERTIFICATE REQUEST", &first),
        pem::encode("NEW CERTIFICATE REQUEST", &second),
    );
    for input in [text.into_bytes(), [&first[..], &second].concat()] {
        let requests = parse_requests(&input).unwrap();
        assert_eq!([requests[0].as_der(), requests[1].as_der()], [&first[..], &second]);
    }
    let error = parse_requests(&[&first[..], &[0x30, 0x82]].concat()).unwrap_err();
    assert!(matches!(error, Error::Member { position: 2, .. }), "{error}");
}

#[test]
fn what_is_no_request_is_named_for_what_it_is() {
    let certificate = CertificateParts::default().to_der();
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let key = rsa.private_key_to_pem_pkcs8().unwrap();
    let line = pem::encode("CERTIFICATE REQUEST", &requests::der()).replace('\n', "\\n");
    let certificate_pem = pem::encode("CERTIFICATE", &certificate);
    for (input, found) in [
        (&certificate[..], OtherInput::Certificate),
        (certificate_pem.as_bytes(), OtherInput::Certificate),
        (pem::encode("X509 CRL", b"x").as_bytes(), OtherInput::Crl),
        (&key, OtherInput::PrivateKey),
        (&rsa.private_key_to_der().unwrap(), OtherInput::PrivateKey),
        (&rsa.private_key_to_pkcs8().unwrap(), OtherInput::PrivateKey),
        (pem::encode("PKCS7", b"x").as_bytes(), OtherInput::Pkcs7),
        (line.as_bytes(), OtherInput::SingleLine),
        (b"/etc/ssl/alice.csr", OtherInput::FileName),
        (b"alice.csr\n", OtherInput::FileName),
    ] {
        let error = parse_requests(input).map(|_| ()).unwrap_err();
        assert_eq!(error, Error::OtherInput { expected: "certificate request", found });
    }
    for input in [&b"hello"[..], b""] {
        let error = parse_requests(input).map(|_| ()).unwrap_err();
        assert_eq!(error, Error::NoPemBlock { expected: "certificate request" });
    }
    // A request that is broken stays one.
    let der = requests::der();
    assert!(matches!(parse_requests(&der[..der.len() - 1]), Err(Error::Der { .. })));
}

// The linter

fn rules(certificate: &Certificate) -> Vec<Rule> {
    lint(certificate).into_iter().map(|finding| finding.rule).collect()
}

/// A certificate that nobody objects to.
fn faultless() -> CertificateParts {
    CertificateParts {
        not_before: tlv(23, b"250101000000Z"),
        not_after: tlv(23, b"260202235959Z"),
        extensions: vec![
            extension("extendedKeyUsage", false, &seq_of(&[oid("clientAuth"), oid("serverAuth")])),
            extension("subjectAltName", false, &seq_of(&[tlv(0x82, b"a.example")])),
        ],
        ..CertificateParts::default()
    }
}

fn replaced(oid: &str, new: Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let wanted = der::oid(oid);
    let kept = |extension: &Vec<u8>| !extension.windows(wanted.len()).any(|part| part == wanted);
    faultless().extensions.into_iter().filter(kept).chain(new).collect()
}

fn rsa_key(bits: u32) -> Vec<u8> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap().public_key_to_der().unwrap()
}

fn algorithm(name: &str) -> Vec<u8> {
    seq_of(&[oid(name), vec![5, 0]])
}

/// The signature algorithm RSASSA-PSS with this digest, or with none in its parameters.
fn pss(digest: Option<&str>) -> Vec<u8> {
    let digest = digest.map(|digest| tlv(0xa0, &seq_of(&[oid(digest)])));
    seq_of(&[oid("rsassaPss"), seq_of(&[digest.unwrap_or_default()])])
}

#[test]
fn each_rule_finds_what_it_is_for_and_nothing_else() {
    let base = faultless;
    let clean = Certificate::from_der(&base().to_der()).unwrap();
    assert_eq!(lint(&clean), []);

    let eku = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| oid(name)).collect();
        Some(extension("extendedKeyUsage", false, &seq_of(&names)))
    };
    let plus = |extension: Vec<u8>| {
        let mut parts = faultless();
        parts.extensions.push(extension);
        parts
    };
    let public = seq_of(&[seq_of(&[oid("2.23.140.1.2.1")])]);
    let private = seq_of(&[seq_of(&[oid("1.2.3.4")])]);
    let ca = extension("basicConstraints", false, &seq_of(&[&[1, 1, 0xff][..]]));
    let root = name("/CN=Acme Root");
    let subject = |subject| CertificateParts { subject, ..faultless() };
    let signed = |signature_algorithm| CertificateParts { signature_algorithm, ..faultless() };
    let long = "x".repeat(64);
    let r = |rule: Rule| vec![rule];
    let none = Vec::new();
    let cases: Vec<(&str, CertificateParts, Vec<Rule>)> = vec![
        ("broken value", plus(extension("keyUsage", false, b"no")), r(Rule::Malformed)),
        ("critical and known", plus(critical("keyUsage", &[3, 2, 7, 0x80])), none.clone()),
        (
            "critical and unknown",
            plus(critical("1.2.3.4", &[5, 0])),
            r(Rule::UnsupportedCriticalExtension),
        ),
        ("unknown but not critical", plus(extension("1.2.3.4", false, &[5, 0])), none.clone()),
        ("MD5", signed(algorithm("md5WithRSAEncryption")), r(Rule::Md5Signature)),
        ("MD2", signed(algorithm("md2WithRSAEncryption")), r(Rule::Md5Signature)),
        ("SHA-1", signed(algorithm("sha1WithRSAEncryption")), r(Rule::Sha1Signature)),
        ("SHA-1, ECDSA", signed(seq_of(&[oid("ecdsa-with-SHA1")])), r(Rule::Sha1Signature)),
        ("SHA-256", signed(algorithm("sha256WithRSAEncryption")), none.clone()),
        ("PSS, no digest", signed(pss(None)), r(Rule::Sha1Signature)),
        ("PSS, SHA-1", signed(pss(Some("sha1"))), r(Rule::Sha1Signature)),
        ("PSS, SHA-256", signed(pss(Some("sha256"))), none.clone()),
        (
            "a root's own signature",
            CertificateParts {
                issuer: root.clone(),
                subject: root,
                signature_algorithm: seq_of(&[oid("ecdsa-with-SHA1")]),
                ..base()
            },
            none.clone(),
        ),
        ("RSA 1024", CertificateParts { public_key: rsa_key(1024), ..base() }, r(Rule::SmallKey)),
        ("RSA 2048", CertificateParts { public_key: rsa_key(2048), ..base() }, none.clone()),
        (
            "key of an unknown kind",
            CertificateParts {
                public_key: seq_of(&[seq_of(&[oid("1.2.3.4")]), bit_string(&[1])]),
                ..base()
            },
            vec![Rule::UnreadableKey, Rule::StrictWarning],
        ),
        (
            "RSA key of empty integers",
            CertificateParts {
                public_key: seq_of(&[
                    algorithm("rsaEncryption"),
                    bit_string(&seq_of(&[&[2, 0][..], &[2, 0]])),
                ]),
                ..base()
            },
            vec![Rule::UnreadableKey, Rule::StrictError],
        ),
        ("unnamed attribute", subject(name("/1.2.3.4.5=x/CN=a")), r(Rule::UnnamedAttribute)),
        ("NUL", subject(name("/CN=a\0b")), r(Rule::NulInCommonName)),
        ("empty subject", subject(name("")), r(Rule::NoLoginName)),
        ("no common name", subject(name("/O=Acme")), r(Rule::NoCommonName)),
        ("64 bytes", subject(name(&format!("/CN={long}"))), r(Rule::LongCommonName)),
        ("63 bytes", subject(name(&format!("/CN={}", &long[1..]))), none.clone()),
        (
            "empty subject of a server",
            CertificateParts {
                subject: name(""),
                extensions: replaced("extendedKeyUsage", eku(&["serverAuth"])),
                ..base()
            },
            none.clone(),
        ),
        (
            "unreadable",
            plus(extension("nameConstraints", false, b"no")),
            vec![Rule::UnreadableExtension],
        ),
        ("readable", plus(extension("inhibitAnyPolicy", false, &[2, 1, 1])), none.clone()),
        (
            "version 1",
            CertificateParts { version: None, extensions: Vec::new(), ..base() },
            vec![Rule::Version1, Rule::NoExtendedKeyUsage, Rule::NoSan],
        ),
        (
            "extensions in version 2",
            CertificateParts { version: Some(vec![1]), ..base() },
            r(Rule::StrictError),
        ),
        (
            "the wrong kind of date",
            CertificateParts { not_before: tlv(24, b"20250101000000Z"), ..base() },
            r(Rule::StrictWarning),
        ),
        ("serial 0", CertificateParts { serial: vec![0], ..base() }, r(Rule::SerialNotPositive)),
        (
            "serial -1",
            CertificateParts { serial: vec![0xff], ..base() },
            r(Rule::SerialNotPositive),
        ),
        (
            "serial of 21 octets",
            CertificateParts { serial: vec![0x7f; 21], ..base() },
            r(Rule::SerialTooLong),
        ),
        (
            "serial of 20 octets",
            CertificateParts { serial: vec![0x7f; 20], ..base() },
            none.clone(),
        ),
        (
            "public policy",
            plus(extension("certificatePolicies", false, &public)),
            r(Rule::ClientAuthPublicCa),
        ),
        ("private policy", plus(extension("certificatePolicies", false, &private)), none.clone()),
        (
            "timestamps",
            plus(extension("ct_precert_scts", false, &extensions::timestamps())),
            r(Rule::ClientAuthPublicCa),
        ),
        (
            "timestamps, for servers",
            CertificateParts {
                extensions: [
                    replaced("extendedKeyUsage", eku(&["serverAuth"])),
                    vec![extension("ct_precert_scts", false, &extensions::timestamps())],
                ]
                .concat(),
                ..base()
            },
            none.clone(),
        ),
        (
            "no purposes",
            CertificateParts { extensions: replaced("extendedKeyUsage", None), ..base() },
            r(Rule::NoExtendedKeyUsage),
        ),
        (
            "no SAN",
            CertificateParts { extensions: replaced("subjectAltName", None), ..base() },
            r(Rule::NoSan),
        ),
        (
            "no SAN, for clients only",
            CertificateParts { extensions: eku(&["clientAuth"]).into_iter().collect(), ..base() },
            none.clone(),
        ),
        (
            "398 days and a second",
            CertificateParts { not_after: tlv(23, b"260203000000Z"), ..base() },
            r(Rule::LongValidity),
        ),
        (
            "a CA for long, without purposes",
            CertificateParts {
                not_after: tlv(23, b"350101000000Z"),
                extensions: vec![ca],
                ..base()
            },
            none,
        ),
    ];
    let mut seen = vec![Rule::NotExamined];
    for (label, parts, expected) in cases {
        let certificate = Certificate::from_der(&parts.to_der()).unwrap();
        assert_eq!(rules(&certificate), expected, "{label}: {:?}", lint(&certificate));
        seen.extend(expected);
    }
    let ber = Certificate::from_der(&der::to_ber(&base().to_der())).unwrap();
    assert_eq!(rules(&ber), [Rule::StrictRefusal]);
    seen.push(Rule::StrictRefusal);
    for rule in Rule::ALL {
        assert!(seen.contains(rule), "{rule:?} has no case");
    }
}

#[test]
fn findings_are_in_the_order_of_their_severity() {
    let der = CertificateParts {
        version: None,
        extensions: Vec::new(),
        subject: name("/CN=a\0b"),
        ..CertificateParts::default()
    };
    let found = lint(&Certificate::from_der(&der.to_der()).unwrap());
    let severities: Vec<_> = found.iter().map(|finding| finding.rule.severity()).collect();
    assert!(severities.is_sorted() && severities[0] == Severity::High, "{found:?}");
    let mut names: Vec<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Rule::ALL.len());
}

/// The rule's list of critical extensions that OpenSSL acts upon is OpenSSL's own.
#[test]
fn critical_extensions_are_supported_where_openssl_says_so() {
    let mut supported = 0;
    for number in 1..1300 {
        let nid = openssl::nid::Nid::from_raw(number);
        let Ok(name) = nid.short_name() else { continue };
        let Ok(object) = openssl::asn1::Asn1Object::from_str(name) else { continue };
        if object.as_slice().is_empty() || object.nid() != nid {
            continue;
        }
        let content = openssl::asn1::Asn1OctetString::new_from_bytes(&[5, 0]).unwrap();
        let raw = openssl::x509::X509Extension::new_from_der(&object, true, &content).unwrap();
        let says = reference::supports(&raw);
        supported += usize::from(says);
        let certificate = with(vec![critical(name, &[5, 0])]);
        let found = rules(&certificate).contains(&Rule::UnsupportedCriticalExtension);
        assert_eq!(found, !says, "{name}");
    }
    assert!(supported > 10);
}

/// Nothing grave in what the world trusts: the linter is asked of every root of Debian's
/// ca-certificates.
#[test]
fn public_roots_have_no_grave_findings() {
    for file in fixtures::system_certificate_files() {
        let text = std::fs::read(&file).unwrap();
        let certificate = &pgtls_core::x509::bundle::parse_certificates(&text).unwrap()[0];
        let grave: Vec<_> = lint(certificate)
            .into_iter()
            .filter(|finding| finding.rule.severity() == Severity::High)
            .collect();
        assert_eq!(grave, [], "{file:?}");
        // Each extension is read by somebody.
        let document = json::certificate(certificate);
        for (name, member) in document["extensions"].as_object().unwrap() {
            let nobody_knows = name.contains('.') || name == "setCext-hashedRoot";
            assert_eq!(member.get("value").is_none(), nobody_knows, "{file:?} {name}");
        }
    }
}

#[test]
fn a_request_made_by_openssl_is_read() {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut builder = openssl::x509::X509ReqBuilder::new().unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let request = one(&builder.build().to_pem().unwrap());
    assert_eq!(request.signature_valid(), Some(true));
    assert_eq!(column(&request, "key_bits"), 2048.into());
    assert_eq!(column(&request, "subject"), Column::Null);
}
