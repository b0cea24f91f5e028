//! `pgtls_failures` and `pgtls_recent_failures`: each reason, provoked by a real client.

use std::collections::BTreeMap;

use openssl::ssl::SslVersion;
use pgtls_e2e::pki::UNKNOWN_OID;
use pgtls_e2e::prelude::*;

/// The counters that are not zero.
fn counts(admin: &Session) -> BTreeMap<String, i64> {
    admin
        .rows("select reason, count from pgtls_failures where count > 0")
        .iter()
        .map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap().parse().unwrap()))
        .collect()
}

/// What the last failure looks like: reason, address, role, subject, serial, fingerprint, depth,
/// message.
fn last(admin: &Session) -> Vec<Option<String>> {
    admin.row(
        "select reason, host(client_addr), usename, subject, serial, fingerprint, depth, message
         from pgtls_recent_failures order by last_at desc limit 1",
    )
}

#[test]
fn every_reason_is_counted_under_its_name() {
    let pki = Pki::standard();
    let uncovered = pki.issue("/CN=Uncovered CA").by(pki.root()).ca().build();
    let no_crl = pki.issue("/CN=alice").by(&uncovered).build();
    let stale = pki.issue("/CN=Stale CA").by(pki.root()).ca().build();
    let stale_crl = pki.issue("/CN=alice").by(&stale).build();
    let forged = pki.issue("/CN=alice").by(pki.intermediate()).bad_signature().build();
    let nul = Name::empty().attr_raw("CN", Text::Utf8, b"al\0ice");
    let nul = pki.issue(nul).by(pki.intermediate()).build();
    let old_ca = pki.issue("/CN=Old CA").by(pki.root()).ca().expired().build();
    let unnamed = Name::empty().attr(UNKNOWN_OID, "x").cn("alice");
    let unnamed = pki.issue(unnamed).by(pki.intermediate()).expired().build();
    let under_old = pki.issue("/CN=alice").by(&old_ca).build();

    let under_leaf = pki.issue("/CN=alice").by(pki.bob()).build();

    let cluster = Cluster::builder()
        .roles(&["alice", "bob", "banned", "mapped", "strict", "plain", "unknown_attribute"])
        .hba("hostssl all banned all reject")
        .hba("hostnossl all plain all trust")
        .hba("hostssl all mapped all cert map=people")
        .hba("hostssl all strict all trust clientcert=verify-full")
        .hba("hostssl all all all cert")
        .ident("people nobody mapped")
        .crl_file(&[
            pki.root_crl(),
            pki.intermediate_crl(),
            &pki.crl(&stale).stale().build(),
            &pki.crl(&old_ca).build(),
        ])
        .set("ssl_min_protocol_version", "TLSv1.2")
        .preloaded()
        .start();
    let admin = cluster.admin();
    let login = |role: &str, identity: &Identity| {
        let refused = cluster.client(role).with(identity).refused();
        println!("    client: {refused}");
    };
    // OpenSSL 1.1.1 does not even take it for the issuer.
    let (reason, offender) = if openssl::version::number() >= 0x3000_0000 {
        ("bad_purpose", (&pki.bob().cert, 1))
    } else {
        ("unknown_ca", (&under_leaf.cert, 0))
    };
    let under_a_leaf = ("issued by what is no CA", reason, &under_leaf, offender);
    let handshake_failures: Vec<(&str, &str, &Identity, (&Cert, u32))> = vec![
        ("of another CA", "unknown_ca", pki.untrusted(), (&pki.untrusted().cert, 0)),
        ("self-signed", "self_signed", pki.self_signed(), (&pki.self_signed().cert, 0)),
        ("expired", "expired", pki.expired(), (&pki.expired().cert, 0)),
        ("of an expired CA", "expired", &under_old, (&old_ca.cert, 1)),
        ("not yet valid", "not_yet_valid", pki.not_yet_valid(), (&pki.not_yet_valid().cert, 0)),
        ("revoked", "revoked", pki.revoked(), (&pki.revoked().cert, 0)),
        ("of a CA without CRL", "crl_missing", &no_crl, (&no_crl.cert, 0)),
        ("of a CA with a stale CRL", "crl_expired", &stale_crl, (&stale_crl.cert, 0)),
        ("for servers", "bad_purpose", pki.server_only(), (&pki.server_only().cert, 0)),
        under_a_leaf,
        ("with a bad signature", "bad_signature", &forged, (&forged.cert, 0)),
    ];
    let mut expected = BTreeMap::new();
    let mut check = |name: &str, reason: &str, role: Option<&str>, provoke: &dyn Fn()| {
        *expected.entry(reason.to_owned()).or_insert(0_i64) += 1;
        println!("{name}");
        provoke();
        eventually("the failure is counted", || {
            counts(&admin).values().sum::<i64>() == expected.values().sum::<i64>()
        });
        let row = last(&admin);
        println!("    {row:?}");
        assert_eq!(counts(&admin), expected, "{name}\n{}", cluster.log().tail());
        assert_eq!(row[0].as_deref(), Some(reason));
        assert_eq!(row[1].as_deref(), Some("127.0.0.1"));
        assert_eq!(row[2].as_deref(), role, "{name}");
        row
    };
    for (name, reason, identity, (offender, depth)) in &handshake_failures {
        let row = check(name, reason, None, &|| login("alice", identity));
        // Before version 16 the server does not say where, except where the result implies it.
        let told = cluster.version() >= 16
            || matches!(*reason, "expired" | "not_yet_valid" | "self_signed" | "unknown_ca");
        let offender = if told { *offender } else { &identity.cert };
        assert_eq!(row[4], Some(offender.serial()), "{name}");
        assert_eq!(row[5], Some(offender.fingerprint()), "{name}");
        assert_eq!(row[6], told.then(|| depth.to_string()), "{name}");
        assert!(row[7].as_ref().unwrap().starts_with("could not accept SSL connection"), "{name}");
    }
    check("without certificate", "no_client_certificate", Some("alice"), &|| {
        cluster.client("alice").refused();
    });
    let row = check("another role", "name_mismatch", Some("bob"), &|| login("bob", pki.alice()));
    assert_eq!(row[3].as_deref(), Some("/CN=alice"));
    let message = "provided user name (bob) and authenticated user name (alice) do not match";
    assert_eq!(row[7].as_deref(), Some(message));
    check("another role with trust", "name_mismatch", Some("strict"), &|| {
        login("strict", pki.alice())
    });
    check("not in the map", "no_mapping", Some("mapped"), &|| login("mapped", pki.alice()));
    check("rejected", "hba_reject", Some("banned"), &|| login("banned", pki.alice()));
    check("no rule", "hba_no_entry", Some("alice"), &|| {
        cluster.client("alice").no_tls().refused();
    });
    check("no name", "bad_name", Some("alice"), &|| login("alice", pki.no_cn()));
    check("a NUL in the name", "bad_name", None, &|| login("alice", &nul));
    check("a name that cannot be shown", "bad_name", Some("unknown_attribute"), &|| {
        login("unknown_attribute", pki.member("unknown_attribute"));
    });
    // Since version 16 the server fails to say which certificate it refuses, and does not get to
    // saying why.
    let reason = if cluster.version() >= 16 { "bad_name" } else { "expired" };
    check("expired, with a name that cannot be shown", reason, None, &|| login("alice", &unnamed));
    check("too old a protocol", "unsupported_protocol", None, &|| {
        let login = cluster.client("alice").with(pki.alice()).ciphers("ALL:@SECLEVEL=0");
        login.tls_versions(SslVersion::TLS1_1, SslVersion::TLS1_1).refused();
    });
    check("no common cipher", "no_shared_cipher", None, &|| {
        cluster
            .client("alice")
            .with(pki.alice())
            .tls12()
            .ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
            .refused();
    });
    if cluster.version() >= 17 {
        check("another application protocol", "no_alpn", None, &|| {
            assert!(
                cluster
                    .handshake()
                    .with(pki.alice())
                    .alpn(&["http/1.1"])
                    .direct()
                    .complete()
                    .is_err()
            );
        });
    }
    cluster.client("plain").no_tls().login();
    cluster.set("pgtls_ext.require_tls", "on");
    cluster.reload();
    check("not encrypted where that is demanded", "plaintext_refused", Some("plain"), &|| {
        cluster.client("plain").no_tls().refused();
    });
    cluster.unset("pgtls_ext.require_tls");
    cluster.reload();
    check("server not trusted", "client_rejected_server", None, &|| {
        cluster.client("alice").with(pki.alice()).server_ca(pki.other_root()).refused();
    });
    check("hanging up", "eof", None, &|| drop(cluster.handshake().half_hello()));
    check("not TLS", "other", None, &|| {
        drop(cluster.handshake().garbage(b"GET / HTTP/1.0\r\n\r\n"))
    });

    // What is no failure of TLS is not counted.
    admin.run("alter role alice connection limit 0");
    login("alice", pki.alice());
    admin.run("alter role alice connection limit -1");
    cluster.client("alice").with(pki.alice()).login();
    cluster.client("alice").unix().refused();
    assert_eq!(counts(&admin), expected);

    println!("{:24} {:>5}", "reason", "count");
    for row in admin.rows("select reason, count::text from pgtls_failures") {
        println!("{:24} {:>5}", row[0].as_deref().unwrap(), row[1].as_deref().unwrap());
    }
    assert_eq!(admin.value("select count(*) from pgtls_failures"), "22");
}

