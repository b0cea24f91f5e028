//! `pgtls_parse_certificates` and `pgtls_certificate_json`: certificates given as an argument.

use std::sync::OnceLock;

use pgtls_e2e::prelude::*;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::builder().extension().start())
}

#[test]
fn a_bundle_is_a_row_for_each_certificate() {
    let pki = Pki::standard();
    let session = cluster().admin();
    let bundle = quote(&pki.alice().bundle_pem());
    assert_eq!(
        session.column(&format!("select fingerprint from pgtls_parse_certificates({bundle})")),
        [pki.alice(), pki.intermediate()].map(|member| Some(member.cert.fingerprint())),
    );
    assert_eq!(
        session.value(&format!("select pgtls_certificate_json({bundle})->>'fingerprint'")),
        pki.alice().cert.fingerprint(),
    );
}

#[test]
fn der_and_pem_give_the_same_row() {
    for member in Pki::MEMBERS {
        let certificate = &Pki::standard().member(member).cert;
        let hex: String = certificate.der().iter().map(|byte| format!("{byte:02x}")).collect();
        let rows = cluster().sql(&format!(
            "select p::text from pgtls_parse_certificates({}) p \
             union select d::text from pgtls_parse_certificates('\\x{hex}'::bytea) d",
            quote(&certificate.pem()),
        ));
        assert_eq!(rows.len(), 1, "{member}");
    }
}

#[test]
fn an_unknown_attribute_is_named_by_its_oid() {
    // PostgreSQL itself refuses a login with such a subject, so the certificate is given as an
    // argument.
    let pem = quote(&Pki::standard().member("unknown_attribute").cert.pem());
    let subject =
        cluster().admin().value(&format!("select subject from pgtls_parse_certificates({pem})"));
    let dotted = subject.split('/').find(|part| part.starts_with("1.") || part.starts_with("2."));
    assert!(dotted.is_some_and(|part| part.contains('=')), "{subject}");
}

#[test]
fn text_around_the_pem_is_passed_over() {
    let pem = Pki::standard().alice().cert.pem();
    let text = quote(&format!("Certificate:\n    Data: é\r\n{pem}\n-- end --\n"));
    let rows = cluster().sql(&format!("select cn from pgtls_parse_certificates({text})"));
    assert_eq!(rows, [[Some("alice".to_owned())]]);
}

#[test]
fn what_is_no_certificate_is_refused_with_its_place() {
    let session = cluster().admin();
    let pem = Pki::standard().alice().cert.pem();
    let broken = pem.replacen("MII", "!!!", 1);
    let truncated = pem.replacen(&pem[100..300], "", 1);
    let bundle = format!("{pem}{truncated}");
    for (argument, sqlstate, part) in [
        (quote("hello"), "22P02", "no certificate found"),
        (quote(""), "22P02", "no certificate found"),
        (quote(&broken), "22P02", "at byte"),
        (quote(&truncated), "22P02", "at byte"),
        (quote(&bundle), "22P02", "certificate number 2 of the bundle"),
        ("'\\x3082'::bytea".to_owned(), "22P03", "at byte"),
        ("'\\x00'::bytea".to_owned(), "22P03", "certificate"),
        ("''::bytea".to_owned(), "22P03", "certificate"),
    ] {
        let error = session.error(&format!("select * from pgtls_parse_certificates({argument})"));
        assert_eq!(error.sqlstate, sqlstate, "{argument}: {error:?}");
        assert!(error.message.contains(part), "{argument}: {error:?}");
    }
    assert_eq!(session.error("select pgtls_certificate_json('hello')").sqlstate, "22P02");
    assert_eq!(session.value("select 1"), "1", "the session goes on");
    assert_eq!(session.maybe("select pgtls_certificate_json(null)"), None);
}

#[test]
fn odd_certificates_are_read_whole() {
    let pki = Pki::standard();
    let session = cluster().admin();
    let read = |identity: &Identity, column: &str| {
        let pem = quote(&identity.cert.pem());
        session.maybe(&format!("select ({column})::text from pgtls_parse_certificates({pem})"))
    };
    let many = (0..10_000).fold(pki.issue("/CN=many").by(pki.intermediate()), |certificate, i| {
        certificate.san_dns(&format!("host{i}.example.com"))
    });
    let many = many.build();
    assert_eq!(read(&many, "cardinality(san)").as_deref(), Some("10000"));
    assert_eq!(read(&many, "san[10000]").as_deref(), Some("DNS:host9999.example.com"));

    let long =
        pki.issue(format!("/O={}/CN=long", "x".repeat(65_536))).by(pki.intermediate()).build();
    assert_eq!(read(&long, "length(subject)").as_deref(), Some("65547"));

    let year_9999 = pki.issue("/CN=forever").by(pki.intermediate()).no_end().build();
    assert_eq!(
        read(&year_9999, "not_after at time zone 'UTC'").as_deref(),
        Some("9999-12-31 23:59:59"),
    );
    let early = pki.issue("/CN=early").by(pki.intermediate()).not_before(-1_000_000_000).build();
    assert_eq!(
        read(&early, "not_before at time zone 'UTC'").as_deref(),
        Some("1938-04-24 22:13:20"),
    );
    let negative =
        pki.issue("/CN=negative").by(pki.intermediate()).serial_raw(&[0xff, 0x01]).build();
    assert_eq!(read(&negative, "serial").as_deref(), Some("-255"));
    let large = pki.issue("/CN=large").by(pki.intermediate()).serial_raw(&[0x7f; 40]).build();
    assert_eq!(read(&large, "length(serial::text)").as_deref(), Some("97"));
    assert_eq!(read(pki.member("empty_subject"), "subject"), None);
    assert_eq!(read(pki.member("empty_subject"), "cn"), None);
}

