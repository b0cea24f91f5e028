//! Where each certificate of a session's chain came from.

use crate::prelude::*;

fn certificate(common_name: &str) -> Vec<u8> {
    let subject = name(&format!("/CN={common_name}"));
    CertificateParts { subject, ..Default::default() }.to_der()
}

fn sources(verified: &[&str], sent: &[&str]) -> Vec<String> {
    let [verified, sent] =
        [verified, sent].map(|names| names.iter().map(|n| certificate(n)).collect::<Vec<_>>());
    let chain = Chain::new(&verified, &sent).unwrap();
    let entries = chain.entries().iter();
    entries
        .enumerate()
        .map(|(depth, entry)| {
            assert_eq!(entry.depth, depth);
            let name = entry.certificate.subject().common_name().unwrap();
            format!("{name}: {}", entry.source)
        })
        .collect()
}

#[test]
fn sources_of_every_arrangement() {
    for (verified, sent, expected) in [
        // Leaf and intermediate sent.
        (
            &["leaf", "ca", "root"][..],
            &["ca"][..],
            &["leaf: sent", "ca: sent", "root: trust store"][..],
        ),
        // The intermediate is in the trust store.
        (&["leaf", "ca", "root"], &[], &["leaf: sent", "ca: trust store", "root: trust store"]),
        // Directly under the root.
        (&["leaf", "root"], &[], &["leaf: sent", "root: trust store"]),
        // A self-signed certificate that is its own anchor.
        (&["leaf"], &[], &["leaf: sent"]),
        (&["leaf"], &["leaf"], &["leaf: sent"]),
        // Superfluous and disordered certificates, and a copy of the root.
        (
            &["leaf", "ca2", "ca1", "root"],
            &["root", "ca1", "other", "leaf"],
            &["leaf: sent", "ca2: trust store", "ca1: sent", "root: trust store"],
        ),
        // No certificate at all.
        (&[], &[], &[]),
    ] {
        assert_eq!(sources(verified, sent), expected);
    }
}

#[test]
fn columns_and_json_of_a_chain() {
    let verified = [certificate("leaf"), certificate("root")];
    let chain = Chain::new(&verified, &[] as &[&[u8]]).unwrap();
    let columns = chain.entries()[1].columns();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let mut expected = vec!["depth", "source"];
    expected.extend(Certificate::column_names());
    expected.push("pem");
    assert_eq!(names, expected);
    assert_eq!(columns[0].1, Value::Int(1));
    assert_eq!(columns[1].1, Value::Text("trust store".into()));
    let Some((_, Value::Text(pem))) = columns.last() else { panic!() };
    let parsed = parse_certificates(pem.as_bytes()).unwrap();
    assert_eq!(parsed[0].as_der(), certificate("root"));

    let json = json::chain(&chain);
    assert_eq!(json.as_array().unwrap().len(), 2);
    for (entry, member) in chain.entries().iter().zip(json.as_array().unwrap()) {
        assert_eq!(member, &json::object(entry.columns()));
        assert!(member.as_object().unwrap().keys().eq(expected.iter()));
    }
    assert_eq!(json[0]["source"], "sent");
    assert_eq!(json[1]["subject"], "/CN=root");
    assert_eq!(json::chain(&Chain::new::<&[u8], &[u8]>(&[], &[]).unwrap()).to_string(), "[]");
}

#[test]
fn broken_and_endless_chains_are_refused() {
    let error = Chain::new(&[certificate("leaf"), b"junk".to_vec()], &[b"x"]).unwrap_err();
    assert!(matches!(error, Error::Member { position: 2, .. }), "{error}");
    // What was sent besides is compared and not parsed.
    assert!(Chain::new(&[certificate("leaf")], &[b"junk"]).is_ok());

    let limit = limits::MAX_CHAIN;
    let mut endless = vec![certificate("ca"); limit];
    assert_eq!(Chain::new(&endless, &endless).unwrap().entries().len(), limit);
    endless.push(certificate("ca"));
    let refused = Err(Error::TooLarge { what: "certificate chain", limit });
    assert_eq!(Chain::new(&endless, &endless), refused);
}