#[test]
fn a_client_that_tries_for_ever_pushes_nobody_out() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    for number in 0..50 {
        let other = pki.issue(&*format!("/CN=other{number}")).expired().build();
        let _ = cluster.handshake().with(&other).complete();
    }
    for _ in 0..1000 {
        let _ = cluster.handshake().with(pki.expired()).complete();
    }
    eventually("all are counted", || {
        admin.value("select sum(count) from pgtls_failures") == "1050"
    });
    let rows = "select count(*), sum(count), max(count), count(distinct client_subject), \
                bool_and((first_at < last_at) = (count > 1)), \
                bool_and(client_subject ~ 'other') filter (where count = 1) \
                from pgtls_recent_failures";
    assert_eq!(
        admin.row(rows),
        ["51", "1050", "1000", "51", "t", "t"].map(|cell| Some(cell.to_owned()))
    );
    let newest = "select client_subject from pgtls_recent_failures limit 1";
    assert_eq!(admin.value(newest), "/CN=expired");
    // After a reset it begins anew.
    admin.run("select pgtls_reset()");
    assert_eq!(admin.value("select count(*) from pgtls_recent_failures"), "0");
    let _ = cluster.handshake().with(pki.expired()).complete();
    let count = "select coalesce(sum(count), 0) from pgtls_recent_failures";
    eventually("it is there again", || admin.value(count) == "1");
}

