//! Hostile and broken certificates: a right answer or a clear error with the position, never a
//! panic, never silence.

use openssl::x509::X509;
use proptest::prelude::*;

use crate::fuzzing::assert_consistent;
use crate::prelude::*;

fn with(extensions: Vec<Vec<u8>>) -> Certificate {
    parse(&CertificateParts { extensions, ..CertificateParts::default() }.to_der())
}

fn parse(der: &[u8]) -> Certificate {
    Certificate::from_der(der).unwrap()
}

fn san(names: &[Vec<u8>]) -> Vec<String> {
    let certificate = with(vec![extension("subjectAltName", false, &seq_of(names))]);
    assert_eq!(certificate.problems(), []);
    certificate.san().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn ten_thousand_alternative_names() {
    let certificate = parse(fixtures::named("san-many"));
    let names = certificate.san().unwrap();
    assert_eq!(names.len(), 10_000);
    assert_eq!(names[9_999].to_string(), "DNS:host-9999.example.com");
    let Some(Value::TextArray(texts)) = certificate.column("san") else { panic!() };
    assert_eq!((texts.len(), texts[0].as_str()), (10_000, "DNS:host-0.example.com"));
}

#[test]
fn a_subject_of_64_kb_is_whole() {
    let certificate = parse(fixtures::named("names-64k"));
    let subject = certificate.subject();
    let expected = format!("/O={}/CN=last", "a\\,".repeat(32 << 10));
    assert_eq!(subject.oneline(), expected);
    assert_eq!(subject.rfc2253().len(), "CN=last,O=".len() + ((3 * 32) << 10));
    assert_eq!(subject.common_name().as_deref(), Some("last"));
}

#[test]
fn serial_numbers_of_every_sign_and_length() {
    for (content, decimal, hex) in [
        (&[0][..], "0", "00"),
        (&[0x7f], "127", "7F"),
        (&[0x80], "-128", "-80"),
        (&[0xff], "-1", "-01"),
        (&[0, 0x80], "128", "80"),
        (&[0xff, 0x7f], "-129", "-81"),
        (&[0x80, 0, 0], "-8388608", "-800000"),
        (&[1, 0, 0, 0, 0, 0, 0, 0, 0], "18446744073709551616", "010000000000000000"),
    ] {
        let serial = content.to_vec();
        let certificate = parse(&CertificateParts { serial, ..Default::default() }.to_der());
        assert_eq!(certificate.serial().decimal(), decimal);
        assert_eq!(certificate.serial().hex(), hex);
        assert_eq!(certificate.serial().as_bytes(), content);
    }
    // The same number with more bytes than it needs. OpenSSL refuses it; if another version takes
    // it, it is that number.
    let padded = CertificateParts { serial: vec![0, 0, 1], ..Default::default() }.to_der();
    let error = Certificate::from_der(&padded).unwrap_err().to_string();
    assert_eq!(error, "invalid certificate at byte 12: serialNumber: padded INTEGER");
    assert!(X509::from_der(&padded).is_err());
    let padded = Certificate::from_openssl(&padded).unwrap();
    assert_eq!(padded.serial(), parse(&CertificateParts::default().to_der()).serial());
}

#[test]
fn a_serial_number_has_a_limit() {
    let of = |length| {
        let serial = vec![0x7f; length];
        Certificate::from_der(&CertificateParts { serial, ..Default::default() }.to_der())
    };
    let largest = of(limits::MAX_SERIAL_BYTES).unwrap();
    assert_eq!(largest.serial().decimal().len(), 19_728);
    let limit = limits::MAX_SERIAL_BYTES;
    let refused = Error::TooLarge { what: "serial number", limit };
    assert_eq!(of(limits::MAX_SERIAL_BYTES + 1), Err(refused));
    assert!(of(0).unwrap_err().to_string().contains("empty INTEGER"));
}

#[test]
fn dates_of_every_form_and_dates_that_are_none() {
    for (tag, text, expected) in [
        (23, "500101000000Z", Some("1950-01-01T00:00:00Z")),
        (23, "491231235959Z", Some("2049-12-31T23:59:59Z")),
        (23, "700101000000Z", Some("1970-01-01T00:00:00Z")),
        (23, "7001010000Z", Some("1970-01-01T00:00:00Z")),
        (23, "700101000000+0130", Some("1969-12-31T22:30:00Z")),
        (24, "19491231235959Z", Some("1949-12-31T23:59:59Z")),
        (24, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
        (24, "99991231235959Z", Some("9999-12-31T23:59:59Z")),
        (24, "00000101000000Z", Some("0000-01-01T00:00:00Z")),
        (24, "20240229120000.75Z", Some("2024-02-29T12:00:00Z")),
        (24, "20240229120000-0500", Some("2024-02-29T17:00:00Z")),
        (24, "20230229120000Z", None),
        (24, "20231301000000Z", None),
        (24, "20230101000000", None),
        (24, "20230101000000.Z", None),
        (24, "20230101000000Zx", None),
        (24, "20230101000000+9900", None),
        (24, "2023\u{0}101000000Z", None),
        (23, "230101000060Z", None),
        (23, "yesterday at n", None),
        (23, "", None),
    ] {
        let not_after = tlv(tag, text.as_bytes());
        let der = CertificateParts { not_after, ..Default::default() }.to_der();
        let certificate = parse(&der);
        let found = certificate.not_after().map(|time| time.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
        let parts: Vec<_> = certificate.problems().into_iter().map(|p| p.part).collect();
        let is_null = certificate.column("not_after") == Some(Value::Null);
        match expected {
            Some(_) => assert!(parts.is_empty() && !is_null, "{text}"),
            None => assert!(parts == ["notAfter"] && is_null, "{text}"),
        }
        // The other date is none the worse for it.
        assert_eq!(certificate.not_before(), Some(UnixTime(1_735_689_600)));
    }
}

#[test]
fn alternative_names_of_every_kind() {
    let principal = tlv(
        0xa0,
        &concat(&[
            oid("1.3.6.1.4.1.311.20.2.3"),
            tlv(0xa0, &tlv(12, "alice@acme.example".as_bytes())),
        ]),
    );
    let number = tlv(0xa0, &concat(&[oid("1.2.3"), tlv(0xa0, &[2, 1, 5])]));
    let names = san(&[
        tlv(0x82, b"db.example.com"),
        tlv(0x86, b"spiffe://example.com/a?b=1,2"),
        tlv(0x81, b"alice@example.com"),
        tlv(0x87, &[192, 0, 2, 1]),
        tlv(0x87, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
        tlv(0x87, &[10, 0, 0, 0, 255, 0, 0, 0]),
        tlv(0x87, &[1, 2, 3]),
        tlv(0xa4, &name("/O=Acme, Inc./CN=alice")),
        tlv(0x88, &[0x2a, 3, 4]),
        principal,
        number,
        tlv(0xa3, &[0x30, 0]),
        tlv(0xa5, &[0xa1, 2, 12, 0]),
    ]);
    assert_eq!(
        names,
        [
            "DNS:db.example.com",
            "URI:spiffe://example.com/a?b=1,2",
            "email:alice@example.com",
            "IP:192.0.2.1",
            "IP:2001:db8::7",
            "IP:10.0.0.0/255.0.0.0",
            "IP:#010203",
            "dirName:CN=alice,O=Acme\\, Inc.",
            "RID:1.2.3.4",
            "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:alice@acme.example",
            "otherName:1.2.3;#020105",
            "X400Name:#3000",
            "EdiPartyName:#A1020C00",
        ]
    );
}

#[test]
fn hostile_alternative_names_cannot_pass_for_others() {
    let names = san(&[
        tlv(0x82, b"good.example\0.evil.example"),
        tlv(0x82, b"a\nDNS:b"),
        tlv(0x82, b"a\\0Ab"),
        tlv(0x82, b"caf\xc3\xa9\xff\x7f"),
        tlv(0xa4, b"no name"),
        tlv(0xa0, b"no other name"),
        tlv(0x88, &[0x80]),
        tlv(0xa0, &concat(&[oid("1.2.3"), tlv(0xa0, &tlv(12, "é\n\u{85}".as_bytes()))])),
        tlv(0xa0, &concat(&[oid("1.2.3"), tlv(0xa0, &tlv(12, b"\xff"))])),
        tlv(0x82, b""),
    ]);
    assert_eq!(
        names,
        [
            "DNS:good.example\\00.evil.example",
            "DNS:a\\0ADNS:b",
            "DNS:a\\\\0Ab",
            "DNS:caf\\C3\\A9\\FF\\7F",
            "dirName:#6E6F206E616D65",
            "otherName:#6E6F206F74686572206E616D65",
            "RID:#80",
            "otherName:1.2.3;UTF8:é\\0A\\C2\\85",
            "otherName:1.2.3;#0C01FF",
            "DNS:",
        ]
    );
    let certificate = with(vec![extension("subjectAltName", false, &fixtures::many_names(1))]);
    assert_eq!(certificate.san().unwrap()[0].kind(), GeneralNameKind::Dns);
    assert_eq!(certificate.san().unwrap()[0].as_bytes(), b"host-0.example.com");
}

/// A broken extension costs its own column and is named; everything else stays.
#[test]
fn one_bad_extension_spoils_one_column() {
    let good = extension("keyUsage", false, &[3, 2, 5, 0xa0]);
    let cases: [(&str, &[u8], &[&str]); 9] = [
        ("subjectAltName", &[0x30, 2, 0x8f, 0], &["san"]),
        // OpenSSL reads the value and does not look behind it.
        ("subjectAltName", &[0x30, 0, 0], &[]),
        ("basicConstraints", &[4, 0], &["is_ca", "path_length"]),
        ("basicConstraints", &[0x30, 3, 2, 1, 0xff], &["is_ca", "path_length"]),
        ("extendedKeyUsage", &[0x30, 2, 6, 0], &["extended_key_usage"]),
        ("subjectKeyIdentifier", &[4, 9, 1], &["subject_key_id"]),
        ("authorityKeyIdentifier", &[0x30, 2, 0x85, 0], &["authority_key_id"]),
        ("crlDistributionPoints", b"", &["crl_urls"]),
        ("authorityInfoAccess", &[0x30, 2, 0x30, 0], &["ocsp_urls"]),
    ];
    for (broken, value, columns) in cases {
        let certificate = with(vec![good.clone(), extension(broken, false, value)]);
        let [problem] = &certificate.problems()[..] else { panic!("{broken}") };
        assert_eq!(problem.part, format!("extension {broken}"));
        assert!(problem.to_string().contains("invalid certificate at byte "), "{problem}");
        for column in columns {
            assert_eq!(certificate.column(column), Some(Value::Null), "{column}");
        }
        let usages = ["digitalSignature", "keyEncipherment"].map(str::to_owned).to_vec();
        assert_eq!(certificate.column("key_usage"), Some(Value::TextArray(usages)));
        assert_eq!(certificate.extensions().count(), 2);
    }
    let twice = with(vec![good.clone(), good]);
    assert_eq!(twice.key_usage(), None);
    assert!(twice.problems()[0].to_string().contains("there twice"));
}

#[test]
fn without_extensions_the_columns_are_null() {
    let certificate = parse(&CertificateParts::default().to_der());
    for column in [
        "san",
        "path_length",
        "key_usage",
        "extended_key_usage",
        "subject_key_id",
        "authority_key_id",
        "crl_urls",
        "ocsp_urls",
    ] {
        assert_eq!(certificate.column(column), Some(Value::Null), "{column}");
    }
    assert_eq!(certificate.column("is_ca"), Some(Value::Bool(false)));
    assert_eq!(certificate.extensions().count(), 0);
}

#[test]
fn extensions_are_given_raw() {
    let mut critical = seq_of(&[oid("keyUsage"), vec![1, 1, 0xff], tlv(4, &[3, 2, 7, 0x80])]);
    critical.truncate(critical.len());
    let certificate = with(vec![critical, extension("1.3.6.1.4.1.99999.9", false, b"\0\xffraw")]);
    let found: Vec<_> = certificate
        .extensions()
        .map(|extension| {
            (extension.oid.short().into_owned(), extension.critical, extension.value.to_vec())
        })
        .collect();
    assert_eq!(
        found,
        [
            ("keyUsage".to_owned(), true, vec![3, 2, 7, 0x80]),
            ("1.3.6.1.4.1.99999.9".to_owned(), false, b"\0\xffraw".to_vec()),
        ]
    );
    assert_eq!(certificate.problems(), []);
}

#[test]
fn an_algorithm_nobody_knows_is_dotted() {
    let certificate = parse(
        &CertificateParts {
            public_key: seq_of(&[seq_of(&[oid("1.2.3.4.5")]), bit_string(&[1, 2, 3])]),
            signature_algorithm: seq_of(&[oid("1.2.3.4.6")]),
            ..Default::default()
        }
        .to_der(),
    );
    assert_eq!(certificate.key_algorithm(), "1.2.3.4.5");
    assert_eq!(certificate.signature_algorithm(), "1.2.3.4.6");
    assert_eq!(certificate.key_bits(), None);
    assert!(!certificate.self_signed());
}

#[test]
fn self_signed_means_all_of_it() {
    let same = name("/CN=Acme Root");
    let root = |parts: CertificateParts| {
        let der =
            CertificateParts { issuer: same.clone(), subject: same.clone(), ..parts }.to_der();
        let ours = parse(&der).self_signed();
        assert_eq!(ours, reference::is_self_signed(&X509::from_der(&der).unwrap()));
        ours
    };
    let key_ids = |own: &[u8], authority: &[u8]| CertificateParts {
        extensions: vec![
            extension("subjectKeyIdentifier", false, &tlv(4, own)),
            extension("authorityKeyIdentifier", false, &seq_of(&[authority])),
        ],
        ..Default::default()
    };
    assert!(root(CertificateParts::default()));
    assert!(root(key_ids(&[1], &tlv(0x80, &[1]))));
    assert!(!root(key_ids(&[1], &tlv(0x80, &[2]))));
    let named =
        |issuer: &[u8], serial: u8| concat(&[tlv(0xa1, &tlv(0xa4, issuer)), tlv(0x82, &[serial])]);
    assert!(root(key_ids(&[1], &named(&same, 1))));
    assert!(!root(key_ids(&[1], &named(&same, 2))));
    assert!(!root(key_ids(&[1], &named(&name("/CN=other"), 1))));
    // An RSA signature cannot come from an EC key.
    let signature_algorithm = seq_of(&[oid("sha256WithRSAEncryption")]);
    assert!(!root(CertificateParts { signature_algorithm, ..Default::default() }));
    // Issued by somebody else.
    let der = CertificateParts::default().to_der();
    assert!(!parse(&der).self_signed());
    // The names differ in case and spaces alone.
    let subject = name("/CN= acme  ROOT");
    assert!(
        parse(&CertificateParts { issuer: same.clone(), subject, ..Default::default() }.to_der())
            .self_signed()
    );
}

#[test]
fn bytes_that_are_no_certificate_are_refused_with_the_place() {
    let good = CertificateParts::default().to_der();
    for (der, message) in [
        (vec![], "invalid certificate at byte 0: data ends where an element should be"),
        (b"hello".to_vec(), "invalid certificate at byte 0: unexpected element with tag 0x68"),
        (vec![0x30, 0x82], "invalid certificate at byte 0: data ends within a length"),
        (vec![0x30, 0], "invalid certificate at byte 2: an element is missing"),
        (
            vec![0x30, 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            "invalid certificate at byte 0: length is too large",
        ),
        (
            good[..good.len() - 1].to_vec(),
            "invalid certificate at byte 0: data ends before the element does",
        ),
        (
            concat(&[&good[..], b"x"]),
            "invalid certificate at byte 305: bytes after the certificate",
        ),
        (vec![0x30, 0x80, 0x30, 0x80], "invalid certificate at byte 4: end of contents is missing"),
    ] {
        assert_eq!(Certificate::from_der(&der).unwrap_err().to_string(), message);
    }
    // A list of revoked certificates is well-formed, but no certificate.
    let parts = CertificateParts { subject: vec![0x31, 0], ..Default::default() };
    let error = Certificate::from_der(&parts.to_der()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid certificate at byte 96: subject: unexpected element with tag 0x31"
    );
}

#[test]
fn sizes_have_limits() {
    let limit = limits::MAX_CERTIFICATE_BYTES;
    let padding = extension("1.2.3", false, &vec![0; limit]);
    let der = CertificateParts { extensions: vec![padding], ..Default::default() }.to_der();
    assert_eq!(Certificate::from_der(&der), Err(Error::TooLarge { what: "certificate", limit }));

    let limit = limits::MAX_EXTENSIONS;
    let of = |count| {
        let extensions = vec![extension("1.2.3", false, b""); count];
        Certificate::from_der(&CertificateParts { extensions, ..Default::default() }.to_der())
    };
    assert_eq!(of(limit).unwrap().extensions().count(), limit);
    assert_eq!(of(limit + 1), Err(Error::TooLarge { what: "number of extensions", limit }));

    // Elements within elements, of indefinite length, deeper than anybody needs.
    let mut nested = [0x30, 0x80].repeat(100_000);
    nested.extend(vec![0; 200_000]);
    let error = Certificate::from_openssl(&nested).unwrap_err();
    assert_eq!(error.to_string(), "invalid certificate at byte 60: elements nest too deeply");
    assert!(Certificate::from_der(&nested).is_err());
}

/// What OpenSSL takes we take, whatever has happened to the bytes; and nothing ever panics.
#[test]
fn mutated_certificates() {
    let fixtures = fixtures::all();
    let bases = fixtures.iter().filter(|f| f.der.len() < 4096);
    let bases: Vec<_> = bases.map(|f| (f.name == "ber", f.der.clone())).collect();
    let mutation = prop_oneof![
        4 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| (0, at, byte)),
        2 => (any::<prop::sample::Index>(), 0..8_u8).prop_map(|(at, bit)| (1, at, bit)),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| (2, at, byte)),
        1 => any::<prop::sample::Index>().prop_map(|at| (3, at, 0)),
        // An element whose length is one of the odd forms.
        1 => (any::<prop::sample::Index>(), prop::sample::select(&[0x80, 0x81, 0x84, 0xff][..]))
            .prop_map(|(at, byte)| (0, at, byte)),
    ];
    let strategy = (prop::sample::select(bases), prop::collection::vec(mutation, 1..4));
    let taken = std::cell::Cell::new(0);
    let mut runner = runner(8_000);
    runner
        .run(&strategy, |((is_ber, mut der), mutations)| {
            for (kind, at, byte) in mutations {
                let at = at.index(der.len());
                match kind {
                    0 => der[at] = byte,
                    1 => der[at] ^= 1 << byte,
                    2 => der.insert(at, byte),
                    _ => drop(der.drain(at..)),
                }
                if der.is_empty() {
                    break;
                }
            }
            let ours = first(&der);
            if let Ok(certificate) = &ours {
                assert_consistent(certificate);
            }
            if let Ok(reference) = X509::from_der(&der) {
                taken.set(taken.get() + 1);
                let refused = |error| TestCaseError::fail(format!("OpenSSL takes it: {error}"));
                let certificate = ours.map_err(refused)?;
                // A value that is a SEQUENCE in BER is dumped as it came by OpenSSL, but as DER by
                // us.
                if !is_ber {
                    let subject = reference::rfc2253(reference.subject_name()).unwrap();
                    prop_assert_eq!(certificate.subject().rfc2253().as_bytes(), subject);
                }
                let serial = reference.serial_number().to_bn().unwrap().to_dec_str().unwrap();
                prop_assert_eq!(certificate.serial().decimal(), serial.to_string());
                prop_assert_eq!(certificate.version(), Some(i64::from(reference.version()) + 1));
                // OpenSSL tidies what lies outside the signed part when it writes a certificate.
                let written = reference.to_der().unwrap();
                if der.starts_with(&written) {
                    prop_assert_eq!(certificate.as_der(), written);
                }
                // Without a readable key OpenSSL does not look further, where we go by its
                // algorithm.
                if let Ok(key) = reference.public_key() {
                    let self_signed = reference::is_self_signed(&reference);
                    prop_assert_eq!(certificate.self_signed(), self_signed);
                    prop_assert_eq!(certificate.key_bits(), Some(i64::from(key.bits())));
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(taken.get() > 1_000, "OpenSSL took only {}", taken.get());
}

/// The certificate at the start of `der`, as `d2i_X509` reads it.
fn first(der: &[u8]) -> Result<Certificate, Error> {
    each_certificate(der)?.next().unwrap()
}

#[test]
fn json_and_columns_agree() {
    for fixture in fixtures::all() {
        assert_consistent(&parse(&fixture.der));
    }
}

/// The documented shape, once in full: a change to it is a change that users see.
#[test]
fn the_json_of_a_certificate() {
    let certificate = parse(fixtures::named("urls-several"));
    let expected = r#"{
  "cn": "alice",
  "subject": "/O=Acme/CN=alice",
  "issuer": "/O=Acme/CN=Acme Root",
  "not_before": "2025-01-01T00:00:00Z",
  "not_after": "2035-01-01T00:00:00Z",
  "san": null,
  "serial": "1",
  "serial_hex": "01",
  "subject_rfc2253": "CN=alice,O=Acme",
  "is_ca": false,
  "path_length": null,
  "key_usage": null,
  "extended_key_usage": null,
  "key_algorithm": "id-ecPublicKey",
  "key_bits": 256,
  "signature_algorithm": "ecdsa-with-SHA256",
  "self_signed": false,
  "version": 3,
  "crl_urls": [
    "http://a.example/1.crl",
    "ldap:///cn=x?list"
  ],
  "ocsp_urls": [
    "http://ocsp.example.com/",
    "http://ocsp2.example.com/?a=b"
  ],
  "fingerprint": "FINGERPRINT",
  "spki_fingerprint": "SPKI",
  "subject_key_id": null,
  "authority_key_id": null,
  "problems": null,
  "extensions": {
    "crlDistributionPoints": {
      "critical": false,
      "value": [
        {
          "full_name": [
            "URI:http://a.example/1.crl"
          ],
          "relative_name": null,
          "reasons": null,
          "crl_issuer": null
        },
        {
          "full_name": [
            "URI:ldap:///cn=x?list"
          ],
          "relative_name": null,
          "reasons": null,
          "crl_issuer": null
        }
      ]
    },
    "authorityInfoAccess": {
      "critical": false,
      "value": [
        {
          "method": "OCSP",
          "location": "URI:http://ocsp.example.com/"
        },
        {
          "method": "caIssuers",
          "location": "URI:http://ca.example.com/ca.crt"
        },
        {
          "method": "OCSP",
          "location": "URI:http://ocsp2.example.com/?a=b"
        }
      ]
    }
  }
}"#;
    let expected = expected
        .replace("FINGERPRINT", &certificate.fingerprint())
        .replace("SPKI", &certificate.spki_fingerprint());
    let found = serde_json::to_string_pretty(&json::certificate(&certificate)).unwrap();
    assert_eq!(found, expected);
}
