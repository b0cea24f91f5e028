//! Certificates in text and in bundles, whole and broken, as OpenSSL's PEM reader sees them.

use openssl::x509::X509;
use proptest::prelude::*;

use crate::prelude::*;

fn certificate(common_name: &str) -> Vec<u8> {
    let subject = name(&format!("/CN={common_name}"));
    CertificateParts { subject, ..Default::default() }.to_der()
}

fn block(common_name: &str) -> String {
    pem::encode("CERTIFICATE", &certificate(common_name))
}

fn common_names(input: &[u8]) -> Result<Vec<String>, Error> {
    let certificates = parse_certificates(input)?;
    Ok(certificates.iter().map(|c| c.subject().common_name().unwrap()).collect())
}

/// What OpenSSL finds, up to the first thing that it chokes on.
fn openssls(text: &[u8]) -> Vec<Vec<u8>> {
    let certificates = X509::stack_from_pem(text).unwrap_or_default();
    certificates.iter().map(|certificate| certificate.to_der().unwrap()).collect()
}

#[test]
fn text_around_the_blocks_is_passed_over() {
    let (first, second) = (block("first"), block("second"));
    let body = |text: &str| text.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let joined =
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", body(&first));
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n";
    let cases = [
        format!("{first}{second}"),
        format!("{first}{second}").replace('\n', "\r\n"),
        format!("{first}{second}").replace('\n', " \t\n"),
        format!("Certificate:\n    Data: -----BEGIN\n\n{first}\n# and\n\n{second}trailing words"),
        format!("{key}{first}{key}{second}{key}"),
        format!("{first}{}", second.trim_end()),
        format!("{joined}{second}"),
        format!("{first}{second}").replace("CERTIFICATE", "X509 CERTIFICATE"),
        format!("{first}-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n{second}"),
        format!("\u{feff}{first}\u{feff}{second}"),
        format!("{first}{second}").replace('\n', "\0\n"),
    ];
    for text in cases {
        assert_eq!(common_names(text.as_bytes()).unwrap(), ["first", "second"], "{text}");
        assert_eq!(
            openssls(text.as_bytes()),
            [certificate("first"), certificate("second")],
            "{text}"
        );
    }
}

/// `openssl x509 -text` writes the certificate in words in front of it.
#[test]
fn the_output_of_openssl_x509_text() {
    let x509 = X509::from_der(&certificate("alice")).unwrap();
    let text = [x509.to_text().unwrap(), x509.to_pem().unwrap()].concat();
    assert_eq!(common_names(&text).unwrap(), ["alice"]);
    assert_eq!(parse_certificates(&text).unwrap()[0].to_pem().into_bytes(), x509.to_pem().unwrap());
}

#[test]
fn trust_settings_are_no_part_of_the_certificate() {
    let settings = seq_of(&[tlv(12, b"alias")]);
    let der = [certificate("alice"), settings].concat();
    let trusted = parse_certificates(pem::encode("TRUSTED CERTIFICATE", &der).as_bytes()).unwrap();
    assert_eq!(trusted[0].as_der(), certificate("alice"));
    assert_eq!(trusted[0].problems(), []);
    // The same bytes after an ordinary certificate, which OpenSSL passes over, are worth a word.
    let ordinary = parse_certificates(pem::encode("CERTIFICATE", &der).as_bytes()).unwrap();
    assert_eq!(ordinary[0].as_der(), certificate("alice"));
    let [problem] = &ordinary[0].problems()[..] else { panic!() };
    assert!(problem.to_string().contains("9 bytes after the certificate"), "{problem}");
}