#[test]
fn failures_tell_the_clients_certificate_from_the_one_that_offends() {
    let pki = Pki::standard();
    let old_ca = pki.issue("/CN=Old CA").by(pki.root()).ca().expired().build();
    let under_old = pki.issue("/CN=alice").by(&old_ca).build();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    cluster.client("alice").with(&under_old).refused();
    cluster.client("alice").with(pki.expired()).refused();
    // The client hears of it before the server has written it down.
    let are_there = |count: &str| {
        eventually("they are there", || {
            admin.value("select count(*) from pgtls_recent_failures") == count
        });
    };
    are_there("2");
    let row = "select client_subject, client_issuer, subject, issuer, depth, verify_error, hint, \
               client_fingerprint = fingerprint, client_not_after::text \
               from pgtls_recent_failures where client_fingerprint = ";
    let of = |identity: &Identity| {
        let row = admin.row(&format!("{row}{}", quote(&identity.cert.fingerprint())));
        row.into_iter().map(|cell| cell.unwrap_or_default()).collect::<Vec<_>>()
    };
    let ends = |identity: &Identity| {
        let pem = quote(&identity.cert.pem());
        admin.value(&format!("select not_after::text from pgtls_parse_certificates({pem})"))
    };
    assert_eq!(
        of(&under_old),
        [
            "/CN=alice",
            "/CN=Old CA",
            "/CN=Old CA",
            &pki_name(pki.root()),
            "1",
            "certificate has expired",
            "/CN=Old CA has expired and has to be issued anew.",
            "f",
            &ends(&under_old),
        ]
    );
    let issuer = pki_name(pki.intermediate());
    assert_eq!(
        of(pki.expired()),
        [
            "/CN=expired",
            &issuer,
            "/CN=expired",
            &issuer,
            "0",
            "certificate has expired",
            "/CN=expired has expired and has to be issued anew.",
            "t",
            &ends(pki.expired()),
        ]
    );
    // A name that is too long is left out, and the others are there.
    let long = "x".repeat(60);
    let name = (0..60).fold(Name::empty(), |name, _| name.ou(&long));
    let long = pki.issue(name).expired().build();
    cluster.client("alice").with(&long).refused();
    are_there("3");
    let row = admin.row(
        "select client_subject, client_issuer, reason, client_not_after is not null \
         from pgtls_recent_failures order by last_at desc limit 1",
    );
    assert_eq!(row, [None, Some(issuer), Some("expired".to_owned()), Some("t".to_owned())]);
}

