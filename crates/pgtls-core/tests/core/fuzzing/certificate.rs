//! `certificate`, `name` and `pem_bundle`: what is read of certificates agrees with itself.

use pgtls_core::asn1::oid::Oid;
use pgtls_core::value::Value;
use pgtls_core::x509::bundle::{each_certificate, parse_certificates};
use pgtls_core::x509::certificate::Certificate;
use pgtls_core::x509::name::Name;
use pgtls_core::{json, pem};

/// Bytes as one certificate.
pub fn certificate(data: &[u8]) {
    // What another version of OpenSSL may have taken.
    let Ok(certificate) = Certificate::from_openssl(data) else {
        assert!(Certificate::from_der(data).is_err());
        return;
    };
    assert_consistent(&certificate);
    let Ok(certificate) = Certificate::from_der(data) else { return };
    // As OpenSSL would write it, and by way of PEM, it is still the same.
    assert_eq!(Certificate::from_der(certificate.as_der()).as_ref(), Ok(&certificate));
    assert_eq!(parse_certificates(certificate.to_pem().as_bytes()), Ok(vec![certificate]));
}

/// Bytes as a name.
pub fn name(data: &[u8]) {
    let Ok(name) = Name::from_der(data) else { return };
    for text in [name.oneline(), name.rfc2253()] {
        assert!(!text.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{text:?}");
    }
    assert!(name.rfc2253().is_ascii());
    assert_eq!(name.is_empty(), name.rfc2253().is_empty());
    assert_eq!(name.common_name().is_some(), name.common_name_bytes().is_some());
    assert!(!name.common_name().is_some_and(|text| text.contains('\0')));
    assert!(name.matches(&Name::from_der(name.as_der()).unwrap()));
    for attribute in name.attributes() {
        let found = name.field(&Oid::from_text(&attribute.oid.dotted()).unwrap_or(attribute.oid));
        assert!(found.is_some_and(|text| name.oneline().contains(&text)));
    }
}

/// Bytes as a text or a bundle with anything in it.
pub fn pem_bundle(data: &[u8]) {
    for kind in [pem::CERTIFICATE, pem::CRL] {
        for block in pem::blocks(data, kind).flatten() {
            let text = pem::encode(block.label, &block.der);
            let again: Vec<_> = pem::blocks(text.as_bytes(), kind).collect();
            assert!(matches!(&again[..], [Ok(found)] if found.der == block.der));
        }
    }
    let Ok(members) = each_certificate(data) else { return };
    let members: Vec<_> = members.collect();
    let whole = parse_certificates(data);
    assert_eq!(whole.is_ok(), members.iter().all(Result::is_ok));
    for certificate in members.into_iter().flatten() {
        assert_consistent(&certificate);
    }
}

/// JSON, the list of columns and single columns say the same, in the same order, and no text holds
/// a NUL.
pub fn assert_consistent(certificate: &Certificate) {
    let columns = certificate.columns();
    let object = json::certificate(certificate);
    let members = object.as_object().unwrap();
    let keys = members.keys().filter(|key| *key != "extensions");
    assert!(keys.eq(columns.iter().map(|(name, _)| name)));
    assert!(Certificate::column_names().eq(columns.iter().map(|(name, _)| *name)));
    for (name, value) in columns {
        assert_eq!(certificate.column(name).as_ref(), Some(&value));
        if name == "problems" {
            // The document has those of more extensions.
            continue;
        }
        let member = &members[name];
        let texts = |texts: &[String]| texts.iter().all(|text| !text.contains('\0'));
        let agrees = match &value {
            Value::Null => member.is_null(),
            Value::Text(text) => member.as_str() == Some(text) && texts(std::slice::from_ref(text)),
            Value::TextArray(array) => {
                let members = member.as_array().unwrap().iter().map(|m| m.as_str().unwrap());
                members.eq(array.iter()) && texts(array)
            }
            Value::Numeric(digits) => member.as_str() == Some(digits),
            Value::Timestamp(time) => member.as_str() == Some(&time.to_string()),
            Value::Bool(value) => member.as_bool() == Some(*value),
            Value::Int(value) => member.as_i64() == Some(*value),
            Value::Moment(_) | Value::Float(_) => {
                panic!("{name}: no date of a certificate has microseconds")
            }
        };
        assert!(agrees, "{name}: {value:?} but {member}");
    }
    for problem in certificate.problems() {
        assert!(!problem.to_string().is_empty());
    }
}
