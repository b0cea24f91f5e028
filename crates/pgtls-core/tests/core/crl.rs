//! Reading revocation lists: every field, every form of file, and the same lists accepted as by
//! OpenSSL.

use std::sync::LazyLock;

use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer};
use openssl::x509::{CrlStatus, X509Crl};

use testpki::Digest;

use crate::prelude::*;

pub(crate) const NOW: i64 = 1_700_000_000;
const DAY: i64 = 86_400;

pub(crate) static KEY: LazyLock<Key> = LazyLock::new(Key::ec);

pub(crate) fn list() -> CrlParts {
    CrlParts::new(&name("/CN=Test CA"), NOW, NOW + DAY)
}

fn read(writer: &CrlParts) -> Crl {
    Crl::from_der(writer.sign(&KEY)).unwrap()
}

/// A serial number, by way of a list that has it.
fn serial(octets: &[u8]) -> Serial {
    let crl = read(&list().revoke(octets, NOW, &[]));
    crl.entries().next().unwrap().serial().unwrap()
}

/// A list with one of everything.
fn rich() -> CrlParts {
    let point = full_name(&[uri("http://crl.test/a.crl"), directory(&name("/CN=place"))]);
    list()
        .revoke(&[7], NOW - 1, &[])
        .revoke(
            &[0xf0, 1],
            NOW - 2,
            &[reason(1), extension("invalidityDate", false, &tlv(0x18, b"20200101000000Z"))],
        )
        .revoke(&[3], NOW - 3, &[certificate_issuer(&name("/CN=Other"))])
        .with(crl_number(42))
        .with(authority_key_id(&[
            tlv(0x80, b"key id"),
            tlv(0xa1, &directory(&name("/CN=Upper"))),
            tlv(0x82, &[5]),
        ]))
        .with(idp(&[point, ONLY_USER.to_vec()]))
        .with(freshest(false, "http://crl.test/d.crl"))
}

#[test]
fn every_field() {
    let writer = rich();
    let der = writer.sign(&KEY);
    let crl = Crl::from_der(der.clone()).unwrap();
    assert_eq!(crl.as_der(), der);
    assert_eq!(crl.version(), Some(2));
    assert_eq!(crl.issuer().oneline(), "/CN=Test CA");
    assert_eq!(crl.signature_algorithm(), "ecdsa-with-SHA256");
    assert_eq!(crl.this_update(), Some(UnixTime(NOW)));
    assert_eq!(crl.next_update(), NextUpdate::At(UnixTime(NOW + DAY)));
    assert_eq!(crl.number().unwrap().decimal(), "42");
    assert_eq!((crl.base_number(), crl.is_delta()), (None, false));
    let authority = crl.authority_key_id().unwrap();
    assert_eq!(authority.key_id.as_deref(), Some(&b"key id"[..]));
    assert_eq!(authority.issuer[0].to_string(), "dirName:CN=Upper");
    assert_eq!(authority.serial.as_ref().unwrap().decimal(), "5");
    let scope = crl.issuing_distribution_point().unwrap();
    assert!(scope.only_user && !scope.only_ca && !scope.only_attribute && !scope.indirect);
    assert_eq!(scope.only_some_reasons, None);
    let place = scope.distribution_point.as_ref().unwrap();
    assert_eq!(place.urls(), ["http://crl.test/a.crl"]);
    let freshest = crl.freshest().unwrap();
    assert_eq!(freshest[0].name.as_ref().unwrap().urls(), ["http://crl.test/d.crl"]);
    assert_eq!(crl.unhandled_critical(), None);
    assert!(crl.broken_extensions().is_empty());

    assert_eq!(crl.revoked_count(), 3);
    let entries: Vec<Entry<'_>> = crl.entries().collect();
    let numbers: Vec<_> = entries.iter().map(|entry| entry.serial().unwrap().decimal()).collect();
    assert_eq!(numbers, ["7", "61441", "3"]);
    assert_eq!(entries[1].serial_bytes(), [0, 0xf0, 1]);
    assert_eq!(entries[1].revoked_at, Some(UnixTime(NOW - 2)));
    assert_eq!(entries[1].reason, Some(Reason::KeyCompromise));
    assert_eq!(entries[1].invalidity_date, Some(UnixTime(1_577_836_800)));
    assert_eq!((entries[0].reason, entries[0].invalidity_date), (None, None));
}

