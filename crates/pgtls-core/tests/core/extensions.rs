//! Values of extensions, one of each kind that has no certificate column.

use crate::prelude::*;

/// An extension, what the core shall say of it, and what OpenSSL prints of it.
pub(crate) struct Case {
    /// OpenSSL's short name.
    pub(crate) oid: &'static str,
    pub(crate) value: Vec<u8>,
    pub(crate) json: serde_json::Value,
}

fn integer(tag: u8, number: u8) -> Vec<u8> {
    tlv(tag, &[number])
}

fn subtree(tag: u8, content: &[u8]) -> Vec<u8> {
    seq_of(&[tlv(tag, content)])
}

fn directory() -> Vec<u8> {
    tlv(0xa4, &name("/C=DE/O=Acme"))
}

/// One SCT with a log's key identifier of this byte.
fn timestamp(log: u8, milliseconds: u64, algorithm: [u8; 2], signature: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend([log; 32]);
    out.extend(milliseconds.to_be_bytes());
    out.extend([0, 0]);
    out.extend(algorithm);
    out.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
    out.extend_from_slice(signature);
    [&u16::try_from(out.len()).unwrap().to_be_bytes()[..], &out].concat()
}

pub(crate) fn timestamps() -> Vec<u8> {
    let list = [
        timestamp(0xf6, 1_735_689_600_123, [4, 3], &[0x30, 0x45, 0x02]),
        timestamp(0x0a, 1_735_689_601_000, [4, 1], &[0xab]),
    ]
    .concat();
    let length = u16::try_from(list.len()).unwrap().to_be_bytes();
    tlv(4, &[&length[..], &list].concat())
}

pub(crate) fn all() -> Vec<Case> {
    let case =
        |oid, value, json: &str| Case { oid, value, json: serde_json::from_str(json).unwrap() };
    let notice = seq_of(&[
        seq_of(&[tlv(12, b"Acme"), seq_of(&[integer(2, 1), integer(2, 7)])]),
        tlv(12, "Nur f\u{fc}r Tests".as_bytes()),
    ]);
    vec![
        case(
            "nameConstraints",
            seq_of(&[
                tlv(
                    0xa0,
                    &[
                        subtree(0x82, b"example.com"),
                        subtree(0x87, &[192, 0, 2, 0, 255, 255, 255, 0]),
                        seq_of(&[directory()]),
                    ]
                    .concat(),
                ),
                tlv(0xa1, &subtree(0x81, b"evil.example")),
            ]),
            r#"{"permitted": ["DNS:example.com", "IP:192.0.2.0/255.255.255.0",
                              "dirName:O=Acme,C=DE"],
                "excluded": ["email:evil.example"]}"#,
        ),
        case(
            "certificatePolicies",
            seq_of(&[
                seq_of(&[oid("2.23.140.1.2.1")]),
                seq_of(&[
                    oid("1.3.6.1.4.1.99999.1"),
                    seq_of(&[
                        seq_of(&[oid("id-qt-cps"), tlv(22, b"http://acme.example/cps")]),
                        seq_of(&[oid("id-qt-unotice"), notice]),
                    ]),
                ]),
            ]),
            r#"[{"policy": "2.23.140.1.2.1", "qualifiers": []},
                {"policy": "1.3.6.1.4.1.99999.1", "qualifiers": [
                  {"cps": "http://acme.example/cps"},
                  {"user_notice": {"organization": "Acme", "numbers": [1, 7],
                                   "text": "Nur für Tests"}}]}]"#,
        ),
        case(
            "policyMappings",
            seq_of(&[
                seq_of(&[oid("1.2.3.4"), oid("1.2.3.5")]),
                seq_of(&[oid("1.2.3.4"), oid("1.2.3.6")]),
            ]),
            r#"[{"issuer": "1.2.3.4", "subject": "1.2.3.5"},
                {"issuer": "1.2.3.4", "subject": "1.2.3.6"}]"#,
        ),
        case(
            "policyConstraints",
            seq_of(&[integer(0x80, 3), integer(0x81, 0)]),
            r#"{"require_explicit_policy": 3, "inhibit_policy_mapping": 0}"#,
        ),
        case("inhibitAnyPolicy", integer(2, 2), "2"),
        case(
            "issuerAltName",
            seq_of(&[tlv(0x81, b"ca@acme.example"), tlv(0x86, b"http://acme.example/")]),
            r#"["email:ca@acme.example", "URI:http://acme.example/"]"#,
        ),
        case(
            "authorityInfoAccess",
            seq_of(&[
                seq_of(&[oid("OCSP"), tlv(0x86, b"http://ocsp.acme.example/")]),
                seq_of(&[oid("caIssuers"), tlv(0x86, b"http://acme.example/ca.crt")]),
            ]),
            r#"[{"method": "OCSP", "location": "URI:http://ocsp.acme.example/"},
                {"method": "caIssuers", "location": "URI:http://acme.example/ca.crt"}]"#,
        ),
        case(
            "subjectInfoAccess",
            seq_of(&[seq_of(&[oid("caRepository"), tlv(0x86, b"http://acme.example/r")])]),
            r#"[{"method": "caRepository", "location": "URI:http://acme.example/r"}]"#,
        ),
        case(
            "ct_precert_scts",
            timestamps(),
            r#"[{"version": 1,
                 "log_id": "f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6",
                 "timestamp": "2025-01-01T00:00:00.123Z", "extensions": "",
                 "signature_algorithm": "ecdsa-with-SHA256", "signature": "304502"},
                {"version": 1,
                 "log_id": "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
                 "timestamp": "2025-01-01T00:00:01.000Z", "extensions": "",
                 "signature_algorithm": "sha256WithRSAEncryption", "signature": "ab"}]"#,
        ),
        case(
            "nsCertType",
            tlv(3, &[0, 0b1010_1101]),
            r#"["client", "email", "reserved", "sslCA", "objCA"]"#,
        ),
        case("nsComment", tlv(22, b"made by hand"), r#""made by hand""#),
        case(
            "privateKeyUsagePeriod",
            seq_of(&[tlv(0x80, b"20250101000000Z"), tlv(0x81, b"20260131235959Z")]),
            r#"{"not_before": "2025-01-01T00:00:00Z", "not_after": "2026-01-31T23:59:59Z"}"#,
        ),
        case("nsBaseUrl", tlv(22, b"http://acme.example/"), r#""http://acme.example/""#),
        case(
            "freshestCRL",
            seq_of(&[
                seq_of(&[
                    tlv(0xa0, &tlv(0xa0, &tlv(0x86, b"http://acme.example/d.crl"))),
                    tlv(0x81, &[1, 0b0110_0000]),
                    tlv(0xa2, &directory()),
                ]),
                seq_of(&[tlv(0xa0, &tlv(0xa1, &seq_of(&[oid("CN"), tlv(12, b"list 7")])))]),
            ]),
            r#"[{"full_name": ["URI:http://acme.example/d.crl"], "relative_name": null,
                 "reasons": ["key_compromise", "ca_compromise"],
                 "crl_issuer": ["dirName:O=Acme,C=DE"]},
                {"full_name": null, "relative_name": "CN=list 7", "reasons": null,
                 "crl_issuer": null}]"#,
        ),
    ]
}