#[test]
fn input_without_certificates() {
    let nothing = Error::NoPemBlock { expected: "certificate" };
    assert_eq!(nothing.to_string(), "no certificate found in PEM text");
    let indented = block("alice").replace('\n', "\n ");
    for text in [
        "",
        "hello",
        "0",
        "-----BEGIN CERTIFICATE",
        "x-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "\n\u{feff}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN certificate-----\nAAAA\n-----END certificate-----\n",
        &format!(" {indented}"),
    ] {
        assert_eq!(parse_certificates(text.as_bytes()), Err(nothing.clone()), "{text}");
        assert_eq!(openssls(text.as_bytes()), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn broken_armour_is_an_error_with_its_place() {
    let good = block("alice");
    let end = "-----END CERTIFICATE-----\n";
    for (text, message) in [
        (good.replace(end, ""), "invalid PEM at byte 0: block has no END line"),
        (
            format!("# words\n{}", good.replace(end, "")),
            "invalid PEM at byte 8: block has no END line",
        ),
        (
            good.replace("END CERT", "END CRT"),
            "invalid PEM at byte 423: END line does not match the BEGIN line",
        ),
        (good.replacen('M', "*", 1), "invalid PEM at byte 28: not a base64 character"),
        (good.replacen('M', "=", 1), "invalid PEM at byte 29: base64 goes on after its padding"),
        (good.replacen('M', "", 1), "invalid PEM at byte 422: base64 is not a multiple of four"),
        (
            good.replacen("\nM", "\nAA==M", 1),
            "invalid PEM at byte 32: base64 goes on after its padding",
        ),
        (
            good.replacen("\nM", "\nProc-Type: 4,ENCRYPTED\n\nM", 1),
            "invalid PEM at byte 28: block with header lines",
        ),
        (good.replacen("\nB", "\n\nB", 1), "invalid PEM at byte 93: empty line within base64"),
        (
            good.replacen("\nM", "\n\n  M", 1),
            "invalid PEM at byte 29: line of base64 is longer than 64 characters",
        ),
        (
            good.replacen("\nMIIB", "\n\nMIIB\n", 1),
            "invalid PEM at byte 34: line of base64 after a short one",
        ),
        (format!("-----BEGIN CERTIFICATE-----\n{good}"), "invalid PEM at byte 0: block is empty"),
        (
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".into(),
            "invalid PEM at byte 0: block is empty",
        ),
        (
            pem::encode("CERTIFICATE", b"hello"),
            "invalid certificate at byte 0: unexpected element with tag 0x68",
        ),
    ] {
        let error = parse_certificates(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        assert_eq!(openssls(text.as_bytes()), Vec::<Vec<u8>>::new(), "{text}");
    }
}

/// OpenSSL finds nothing behind a block that is broken, of whatever kind; the server takes nothing
/// from such a file.
#[test]
fn a_broken_block_of_another_kind_is_an_error() {
    let text = format!("-----BEGIN PRIVATE KEY-----\nAAAA\n{}", block("alice"));
    let error = parse_certificates(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "invalid PEM at byte 456: END line does not match the BEGIN line");
    assert!(X509::stack_from_pem(text.as_bytes()).is_err());
}

/// What follows a `-` is no base64, so the second block is lost. OpenSSL says nothing about it.
#[test]
fn a_block_without_end_takes_the_next_one_with_it() {
    let text = block("first").replace("-----END CERTIFICATE-----\n", "") + &block("second");
    assert_eq!(common_names(text.as_bytes()).unwrap(), ["first"]);
    assert_eq!(openssls(text.as_bytes()), [certificate("first")]);
}

#[test]
fn a_broken_member_is_named_and_the_others_can_be_had() {
    let broken = pem::encode("CERTIFICATE", &certificate("x")[..100]);
    let text = format!("{}{broken}{}", block("first"), block("third"));
    let error = parse_certificates(text.as_bytes()).unwrap_err();
    let expected = "certificate number 2 of the bundle: invalid certificate at byte 0: \
                    data ends before the element does";
    assert_eq!(error.to_string(), expected);
    let each: Vec<_> = each_certificate(text.as_bytes()).unwrap().collect();
    assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);

    // The first of several is a member too, and the last.
    for (text, position) in
        [(format!("{broken}{}", block("second")), 1), (format!("{}{broken}", block("first")), 2)]
    {
        let error = parse_certificates(text.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Member { position: p, .. } if p == position), "{error}");
    }
    // The armour is part of the member.
    let text = format!("{}{}", block("first"), block("second").replace("-----END", "END"));
    let error = parse_certificates(text.as_bytes()).unwrap_err().to_string();
    assert!(
        error.starts_with("certificate number 2 of the bundle: invalid PEM at byte "),
        "{error}"
    );

    let der = [certificate("first"), certificate("second"), b"rest".to_vec()].concat();
    let error = parse_certificates(&der).unwrap_err();
    let expected = "certificate number 3 of the bundle: invalid certificate at byte 0: \
                    unexpected element with tag 0x72";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn bundles_have_limits() {
    let small = CertificateParts {
        public_key: seq_of(&[seq_of(&[oid("1.2.3")]), bit_string(&[1])]),
        ..Default::default()
    }
    .to_der();
    let many = small.repeat(limits::MAX_CERTIFICATES);
    assert_eq!(parse_certificates(&many).unwrap().len(), limits::MAX_CERTIFICATES);
    let limit = limits::MAX_CERTIFICATES;
    let too_many = Error::TooLarge { what: "number of certificates", limit };
    let input = small.repeat(limit + 2);
    assert_eq!(parse_certificates(&input), Err(too_many.clone()));
    // The error comes once, and then there is an end.
    let errors: Vec<_> = each_certificate(&input).unwrap().filter_map(Result::err).collect();
    assert_eq!(errors, [too_many]);

    let limit = limits::MAX_BUNDLE_BYTES;
    let too_long = Err(Error::TooLarge { what: "input with certificates", limit });
    assert_eq!(parse_certificates(&vec![b'\n'; limit + 1]), too_long);
    assert_eq!(
        parse_certificates(&vec![b'\n'; limit]),
        Err(Error::NoPemBlock { expected: "certificate" })
    );
}

/// Other kinds of blocks are found by the same reader.
#[test]
fn the_labels_are_a_parameter() {
    let text = format!("{}{}", block("alice"), pem::encode("X509 CRL", b"some list"));
    let lists: Vec<_> = pem::blocks(text.as_bytes(), pem::CRL).map(Result::unwrap).collect();
    assert_eq!(lists.len(), 1);
    assert_eq!((lists[0].label, lists[0].der.as_slice()), ("X509 CRL", &b"some list"[..]));
    assert_eq!(lists[0].offset, block("alice").len());
    assert_eq!(pem::blocks(block("alice").as_bytes(), pem::CRL).count(), 0);
}

#[test]
fn what_is_encoded_is_decoded() {
    let mut runner = runner(2000);
    runner
        .run(&prop::collection::vec(any::<u8>(), 1..300), |bytes| {
            let text = pem::encode("X509 CRL", &bytes);
            prop_assert!(text.lines().all(|line| line.len() <= 64));
            let blocks: Vec<_> = pem::blocks(text.as_bytes(), pem::CRL).collect();
            let [Ok(found)] = &blocks[..] else { panic!("{blocks:?}") };
            prop_assert_eq!(&found.der, &bytes);
            Ok(())
        })
        .unwrap();
}