/// What a client can do is told by what it offers, also where the handshake ended early.
#[test]
fn failures_tell_what_the_client_offered() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    let expired = || cluster.handshake().with(pki.expired());
    let mut count = 0;
    let mut offers = |client: &dyn Fn(), words: String| {
        client();
        count += 1;
        eventually(&format!("number {count} is written down, {words}"), || {
            admin.value("select count(*) from pgtls_recent_failures") == count.to_string()
        });
        let newest = "select offered from pgtls_recent_failures order by last_at desc limit 1";
        assert_eq!(admin.maybe(newest).unwrap_or_default(), words, "{count}");
    };
    let tls12 = || expired().tls_versions(SslVersion::TLS1_2, SslVersion::TLS1_2);
    offers(
        &|| drop(tls12().groups("P-384:P-256").complete()),
        "up to TLSv1.2; groups secp384r1, secp256r1".to_owned(),
    );
    offers(
        &|| {
            // Not the certificate of before: that would be the same failure.
            let other = pki.issue("/CN=late").expired().build();
            let client = cluster.handshake().with(&other);
            let mut stream = client.groups("X25519:P-256").complete().expect("in TLS 1.3");
            let _ = std::io::Read::read(&mut stream, &mut [0]);
        },
        "up to TLSv1.3; groups x25519, secp256r1".to_owned(),
    );
    let tls11 = || cluster.handshake().tls_versions(SslVersion::TLS1_1, SslVersion::TLS1_1);
    offers(&|| drop(tls11().complete()), "up to TLSv1.1".to_owned());
    // What is no TLS offers nothing.
    offers(&|| drop(cluster.handshake().garbage(b"GET / HTTP/1.0\r\n\r\n")), String::new());
    // Nor does a client without it.
    offers(&|| drop(cluster.client("alice").no_tls().refused()), String::new());
    // Refused after the handshake.
    let nobody = cluster.client("nobody").with(pki.alice()).groups("P-521:P-256");
    offers(&|| drop(nobody.refused()), "up to TLSv1.3; groups secp521r1, secp256r1".to_owned());
    // Who hangs up is told by how far it came.
    let hint = || {
        let newest = "select reason || ': ' || hint from pgtls_recent_failures \
                      order by last_at desc limit 1";
        admin.value(newest)
    };
    offers(&|| drop(cluster.handshake().half_hello()), String::new());
    assert!(hint().starts_with("eof: The client hung up before"), "{}", hint());
    offers(
        &|| drop(cluster.handshake().groups("P-256").hello()),
        "up to TLSv1.3; groups secp256r1".to_owned(),
    );
    assert!(hint().starts_with("eof: The client began with TLS"), "{}", hint());
    cluster.set("ssl_max_protocol_version", "TLSv1.2");
    cluster.reload();
    let tls13 = || cluster.handshake().tls_versions(SslVersion::TLS1_3, SslVersion::TLS1_3);
    offers(&|| drop(tls13().complete()), "TLSv1.2 or later".to_owned());
}

/// The name of a CA, as everywhere.
fn pki_name(identity: &Identity) -> String {
    let x509 = identity.cert.openssl();
    let parts = x509.subject_name().entries().map(|entry| {
        let key = entry.object().nid().short_name().expect("it has a short name");
        let value = String::from_utf8_lossy(entry.data().as_slice()).into_owned();
        format!("/{key}={value}")
    });
    parts.collect()
}
