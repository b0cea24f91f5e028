//! Until when a login will do: foretold, and then made before and after. The server is the oracle.

use std::time::Duration;

use pgtls_e2e::prelude::*;

/// How long before the common end the clients of these tests are made.
const AHEAD: i64 = 10;

/// What `pgtls_login_ends_at` says: seconds since 1970, and the cause.
fn foretold(admin: &Session, arguments: &str) -> (Option<i64>, String) {
    let row = admin.row(&format!(
        "select extract(epoch from ends_at)::bigint, cause, detail from pgtls_login_ends_at({arguments})"
    ));
    assert!(row[2].as_ref().is_some_and(|detail| !detail.is_empty()), "{row:?}");
    let end = row[0].as_ref().map(|seconds| seconds.parse().expect("a number"));
    (end, row[1].clone().expect("there is always a cause"))
}

/// The verdict on a login at a moment; with `crls` other than the default if any is given.
fn admitted_at(admin: &Session, arguments: &str, at: i64, crls: &str) -> bool {
    let crls = if crls.is_empty() { String::new() } else { format!(", crls => '{crls}'") };
    let sql = format!("select pgtls_check_login({arguments}, at => to_timestamp({at}){crls})");
    admin.value(&sql) == "t"
}

fn wait_until_after(end: i64) {
    while now() <= end {
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_login_ends_when_it_is_foretold_to() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "pw"])
        .hba("hostssl all pw all scram-sha-256")
        .hba("hostssl all all all cert")
        .extension()
        .start();
    let end = now() + AHEAD;
    let later = end + DAY;
    let root = CertBuilder::new("/CN=a root that ends").ca().not_after(end).build();
    let brief = pki.root().issue("/CN=a CA that ends").ca().not_after(end).build();
    // The same CA, certified once more for longer: the server finds that when the other has ended.
    let renewed = pki.root().issue("/CN=a CA that ends").ca().key(&brief.key).build();
    let alice = |ca: &Identity| ca.issue("/CN=alice").not_after(later).build();
    let by_both = alice(&brief).sending(&[&brief.cert, &renewed.cert]);
    cluster.replace_ca(&[&pki.root().cert, &root.cert]);
    cluster.reload();
    let admin = cluster.admin();
    admin.run(&format!(
        "set password_encryption = 'scram-sha-256'; \
         do $$ begin execute format('alter role pw password ''secret'' valid until %L', to_timestamp({end})); end $$"
    ));

    let cases = [
        (Some(pki.issue("/CN=alice").not_after(end).build()), "alice", end, "certificate"),
        (Some(alice(&brief)), "alice", end, "intermediate"),
        (Some(alice(&root)), "alice", end, "root"),
        (Some(alice(pki.root())), "alice", later, "certificate"),
        (Some(by_both), "alice", later, "certificate"),
        (None, "pw", end, "password"),
        (Some(pki.issue("/CN=pw").not_after(end).build()), "pw", end, "certificate"),
        (Some(alice(pki.root())), "pw", end, "password"),
    ];
    let arguments = |identity: &Option<Identity>, role: &str| {
        let pem = identity.as_ref().map_or("null".to_owned(), |it| quote(&it.bundle_pem()));
        format!("{pem}, '{role}', 'postgres', '127.0.0.1'")
    };
    let login = |identity: &Option<Identity>, role: &str| {
        let login = cluster.client(role).password("secret");
        match identity {
            Some(identity) => login.with(identity),
            None => login,
        }
    };
    for (number, (identity, role, ends, cause)) in cases.iter().enumerate() {
        let arguments = arguments(identity, role);
        assert_eq!(foretold(&admin, &arguments), (Some(*ends), (*cause).to_owned()), "{number}");
        assert!(admitted_at(&admin, &arguments, ends - 1, ""), "{number}");
        assert!(!admitted_at(&admin, &arguments, ends + 1, ""), "{number}");
        login(identity, role).login();
    }
    assert!(now() < end, "the tests took longer than the certificates do");
    wait_until_after(end);
    for (number, (identity, role, ends, _)) in cases.iter().enumerate() {
        let arguments = arguments(identity, role);
        if *ends > end {
            login(identity, role).login();
            assert!(admitted_at(&admin, &arguments, now(), ""), "{number}");
        } else {
            login(identity, role).refused();
            assert!(!admitted_at(&admin, &arguments, now(), ""), "{number}");
            assert_eq!(foretold(&admin, &arguments), (None, "refused".to_owned()), "{number}");
        }
    }
}

#[test]
fn the_future_is_asked_about_with_crls_as_if_renewed() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "bob"])
        .crl_file(&[pki.root_crl(), pki.intermediate_crl()])
        .extension()
        .start();
    // From here on it is for these seconds.
    let end = now() + AHEAD;
    let brief = |ca: &Identity| pki.crl(ca).next_update(end);
    let [root, intermediate] =
        [brief(pki.root()).build(), brief(pki.intermediate()).revoke(&pki.bob().cert).build()];
    cluster.replace_crl(&[&root, &intermediate]);
    cluster.reload();
    let admin = cluster.admin();
    let of = |identity: &Identity, role: &str| {
        format!("{}, '{role}', 'postgres', '127.0.0.1'", quote(&identity.bundle_pem()))
    };
    let (alice, bob) = (of(pki.alice(), "alice"), of(pki.bob(), "bob"));
    let step = |arguments: &str, name: &str| {
        admin.value(&format!(
            "select outcome from pgtls_explain_login({arguments}) where check_name = '{name}'"
        ))
    };
    cluster.client("alice").with(pki.alice()).login();
    cluster.client("bob").with(pki.bob()).refused();
    for (at, crls, alice_gets_in) in [
        (end - 1, "as_they_are", true),
        (end + 1, "as_they_are", false),
        (end + 1, "as_if_renewed", true),
        (end + 1, "", true),
        (now() + 30 * DAY, "", true),
        (now() + 30 * DAY, "as_they_are", false),
        // Then her own certificate has ended, whatever the CRLs are.
        (now() + 400 * DAY, "", false),
    ] {
        assert_eq!(admitted_at(&admin, &alice, at, crls), alice_gets_in, "{at} {crls}");
        // What is revoked stays revoked in a CRL that is renewed.
        assert!(!admitted_at(&admin, &bob, at, crls), "{at} {crls}");
    }
    // Both are looked at: the CRL that ends, and the certificate that ends later.
    let far = format!("{alice}, at => now() + interval '400 days'");
    assert_eq!(step(&far, "revocation"), "ok");
    assert_eq!(step(&far, "validity"), "failed");
    let far = format!("{far}, crls => 'as_they_are'");
    assert_eq!(
        (step(&far, "revocation"), step(&far, "validity")),
        ("failed".into(), "failed".into())
    );
    let (ends, cause) = foretold(&admin, &alice);
    assert_eq!(cause, "certificate");
    assert!(ends.is_some_and(|ends| ends > end + 300 * DAY), "{ends:?}");

    wait_until_after(end);
    cluster.client("alice").with(pki.alice()).refused();
    assert!(!admitted_at(&admin, &alice, now(), ""));
    assert_eq!(foretold(&admin, &alice), (None, "refused".to_owned()));
    let renewed = [pki.root_crl(), pki.intermediate_crl()];
    cluster.replace_crl(&renewed);
    cluster.reload();
    cluster.client("alice").with(pki.alice()).login();
    assert!(admitted_at(&cluster.admin(), &alice, now(), ""));

    let wrong = format!("select pgtls_check_login({alice}, crls => 'renewed')");
    assert_eq!(admin.error(&wrong).sqlstate, "22023");
}
