//! The harness itself, on a real server: what it promises is accepted is accepted, what it promises
//! is refused is refused for that reason, and nothing stays behind.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;

use openssl::ssl::SslVersion;
use pgtls_e2e::pki::{LONG_DN, many_serial};
use pgtls_e2e::prelude::*;
use pgtls_e2e::{der, process_exists};

/// Any verified certificate gets in as any role.
const ANY_CERTIFICATE: &str = "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca";

/// Makes [`a_server_for_somebody_else`] wait to be killed.
const VICTIM_VARIABLE: &str = "PGTLS_E2E_VICTIM";

/// What becomes of a member of the PKI at a server that checks CRLs.
#[derive(Clone, Copy)]
enum Fate {
    /// Logs in.
    In,
    /// Is refused with this alert; from PostgreSQL 17 on the log has this detail.
    Refused(Alert, &'static str),
    /// Logs in where the server can print its subject, else is refused by PostgreSQL.
    AsTheServerCan,
}

use Fate::{AsTheServerCan, In, Refused};

const CLIENTS: &[(&str, Fate)] = &[
    ("alice", In),
    ("bob", In),
    ("direct", In),
    ("rsa", In),
    ("ed25519", In),
    ("self_signed", Refused(Alert::UnknownCa, "at depth 0: self-signed certificate")),
    ("untrusted", Refused(Alert::UnknownCa, "at depth 0: unable to get local issuer certificate")),
    ("long_dn", In),
    ("utf8", In),
    ("special", In),
    ("multi_rdn", In),
    ("two_cns", In),
    ("no_cn", In),
    ("empty_subject", In),
    ("all_sans", In),
    ("unknown_attribute", AsTheServerCan),
    ("unknown_extension", In),
    (
        "unknown_critical",
        Refused(Alert::CertificateUnknown, "at depth 0: unhandled critical extension"),
    ),
    ("expired", Refused(Alert::CertificateExpired, "at depth 0: certificate has expired")),
    ("not_yet_valid", Refused(Alert::BadCertificate, "at depth 0: certificate is not yet valid")),
    (
        "server_only",
        Refused(Alert::UnsupportedCertificate, "at depth 0: unsuitable certificate purpose"),
    ),
    ("revoked", Refused(Alert::CertificateRevoked, "at depth 0: certificate revoked")),
    ("under_revoked", Refused(Alert::CertificateRevoked, "at depth 1: certificate revoked")),
];

/// CAs and servers are no clients; their fate is told by the clients below them.
const AUTHORITIES: &[&str] =
    &["root", "intermediate", "revoked_intermediate", "server_ca", "other_root", "server"];

#[test]
fn every_member_meets_its_fate() {
    let pki = Pki::standard();
    let mut named: Vec<&str> = CLIENTS.iter().map(|(name, _)| *name).collect();
    named.extend(AUTHORITIES);
    named.sort_unstable();
    let mut members = Pki::MEMBERS.to_vec();
    members.sort_unstable();
    assert_eq!(named, members, "the table names every member");

    let with_file = Cluster::builder().hba(ANY_CERTIFICATE).crl_file(&pki.crls()).start();
    let with_dir = Cluster::builder().hba(ANY_CERTIFICATE).crl_dir(&pki.crls()).start();
    for cluster in [&with_file, &with_dir] {
        for (name, fate) in CLIENTS {
            for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
                meets(cluster, name, *fate, version);
            }
        }
    }
}

fn meets(cluster: &Cluster, name: &str, fate: Fate, version: SslVersion) {
    let mark = cluster.mark();
    let login = cluster
        .client("postgres")
        .with(Pki::standard().member(name))
        .tls_versions(version, version);
    match (fate, login.connect()) {
        (In | AsTheServerCan, Ok(session)) => {
            let used =
                session.value("select version from pg_stat_ssl where pid = pg_backend_pid()");
            let wanted = if version == SslVersion::TLS1_2 { "TLSv1.2" } else { "TLSv1.3" };
            assert_eq!(used, wanted, "{name}");
        }
        (AsTheServerCan, Err(error)) => {
            assert_eq!(error.message, "could not get NID for ASN1_OBJECT object", "{name}");
        }
        (Refused(alert, detail), Err(error)) => {
            assert_eq!(error.tls_alert, Some(alert), "{name}: {error}");
            let log = cluster.wait_for_log(mark, "could not accept SSL connection");
            if cluster.version() >= 17 {
                cluster.wait_for_log(mark, detail);
            } else {
                assert!(log.contains("certificate verify failed"), "{name}: {log}");
            }
        }
        (In, Err(error)) => panic!("{name} was refused: {error}"),
        (Refused(..), Ok(_)) => panic!("{name} got in"),
    }
}

