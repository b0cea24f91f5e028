//! `PEM_X509_INFO_read_bio` on a file, and `PEM_read_bio_X509_REQ`.
//!
//! The server reads `ssl_ca_file`, `ssl_crl_file` and the files of `ssl_crl_dir` with
//! `X509_load_cert_crl_file`, which takes from a file what `PEM_X509_INFO_read_bio` finds in it, or
//! nothing at all if that fails. `X509::stack_from_pem` of the `openssl` crate is a loop of another
//! function, which keeps what it has at the first block that is broken, and it reads from memory,
//! where a NUL does not end a line. OpenSSL's own end of a file is `fgets`, so here it reads a
//! file, too: one that is in memory.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use foreign_types::ForeignType;
use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Crl, X509Req};
use openssl_sys as ffi;

use super::mutate::{self, Random};
use super::{Differences, count};
use crate::prelude::*;
use crate::requests;
use pgtls_core::x509::request::parse_requests;

/// The start of OpenSSL's `X509_INFO`.
#[repr(C)]
struct Info {
    certificate: *mut ffi::X509,
    list: *mut ffi::X509_CRL,
}

unsafe extern "C" {
    fn PEM_X509_INFO_read_bio(
        bio: *mut ffi::BIO,
        stack: *mut ffi::OPENSSL_STACK,
        callback: *const c_void,
        argument: *const c_void,
    ) -> *mut ffi::OPENSSL_STACK;
    fn X509_INFO_free(info: *mut Info);
    fn BIO_new_fp(stream: *mut libc::FILE, close: c_int) -> *mut ffi::BIO;
}

/// What is found in a file: the signed parts of the certificates and of the lists.
type Found = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// The signed part, which OpenSSL writes as it was; around it, it writes DER.
fn signed(der: &[u8]) -> Vec<u8> {
    let content = 2 + usize::from(der[1].saturating_sub(0x80) * u8::from(der[1] > 0x80));
    der::split(&der[content..]).0.to_vec()
}

/// Calls `read` with a file that holds `text`.
fn with_file<T>(text: &[u8], read: impl FnOnce(*mut ffi::BIO) -> T) -> T {
    // An empty file cannot be opened in memory; a line end makes no difference.
    let text = if text.is_empty() { b"\n" } else { text };
    let mode: *const c_char = c"r".as_ptr();
    // SAFETY: the buffer is only read, and outlives the stream; BIO_CLOSE closes the stream with
    // the BIO.
    unsafe {
        let stream = libc::fmemopen(text.as_ptr().cast_mut().cast(), text.len(), mode);
        assert!(!stream.is_null());
        let bio = BIO_new_fp(stream, 1);
        assert!(!bio.is_null());
        let result = read(bio);
        ffi::BIO_free_all(bio);
        drop(ErrorStack::get());
        result
    }
}

/// `None` if OpenSSL takes nothing from the file because something in it is broken.
fn openssls(text: &[u8]) -> Option<Found> {
    with_file(text, |bio| {
        let mut found = Found::default();
        // SAFETY: the BIO is live; the stack and what is in it are freed here, and nowhere else.
        unsafe {
            let none = ptr::null();
            let stack = PEM_X509_INFO_read_bio(bio, ptr::null_mut(), none, none);
            if stack.is_null() {
                return None;
            }
            for index in 0..ffi::OPENSSL_sk_num(stack) {
                let info: *mut Info = ffi::OPENSSL_sk_value(stack, index).cast();
                if !(*info).certificate.is_null() {
                    ffi::X509_up_ref((*info).certificate);
                    found.0.push(signed(&X509::from_ptr((*info).certificate).to_der().unwrap()));
                }
                if !(*info).list.is_null() {
                    let length = ffi::i2d_X509_CRL((*info).list, ptr::null_mut());
                    let mut der = vec![0; usize::try_from(length).unwrap()];
                    ffi::i2d_X509_CRL((*info).list, &mut der.as_mut_ptr());
                    found.1.push(signed(&der));
                }
                X509_INFO_free(info);
            }
            ffi::OPENSSL_sk_free(stack);
        }
        Some(found)
    })
}

/// What the core finds; `None` if the server would take nothing.
fn ours(text: &[u8]) -> Option<Found> {
    let certificates = match parse_certificates(text) {
        Ok(certificates) => certificates,
        Err(Error::NoPemBlock { .. }) => Vec::new(),
        Err(_) => return None,
    };
    let lists = match parse_crls(text.to_vec()) {
        Ok(lists) => lists,
        Err(Error::NoPemBlock { .. }) => Vec::new(),
        Err(_) => return None,
    };
    let lists: Result<Vec<Crl>, Error> = lists.into_iter().map(|member| member.crl).collect();
    let certificates = certificates.iter().map(|it| signed(it.as_der())).collect();
    Some((certificates, lists.ok()?.iter().map(|it| signed(it.as_der())).collect()))
}

/// The requests that a loop over `PEM_read_bio_X509_REQ` finds; `None` if it ends at a broken one
/// or finds none.
fn openssls_requests(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    with_file(text, |bio| {
        let mut found = Vec::new();
        loop {
            // SAFETY: the BIO is live; the request is the caller's.
            let request =
                unsafe { ffi::PEM_read_bio_X509_REQ(bio, ptr::null_mut(), None, ptr::null_mut()) };
            if request.is_null() {
                // PEM_R_NO_START_LINE: the end of the file.
                let errors = ErrorStack::get();
                let is_end = errors.errors().last().is_some_and(|e| e.reason_code() == 108);
                return Some(found).filter(|found| is_end && !found.is_empty());
            }
            // SAFETY: it owns the request now.
            found.push(signed(&unsafe { X509Req::from_ptr(request) }.to_der().unwrap()));
        }
    })
}