#[test]
fn a_list_with_as_little_as_possible() {
    let writer = CrlParts { version: None, next_update: None, ..list() };
    let crl = read(&writer);
    assert_eq!((crl.version(), crl.next_update()), (Some(1), NextUpdate::Never));
    assert_eq!((crl.revoked_count(), crl.entries().count()), (0, 0));
    assert!(crl.entry_at(Cursor::default()).is_none());
    assert!(crl.lookup(&serial(&[1])).is_none());
    assert!(crl.number().is_none() && crl.authority_key_id().is_none());
    assert!(crl.issuing_distribution_point().is_none() && crl.freshest().is_none());
}

#[test]
fn a_delta_and_the_rarer_parts() {
    let crl = read(&list().with(crl_number(9)).with(delta_of(7)).with(idp(&[
        relative_name("CN", "part 1"),
        tlv(0x83, &[1, 0x0f]),
        INDIRECT.to_vec(),
    ])));
    assert!(crl.is_delta());
    assert_eq!(crl.base_number().unwrap().decimal(), "7");
    let scope = crl.issuing_distribution_point().unwrap();
    assert!(scope.indirect && !scope.is_contradictory());
    assert!(matches!(scope.distribution_point, Some(DistributionPointName::Relative(_))));
    // The bit that does not count is cleared.
    assert_eq!(scope.only_some_reasons.as_deref(), Some(&[0x0e][..]));
}

#[test]
fn broken_and_doubled_extensions_count_as_absent() {
    let crl = read(
        &list()
            .with(crl_number(1))
            .with(crl_number(1))
            .with(extension("authorityKeyIdentifier", false, &[1, 1, 0]))
            .with(extension("issuingDistributionPoint", true, &[])),
    );
    assert!(crl.number().is_none() && crl.authority_key_id().is_none());
    assert!(crl.issuing_distribution_point().is_none());
    let broken = ["CRL number", "authority key identifier", "issuing distribution point"];
    assert_eq!(crl.broken_extensions(), broken);
    assert_eq!(crl.unhandled_critical(), None);
}

#[test]
fn critical_extensions_that_nobody_knows() {
    let unknown = |critical| extension("1.2.3.4", critical, &[5, 0]);
    assert_eq!(read(&list().with(unknown(false))).unhandled_critical(), None);
    let crl = read(&list().with(unknown(true)));
    let found = crl.unhandled_critical().unwrap();
    assert_eq!((found.oid.dotted().as_str(), found.in_entry), ("1.2.3.4", false));
    let crl = read(&list().revoke(&[1], NOW, &[]).revoke(&[2], NOW, &[unknown(true)]));
    assert!(crl.unhandled_critical().unwrap().in_entry);
    // OpenSSL processes the reason, yet not if it is critical.
    let critical_reason = extension("CRLReason", true, &[10, 1, 1]);
    let crl = read(&list().revoke(&[1], NOW, &[critical_reason]));
    assert_eq!(crl.unhandled_critical().unwrap().oid.dotted(), "2.5.29.21");
}