#[test]
fn without_crls_the_revoked_get_in() {
    let cluster = Cluster::builder().hba(ANY_CERTIFICATE).start();
    for name in ["revoked", "under_revoked"] {
        cluster.client("postgres").with(Pki::standard().member(name)).login();
    }
}

#[test]
fn the_name_in_the_certificate_decides_the_role() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "Жук", r#"a,b+c"d\e"#, "first_cn", "second_cn", "multi_rdn", "mapped"])
        .hba("hostssl all mapped all cert map=by_dn clientname=DN")
        .hba("hostssl all all all cert")
        .ident(r#"by_dn "CN=multi_rdn+OU=people,O=Acme" mapped"#)
        .start();
    cluster.client("alice").with(pki.alice()).login();
    cluster.client("Жук").with(pki.utf8()).login();
    cluster.client(r#"a,b+c"d\e"#).with(pki.special()).login();
    cluster.client("first_cn").with(pki.two_cns()).login();
    cluster.client("mapped").with(pki.multi_rdn()).login();

    let wrong = [
        ("alice", pki.bob()),
        ("second_cn", pki.two_cns()),
        ("alice", pki.no_cn()),
        ("alice", pki.empty_subject()),
        ("mapped", pki.alice()),
    ];
    for (role, identity) in wrong {
        let error = cluster.client(role).with(identity).refused();
        assert_eq!(error.sqlstate.as_deref(), Some("28000"), "{role}: {error}");
        assert_eq!(error.tls_alert, None);
    }
    let error = cluster.client("alice").refused();
    assert_eq!(error.message, "connection requires a valid client certificate");
    let error = cluster.client("alice").no_tls().refused();
    assert!(error.message.starts_with("no pg_hba.conf entry"), "{error}");
    let error = cluster.client("alice").unix().refused();
    assert!(error.message.starts_with("no pg_hba.conf entry"), "{error}");
}

#[test]
fn the_chain_is_sent_as_given() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice", "direct"]).start();
    let (alice, intermediate) = (pki.alice(), &pki.intermediate().cert);
    let root = &pki.root().cert;
    let other = &pki.other_root().cert;
    let as_alice = |identity: &Identity| cluster.client("alice").with(identity).connect();

    assert_eq!(alice.chain.len(), 1);
    assert!(pki.direct().chain.is_empty());
    as_alice(alice).expect("leaf and intermediate");
    as_alice(&alice.sending(&[intermediate, root])).expect("the root too");
    as_alice(&alice.sending(&[other, root, intermediate])).expect("superfluous and out of order");
    for chain in [&[][..], &[root], &[other]] {
        let error = as_alice(&alice.sending(chain)).expect_err("no intermediate");
        assert_eq!(error.tls_alert, Some(Alert::UnknownCa), "{error}");
    }

    cluster.replace_ca(&[root, intermediate]);
    cluster.reload();
    as_alice(&alice.leaf_only()).expect("the server has the intermediate");
    cluster.replace_ca(&[other]);
    cluster.reload();
    let error = as_alice(alice).expect_err("the server trusts another root");
    assert_eq!(error.tls_alert, Some(Alert::UnknownCa), "{error}");
}

#[test]
fn a_private_key_of_another_certificate_is_refused_at_home() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).start();
    let mark = cluster.mark();
    let error = cluster.client("alice").with(&pki.alice().with_key(&Key::ec())).refused();
    assert_eq!((error.sqlstate, error.tls_alert), (None, None));
    assert!(!cluster.log_since(mark).contains("alice"), "it never got to the server");
}

#[test]
fn versions_of_tls() {
    let pki = Pki::standard();
    let cluster =
        Cluster::builder().roles(&["alice"]).set("ssl_min_protocol_version", "TLSv1.3").start();
    cluster.client("alice").with(pki.alice()).tls13().login();
    let error = cluster.client("alice").with(pki.alice()).tls12().refused();
    assert_eq!(error.tls_alert, Some(Alert::ProtocolVersion), "{error}");

    cluster.set("ssl_min_protocol_version", "TLSv1.2");
    cluster.set("ssl_max_protocol_version", "TLSv1.2");
    cluster.reload();
    let alice = cluster.client("alice").with(pki.alice());
    alice.clone().tls12().ciphers("ECDHE-RSA-AES128-GCM-SHA256").login();
    let error = alice.clone().tls13().refused();
    assert_eq!(error.tls_alert, Some(Alert::ProtocolVersion), "{error}");
    let error = alice.tls12().ciphers("ECDHE-ECDSA-AES128-GCM-SHA256").refused();
    assert_eq!(error.tls_alert, Some(Alert::HandshakeFailure), "{error}");

    let old = cluster.handshake().tls_versions(SslVersion::TLS1_1, SslVersion::TLS1_1);
    let error = old.complete().expect_err("TLS 1.1 is too old");
    assert_eq!(error.tls_alert, Some(Alert::ProtocolVersion), "{error}");
}

