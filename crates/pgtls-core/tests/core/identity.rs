//! Whose certificate it is and how long it lives, against what the full reader says.

use std::net::{IpAddr, Ipv4Addr};

use pgtls_core::recorder::identity::{Identity, life};
use pgtls_core::x509::certificate::Certificate;
use testpki::{CertBuilder, Name};

fn identity(builder: CertBuilder) -> Identity {
    life(builder.build().cert.der()).unwrap().identity
}

#[test]
fn it_is_the_issuer_and_the_only_uri_or_else_the_subject() {
    let (ca, other) = (CertBuilder::new("/CN=ca").ca().build(), CertBuilder::new("/CN=other").ca());
    let other = other.build();
    let alice = || ca.issue("/CN=alice");
    let plain = identity(alice());
    // Key, dates, serial and other names do not matter.
    let elsewhere = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for same in [
        alice(),
        alice().rsa().not_before(5).serial(7),
        alice().san_dns("a").san_ip(elsewhere),
        alice().san_uri("spiffe://a/1").san_uri("spiffe://a/2"),
        alice().crl_url("http://a/").with(testpki::x509::extension("1.2.3.4", true, b"5")),
    ] {
        assert_eq!(identity(same), plain);
    }
    let uri = identity(alice().san_uri("spiffe://a/1"));
    assert_eq!(identity(ca.issue("/CN=bob").san_dns("a").san_uri("spiffe://a/1")), uri);
    assert_eq!(identity(ca.issue(Name::empty()).san_uri("spiffe://a/1")), uri);
    for different in [
        ca.issue("/CN=bob"),
        other.issue("/CN=alice"),
        alice().san_uri("spiffe://a/2"),
        alice().san_uri("spiffe://a/1"),
        ca.issue("/CN=alice/CN=alice"),
    ] {
        assert_ne!(identity(different), plain);
    }
    assert_ne!(identity(other.issue("/CN=alice").san_uri("spiffe://a/1")), uri);
    // Version 1, and what follows in a chain.
    assert_eq!(identity(alice().version1()), plain);
    let whole = [alice().build().cert.der(), ca.cert.der()].concat();
    assert_eq!(life(&whole).unwrap().identity, plain);
}

#[test]
fn its_dates_are_those_of_the_full_reader() {
    for (begins, ends) in [(0, 1), (1_700_000_000, 1_700_003_600), (4_000_000_000, 9_000_000_000)] {
        let made = CertBuilder::new("/CN=alice").not_before(begins).not_after(ends).build();
        let full = Certificate::from_der(made.cert.der()).unwrap();
        let found = life(made.cert.der()).unwrap();
        assert_eq!(Some(found.begins), full.not_before().map(|time| time.0));
        assert_eq!(Some(found.ends), full.not_after().map(|time| time.0));
    }
}

#[test]
fn nothing_is_made_of_what_is_broken() {
    let good = CertBuilder::new("/CN=alice").san_uri("spiffe://a/1").build();
    let good = good.cert.der();
    for end in 0..good.len() {
        assert_eq!(life(&good[..end]), None);
    }
    // Whatever a byte is, there is an answer.
    let mut bytes = good.to_vec();
    for at in 0..bytes.len() {
        for flipped in [0x01, 0x20, 0x80, 0xff] {
            bytes[at] ^= flipped;
            let _ = life(&bytes);
            bytes[at] ^= flipped;
        }
    }
}
