//! `ssl_*`: this session's connection and its client certificate.

use std::sync::OnceLock;

use pgtls_e2e::pki::LONG_DN;
use pgtls_e2e::prelude::*;

/// One cluster for the tests that only look: certificates over TLS, trust without one in the
/// database `open`.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::builder()
            .roles(&["guest"])
            .hba("hostssl open all all trust")
            .hba("hostnossl open all all trust")
            .hba("hostssl all all all trust clientcert=verify-ca")
            .extension()
            .start();
        cluster.database("open", "UTF8");
        cluster.admin_in("open").run("create extension pgtls_ext");
        cluster
    })
}

/// A login with a member of the PKI, as a role that any certificate may be.
fn login_as(member: &str) -> Session {
    cluster().client("guest").with(Pki::standard().member(member)).login()
}

/// Every function of a session that needs TLS, as a text value.
const NEEDS_TLS: &[&str] = &[
    "ssl_version()",
    "ssl_cipher()",
    "ssl_cipher_bits()",
    "ssl_key_exchange_group()",
    "ssl_sni()",
    "ssl_alpn()",
];

/// Every function of a session that needs a client certificate, as a text value.
const NEEDS_CERTIFICATE: &[&str] = &[
    "ssl_client_serial()",
    "ssl_client_dn()",
    "ssl_issuer_dn()",
    "ssl_client_dn_field('CN')",
    "ssl_issuer_field('CN')",
    "ssl_client_cn()",
    "ssl_client_dn_rfc2253()",
    "ssl_client_not_before()",
    "ssl_client_not_after()",
    "ssl_client_fingerprint()",
    "ssl_client_pem()",
    "ssl_client_chain_json()",
    "(select count(*) from ssl_client_chain() having count(*) > 0)",
    "(select client_subject from ssl_session())",
];

fn assert_all_null(session: &Session, expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(session.maybe(&format!("select {expression}")), None, "{expression}");
    }
}

#[test]
fn the_connection_is_described_as_the_server_describes_it() {
    let login = cluster().client("guest").with(Pki::standard().alice());
    for (version, login) in [("TLSv1.2", login.clone().tls12()), ("TLSv1.3", login.tls13())] {
        let session = login.login();
        assert_eq!(session.value("select ssl_is_used()"), "t");
        assert_eq!(session.value("select ssl_version()"), version);
        assert_eq!(session.value("select ssl_client_cert_present()"), "t");
        assert_eq!(
            session.row("select ssl_version(), ssl_cipher(), ssl_cipher_bits(), ssl_client_serial()"),
            session.row(
                "select version, cipher, bits, client_serial from pg_stat_ssl where pid = pg_backend_pid()"
            ),
        );
    }
}

#[test]
fn the_key_exchange_group_is_the_one_agreed_on() {
    let cluster = Cluster::builder()
        .roles(&["rsa"])
        .set(if postgres_18_or_later() { "ssl_groups" } else { "ssl_ecdh_curve" }, "secp384r1")
        .extension()
        .start();
    // With TLS 1.2 the server takes no client certificate whose key is on another curve than its
    // own.
    let login = cluster.client("rsa").with(Pki::standard().rsa()).groups("P-384:P-256");
    for login in [login.clone().tls12(), login.tls13()] {
        assert_eq!(login.login().value("select ssl_key_exchange_group()"), "secp384r1");
    }
}

#[test]
fn a_post_quantum_group_has_its_name() {
    const GROUP: &str = "X25519MLKEM768";
    let builder = Cluster::builder().roles(&["alice"]).extension();
    if postgres_18_or_later() {
        // Debian's PostgreSQL 18 comes with an OpenSSL that has it.
        let cluster = builder.set("ssl_groups", format!("{GROUP}:X25519")).start();
        let login = cluster.client("alice").with(Pki::standard().alice());
        let session = login.clone().groups(GROUP).login();
        assert_eq!(session.value("select ssl_key_exchange_group()"), GROUP);
        let session = login.groups("X25519").login();
        assert_eq!(session.value("select ssl_key_exchange_group()"), "x25519");
    } else {
        // Before, the server takes one curve, and this is none.
        let log = builder.set("ssl_ecdh_curve", GROUP).try_start().err().unwrap_or_default();
        assert!(log.contains("unrecognized curve name"), "{log}");
    }
}