#[test]
fn the_server_is_verified_too() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).start();
    let alice = cluster.client("alice").with(pki.alice());
    alice.clone().server_name("127.0.0.1").login();
    alice.clone().any_server().server_name("elsewhere.example").login();
    for wrong in [alice.clone().server_name("elsewhere.example"), alice.server_ca(pki.other_root())]
    {
        let error = wrong.refused();
        assert!(error.message.contains("certificate verify failed"), "{error}");
        assert_eq!(error.tls_alert, None, "the refusal is the client's");
    }
}

#[test]
fn a_crl_file_counts_from_the_reload_on() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).crl_file(&pki.crls()).start();
    let alice = cluster.client("alice").with(pki.alice());
    let before = alice.login();

    let revoking = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    cluster.replace_crl(&[pki.root_crl(), &revoking]);
    alice.login();
    let log = cluster.reload();
    assert!(log.contains("received SIGHUP"), "{log}");
    assert_eq!(alice.refused().tls_alert, Some(Alert::CertificateRevoked));
    assert_eq!(before.value("select 1"), "1", "who is in stays in");

    // Broken: what was in force stays in force.
    cluster.replace_crl_bytes(b"not a CRL");
    let log = cluster.reload();
    assert!(log.contains("SSL configuration was not reloaded"), "{log}");
    assert_eq!(alice.refused().tls_alert, Some(Alert::CertificateRevoked));

    cluster.unset("ssl_crl_file");
    let log = cluster.reload();
    assert!(!log.contains("SSL configuration was not reloaded"), "{log}");
    alice.login();
}

#[test]
fn a_crl_directory_counts_at_once() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).crl_dir(&pki.crls()).start();
    let alice = cluster.client("alice").with(pki.alice());
    alice.login();
    let revoking = pki.crl(pki.intermediate()).number(8).revoke(&pki.alice().cert).build();
    cluster.replace_crl_dir(&[pki.root_crl(), &revoking]);
    assert_eq!(alice.refused().tls_alert, Some(Alert::CertificateRevoked));
    cluster.replace_crl_dir(&[pki.root_crl(), pki.intermediate_crl()]);
    alice.login();
    cluster.replace_crl_dir(&[]);
    assert_eq!(alice.refused().tls_alert, Some(Alert::UnknownCa), "no CRL can be had");
}