#[test]
fn reasons() {
    let of = |value: &[u8]| {
        let crl = read(&list().revoke(&[1], NOW, &[extension("CRLReason", false, value)]));
        crl.entries().next().unwrap().reason
    };
    let names = [
        "unspecified",
        "key_compromise",
        "ca_compromise",
        "affiliation_changed",
        "superseded",
        "cessation_of_operation",
        "certificate_hold",
        "other",
        "remove_from_crl",
        "privilege_withdrawn",
        "aa_compromise",
        "other",
    ];
    for (code, name) in (0_u8..).zip(names) {
        let reason = of(&[10, 1, code]).unwrap();
        assert_eq!((reason.as_str(), reason), (name, Reason::from_code(u32::from(code))));
    }
    assert_eq!(Reason::from_code(11).to_string(), "other (11)");
    assert_eq!(of(&[10, 2, 1, 0]), Some(Reason::Other(256)));
    assert_eq!(of(&[10, 1, 0xff]), Some(Reason::Other(u32::MAX)));
    for broken in [&[10, 0][..], &[2, 1, 1], &[10, 2, 0, 1], &[]] {
        assert_eq!(of(broken), None, "{broken:?}");
    }
}

#[test]
fn times_in_the_wrong_form() {
    let from = |text: &[u8]| read(&CrlParts { this_update: tlv(0x17, text), ..list() });
    assert_eq!(from(b"2401010000Z").this_update(), Some(UnixTime(1_704_067_200)));
    assert_eq!(from(b"yesterday").this_update(), None);
    let until = |text: &[u8]| {
        read(&CrlParts { next_update: Some(tlv(0x18, text)), ..list() }).next_update()
    };
    assert_eq!(until(b"20501231235959Z"), NextUpdate::At(UnixTime(2_556_143_999)));
    for malformed in [&b"20501231235959.5Z"[..], b"20501231235959+0100", b"205012312359Z", b""] {
        assert_eq!(until(malformed), NextUpdate::Malformed);
    }
    let crl = read(&CrlParts { entries: Some(seq(&[&integer(1), &tlv(0x17, b"?")])), ..list() });
    assert_eq!(crl.entries().next().unwrap().revoked_at, None);
}