/// Made by `openssl req`, as in the reference.
const REQUEST: &str = "\
-----BEGIN CERTIFICATE REQUEST-----
MIIBLDCB0wIBADAhMQ0wCwYDVQQKDARBY21lMRAwDgYDVQQDDAdiaWxsaW5nMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfj2+r+xgnZV3HGAVDrSuod15rUP6cqWF
5JAPtk+HNxhTV8D1/T/eiI0tdDQ7V2i8Yw8uzXGERUeU3ORuip4pOaBQME4GCSqG
SIb3DQEJDjFBMD8wKAYDVR0RBCEwH4Ydc3BpZmZlOi8vYWNtZS5leGFtcGxlL2Jp
bGxpbmcwEwYDVR0lBAwwCgYIKwYBBQUHAwIwCgYIKoZIzj0EAwIDSAAwRQIgXOfN
yRPTMiPuprjELJgIIw9A/WkQfdYkXfGef0kP8dgCIQDEw56jqdq6vTDzvptJ185l
NjJpqoXLUxTys2QWo4HWMQ==
-----END CERTIFICATE REQUEST-----
";

#[test]
fn requests_are_rows_from_pem_and_der() {
    let session = cluster().admin();
    let both = quote(&format!("{REQUEST}words\n{REQUEST}"));
    assert_eq!(
        session.rows(&format!(
            "select position::text, subject_rfc2253, san[1], signature_valid::text, problems::text \
             from pgtls_parse_requests({both})"
        )),
        ["1", "2"].map(|position| {
            let san = "URI:spiffe://acme.example/billing";
            let row = [position, "CN=billing,O=Acme", san, "true"].map(|s| Some(s.to_owned()));
            [&row[..], &[None]].concat()
        }),
    );
    let body: String = REQUEST.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(
        session.value(&format!("select pem from pgtls_parse_requests(decode('{body}', 'base64'))")),
        REQUEST,
    );
    // A function of its argument alone, so a parallel worker may run it, and an index may hold it.
    session.run("create table requests (pem text)");
    session.run("create index on requests ((pgtls_certificate_json(pem)))");
    session.run("drop table requests");
}

#[test]
fn what_is_no_request_is_named() {
    let session = cluster().admin();
    let pem = Pki::standard().alice().cert.pem();
    for (argument, sqlstate, message) in [
        (quote("hello"), "22P02", "no certificate request found in PEM text"),
        (quote(&pem), "22P02", "no certificate request found: this is a certificate"),
        (
            quote("/etc/alice.csr"),
            "22P02",
            "no certificate request found: this is the name of a file",
        ),
        (
            quote(&REQUEST.replace('\n', "\\n")),
            "22P02",
            "no certificate request found: this is PEM in a single line",
        ),
        ("'\\x3082'::bytea".to_owned(), "22P03", "invalid certificate request at byte 0"),
    ] {
        let error = session.error(&format!("select * from pgtls_parse_requests({argument})"));
        assert_eq!(error.sqlstate, sqlstate, "{argument}: {error:?}");
        assert!(error.message.starts_with(message), "{argument}: {error:?}");
        assert!(error.hint.is_some(), "{argument}: {error:?}");
    }
}

#[test]
fn a_bad_certificate_has_findings_and_a_document() {
    let session = cluster().admin();
    let pki = Pki::standard();
    let negative =
        pki.issue("/CN=negative").by(pki.intermediate()).serial_raw(&[0xff, 0x01]).build();
    let pem = quote(&negative.cert.pem());
    assert_eq!(
        session.value(&format!(
            "select severity || ' ' || detail from pgtls_lint_certificate({pem}) \
             where finding = 'serial_not_positive'"
        )),
        "medium the serial number is negative",
    );
    assert_eq!(
        session.value(&format!(
            "select count(*) from pgtls_lint_certificate({}) where finding = 'serial_not_positive'",
            quote(&pki.alice().cert.pem()),
        )),
        "0",
    );
    assert_eq!(session.error("select * from pgtls_lint_certificate('hello')").sqlstate, "22P02");
    assert_eq!(
        session.value(&format!("select jsonb_typeof(pgtls_certificate_json({pem})->'extensions')")),
        "object",
    );
}