#[test]
fn crls_in_every_condition() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).crl_file(&pki.crls()).start();
    let crl = || pki.crl(pki.intermediate());
    let other = Key::ec();
    // The alert that OpenSSL has for each, or none when the client gets in.
    let conditions = [
        ("good", crl(), None),
        ("no next update", crl().no_next_update(), None),
        ("version 1", crl().version1(), None),
        (
            "alice expected back",
            crl().revoke_for(&pki.alice().cert, Reason::RemoveFromCrl, now()),
            None,
        ),
        ("many", crl().many(10_000), None),
        ("only user", crl().idp_only_user(), None),
        ("number of 20 bytes", crl().number_raw(&[0x7f; 20]), None),
        ("for SHA-384", crl().digest(Digest::Sha384), None),
        ("revoked", crl().revoke(&pki.alice().cert), Some(Alert::CertificateRevoked)),
        (
            "on hold",
            crl().revoke_since(&pki.alice().cert, Reason::CertificateHold, now(), now() - DAY),
            Some(Alert::CertificateRevoked),
        ),
        ("stale", crl().stale(), Some(Alert::CertificateExpired)),
        ("not yet valid", crl().not_yet_valid(), Some(Alert::BadCertificate)),
        ("bad signature", crl().bad_signature(), Some(Alert::DecryptError)),
        ("wrong key", crl().signed_with(&other), Some(Alert::DecryptError)),
        (
            "wrong authority",
            crl().signed_with(&other).authority_key(&other),
            Some(Alert::UnknownCa),
        ),
        ("unknown critical", crl().unknown_critical(), Some(Alert::CertificateUnknown)),
        ("scope", crl().idp_url("http://crl.example/ca.crl"), Some(Alert::CertificateUnknown)),
        ("only CA", crl().idp_only_ca(), Some(Alert::CertificateUnknown)),
        ("indirect", crl().idp_indirect(), Some(Alert::UnknownCa)),
        // Not a delta CRL without its base: OpenSSL's own versions disagree on it.
        ("other issuer", crl().issuer_name("/CN=nobody"), Some(Alert::UnknownCa)),
    ];
    let mut wrong = Vec::new();
    for (name, builder, expected) in conditions {
        cluster.replace_crl(&[pki.root_crl(), &builder.build()]);
        cluster.reload();
        let result = cluster.client("alice").with(pki.alice()).connect();
        let got = result.as_ref().err().map(|error| error.tls_alert);
        if got != expected.map(Some) {
            wrong.push(format!("{name}: {expected:?} expected, not {result:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crl_of_a_million_entries_is_made_and_read_quickly() {
    let pki = Pki::standard();
    let crl = pki.crl(pki.intermediate()).many(1_000_000).build();
    assert!(crl.der().len() > 34_000_000);
    let read = openssl::x509::X509Crl::from_der(crl.der()).expect("OpenSSL reads the CRL");
    assert!(read.verify(pki.intermediate().key.openssl()).expect("the key fits"));
    let serial = openssl::bn::BigNum::from_slice(&many_serial(999_999)).expect("a number");
    let serial = openssl::asn1::Asn1Integer::from_bn(&serial).expect("an integer");
    let entry = read.get_by_serial(&serial);
    assert!(matches!(entry, openssl::x509::CrlStatus::Revoked(_)));
}

#[test]
fn odd_certificates() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().hba(ANY_CERTIFICATE).start();
    let issue = || pki.issue("/CN=odd");
    let login = |identity: &Identity| cluster.client("postgres").with(identity).connect();
    let serial = |identity: &Identity| {
        let session = login(identity).expect("an odd serial does not matter");
        session.value("select client_serial from pg_stat_ssl where pid = pg_backend_pid()")
    };
    assert_eq!(serial(&issue().serial(4_711).build()), "4711");
    assert_eq!(serial(&issue().serial_raw(&[0xff]).build()), "-1");
    let long = issue().serial_raw(&[0x7f; 24]).build();
    assert_eq!(serial(&long), long.cert.serial());

    let teletex = Name::empty().attr_raw("CN", Text::Teletex, b"M\xfcller");
    let bmp = Name::empty().attr_raw("CN", Text::Bmp, &[0x04, 0x16, 0x04, 0x43]);
    let sans = (0..10_000).fold(issue(), |b, n| b.san_dns(&format!("host-{n}.example")));
    let welcome = [
        issue().no_end(),
        issue().not_before(-86_400 * 365 * 60),
        issue().version1(),
        issue().rsa().digest(Digest::Sha384),
        issue().crl_url("http://crl.example/a").ocsp_url("http://ocsp.example"),
        pki.issue(teletex),
        pki.issue(bmp),
        pki.issue(r"CN=odd,OU=a\,b\+c,O=Acme"),
        // 44 kB: OpenSSL takes 100 kB from a client.
        (0..2_000).fold(issue(), |b, n| b.san_dns(&format!("host-{n}.example"))),
    ];
    for builder in welcome {
        login(&builder.build()).expect("odd, but fine");
    }
    assert_eq!(
        sans.build().cert.openssl().subject_alt_names().map(|names| names.len()),
        Some(10_000)
    );

    let nul = pki.issue(Name::empty().attr_raw("CN", Text::Utf8, b"alice\0.evil")).build();
    let mark = cluster.mark();
    login(&nul).expect_err("a NUL in the name");
    cluster.wait_for_log(mark, "contains embedded null");
    for builder in [issue().bad_signature(), issue().signed_with(&Key::ec())] {
        let error = login(&builder.build()).expect_err("a signature that does not fit");
        assert_eq!(error.tls_alert, Some(Alert::DecryptError), "{error}");
    }
    // A leaf is no CA.
    let error = login(&pki.alice().issue("/CN=odd").build()).expect_err("issued by a leaf");
    assert!(error.tls_alert.is_some(), "{error}");
}

#[test]
fn dates_are_written_as_x509_wants_them() {
    let text = |at| String::from_utf8_lossy(&der::time(at)[2..]).into_owned();
    assert_eq!(text(0), "700101000000Z");
    assert_eq!(text(951_782_400), "000229000000Z");
    assert_eq!(text(2_524_607_999), "491231235959Z");
    assert_eq!(text(2_524_608_000), "20500101000000Z");
    assert_eq!(text(253_402_300_799), "99991231235959Z");
    assert_eq!(text(-631_152_001), "19491231235959Z");
    assert_eq!(text(-631_152_000), "500101000000Z");
}

#[test]
fn psql_logs_in_and_fails() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).start();
    let alice = cluster.psql("alice").with(pki.alice());
    let mine = "select ssl, client_dn from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(alice.output(mine), "t|/CN=alice");
    let encrypted = cluster.psql("alice").with_encrypted_key(pki.alice(), "secret");
    assert_eq!(encrypted.output("select 1;\nselect 2"), "1\n2");

    let output = alice.run("select 1/0");
    assert_eq!(output.status, Some(3));
    assert!(output.failure().contains("division by zero"));
    let output = cluster.psql("alice").run("select 1");
    assert_eq!(output.status, Some(2));
    assert!(output.failure().contains("requires a valid client certificate"), "{}", output.stderr);
    let output = cluster.psql("alice").with(&pki.alice().leaf_only()).run("select 1");
    assert!(output.failure().contains("alert unknown ca"), "{}", output.stderr);
    let output =
        cluster.psql("alice").with(pki.alice()).parameter("host", "elsewhere").run("select 1");
    assert!(output.failure().contains("does not match host name"), "{}", output.stderr);
}