#[test]
fn a_cursor_walks_without_a_borrow() {
    let crl = read(&rich());
    let mut cursor = Cursor::default();
    let mut count = 0;
    let walker = crl.clone();
    let walk = std::iter::from_fn(move || {
        let (entry, next) = walker.entry_at(cursor)?;
        cursor = next;
        entry.serial().ok()
    });
    for (by_cursor, entry) in walk.zip(crl.entries()) {
        assert_eq!(by_cursor, entry.serial().unwrap());
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn lookups_find_what_a_walk_finds() {
    for order in [Order::Sorted, Order::Shuffled] {
        let crl =
            read(&CrlParts { entries: Some(many_entries(10_000, order, NOW, true)), ..list() });
        assert_eq!(crl.revoked_count(), 10_000);
        for entry in crl.entries() {
            let serial = entry.serial().unwrap();
            let found = crl.lookup(&serial).unwrap();
            assert_eq!(found.serial_bytes(), entry.serial_bytes());
            assert_eq!(found.reason, entry.reason);
        }
        let mut absent = many_serial(5000);
        absent[15] ^= 1;
        for absent in [&absent[..], &[1], &[0xff; 20]] {
            assert!(crl.lookup(&serial(absent)).is_none());
        }
        assert!(crl.memory() < crl.as_der().len() + 10_000 * 4 + 4096);
    }
}

#[test]
fn of_two_entries_the_first_counts() {
    for entries in [[reason(1), reason(4)], [reason(4), reason(1)]] {
        let mut writer = list().revoke(&[9], NOW, &[]);
        for entry in &entries {
            writer = writer.revoke(&[5], NOW, std::slice::from_ref(entry));
        }
        let crl = read(&writer);
        let first = crl.entries().nth(1).unwrap().reason;
        assert_eq!(crl.lookup(&serial(&[5])).unwrap().reason, first);
    }
}

#[test]
fn entries_of_other_issuers_are_not_of_ours() {
    let crl = read(&rich());
    assert!(crl.lookup(&serial(&[7])).is_some());
    assert!(crl.lookup(&serial(&[3])).is_none());
}

// Files.

fn crl_pem(number: u64) -> Vec<u8> {
    list_pem(&list().with(crl_number(number)).sign(&KEY))
}

fn numbers(file: Vec<u8>) -> Vec<Result<String, Error>> {
    let members = parse_crls(file).unwrap();
    for (member, position) in members.iter().zip(1..) {
        assert_eq!(member.position, position);
    }
    members.into_iter().map(|m| m.crl.map(|crl| crl.number().unwrap().decimal())).collect()
}

#[test]
fn many_lists_and_anything_in_between() {
    let certificate = der::pem("CERTIFICATE", &[0x30, 3, 2, 1, 5]);
    let mut file = b"Certificate Revocation List (CRL):\n    Version 2 (0x1)\n".to_vec();
    let first = file.len();
    file.extend(crl_pem(1));
    file.extend(b"0 -----BEGIN X509 CRL-----\nnot a line that starts a block\n");
    file.extend(certificate.as_bytes());
    let second = file.len();
    file.extend(crl_pem(2));
    file.extend(der::pem("PRIVATE KEY", b"secret").into_bytes());
    let third = file.len();
    file.extend(crl_pem(3));
    let members = parse_crls(file.clone()).unwrap();
    let offsets: Vec<_> = members.iter().map(|member| member.offset).collect();
    assert_eq!(offsets, [first, second, third]);
    let expected: Vec<_> = ["1", "2", "3"].map(|n| Ok(n.to_owned())).into();
    assert_eq!(numbers(file.clone()), expected);

    let windows = String::from_utf8(file).unwrap().replace('\n', "\r\n");
    assert_eq!(numbers(windows.into_bytes()), expected);
}

#[test]
fn all_line_lengths() {
    let der = list().with(crl_number(1)).sign(&KEY);
    let base64 = data_encoding::BASE64.encode(&der);
    for length in [1, 3, 4, 63, 64, 65, 76, 4096, 100_000] {
        let lines: Vec<_> = base64.as_bytes().chunks(length).collect();
        for end in ["\n", "\r\n", " \t \n"] {
            let mut file = format!("-----BEGIN X509 CRL-----{end}").into_bytes();
            for line in &lines {
                file.extend(*line);
                file.extend(end.as_bytes());
            }
            file.extend(format!("-----END X509 CRL-----{end}").as_bytes());
            assert_eq!(parse_crls(file).unwrap()[0].crl.as_ref().unwrap().as_der(), der);
        }
    }
    // Longer than what is decoded at a time, with white space that shifts all groups.
    let big = CrlParts { entries: Some(many_entries(2000, Order::Sorted, NOW, true)), ..list() }
        .sign(&KEY);
    let base64 = data_encoding::BASE64.encode(&big);
    for length in [7, 61, 8191, 8192, 8193, 70_000] {
        let mut file = b"-----BEGIN X509 CRL-----\n".to_vec();
        for line in base64.as_bytes().chunks(length) {
            file.extend(line);
            file.extend(b" \n");
        }
        file.extend(b"-----END X509 CRL-----\n");
        assert_eq!(parse_crls(file).unwrap()[0].crl.as_ref().unwrap().as_der(), big);
    }
}

/// Behind broken armour OpenSSL finds nothing, and the server takes nothing from the file.
#[test]
fn a_broken_list_does_not_hide_the_others() {
    let good = |number: u64| crl_pem(number);
    let cut = || {
        let mut cut = good(9);
        cut.truncate(200);
        cut.push(b'\n');
        cut
    };
    let wrong_character = || {
        let mut wrong = good(9);
        wrong[100] = b'*';
        wrong
    };
    let not_der = || list_pem(b"\x04\x02ab");
    let file = [good(1), not_der(), good(2), not_der(), good(3)].concat();
    let found = numbers(file);
    let [Ok(_), Err(first), Ok(_), Err(second), Ok(_)] = &found[..] else { panic!("{found:?}") };
    for error in [first, second] {
        assert!(matches!(error, Error::Der { offset: 0, .. }), "{error:?}");
    }
    for (bad, expected) in [
        (cut(), "base64 is not a multiple of four"),
        (wrong_character(), "not a base64 character"),
        (list_pem(&[]), "block is empty"),
        (
            b"-----BEGIN X509 CRL-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            "END line does not match the BEGIN line",
        ),
        (
            b"-----BEGIN X509 CRL-----\nAAA\n-----END X509 CRL-----\n".to_vec(),
            "base64 is not a multiple of four",
        ),
    ] {
        let found = numbers([good(1), bad, good(2)].concat());
        let [Ok(_), Err(Error::Pem { problem, .. })] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*problem, expected);
    }
}

#[test]
fn errors_say_where() {
    let position = |file: &[u8]| match &parse_crls(file.to_vec()).unwrap()[0].crl {
        Err(Error::Pem { offset, .. }) => *offset,
        other => panic!("{other:?}"),
    };
    let good = crl_pem(1);
    for at in [25, 26, 90, 100, 200] {
        // Not above ASCII at the end of a line, where it may be stripped.
        for wrong in [b'*', 0x80, b'.', b'_'] {
            let mut file = good.clone();
            if file[at] != b'\n' {
                file[at] = wrong;
                assert_eq!(position(&file), at, "{}", char::from(wrong));
            }
        }
    }
    let big = CrlParts { entries: Some(many_entries(2000, Order::Sorted, NOW, true)), ..list() };
    let mut big = list_pem(&big.sign(&KEY));
    let at = 65 * 1000;
    big[at] = b'!';
    assert_eq!(position(&big), at);

    // In the DER, from its start.
    let mut der = list().with(crl_number(1)).sign(&KEY);
    let number = der.windows(3).position(|window| window == [0x55, 0x1d, 20]).unwrap();
    der[number - 2] = 7;
    let error = Crl::from_der(der).unwrap_err();
    assert!(matches!(error, Error::Der { offset, .. } if offset == number - 2), "{error:?}");
}

#[test]
fn files_without_a_list() {
    let empty: [&[u8]; 7] = [
        b"",
        b"\n\n",
        b"0",
        b"0 certificates",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b" -----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        &[0; 4096],
    ];
    for file in empty {
        let error = parse_crls(file.to_vec()).unwrap_err();
        assert!(matches!(error, Error::NoPemBlock { .. }), "{error:?}");
    }
    let noise: Vec<u8> =
        (0..100_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    assert!(parse_crls(noise).is_err());
}

#[test]
fn der_files() {
    let der = list().with(crl_number(1)).sign(&KEY);
    assert_eq!(numbers(der.clone()), [Ok("1".to_owned())]);
    // One list after the other; behind a broken one nothing can be found.
    assert_eq!(numbers([&der[..], &der].concat()), [Ok("1".to_owned()), Ok("1".to_owned())]);
    let found = parse_crls([&der[..], &[0], &der].concat()).unwrap();
    assert_eq!(found.iter().map(|it| it.crl.is_ok()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(found[1].offset, der.len());
    assert!(matches!(
        Crl::from_der([&der[..], &[0]].concat()),
        Err(Error::Der { offset, .. }) if offset == der.len()
    ));
    // A list has a length below 128 if it is short enough.
    let short = seq(&[
        &seq(&[&algorithm("1.2.3"), &name(""), &tlv(0x17, b"250101000000Z")]),
        &algorithm("1.2.3"),
        &bit_string(&[]),
    ]);
    assert!(short[1] < 0x80);
    assert!(parse_crls(short).unwrap()[0].crl.is_ok());
    for length in 2..der.len() {
        assert!(parse_crls(der[..length].to_vec()).unwrap()[0].crl.is_err(), "{length}");
    }
    // In PEM, data behind the list is ignored, as OpenSSL ignores it.
    let longer = list_pem(&[der.clone(), vec![1, 2, 3]].concat());
    assert_eq!(parse_crls(longer).unwrap()[0].crl.as_ref().unwrap().as_der(), der);
}

// OpenSSL's opinion.

/// What is different in a list that both accept.
fn difference(ours: &Crl, theirs: &X509Crl) -> Option<String> {
    let entries = theirs.get_revoked().map_or(0, |revoked| revoked.len());
    if ours.revoked_count() != entries {
        return Some(format!("{} entries instead of {entries}", ours.revoked_count()));
    }
    for entry in ours.entries() {
        let serial = entry.serial().unwrap();
        let number = BigNum::from_dec_str(&serial.decimal()).unwrap().to_asn1_integer().unwrap();
        // Both look for certificates of the list's own issuer.
        let found = match theirs.get_by_serial(&number) {
            CrlStatus::NotRevoked => None,
            CrlStatus::Revoked(_) => Some(false),
            CrlStatus::RemoveFromCrl(_) => Some(true),
        };
        let removed = |entry: Entry<'_>| entry.reason == Some(Reason::RemoveFromCrl);
        let ours = ours.lookup(&serial).map(removed);
        if ours != found {
            return Some(format!("{serial:?} is {ours:?} instead of {found:?}"));
        }
    }
    None
}

#[test]
fn accepts_the_der_that_openssl_accepts() {
    let der = rich().with(extension("1.2.3.4", false, &[5, 0])).sign(&KEY);
    let theirs = X509Crl::from_der(&der).unwrap();
    assert_eq!(difference(&Crl::from_der(der.clone()).unwrap(), &theirs), None);
    let mut both = 0;
    let mut different = Vec::new();
    for at in 0..der.len() {
        for value in (0..8).map(|bit| der[at] ^ 1 << bit).chain([0, 1, 0x7f, 0x80, 0xff, 0x30, 2]) {
            // A string in pieces that is none: what OpenSSL finds in it is its own affair.
            if [0x24, 0xa6].contains(&value) {
                continue;
            }
            let mut der = der.clone();
            der[at] = value;
            let what = format!("byte {at} = {value:#04x}");
            match (Crl::from_der(der.clone()), X509Crl::from_der(&der)) {
                (Ok(ours), Ok(theirs)) => {
                    both += 1;
                    different
                        .extend(difference(&ours, &theirs).map(|why| format!("{what}: {why}")));
                }
                (Err(_), Err(_)) => {}
                (Err(ours), Ok(_)) => different.push(format!("{what}: {ours}")),
                // Newer versions look at dates when they read a list.
                (Ok(_), Err(theirs)) if theirs.to_string().contains("time is too short") => {}
                (Ok(_), Err(theirs)) => different.push(format!("{what}: {theirs}")),
            }
        }
    }
    assert!(different.is_empty(), "{}:\n{}", different.len(), different.join("\n"));
    assert!(both > 1000, "only {both}");
}

#[test]
fn accepts_the_pem_that_openssl_accepts() {
    let good = crl_pem(1);
    let mut both = 0;
    let mut compare = |file: &[u8]| {
        let ours = parse_crls(file.to_vec()).is_ok_and(|members| members[0].crl.is_ok());
        let theirs = X509Crl::from_pem(file).is_ok();
        both += usize::from(ours);
        assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(file));
    };
    for at in 0..good.len() {
        for value in [b' ', b'\n', b'\r', b'\t', b'=', b'A', b'z', b'*', b':', 1] {
            let mut file = good.clone();
            file[at] = value;
            compare(&file);
            let mut file = good.clone();
            file.insert(at, value);
            compare(&file);
        }
        let mut file = good.clone();
        file.remove(at);
        compare(&file);
        compare(&good[at..]);
        compare(&good[..at]);
    }
    assert!(both > 500, "only {both}");
}

#[test]
fn reads_ber_as_openssl_does() {
    let writer = list().with(crl_number(1)).revoke(&[5], NOW, &[reason(1)]);
    let tbs = writer.tbs();
    // tbsCertList with indefinite length, signed as it is.
    let tbs = der::indefinite(der::SEQUENCE, der::split(&tbs).0);
    let signature = bit_string(&KEY.sign(Digest::Sha256, &tbs));
    let parts = [&tbs[..], &writer.signature_algorithm, &signature];
    let (whole, indefinite) = (seq(&parts), der::indefinite(der::SEQUENCE, &parts.concat()));
    let spki = KEY.public_der();
    for ber in [whole, indefinite] {
        assert!(X509Crl::from_der(&ber).unwrap().verify(KEY.openssl()).unwrap());
        let crl = parse_crls(list_pem(&ber)).unwrap().remove(0).crl.unwrap();
        assert!(crl.check_signature(&spki).is_good());
        assert!(crl.lookup(&serial(&[5])).is_some());
        assert!(Crl::from_der(ber).is_ok());
    }
}

// Signatures.

struct Signed {
    what: &'static str,
    key: Key,
    der: Vec<u8>,
}

fn signed() -> Vec<Signed> {
    let rsa = Key::rsa();
    let mgf1 = |digest: &str| seq(&[&oid("mgf1"), &algorithm_null(digest)]);
    let pss = |fields: &[Vec<u8>]| seq(&[&oid("rsassaPss"), &seq_of(fields)]);
    let make =
        |what, key: &Key, algorithm: Vec<u8>, digest: Option<MessageDigest>, salt: Option<i32>| {
            let writer = CrlParts { signature_algorithm: algorithm, ..list() };
            let tbs = writer.tbs();
            let signature = match digest {
                None => key.sign(Digest::Sha256, &tbs),
                Some(digest) => {
                    let mut signer = Signer::new(digest, key.openssl()).unwrap();
                    if let Some(salt) = salt {
                        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
                        signer.set_rsa_mgf1_md(digest).unwrap();
                        signer.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt)).unwrap();
                    }
                    signer.update(&tbs).unwrap();
                    signer.sign_to_vec().unwrap()
                }
            };
            Signed { what, key: key.clone(), der: writer.sealed(&tbs, &signature) }
        };
    let p256 = &*KEY;
    let sha256 = Some(MessageDigest::sha256());
    let full_pss = |salt: u8| {
        pss(&[
            tlv(0xa0, &algorithm_null("SHA256")),
            tlv(0xa1, &mgf1("SHA256")),
            tlv(0xa2, &[2, 1, salt]),
        ])
    };
    let rsa_with = |digest: &str| algorithm_null(&format!("{digest}WithRSAEncryption"));
    let ecdsa = |digest: &str| algorithm(&format!("ecdsa-with-{digest}"));
    let ed25519 = Key::ed25519();
    let ed448 = Key::ed448();
    vec![
        make("RSA, SHA-1", &rsa, rsa_with("sha1"), Some(MessageDigest::sha1()), None),
        make("RSA, SHA-256", &rsa, rsa_with("sha256"), sha256, None),
        make("RSA, SHA-384", &rsa, rsa_with("sha384"), Some(MessageDigest::sha384()), None),
        make("RSA, SHA-512", &rsa, rsa_with("sha512"), Some(MessageDigest::sha512()), None),
        make("RSA, no NULL", &rsa, algorithm("sha256WithRSAEncryption"), sha256, None),
        make("RSA, wrong digest", &rsa, rsa_with("sha256"), Some(MessageDigest::sha384()), None),
        make("PSS, SHA-256", &rsa, full_pss(32), sha256, Some(32)),
        make("PSS, other salt", &rsa, full_pss(20), sha256, Some(20)),
        make("PSS, wrong salt", &rsa, full_pss(21), sha256, Some(20)),
        make("PSS, defaults", &rsa, pss(&[]), Some(MessageDigest::sha1()), Some(20)),
        make(
            "PSS, no parameters",
            &rsa,
            algorithm("rsassaPss"),
            Some(MessageDigest::sha1()),
            Some(20),
        ),
        make(
            "PSS, other mask",
            &rsa,
            pss(&[
                tlv(0xa0, &algorithm_null("SHA256")),
                tlv(0xa1, &mgf1("SHA512")),
                tlv(0xa2, &[2, 1, 32]),
            ]),
            sha256,
            Some(32),
        ),
        make(
            "PSS, trailer 2",
            &rsa,
            pss(&[tlv(0xa3, &[2, 1, 2])]),
            Some(MessageDigest::sha1()),
            Some(20),
        ),
        make("PSS for PKCS #1", &rsa, rsa_with("sha256"), sha256, Some(32)),
        make("ECDSA, SHA-256", p256, ecdsa("SHA256"), sha256, None),
        make("ECDSA, SHA-512", p256, ecdsa("SHA512"), Some(MessageDigest::sha512()), None),
        make(
            "ECDSA, P-384",
            &Key::on(Curve::P384),
            ecdsa("SHA384"),
            Some(MessageDigest::sha384()),
            None,
        ),
        make("ECDSA for RSA", p256, rsa_with("sha256"), sha256, None),
        make("RSA for ECDSA", &rsa, ecdsa("SHA256"), sha256, None),
        make("Ed25519", &ed25519, algorithm("ED25519"), None, None),
        make("Ed448", &ed448, algorithm("ED448"), None, None),
        make("Ed448 named Ed25519", &ed448, algorithm("ED25519"), None, None),
        make("Ed25519 with NULL", &ed25519, algorithm_null("ED25519"), None, None),
        make("RSA named Ed25519", &rsa, algorithm("ED25519"), sha256, None),
        make("unknown", &rsa, algorithm("1.2.3.4"), sha256, None),
        make("no signature algorithm", &rsa, algorithm_null("SHA256"), sha256, None),
    ]
}

#[test]
fn signatures_are_good_exactly_where_openssl_says_so() {
    let mut good = 0;
    for Signed { what, key, der } in signed() {
        let spki = key.public_der();
        let mut compare = |what: &str, der: &[u8]| {
            let ours = Crl::from_der(der.to_vec()).unwrap();
            let theirs = X509Crl::from_der(der).unwrap().verify(key.openssl()).unwrap_or(false);
            assert_eq!(ours.check_signature(&spki).is_good(), theirs, "{what}");
            good += usize::from(theirs);
        };
        compare(what, &der);
        let mut forged = der.clone();
        *forged.last_mut().unwrap() ^= 1;
        compare(&format!("{what}, forged"), &forged);
    }
    assert!(good >= 14, "only {good}");
    // The errors that OpenSSL leaves behind are not there for the server to find.
    assert!(openssl::error::ErrorStack::get().errors().is_empty());
}

#[test]
fn why_a_signature_is_not_good() {
    let spki = KEY.public_der();
    let other = Key::ec().public_der();
    let crl = read(&list());
    for _ in 0..3 {
        assert_eq!(crl.check_signature(&spki), SignatureCheck::Good);
        assert_eq!(crl.check_signature(&other), SignatureCheck::Bad);
        assert_eq!(crl.check_signature(b"no key"), SignatureCheck::KeyUnreadable);
    }
    // More keys than are remembered.
    for i in 0..20_u8 {
        assert_eq!(crl.check_signature(&[i]), SignatureCheck::KeyUnreadable);
    }
    assert_eq!(crl.check_signature(&spki), SignatureCheck::Good);

    let mut writer = list();
    let tbs = writer.tbs();
    writer.signature_algorithm = algorithm_null("sha256WithRSAEncryption");
    let two = Crl::from_der(writer.sealed(&tbs, &[1])).unwrap();
    assert_eq!(two.check_signature(&spki), SignatureCheck::AlgorithmMismatch);
    let rsa = Crl::from_der(writer.sealed(&writer.tbs(), &[1])).unwrap();
    assert_eq!(rsa.check_signature(&spki), SignatureCheck::AlgorithmUnsupported);
    // Bits that do not fill an octet are no signature.
    let odd = seq(&[&list().tbs(), &list().signature_algorithm, &tlv(3, &[1, 2])]);
    assert_eq!(Crl::from_der(odd).unwrap().check_signature(&spki), SignatureCheck::Bad);
}