fn ours_requests(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let requests = parse_requests(text).ok()?;
    Some(requests.iter().map(|it| signed(it.as_der())).collect())
}

fn certificate(common_name: &str) -> String {
    let subject = name(&format!("/CN={common_name}"));
    pem::encode("CERTIFICATE", &CertificateParts { subject, ..Default::default() }.to_der())
}

fn list(number: u64) -> String {
    let parts = CrlParts::new(&name("/CN=CA"), 1_000_000_000, 2_000_000_000);
    let parts = parts.with(crl_number(number));
    pem::encode("X509 CRL", &parts.sealed(&parts.tbs(), &[0x5a; 70]))
}

fn seeds() -> Vec<Vec<u8>> {
    let (first, second) = (certificate("first"), certificate("second"));
    let lists = format!("{}{}", list(1), list(2));
    let other = pem::encode("OTHER", b"something else");
    let old = first.replace("CERTIFICATE", "X509 CERTIFICATE");
    let open = first.replacen("-----END CERTIFICATE-----\n", "", 1);
    let seeds = [
        first.clone(),
        format!("{first}{second}"),
        format!("words\n\n{first}\nand\n{other}{lists}words"),
        format!("{lists}{second}").replace('\n', "\r\n"),
        format!("\u{feff}{old}\u{feff}{lists}"),
        format!("{open}{second}"),
        first.replacen("-----\n", "-----\n\n", 1),
        first.replacen("=\n", "=\u{a0}\n", 1).replace("-----\n", "----- \t\n"),
    ];
    seeds.into_iter().map(String::into_bytes).collect()
}

/// Both on changes of `seeds`.
fn compare<T: PartialEq + std::fmt::Debug>(
    seeds: &[Vec<u8>],
    count: usize,
    ours: impl Fn(&[u8]) -> Option<T>,
    theirs: impl Fn(&[u8]) -> Option<T>,
) {
    let mut random = Random::new(20);
    let mut differences = Differences::default();
    let mut taken = 0;
    for round in 0..count {
        let seed = &seeds[round % seeds.len()];
        let text = if round < seeds.len() { seed.clone() } else { mutate::text(seed, &mut random) };
        let (mine, other) = (ours(&text), theirs(&text));
        taken += usize::from(other.is_some());
        if mine != other {
            let text = text.escape_ascii();
            differences
                .add(|| format!("round {round}: {} {}: {text}", mine.is_some(), other.is_some()));
        }
    }
    differences.assert_none(taken, count);
}

#[test]
fn files_hold_what_openssl_finds_in_them() {
    compare(&seeds(), count(100_000, 10_000), ours, openssls);
}

#[test]
fn requests_are_what_openssl_finds() {
    let request = |label: &str| pem::encode(label, &requests::der());
    let seeds: Vec<_> = [
        request("CERTIFICATE REQUEST"),
        format!("{}{}", request("NEW CERTIFICATE REQUEST"), request("CERTIFICATE REQUEST")),
        format!("{}{}", certificate("x"), request("CERTIFICATE REQUEST")),
    ]
    .map(String::into_bytes)
    .into();
    compare(&seeds, count(20_000, 4_000), ours_requests, openssls_requests);
}

/// The cases that were found by hand, by name.
#[test]
fn files_that_were_read_otherwise() {
    let crl = list(1);
    let cert = certificate("first");
    let other = certificate("second");
    let open = cert.replacen("-----END CERTIFICATE-----\n", "", 1);
    let mut blank: Vec<_> = cert.lines().collect();
    blank.insert(2, "");
    let blank = blank.join("\n");
    let nbsp = crl.bytes().flat_map(|b| if b == b'\n' { vec![0xa0, b'\n'] } else { vec![b] });
    let is_signed = c_char::MIN != 0;
    for (what, text, certificates, lists) in [
        ("byte order mark", format!("\u{feff}{crl}").into_bytes(), 0, Some(1)),
        ("with CRLF", format!("\u{feff}{crl}").replace('\n', "\r\n").into_bytes(), 0, Some(1)),
        ("0xA0 at line ends", nbsp.collect(), 0, is_signed.then_some(1)),
        ("empty line", blank.clone().into_bytes(), 0, None),
        ("empty line in another kind", blank.replace("CERTIFICATE", "X").into_bytes(), 0, Some(0)),
        ("no END line", format!("{open}{other}").into_bytes(), 1, Some(0)),
        ("no END line of another kind", format!("{open}{crl}").into_bytes(), 0, None),
        (
            "broken block of another kind",
            format!("{cert}-----BEGIN X-----\n").into_bytes(),
            0,
            None,
        ),
    ] {
        let found = ours(&text);
        assert_eq!(found, openssls(&text), "{what}");
        assert_eq!(
            found.map(|(c, l)| (c.len(), l.len())),
            lists.map(|l| (certificates, l)),
            "{what}"
        );
    }
    // Both find something at all.
    assert!(X509Crl::from_pem(crl.as_bytes()).is_ok());
}