#[test]
fn other_programs_connect_too() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .hba("hostssl all,replication all all cert")
        .set("wal_level", "logical")
        .start();
    cluster.sql("alter role alice replication; create table t(n int)");
    let dump = cluster.psql(SUPERUSER).unix().tool("pg_dump", &["--schema-only"]).success();
    assert!(dump.contains("CREATE TABLE public.t"), "{dump}");

    let alice = cluster.psql("alice").with(pki.alice());
    let walsenders = "select client_dn from pg_stat_ssl natural join pg_stat_replication";
    let receiver = alice.background("pg_receivewal", &["--directory", ".", "--no-sync"]);
    eventually("the receiver", || cluster.sql(walsenders) == [[Some("/CN=alice".to_owned())]]);
    drop(receiver);
    eventually("its end", || cluster.sql(walsenders).is_empty());
    let system = alice.parameter("replication", "database").output("IDENTIFY_SYSTEM");
    assert!(system.ends_with("|postgres"), "{system}");

    let subscriber = Cluster::start();
    subscriber.sql("create table t(n int)");
    cluster.sql("create publication p for all tables");
    let publisher = cluster.conninfo();
    subscriber.sql(&format!("create subscription s connection '{publisher}' publication p"));
    cluster.sql("insert into t values (42)");
    eventually("the row", || subscriber.sql("select n from t") == [[Some("42".to_owned())]]);
    subscriber.sql("drop subscription s");
}

#[test]
fn raw_handshakes_stop_wherever_they_like() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).set("authentication_timeout", "1s").start();
    let handshake = cluster.handshake().with(pki.alice());
    assert_eq!(handshake.startup("alice", "postgres"), Answer::Authentication(0));
    let Answer::Refused(error) = handshake.startup("bob", "postgres") else { panic!("bob is in") };
    assert_eq!(error.sqlstate.as_deref(), Some("28000"));
    let Answer::Refused(error) =
        cluster.handshake().with(pki.expired()).startup("alice", "postgres")
    else {
        panic!("the expired certificate is in")
    };
    assert_eq!(error.tls_alert, Some(Alert::CertificateExpired));

    let mark = cluster.mark();
    drop(handshake.half_hello());
    cluster.wait_for_log(mark, "could not accept SSL connection");
    let mark = cluster.mark();
    drop(handshake.garbage(b"GET / HTTP/1.1\r\n\r\n"));
    cluster.wait_for_log(mark, "could not accept SSL connection: http request");
    let mark = cluster.mark();
    let error = handshake.clone().server_ca(pki.other_root()).complete();
    assert!(error.expect_err("the server is not ours").message.contains("verify failed"));
    cluster.wait_for_log(mark, "alert unknown ca");

    // Who hangs is shown the door after the authentication timeout.
    for mut hanging in
        [handshake.tcp(), handshake.agreed(), handshake.half_hello(), handshake.hello()]
    {
        let mut rest = Vec::new();
        let _ = hanging.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"R"), "nobody is let in");
    }
}

#[test]
fn application_protocols_and_direct_tls() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).start();
    let handshake = cluster.handshake().with(pki.alice());
    let alpn = |names| handshake.clone().alpn(names);
    let in_ = Answer::Authentication(0);
    assert_eq!(alpn(&["postgresql"]).startup("alice", "postgres"), in_);
    if cluster.version() < 17 {
        assert_eq!(alpn(&["http/1.1"]).startup("alice", "postgres"), in_, "nobody looks");
        assert!(cluster.client("alice").with(pki.alice()).direct_tls().connect().is_err());
        return;
    }
    let error = alpn(&["http/1.1"]).complete().expect_err("a wrong protocol");
    assert_eq!(error.tls_alert, Some(Alert::NoApplicationProtocol), "{error}");
    cluster.client("alice").with(pki.alice()).direct_tls().login();
    cluster.client("alice").with(pki.alice()).alpn(&["postgresql"]).login();
    assert_eq!(alpn(&["postgresql"]).direct().startup("alice", "postgres"), in_);
    let mark = cluster.mark();
    assert_ne!(handshake.direct().startup("alice", "postgres"), in_);
    cluster.wait_for_log(mark, "without ALPN protocol negotiation extension");
}

