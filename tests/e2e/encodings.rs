//! Certificate text in databases of any encoding: converted, or escaped, never an error.

use pgtls_e2e::prelude::*;

/// A common name of which `é` is in LATIN1, `Ж` and `語` are not.
const NAME: &str = "Ren\u{e9} \u{416}\u{8a9e}";

fn identity(name: &str) -> Identity {
    Pki::standard().issue(format!("/O=Acme/CN={name}")).by(Pki::standard().intermediate()).build()
}

fn cluster() -> Cluster {
    Cluster::builder()
        .roles(&["guest"])
        .hba("hostssl all all all trust clientcert=verify-ca")
        .staged()
        .start()
}

/// Makes a database of the encoding, with the extension in it.
fn database(cluster: &Cluster, encoding: &str) -> String {
    let name = encoding.to_lowercase();
    cluster.database(&name, encoding);
    cluster.admin_in(&name).run("create extension pgtls_ext");
    name
}

#[test]
fn the_session_speaks_the_database_encoding() {
    let cluster = cluster();
    for (encoding, name) in [
        ("UTF8", NAME),
        ("LATIN1", "Ren\u{e9}"),
        ("EUC_JP", "\u{416}\u{8a9e}"),
        ("WIN1251", "\u{416}"),
    ] {
        let database = database(&cluster, encoding);
        // The client speaks UTF-8, so what arrives has been converted back.
        let session = cluster.client("guest").with(&identity(name)).database(&database).login();
        for expression in [
            "ssl_client_cn()",
            "ssl_client_dn_field('CN')",
            "substr(ssl_client_dn(), 12)",
            "(select cn from ssl_client_chain() where depth = 0)",
            "(select client_cn from ssl_session())",
            "(select client_cn from pgtls_sessions where source = 'own')",
            "ssl_client_chain_json()->0->>'cn'",
        ] {
            assert_eq!(
                session.value(&format!("select {expression}")),
                name,
                "{encoding} {expression}"
            );
        }
    }
}

#[test]
fn what_the_encoding_lacks_is_escaped() {
    // PostgreSQL itself refuses a login whose subject it cannot convert, so the certificate is
    // given as an argument.
    let pem = quote(&identity(NAME).cert.pem());
    let cluster = cluster();
    for (encoding, expected) in [
        ("UTF8", NAME),
        ("LATIN1", "Ren\u{e9} \\D0\\96\\E8\\AA\\9E"),
        ("EUC_JP", NAME),
        ("WIN1251", "Ren\\C3\\A9 \u{416}\\E8\\AA\\9E"),
    ] {
        let session = cluster.admin_in(&database(&cluster, encoding));
        for expression in ["(pgtls_parse_certificates(p)).cn", "pgtls_certificate_json(p)->>'cn'"] {
            let sql = format!("select {expression} from (select {pem}::text as p) p");
            assert_eq!(session.value(&sql), expected, "{encoding} {expression}");
        }
    }
}

#[test]
fn a_login_is_refused_for_a_name_that_the_database_cannot_show() {
    let cluster = cluster();
    cluster.sql("create extension pgtls_ext");
    let admin = cluster.admin();
    let issuer = Pki::standard().root().issue("/O=\u{416}/CN=a CA").ca().build();
    let (by_issuer, plain) = (issuer.issue("/CN=guest").build(), identity("guest"));
    // Until PostgreSQL 18, which takes the names before it knows the database.
    let refuses = cluster.version() < 18;
    for (encoding, subject, shown) in [
        ("LATIN1", "Ren\u{e9}", true),
        ("LATIN1", "\u{416}", false),
        ("LATIN2", "Ren\u{e9}", true),
        ("LATIN2", "\u{416}", false),
        ("KOI8R", "\u{416}", true),
        ("KOI8R", "Ren\u{e9}", false),
        ("KOI8R", "\u{416}\u{8a9e}", false),
        ("EUC_JP", "\u{416}\u{8a9e}", true),
        ("EUC_JP", "\u{1f600}", false),
        ("UTF8", NAME, true),
        ("SQL_ASCII", NAME, true),
    ] {
        let name = format!("{}_{}", encoding.to_lowercase(), u8::from(shown));
        if admin.rows(&format!("select from pg_database where datname = '{name}'")).is_empty() {
            cluster.database(&name, encoding);
        }
        let issuer_shown = matches!(encoding, "KOI8R" | "EUC_JP" | "UTF8" | "SQL_ASCII");
        for (identity, shown) in
            [(&identity(subject), shown), (&by_issuer, issuer_shown), (&plain, true)]
        {
            let pem = quote(&identity.bundle_pem());
            let arguments = format!("{pem}, 'guest', '{name}', '127.0.0.1'");
            let verdict = admin.row(&format!(
                "select outcome, client_sees from pgtls_explain_login({arguments}) \
                 where check_name = 'verdict'"
            ));
            let login = cluster.client("guest").with(identity).database(&name);
            if shown || !refuses {
                login.login();
                assert_eq!(verdict, [Some("admitted".to_owned()), None], "{encoding} {subject}");
            } else {
                let words = Some(format!("FATAL: {}", login.refused().message));
                assert_eq!(verdict, [Some("refused".to_owned()), words], "{encoding} {subject}");
            }
        }
    }
}

#[test]
fn sql_ascii_takes_the_bytes_as_they_are() {
    let cluster = cluster();
    let database = database(&cluster, "SQL_ASCII");
    let session = cluster.client("guest").with(&identity(NAME)).database(&database).login();
    let hex: String = NAME.bytes().map(|byte| format!("{byte:02x}")).collect();
    for expression in [
        "ssl_client_cn()",
        "ssl_client_dn_field('CN')",
        "(select cn from ssl_client_chain() where depth = 0)",
        "ssl_client_chain_json()->0->>'cn'",
    ] {
        assert_eq!(
            session.value(&format!("select encode(convert_to({expression}, 'SQL_ASCII'), 'hex')")),
            hex,
            "{expression}",
        );
    }
}

#[test]
fn a_teletex_string_is_read_as_latin1() {
    // A TeletexString is Latin-1 in practice, and what the server itself compares is its bytes.
    let name = Name::empty().attr_raw("O", Text::Teletex, b"caf\xe9").and("CN", "latin");
    let identity = Pki::standard().issue(name).by(Pki::standard().intermediate()).build();
    let cluster = cluster();
    cluster.sql("create extension pgtls_ext");
    let session = cluster.client("guest").with(&identity).login();
    assert_eq!(session.value("select ssl_client_dn_field('O')"), "caf\u{e9}");
    assert_eq!(session.value("select ssl_client_cn()"), "latin");
    assert_eq!(
        session.value(
            "select ssl_client_dn() = (select subject from ssl_client_chain() where depth = 0)"
        ),
        "t",
    );
}