fn postgres_18_or_later() -> bool {
    cluster().version() >= 18
}

#[test]
fn plain_rsa_key_exchange_has_no_group() {
    let server = Pki::standard().issue("/CN=localhost").by(Pki::standard().server_ca()).rsa();
    let server = server
        .server_auth()
        .san_dns("localhost")
        .san_ip(std::net::Ipv4Addr::LOCALHOST.into())
        .build();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .server_identity(&server)
        .set("ssl_ciphers", "ALL")
        .extension()
        .start();
    let login = cluster.client("alice").with(Pki::standard().alice()).tls12();
    let session = login.ciphers("AES256-GCM-SHA384").login();
    assert_eq!(session.value("select ssl_cipher()"), "AES256-GCM-SHA384");
    assert_all_null(&session, &["ssl_key_exchange_group()"]);
}

#[test]
fn the_server_name_is_what_the_client_asked_for() {
    let login = cluster().client("guest").with(Pki::standard().alice());
    let named = login.clone().server_name("localhost").login();
    assert_eq!(named.value("select ssl_sni()"), "localhost");
    assert_all_null(&login.no_sni().login(), &["ssl_sni()"]);
}

#[test]
fn direct_tls_shows_the_protocol_agreed_on() {
    let login = cluster().client("guest").with(Pki::standard().alice());
    assert_all_null(&login.login(), &["ssl_alpn()"]);
    if cluster().version() >= 17 {
        let direct = login.direct_tls().login();
        assert_eq!(direct.value("select ssl_alpn()"), "postgresql");
    }
}

#[test]
fn without_tls_there_is_nothing_to_describe() {
    let sessions = [
        cluster().client("postgres").unix().login(),
        cluster().client("guest").database("open").no_tls().login(),
    ];
    for session in sessions {
        assert_eq!(session.value("select ssl_is_used()"), "f");
        assert_eq!(session.value("select ssl_client_cert_present()"), "f");
        assert_all_null(&session, NEEDS_TLS);
        assert_all_null(&session, NEEDS_CERTIFICATE);
        assert_eq!(session.value("select ssl from ssl_session()"), "f");
        for set in ["ssl_extension_info()", "ssl_client_san()", "ssl_server_certificate()"] {
            assert_eq!(session.value(&format!("select count(*) from {set}")), "0", "{set}");
        }
    }
}

#[test]
fn without_a_client_certificate_there_is_tls_but_no_client() {
    let session = cluster().client("guest").database("open").login();
    assert_eq!(session.value("select ssl_is_used()"), "t");
    assert_eq!(session.value("select ssl_client_cert_present()"), "f");
    assert_eq!(session.value("select ssl_version()"), "TLSv1.3");
    assert_all_null(&session, NEEDS_CERTIFICATE);
    assert_eq!(session.value("select count(*) from ssl_server_certificate()"), "1");
}

#[test]
fn the_certificate_is_the_one_presented() {
    for member in ["alice", "direct", "rsa", "ed25519", "two_cns", "special", "utf8", "multi_rdn"] {
        let identity = Pki::standard().member(member);
        let session = login_as(member);
        let expected = [identity.cert.fingerprint(), identity.cert.serial(), identity.cert.pem()];
        assert_eq!(
            session.row(
                "select ssl_client_fingerprint(), ssl_client_serial()::text, ssl_client_pem()"
            ),
            expected.map(Some),
            "{member}",
        );
        assert_eq!(
            session.value(
                "select pem = ssl_client_pem() and fingerprint = ssl_client_fingerprint() \
                 and not_before = ssl_client_not_before() and not_after = ssl_client_not_after() \
                 and subject = ssl_client_dn() and issuer = ssl_issuer_dn() \
                 from ssl_client_chain() where depth = 0"
            ),
            "t",
            "{member}",
        );
    }
}

#[test]
fn the_dates_are_those_that_openssl_reads() {
    let session = login_as("alice");
    for (function, date) in [
        (
            "ssl_client_not_before()",
            Pki::standard().alice().cert.openssl().not_before().to_string(),
        ),
        ("ssl_client_not_after()", Pki::standard().alice().cert.openssl().not_after().to_string()),
    ] {
        assert_eq!(session.value(&format!("select {function} = '{date}'::timestamptz")), "t");
    }
}

