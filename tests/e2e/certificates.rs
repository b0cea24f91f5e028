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
    // PostgreSQL itself refuses a login with such a subject, so the certificate is given as an argument.
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