#[test]
fn sql_through_a_session() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).start();
    let alice = cluster
        .client("alice")
        .with(pki.alice())
        .application_name("harness")
        .options("-c work_mem=1MB")
        .login();
    assert_eq!(alice.value("show application_name"), "harness");
    assert_eq!(alice.value("show work_mem"), "1MB");
    assert_eq!(alice.maybe("select null"), None);
    assert_eq!(alice.row("select 1, null, 'x'"), [Some("1".into()), None, Some("x".into())]);
    assert_eq!(alice.column("values (1), (2)").len(), 2);
    assert!(alice.rows("select 1 where false").is_empty());
    assert_eq!(alice.pid().to_string(), alice.value("select pg_backend_pid()"));
    let text = r"it's a \ and more";
    assert_eq!(alice.value(&format!("select {}", quote(text))), text);

    let error = alice.error(
        "do $$ begin raise 'no' using errcode = 'AB123', hint = 'do', detail = 'so'; end $$",
    );
    let parts = (error.sqlstate.as_str(), error.message.as_str(), error.detail, error.hint);
    assert_eq!(parts, ("AB123", "no", Some("so".into()), Some("do".into())));

    // What fails says what it was about.
    let complaint = |action: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(action)).expect_err("this has to fail");
        *panic.downcast::<String>().expect("a panic has a text")
    };
    let text = complaint(&|| alice.run("select 1/0 as nonsense"));
    assert!(text.contains("nonsense") && text.contains("division by zero"), "{text}");
    assert!(text.contains("end of the server log"), "{text}");
    complaint(&|| drop(alice.error("select 1")));
    complaint(&|| drop(alice.value("select null")));
    complaint(&|| drop(alice.row("values (1), (2)")));
    complaint(&|| drop(cluster.client("nobody").login()));
    complaint(&|| drop(cluster.client("alice").with(pki.alice()).refused()));
}

#[test]
fn databases_in_other_encodings() {
    let cluster = Cluster::builder().roles(&["alice"]).start();
    for encoding in ["LATIN1", "SQL_ASCII", "UTF8"] {
        let name = encoding.to_lowercase();
        cluster.database(&name, encoding);
        let session = cluster.client("alice").with(Pki::standard().alice()).database(&name).login();
        assert_eq!(session.value("show server_encoding"), encoding);
    }
}

#[test]
fn settings_files_and_restarts() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).set("work_mem", "1MB").start();
    let shows = |name: &str| cluster.admin().value(&format!("show {name}"));
    assert_eq!(shows("work_mem"), "1MB");
    cluster.set("work_mem", "2MB");
    cluster.reload();
    assert_eq!(shows("work_mem"), "2MB");
    cluster.set("max_connections", 50);
    let (port, pid) = (cluster.port(), cluster.pid());
    cluster.restart();
    assert_eq!((shows("max_connections").as_str(), cluster.port()), ("50", port));
    assert_ne!(cluster.pid(), pid);
    cluster.set("work_mem", "nonsense");
    assert!(cluster.reload().contains("invalid value for parameter"));
    cluster.unset("work_mem");

    let alice = cluster.client("alice").with(pki.alice());
    cluster.write_hba("hostssl all all all reject");
    alice.login();
    cluster.reload();
    assert!(alice.refused().message.starts_with("pg_hba.conf rejects"));
    cluster.write_hba("hostssl all all all cert map=m");
    cluster.write_ident("m alice bob");
    cluster.reload();
    assert_eq!(alice.refused().sqlstate.as_deref(), Some("28000"));
    cluster.write_ident("m alice alice");
    cluster.reload();
    let line = cluster
        .admin()
        .value("select min(line_number) from pg_hba_file_rules where type = 'hostssl'");
    assert_eq!(line, Cluster::FIRST_HBA_LINE.to_string());

    // An immediate shutdown and the death of a backend both end in a recovery.
    let session = alice.login();
    cluster.kill9(session.pid());
    assert!(session.query("select 1").is_err());
    eventually("the recovery", || alice.connect().is_ok());
    let mark = cluster.mark();
    cluster.shut_down(Shutdown::Immediate);
    assert!(alice.connect().is_err());
    cluster.start_again();
    assert!(cluster.log_since(mark).contains("was not properly shut down"));
    alice.login();
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let builder = Cluster::builder().set("shared_preload_libraries", "there_is_no_such_library");
    let log = builder.try_start().err().expect("the server does not start");
    assert!(log.contains("could not access file"), "{log}");
}