#[test]
fn names_agree_with_the_server() {
    for member in ["alice", "direct", "two_cns", "special", "utf8", "multi_rdn", "no_cn"] {
        let mark = cluster().mark();
        let session = login_as(member);
        assert_eq!(
            session.row("select left(ssl_client_dn(), 20), left(ssl_issuer_dn(), 63)"),
            session.row(
                "select left(client_dn, 20), issuer_dn from pg_stat_ssl where pid = pg_backend_pid()"
            ),
            "{member}",
        );
        assert_eq!(
            session.value("select subject_rfc2253 = ssl_client_dn_rfc2253() from ssl_client_chain() where depth = 0"),
            "t",
            "{member}",
        );
        drop(session);
        let _ = mark;
    }
}

#[test]
fn the_identity_that_the_server_logs_is_the_rfc2253_name() {
    let cluster = Cluster::builder()
        .roles(&["guest"])
        .hba("hostssl all all all cert map=any")
        .ident("any /^.* guest")
        .extension()
        .start();
    for member in ["alice", "special", "utf8", "multi_rdn", "two_cns"] {
        let mark = cluster.mark();
        let session = cluster.client("guest").with(Pki::standard().member(member)).login();
        let name = session.value("select ssl_client_dn_rfc2253()");
        cluster.wait_for_log(mark, &format!("identity=\"{name}\" method=cert"));
    }
}

#[test]
fn a_long_name_is_whole() {
    let session = login_as("long_dn");
    assert_eq!(session.value("select ssl_client_dn()"), LONG_DN);
    assert_eq!(
        session.value("select length(client_dn) from pg_stat_ssl where pid = pg_backend_pid()"),
        "63",
    );
    assert!(session.value("select ssl_client_dn()").ends_with("/CN=long_dn"));
}

#[test]
fn the_first_common_name_counts() {
    let session = login_as("two_cns");
    assert_eq!(
        session.row("select ssl_client_cn(), ssl_client_dn_field('CN'), ssl_client_dn_field('commonName'), ssl_client_dn_field('2.5.4.3')"),
        vec![session.maybe("select cn from ssl_client_chain() where depth = 0"); 4],
    );
    let session = login_as("no_cn");
    assert_all_null(&session, &["ssl_client_cn()", "ssl_client_dn_field('CN')"]);
    assert_eq!(session.value("select ssl_client_cert_present()"), "t");
}

#[test]
fn a_field_that_is_no_attribute_type_is_refused() {
    let session = login_as("alice");
    for function in ["ssl_client_dn_field", "ssl_issuer_field"] {
        let error = session.error(&format!("select {function}('invalid')"));
        assert_eq!(error.sqlstate, "22023");
        assert_eq!(error.message, "invalid X.509 field name: \"invalid\"");
        assert!(error.hint.is_some_and(|hint| hint.contains("commonName")));
        assert_all_null(&session, &[&format!("{function}(null)"), &format!("{function}('title')")]);
    }
    assert_eq!(session.value("select ssl_is_used()"), "t", "the session goes on");
}

#[test]
fn an_extension_that_openssl_does_not_know_is_a_row() {
    let session = login_as("unknown_extension");
    let names = session.column("select name from ssl_extension_info()");
    let dotted: Vec<_> = names.iter().flatten().filter(|name| name.contains('.')).collect();
    assert_eq!(dotted.len(), 1, "{names:?}");
    assert_eq!(
        session.value(&format!(
            "select value ~ '^([0-9a-f]{{2}})+$' from ssl_extension_info() where name = '{}'",
            dotted[0]
        )),
        "t",
    );
}

#[test]
fn subject_alternative_names_have_their_types() {
    let session = login_as("all_sans");
    let types =
        session.column("select distinct type collate \"C\" from ssl_client_san() order by 1");
    let types: Vec<_> = types.into_iter().flatten().collect();
    for expected in ["DNS", "IP", "URI", "dirName", "email"] {
        assert!(types.contains(&expected.to_owned()), "{expected} in {types:?}");
    }
    assert_eq!(login_as("alice").value("select count(*) from ssl_client_san()"), {
        login_as("alice")
            .value("select coalesce(cardinality(san), 0) from ssl_client_chain() where depth = 0")
    });
}

