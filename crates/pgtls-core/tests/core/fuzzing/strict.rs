//! `strict`: what is shown of extensions, requests and findings can be shown, whatever the bytes
//! are.

use serde_json::Value;

use pgtls_core::asn1::oid::Oid;
use pgtls_core::json;
use pgtls_core::x509::certificate::Certificate;
use pgtls_core::x509::lint::{Rule, lint};
use pgtls_core::x509::request::parse_requests;

/// Extensions whose values are not read by the core alone, by OpenSSL's names.
pub const STRICTLY_READ: [&str; 11] = [
    "nameConstraints",
    "certificatePolicies",
    "policyMappings",
    "policyConstraints",
    "inhibitAnyPolicy",
    "issuerAltName",
    "authorityInfoAccess",
    "subjectInfoAccess",
    "ct_precert_scts",
    "nsCertType",
    "nsComment",
];

/// Bytes of a value that are tried for every extension.
const MAX_VALUE: usize = 300;

/// Bytes as a certificate, as requests, and as the value of each extension.
pub fn strict(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(data) {
        assert_shown(&certificate);
    }
    if let Ok(requests) = parse_requests(data) {
        for request in requests {
            assert!(request.columns().iter().any(|(name, _)| *name == "pem"));
            assert_plain(&request.problems().concat());
            let again = parse_requests(request.to_pem().as_bytes()).unwrap();
            assert_eq!(again[0].as_der(), request.as_der());
        }
    }
    // What is longer is more of the same.
    if data.len() > MAX_VALUE {
        return;
    }
    for name in STRICTLY_READ {
        assert_shown(&Certificate::from_der(&with_extension(name, data)).unwrap());
    }
}

fn assert_shown(certificate: &Certificate) {
    let document = json::certificate(certificate);
    // The column of the common name is as it is, but for a NUL.
    assert!(!document.to_string().contains("\\u0000") || certificate.as_der().contains(&b'\\'));
    assert_all_plain(&document["extensions"]);
    assert_all_plain(&document["problems"]);
    for member in document["extensions"].as_object().unwrap().values() {
        // An extension that is there twice has a value that is null, and no other has.
        assert!(member.get("value").is_some() != member.get("hex").is_some(), "{member}");
    }
    for finding in lint(certificate) {
        assert!(Rule::ALL.contains(&finding.rule));
        assert!(!finding.detail.is_empty());
        assert_plain(&finding.detail);
    }
}

fn assert_plain(text: &str) {
    assert!(!text.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{text:?}");
}

/// No text of a document has a control character, which `jsonb` would refuse if it is a NUL.
fn assert_all_plain(document: &Value) {
    match document {
        Value::String(text) => assert_plain(text),
        Value::Array(elements) => elements.iter().for_each(assert_all_plain),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            assert!(key.is_ascii());
            assert_all_plain(value);
        }),
        _ => {}
    }
}

/// A certificate with one extension.
fn with_extension(name: &str, value: &[u8]) -> Vec<u8> {
    let oid = Oid::from_text(name).unwrap();
    let extension = tlv(0x30, &[tlv(6, &[oid.as_bytes()]), tlv(4, &[value])]);
    let algorithm = tlv(0x30, &[[6, 3, 0x2b, 0x65, 0x70]]);
    let time = tlv(0x17, &[b"250101000000Z"]);
    let signed = tlv(
        0x30,
        &[
            vec![0xa0, 3, 2, 1, 2, 2, 1, 1],
            algorithm.clone(),
            vec![0x30, 0],
            tlv(0x30, &[&time, &time]),
            vec![0x30, 0],
            tlv(0x30, &[algorithm.clone(), tlv(3, &[[0; 33]])]),
            tlv(0xa3, &[tlv(0x30, &[extension])]),
        ],
    );
    tlv(0x30, &[signed, algorithm, vec![3, 2, 0, 0]])
}

fn tlv<T: AsRef<[u8]>>(tag: u8, parts: &[T]) -> Vec<u8> {
    let content: Vec<u8> = parts.iter().flat_map(|part| part.as_ref()).copied().collect();
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|octet| **octet == 0).count()..];
    let header = match length {
        [] => vec![tag, 0],
        [short] if *short < 0x80 => vec![tag, *short],
        long => [&[tag, 0x80 | u8::try_from(long.len()).unwrap()], long].concat(),
    };
    [header, content].concat()
}