#[test]
fn a_standby_follows() {
    let pki = Pki::standard();
    let primary = Cluster::builder().roles(&["alice"]).crl_file(&pki.crls()).start();
    let standby = primary.standby();
    assert_ne!(primary.port(), standby.port());
    primary.sql("create table t as select 42 as n; grant select on t to alice");
    standby.catch_up_with(&primary);
    let alice = standby.client("alice").with(pki.alice()).login();
    assert_eq!(alice.value("select n from t"), "42");
    assert_eq!(alice.value("select pg_is_in_recovery()"), "t");
    // Its files are its own.
    let revoking = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    standby.replace_crl(&[pki.root_crl(), &revoking]);
    standby.reload();
    standby.client("alice").with(pki.alice()).refused();
    primary.client("alice").with(pki.alice()).login();
}

#[test]
fn a_staged_extension_is_found() {
    // sslinfo under another name, which the installation does not have.
    let installation = Installation::get();
    let tree = tempfile::tempdir().expect("a directory can be made");
    let staged =
        |path: PathBuf| tree.path().join(path.strip_prefix("/").expect("an absolute path"));
    let libraries = staged(installation.pkglibdir().to_owned());
    let scripts = staged(installation.extension_dir());
    std::fs::create_dir_all(&libraries).expect("a directory can be made");
    std::fs::create_dir_all(&scripts).expect("a directory can be made");
    let copy = |from: PathBuf, to: PathBuf| std::fs::copy(from, to).expect("sslinfo is installed");
    copy(installation.pkglibdir().join("sslinfo.so"), libraries.join("staged_info.so"));
    let control = installation.extension_dir().join("sslinfo.control");
    let control = std::fs::read_to_string(control).expect("sslinfo is installed");
    let control = control.replace("$libdir/sslinfo", "$libdir/staged_info");
    std::fs::write(scripts.join("staged_info.control"), control).expect("a file can be written");
    let script = "staged_info--1.2.sql";
    copy(installation.extension_dir().join("sslinfo--1.2.sql"), scripts.join(script));

    let pki = Pki::standard();
    let stage = Stage::copy(tree.path());
    drop(tree);
    for preload in ["", "staged_info"] {
        let cluster = Cluster::builder()
            .roles(&["alice"])
            .stage(&stage)
            .set("shared_preload_libraries", preload)
            .start();
        let alice = cluster.client("alice").with(pki.alice()).login();
        assert_eq!(alice.error("select ssl_client_serial()").sqlstate, "42883");
        cluster.sql("create extension staged_info");
        assert_eq!(alice.value("select ssl_client_serial()"), pki.alice().cert.serial());
    }
    let plain = Cluster::start();
    assert_eq!(plain.admin().error("create extension staged_info").sqlstate, "0A000");
}

#[test]
fn the_dn_that_pg_stat_ssl_cuts() {
    let cluster = Cluster::builder().roles(&["long_dn"]).start();
    let session = cluster.client("long_dn").with(Pki::standard().long_dn()).login();
    let dn = session.value("select client_dn from pg_stat_ssl where pid = pg_backend_pid()");
    assert!(LONG_DN.starts_with(&dn) && dn.len() == 63, "{dn}");
}

#[test]
fn a_hundred_clients_at_once() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).set("max_connections", 150).start();
    let sessions = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let session = cluster.client("alice").with(pki.alice()).login();
                    sessions.lock().expect("no client panicked").push(session);
                }
            });
        }
    });
    let count =
        cluster.admin().value("select count(*) from pg_stat_ssl where client_dn = '/CN=alice'");
    assert_eq!(count, "100");
}

#[test]
fn no_alert_is_lost_when_many_are_refused() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).crl_file(&pki.crls()).start();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let error = cluster.client("alice").with(pki.revoked()).tls13().refused();
                    assert_eq!(error.tls_alert, Some(Alert::CertificateRevoked), "{error}");
                }
            });
        }
    });
}

// --- Nothing stays behind
// ------------------------------------------------------------------------------------------

/// Whether anything is left of a cluster.
fn is_gone(pid: u32, port: u16, dir: &std::path::Path) -> bool {
    !process_exists(pid) && TcpStream::connect(("127.0.0.1", port)).is_err() && !dir.exists()
}

