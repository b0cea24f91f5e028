//! Large input: work looks whether to go on, so many times for so much input. What a server does in
//! between takes as long as the work between two looks; that it takes a bounded amount of it is
//! what counts here.

use std::cell::Cell;

use pgtls_core::login::{hba, ident};
use pgtls_core::work;

use crate::crl::{KEY, NOW, list};
use crate::prelude::*;

thread_local! {
    static LOOKS: Cell<usize> = const { Cell::new(0) };
    /// After so many of them it is over.
    static LAST: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn look() {
    LOOKS.set(LOOKS.get() + 1);
    assert!(LOOKS.get() <= LAST.get(), "it is over");
}

/// How often somebody looks on the way.
fn looks<T>(work: impl FnOnce() -> T) -> (usize, T) {
    work::install(work::Hooks { between: look, out_of_memory: || panic!("out of memory") });
    LOOKS.set(0);
    LAST.set(usize::MAX);
    let done = work();
    (LOOKS.get(), done)
}

fn bundle(count: usize, serial: &[u8]) -> Vec<u8> {
    let parts = CertificateParts { serial: serial.to_vec(), ..Default::default() };
    pem::encode("CERTIFICATE", &parts.to_der()).repeat(count).into_bytes()
}

#[test]
fn certificates_are_looked_at_one_by_one() {
    // The largest serial numbers: each takes milliseconds to write in decimal digits.
    let pem = bundle(100, &[0x7f; limits::MAX_SERIAL_BYTES]);
    let (count, certificates) = looks(|| parse_certificates(&pem).unwrap());
    assert_eq!(certificates.len(), 100);
    assert!(count >= 100, "{count}");
    // Nothing is read ahead: two certificates, then one for each that is asked for.
    let (count, _) = looks(|| each_certificate(&pem).unwrap().take(10).count());
    assert!((10..=14).contains(&count), "{count}");
}

#[test]
fn who_does_not_want_to_go_on_is_heard() {
    let pem = bundle(100, &[1]);
    let given_up = std::panic::catch_unwind(|| {
        looks(|| {
            LAST.set(7);
            parse_certificates(&pem)
        })
    });
    LAST.set(usize::MAX);
    assert!(given_up.is_err());
    assert_eq!(LOOKS.get(), 8);
}

#[test]
fn lists_are_looked_at_every_thousand_entries_and_lines() {
    let list = CrlParts { entries: Some(many_entries(50_000, Order::Sorted, NOW, true)), ..list() };
    let list = list.sign(&KEY);
    let (of_der, _) = looks(|| parse_crls(list.clone()).unwrap());
    assert!(of_der >= 48, "{of_der}");
    let (of_pem, _) = looks(|| parse_crls(list_pem(&list)).unwrap());
    let lines = list.len() / 48;
    assert!(of_pem >= of_der + lines / 1024, "{of_pem}");
    // Text that is no list at all.
    let (of_text, _) = looks(|| parse_crls(b"x\n".repeat(1 << 20)).unwrap_err());
    assert!(of_text >= 1024, "{of_text}");
}

#[test]
fn lines_of_a_file_are_looked_at_one_by_one() {
    let line = |number| ident::Line {
        file: "f".to_owned(),
        number: Some(number),
        mapping: None,
        problem: None,
    };
    let mut lines: Vec<_> = (0..1000).map(line).collect();
    let around = crate::login::plain();
    let (count, _) = looks(|| ident::check_patterns(&mut lines, &around));
    assert!(count >= 1000, "{count}");
    let line = |number| hba::Line {
        file: "f".to_owned(),
        number: Some(number),
        rule: None,
        problem: None,
    };
    let lines: Vec<_> = (0..1000).map(line).collect();
    let client = hba::Client { address: None, tls: true, role: b"r", database: Some(b"d") };
    let (count, _) = looks(|| hba::first_match(&lines, &client, &around).is_some());
    assert!(count >= 1000, "{count}");
}
