//! Certificates as a tree for people.

use pgtls_core::x509::tree;

use testpki::{CertBuilder, Identity};

use crate::prelude::*;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn parsed(identity: &Identity) -> Certificate {
    Certificate::from_der(identity.cert.der()).unwrap()
}

fn lines(certificates: &[&Identity]) -> Vec<String> {
    let certificates: Vec<_> = certificates.iter().map(|one| parsed(one)).collect();
    tree::text(&certificates, NOW, |_| None).lines().map(str::to_owned).collect()
}

fn ca(name: &str) -> CertBuilder {
    CertBuilder::new(name).ca().not_before(0).not_after(2_000_000_000).serial(1)
}

#[test]
fn each_stands_below_its_issuer_in_whatever_order_they_come() {
    let root = ca("/CN=root").self_signed().build();
    let middle = ca("/CN=middle").by(&root).build();
    let leaf = |name: &str| {
        CertBuilder::new(name).by(&middle).serial(2).not_before(0).not_after(1_900_000_000)
    };
    let (alice, bob) = (leaf("/CN=alice").build(), leaf("/CN=bob").build());
    let expected = [
        "/CN=root (serial 01; CA, until 2033-05-18)",
        "+- /CN=middle (serial 01; CA, until 2033-05-18)",
        "   +- /CN=alice (serial 02; until 2030-03-17)",
        "   +- /CN=bob (serial 02; until 2030-03-17)",
    ];
    assert_eq!(lines(&[&alice, &bob, &middle, &root]), expected);
    assert_eq!(lines(&[&root, &alice, &middle, &bob]), expected);
}

#[test]
fn an_issuer_that_is_missing_is_named_once() {
    let root = ca("/CN=root").self_signed().build();
    let leaf = |name: &str| {
        CertBuilder::new(name).by(&root).serial(2).not_before(0).not_after(1_700_000_000).build()
    };
    assert_eq!(
        lines(&[&leaf("/CN=alice"), &leaf("/CN=bob")]),
        [
            "/CN=root (not here)",
            "+- /CN=alice (serial 02; expired 2023-11-14)",
            "+- /CN=bob (serial 02; expired 2023-11-14)",
        ]
    );
    // Of the same name, with another key.
    let other = ca("/CN=root").self_signed().build();
    let shown = lines(&[&leaf("/CN=alice"), &other]);
    assert_eq!(shown[0], "/CN=root (not here)");
    assert_eq!(shown[2], "/CN=root (serial 01; CA, until 2033-05-18)");
}

#[test]
fn cas_that_have_issued_each_other_end() {
    let first = ca("/CN=first").self_signed().build();
    let second = ca("/CN=second").self_signed().build();
    let crossed = [ca("/CN=first").by(&second).build(), ca("/CN=second").by(&first).build()]
        .map(|one| one.cert);
    let certificates = crossed.map(|cert| Certificate::from_der(cert.der()).unwrap());
    let text = tree::text(&certificates, NOW, |place| Some(format!("place {place}")));
    assert_eq!(text.lines().filter(|line| line.contains("place")).count(), 2, "{text}");
    assert_eq!(tree::text(&[], NOW, |_| None), "");
}