#[test]
fn a_dropped_cluster_is_gone() {
    let cluster = Cluster::start();
    let (pid, port, dir) = (cluster.pid(), cluster.port(), cluster.dir().to_owned());
    // Somebody inside does not keep it alive.
    let session = cluster.admin();
    assert!(process_exists(pid) && TcpStream::connect(("127.0.0.1", port)).is_ok());
    drop(cluster);
    assert!(is_gone(pid, port, &dir));
    assert!(session.query("select 1").is_err());
}

#[test]
fn a_cluster_is_gone_after_a_panic() {
    let seen = Mutex::new(None);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let cluster = Cluster::start();
        *seen.lock().expect("nobody panicked yet") =
            Some((cluster.pid(), cluster.port(), cluster.dir().to_owned()));
        assert_eq!(cluster.admin().value("select 1"), "2", "on purpose");
    }));
    assert!(result.is_err());
    let (pid, port, dir) = seen.into_inner().expect("the panic came later").expect("it started");
    assert!(is_gone(pid, port, &dir));
}

/// Run by the next tests in another process, and idle otherwise.
#[test]
fn a_server_for_somebody_else() {
    let Some(fate) = std::env::var_os(VICTIM_VARIABLE) else { return };
    // In a static, as shared clusters are: it is never dropped.
    static SHARED: std::sync::OnceLock<Cluster> = std::sync::OnceLock::new();
    // In a thread that ends, as those of tests do.
    let starter = thread::spawn(|| {
        SHARED.get_or_init(Cluster::start);
    });
    starter.join().expect("the server starts");
    let cluster = SHARED.get().expect("it has started");
    assert_eq!(cluster.admin().value("select 1"), "1");
    println!("\nvictim {} {} {}", cluster.pid(), cluster.port(), cluster.dir().display());
    println!("\nalice {}", Pki::standard().alice().cert.fingerprint());
    if fate == "killed" {
        thread::sleep(std::time::Duration::from_secs(60));
    }
}

/// Another process of this test binary, and the server it started.
struct Victim {
    child: Child,
    /// Held open: a process that cannot print fails.
    output: BufReader<ChildStdout>,
    pid: u32,
    port: u16,
    dir: PathBuf,
}

impl Victim {
    fn that(fate: &str) -> Self {
        Self::run(&mut Self::command(fate))
    }

    fn command(fate: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("a program has a path"));
        command
            .args(["--exact", "harness::a_server_for_somebody_else", "--nocapture"])
            .env(VICTIM_VARIABLE, fate)
            .stdout(Stdio::piped());
        command
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("this program can be started");
        let mut output = BufReader::new(child.stdout.take().expect("it has an output"));
        let line = output
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("victim ").map(str::to_owned))
            .expect("it says what it started");
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().expect("three words");
        let pid = word().parse().expect("a pid");
        let port = word().parse().expect("a port");
        let dir = PathBuf::from(word());
        Self { child, output, pid, port, dir }
    }

    /// Waits for its end and returns the rest of its output.
    fn ends(mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("its output is text");
        assert!(self.child.wait().expect("it ends").success(), "{rest}");
        rest
    }
}

#[test]
fn a_shared_cluster_is_gone_at_exit() {
    let victim = Victim::that("ends");
    let (pid, port, dir) = (victim.pid, victim.port, victim.dir.clone());
    victim.ends();
    assert!(is_gone(pid, port, &dir));
    assert!(!dir.parent().expect("the run's directory").exists());
}

#[test]
fn a_cluster_is_gone_after_a_kill() {
    let mut victim = Victim::that("killed");
    assert!(process_exists(victim.pid));
    victim.child.kill().expect("it can be killed");
    victim.child.wait().expect("it ends");
    eventually("the end of the server", || {
        !process_exists(victim.pid) && TcpStream::connect(("127.0.0.1", victim.port)).is_err()
    });
    // Nobody was left to remove the directory: the next run does.
    Victim::that("ends").ends();
    assert!(!victim.dir.exists());
}

#[test]
fn a_pki_can_be_kept() {
    let parent = tempfile::tempdir().expect("a directory can be made");
    let kept = parent.path().join("pki");
    let alice = |variable: &str| {
        let output = Victim::run(Victim::command("ends").env(variable, &kept)).ends();
        let line = output.lines().find_map(|line| line.strip_prefix("alice "));
        line.expect("it says which certificate alice has").to_owned()
    };
    let first = alice("PGTLS_TEST_PKI");
    assert_eq!(first, alice("PGTLS_TEST_PKI"));
    assert_ne!(first, alice("SOMETHING_ELSE"));
    assert!(kept.join("alice.key").exists());
}