#[test]
fn the_chain_says_what_was_sent_and_what_was_trusted() {
    const CHAIN: &str =
        "select depth || ' ' || source || ' ' || cn from ssl_client_chain() order by depth";
    let pki = Pki::standard();
    let flat = |session: &Session| session.column(CHAIN).into_iter().flatten().collect::<Vec<_>>();
    for login in [
        cluster().client("guest").with(pki.alice()).tls12(),
        cluster().client("guest").with(pki.alice()).tls13(),
    ] {
        let chain = flat(&login.login());
        assert_eq!(chain.len(), 3, "{chain:?}");
        assert_eq!(chain[0], "0 sent alice");
        assert!(chain[1].starts_with("1 sent "), "{chain:?}");
        assert!(chain[2].starts_with("2 trust store "), "{chain:?}");
    }
    let direct = flat(&login_as("direct"));
    assert_eq!(direct.len(), 2, "{direct:?}");
    assert!(direct[1].starts_with("1 trust store "), "{direct:?}");

    // Superfluous and disordered certificates do not change the verified chain.
    let disordered =
        pki.alice().sending(&[&pki.other_root().cert, &pki.root().cert, &pki.intermediate().cert]);
    let chain = flat(&cluster().client("guest").with(&disordered).login());
    assert_eq!(chain.len(), 3, "{chain:?}");
    assert!(chain[1].starts_with("1 sent ") && chain[2].starts_with("2 trust store "), "{chain:?}");
}

#[test]
fn the_intermediate_may_come_from_the_trust_store() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "self_signed"])
        .hba("hostssl all all all trust clientcert=verify-ca")
        .trust(&[pki.root(), pki.intermediate(), pki.self_signed()])
        .extension()
        .start();
    let chain =
        "select string_agg(depth || ' ' || source, ',' order by depth) from ssl_client_chain()";
    let alice = cluster.client("alice").with(&pki.alice().leaf_only()).login();
    assert_eq!(alice.value(chain), "0 sent,1 trust store,2 trust store");
    let own = cluster.client("self_signed").with(pki.self_signed()).login();
    assert_eq!(own.value(chain), "0 sent");
    assert_eq!(own.value("select self_signed from ssl_client_chain()"), "t");
    assert_eq!(alice.value("select jsonb_array_length(ssl_client_chain_json())"), "3");
    assert_eq!(
        alice.value("select ssl_client_chain_json()->0->>'fingerprint'"),
        pki.alice().cert.fingerprint(),
    );
}

#[test]
fn the_server_certificate_is_the_one_shown() {
    let session = login_as("alice");
    assert_eq!(
        session.value("select fingerprint from ssl_server_certificate()"),
        Pki::standard().server().cert.fingerprint(),
    );
}

#[test]
fn the_functions_of_sslinfo_answer_alike() {
    let cluster = Cluster::builder()
        .roles(&["guest"])
        .hba("hostssl all all all trust clientcert=verify-ca")
        .extension()
        .start();
    cluster.sql("create schema s");
    cluster.sql("grant usage on schema s to public");
    cluster.sql("create extension sslinfo schema s");
    let functions = [
        "ssl_is_used()",
        "ssl_version()",
        "ssl_cipher()",
        "ssl_client_cert_present()",
        "ssl_client_serial()",
        "left(ssl_client_dn(), 63)",
        "left(ssl_issuer_dn(), 63)",
        "ssl_client_dn_field('CN')",
        "ssl_client_dn_field('organizationName')",
        "ssl_issuer_field('CN')",
        "ssl_issuer_field('OU')",
        "(select array_agg(i order by i) from ssl_extension_info() i)",
    ];
    for member in [
        "alice",
        "direct",
        "rsa",
        "ed25519",
        "special",
        "two_cns",
        "multi_rdn",
        "all_sans",
        "no_cn",
    ] {
        let session = cluster.client("guest").with(Pki::standard().member(member)).login();
        for function in functions {
            session.run("set search_path = public");
            let ours = session.maybe(&format!("select ({function})::text"));
            session.run("set search_path = s");
            let theirs = session.maybe(&format!("select ({function})::text"));
            assert_eq!(ours, theirs, "{function} for {member}");
        }
    }
    // Where they differ on purpose: sslinfo refuses what it cannot name.
    let session = cluster.client("guest").with(Pki::standard().member("unknown_extension")).login();
    assert_eq!(session.error("select * from s.ssl_extension_info()").sqlstate, "0A000");
    assert_eq!(session.value("select count(*) > 0 from public.ssl_extension_info()"), "t");
}
