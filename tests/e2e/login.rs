//! `pgtls_explain_login`, `pgtls_check_login` and `ssl_check_mapping`, case by case; the grid is in
//! `login_grid.rs`.

use std::time::{Duration, Instant};

use pgtls_e2e::prelude::*;

/// The answer to a question about a login.
fn check(admin: &Session, arguments: &str) -> Option<bool> {
    admin.maybe(&format!("select pgtls_check_login({arguments})")).map(|answer| answer == "t")
}

/// Outcome, detail and source of one step.
fn step(admin: &Session, arguments: &str, name: &str) -> [Option<String>; 3] {
    let row = admin.row(&format!(
        "select outcome, detail, source from pgtls_explain_login({arguments}) where check_name = '{name}'"
    ));
    row.try_into().expect("three columns")
}

fn outcome(admin: &Session, arguments: &str, name: &str) -> String {
    let [outcome, _, _] = step(admin, arguments, name);
    outcome.expect("every step has an outcome")
}

fn of_alice() -> String {
    format!("{}, 'alice', 'postgres', '127.0.0.1'", quote(&Pki::standard().alice().bundle_pem()))
}

#[test]
fn the_steps_are_in_order_and_say_where_they_come_from() {
    let cluster = Cluster::builder()
        .roles(&["alice", "bob"])
        .hba("hostssl all all 127.0.0.1/32 cert map=people")
        .ident("people alice bob")
        .extension()
        .start();
    let admin = cluster.admin();
    let arguments = of_alice().replace("'alice'", "'bob'");
    let rows = admin.rows(&format!(
        "select step, check_name, outcome, source from pgtls_explain_login({arguments}) order by step"
    ));
    let shown: Vec<String> = rows
        .iter()
        .map(|row| {
            row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" ")
        })
        .collect();
    let (hba, ident) = (cluster.hba_file(), cluster.ident_file());
    let (hba, ident) = (format!("{}:2", hba.display()), format!("{}:1", ident.display()));
    let mut expected = vec![
        "1 configuration ok -".to_owned(),
        "2 tls ok ssl".to_owned(),
        format!("3 chain ok {}", cluster.tls_path("ca.crt").display()),
        "4 purpose ok -".to_owned(),
        "5 revocation skipped -".to_owned(),
        "6 validity ok -".to_owned(),
        "7 key ok -".to_owned(),
        "8 subject ok -".to_owned(),
        format!("9 hba_rule ok {hba}"),
        format!("10 client_certificate ok {hba}"),
        format!("11 authentication ok {hba}"),
        format!("12 identity ok {hba}"),
        format!("13 mapping ok {ident}"),
        "14 require_tls skipped -".to_owned(),
        "15 role ok pg_roles".to_owned(),
    ];
    if cluster.version() >= 18 {
        expected.extend(
            [
                "16 reporting ok -",
                "17 connection_slots ok max_connections",
                "18 replication skipped -",
                "19 database ok pg_database",
            ]
            .map(str::to_owned),
        );
    } else {
        expected.extend(
            [
                "16 connection_slots ok max_connections",
                "17 replication skipped -",
                "18 database ok pg_database",
                "19 reporting ok -",
            ]
            .map(str::to_owned),
        );
    }
    expected.push("20 verdict admitted -".to_owned());
    assert_eq!(shown, expected);
}

#[test]
fn the_moment_decides_on_dates() {
    let cluster = Cluster::builder().roles(&["alice"]).extension().start();
    let admin = cluster.admin();
    let arguments = of_alice();
    assert_eq!(check(&admin, &arguments), Some(true));
    for (at, expected) in [("now() + interval '20 years'", "failed"), ("'1999-01-01'", "failed")] {
        let arguments = format!("{arguments}, at => {at}");
        assert_eq!(outcome(&admin, &arguments, "validity"), expected, "{at}");
        assert_eq!(check(&admin, &arguments), Some(false), "{at}");
    }
    for at in ["'infinity'", "'-infinity'", "'30000-01-01'"] {
        let sql = format!("select pgtls_check_login({arguments}, at => {at})");
        assert_eq!(admin.error(&sql).sqlstate, "22008", "{at}");
    }
}

#[test]
fn what_only_another_system_knows_is_unknown() {
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .hba("host all alice 127.0.0.1/32 ident")
        .hba("local all alice peer")
        .hba("hostssl all bob all scram-sha-256")
        .extension()
        .start();
    let admin = cluster.admin();
    admin.run("create role bob login password 'x'");
    for address in ["'127.0.0.1'", "null"] {
        let arguments = format!("null, 'alice', 'postgres', {address}");
        assert_eq!(check(&admin, &arguments), None);
        assert_eq!(outcome(&admin, &arguments, "verdict"), "unknown");
        // Whatever that system says, there is no such database.
        let arguments = format!("null, 'alice', 'nowhere', {address}");
        assert_eq!(check(&admin, &arguments), Some(false));
    }
    let [outcome, detail, _] = step(&admin, "null, 'bob', 'postgres', '::1'", "verdict");
    assert_eq!(outcome.as_deref(), Some("admitted"));
    assert_eq!(detail.as_deref(), Some("admitted if the password is right"));
}

/// By itself, since a server can be built without LDAP, and then refuses a file with such a rule.
#[test]
fn a_rule_with_ldap_is_shown_and_what_it_says_is_unknown() {
    const OPTIONS: &str = r#"ldapserver=192.0.2.1 ldapprefix="cn=" ldapsuffix=",o=y" ldapport=389"#;
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .hba(&format!("host all alice 127.0.0.1/32 ldap {OPTIONS}"))
        .extension()
        .start();
    let admin = cluster.admin();
    assert_eq!(
        admin.row(
            "select auth_method, clientcert, clientname, map_name, error from pgtls_hba_rules
             where line_number = 2"
        ),
        [Some("ldap".to_owned()), None, None, None, None],
    );
    let arguments = "null, 'alice', 'postgres', '127.0.0.1'";
    assert_eq!(check(&admin, arguments), None);
    assert_eq!(outcome(&admin, arguments, "verdict"), "unknown");
    assert_eq!(check(&admin, "null, 'alice', 'nowhere', '127.0.0.1'"), Some(false));
}

#[test]
fn wrong_arguments_are_refused() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    for (arguments, sqlstate) in [
        ("'nonsense', 'alice', 'postgres', null", "22P02"),
        ("null, 'alice', 'postgres', '10.0.0.0/8'", "22023"),
    ] {
        let error = admin.error(&format!("select pgtls_check_login({arguments})"));
        assert_eq!(error.sqlstate, sqlstate, "{arguments}");
        assert!(error.hint.is_some(), "{arguments}");
    }
    assert_eq!(check(&admin, "null, null, 'postgres', null"), None);
    assert_eq!(check(&admin, "null, 'alice', 'postgres', null, ssl => null"), None);
}

#[test]
fn a_file_that_the_server_does_not_load_is_not_what_is_in_force() {
    let cluster = Cluster::builder()
        .roles(&["alice", "bob"])
        .hba("hostssl all all 127.0.0.1/32 cert map=m")
        .ident("m alice alice")
        .extension()
        .start();
    let admin = cluster.admin();
    let arguments = of_alice();
    assert_eq!(check(&admin, &arguments), Some(true));

    // Changed and not loaded yet.
    cluster.write_hba("hostssl all all all reject");
    assert_eq!(check(&admin, &arguments), Some(false));
    let [outcome, detail, source] = step(&admin, &arguments, "configuration");
    assert_eq!(outcome.as_deref(), Some("warning"));
    assert!(detail.is_some_and(|detail| detail.contains("changed since")));
    assert_eq!(source, Some(cluster.hba_file().display().to_string()));
    cluster.client("alice").with(Pki::standard().alice()).login();

    // Changed to something that the server does not load.
    cluster.write_hba("hostssl all all all reject\nhostssl all all all no_such_method");
    let log = cluster.reload();
    assert!(log.contains("no_such_method"), "{log}");
    let errors = "select line_number, error from pgtls_hba_rules where error is not null";
    assert_eq!(
        admin.row(errors),
        admin.row("select line_number, error from pg_hba_file_rules where error is not null")
    );
    assert_eq!(check(&admin, &arguments), None);
    let [outcome, detail, _] = step(&admin, &arguments, "hba_rule");
    assert_eq!(outcome.as_deref(), Some("unknown"));
    let detail = detail.expect("a detail");
    assert!(detail.contains("does not load") && detail.contains("no_such_method"), "{detail}");
    cluster.client("alice").with(Pki::standard().alice()).login();
    // Without a certificate that is trusted, no rule is needed to refuse.
    let untrusted = quote(&Pki::standard().untrusted().bundle_pem());
    let arguments_of_untrusted = format!("{untrusted}, 'alice', 'postgres', '127.0.0.1'");
    assert_eq!(check(&admin, &arguments_of_untrusted), Some(false));

    // The same for mappings.
    cluster.write_hba("hostssl all all 127.0.0.1/32 cert map=m");
    cluster.write_ident("m alice bob\nm /( x");
    assert_eq!(check(&admin, &arguments), None);
    let [outcome, detail, _] = step(&admin, &arguments, "mapping");
    assert_eq!(outcome.as_deref(), Some("unknown"));
    assert!(detail.is_some_and(|detail| detail.contains("parentheses () not balanced")));
    assert_eq!(admin.maybe("select pgtls_check_mapping('alice', 'bob', 'm')"), None);
    let error = admin.error("select * from pgtls_mapped_roles('alice', 'm')");
    assert_eq!(error.sqlstate, "F0000");
    assert_eq!(
        admin.value(
            "select count(*) from pgtls_explain_mapping('alice', 'bob', 'm') where note ~ 'because of this line'"
        ),
        "1"
    );
    let alice = cluster.client("alice").with(Pki::standard().alice()).login();
    assert_eq!(alice.maybe("select ssl_check_mapping('alice')"), None);

    // No file at all.
    std::fs::remove_file(cluster.ident_file()).expect("removed");
    let row = admin.row("select line_number, error from pgtls_ident_mappings");
    assert_eq!(row[0], None);
    assert!(row[1].as_deref().is_some_and(|error| error.contains("No such file")), "{row:?}");
    assert_eq!(check(&admin, &arguments), None);
}

#[test]
fn one_may_ask_about_ones_own_certificate() {
    let cluster = Cluster::builder()
        .roles(&["alice", "bob", "carol"])
        .hba("hostssl all alice all cert")
        .hba("hostssl all carol all cert map=m")
        .hba("hostssl all bob all trust clientcert=verify-ca")
        .hba("hostnossl all bob all trust")
        .ident("m alice carol")
        .ident("m alice bob")
        .ident("\"dn\" \"CN=alice\" postgres")
        .extension()
        .start();
    let pki = Pki::standard();
    let answer = |session: &Session, arguments: &str| {
        session.maybe(&format!("select ssl_check_mapping({arguments})")).map(|answer| answer == "t")
    };
    let alice = cluster.client("alice").with(pki.alice()).login();
    for (arguments, expected) in [
        ("'alice'", Some(true)),
        ("'bob'", Some(false)),
        ("'bob', 'm'", Some(true)),
        ("'alice', 'm'", Some(false)),
        ("'postgres', 'dn'", Some(false)),
        ("'bob', 'none'", Some(false)),
        ("null", None),
    ] {
        assert_eq!(answer(&alice, arguments), expected, "{arguments}");
    }
    let carol = cluster.client("carol").with(pki.alice()).login();
    assert_eq!(answer(&carol, "'carol'"), Some(true));
    assert_eq!(answer(&carol, "'bob'"), Some(true));
    assert_eq!(answer(&carol, "'alice'"), Some(false));
    // The rule takes any certificate, so it maps none.
    let bob = cluster.client("bob").with(pki.alice()).login();
    assert_eq!(answer(&bob, "'bob'"), None);
    let plain = cluster.client("bob").no_tls().login();
    assert_eq!(answer(&plain, "'bob'"), None);
    assert_eq!(answer(&plain, "'bob', 'm'"), None);
}

#[test]
fn a_recorded_session_is_asked_about_the_rule_it_logged_in_by() {
    let cluster = Cluster::builder()
        .roles(&["alice", "bob"])
        .hba("hostssl all all all cert map=m")
        .ident("m alice alice")
        .ident("m alice bob")
        .preloaded()
        .start();
    let alice = cluster.client("alice").with(Pki::standard().alice()).login();
    assert_eq!(alice.value("select ssl_check_mapping('bob')"), "t");
    // Another rule for the next login; the map stays the one of this session's rule.
    cluster.write_hba("hostssl all all all cert");
    cluster.reload();
    assert_eq!(alice.value("select ssl_check_mapping('bob')"), "t");
    let next = cluster.client("alice").with(Pki::standard().alice()).login();
    assert_eq!(next.value("select ssl_check_mapping('bob')"), "f");
}

/// Everything that reveals rules or identities of others.
const GUARDED: &[(&str, &str)] = &[
    ("pgtls_hba_rules", "select * from pgtls_hba_rules"),
    ("pgtls_ident_mappings", "select * from pgtls_ident_mappings"),
    ("pgtls_hba_rules()", "select * from pgtls_hba_rules()"),
    ("pgtls_ident_mappings()", "select * from pgtls_ident_mappings()"),
    ("pgtls_check_mapping(text, name, text)", "select pgtls_check_mapping('a', 'a')"),
    ("pgtls_explain_mapping(text, name, text)", "select * from pgtls_explain_mapping('a', 'a')"),
    ("pgtls_mapped_roles(text, text)", "select * from pgtls_mapped_roles('a')"),
    (
        "pgtls_explain_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean, text, text)",
        "select * from pgtls_explain_login(null, 'a', 'a', null)",
    ),
    (
        "pgtls_check_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean, text, text)",
        "select pgtls_check_login(null, 'a', 'a', null)",
    ),
    (
        "pgtls_login_ends_at(text, name, name, inet)",
        "select * from pgtls_login_ends_at(null, 'a', 'a', null)",
    ),
];

#[test]
fn who_may_ask_is_for_superusers_to_grant() {
    let cluster = Cluster::builder().roles(&["alice", "bob"]).extension().start();
    cluster.sql("grant pg_monitor to alice");
    let pki = Pki::standard();
    let alice = cluster.client("alice").with(pki.alice()).login();
    for (_, sql) in GUARDED {
        assert_eq!(alice.error(sql).sqlstate, "42501", "{sql}");
    }
    assert_eq!(alice.value("select ssl_check_mapping('alice')"), "t");
    for (object, _) in GUARDED {
        let kind = if object.contains('(') { "execute on function" } else { "select on" };
        cluster.sql(&format!("grant {kind} {object} to bob"));
    }
    let bob = cluster.client("bob").with(pki.bob()).login();
    for (_, sql) in GUARDED {
        bob.rows(sql);
    }
}

#[test]
fn a_secret_is_not_shown() {
    let cluster = Cluster::builder().extension().start();
    cluster.write_hba(
        "host all all 10.0.0.1/32 ldap ldapserver=x ldapbasedn=y ldapbinddn=z ldapbindpasswd=TOPSECRET\n\
         host all all 10.0.0.2/32 ldap ldapserver=x ldapbasedn=y ldapbindpasswd TOPSECRET\n\
         host all all 10.0.0.3/32 radius radiusservers=192.0.2.1 radiussecrets=TOPSECRET,\"TOPSECRET\n\
         host all all 10.0.0.4/32 radius radiusservers=192.0.2.1 radiussecrets=TOPSECRET,TOPSECRET,",
    );
    let mark = cluster.mark();
    let admin = cluster.admin();
    admin.run(
        "set client_min_messages = debug5; set log_min_messages = debug5; set log_statement = none",
    );
    let rules = admin.value("select string_agg(r::text, ' ') from pgtls_hba_rules r");
    assert!(rules.contains("not in name=value format"), "{rules}");
    let told = admin
        .value("select string_agg(r::text, ' ') from pgtls_explain_login(null, 'a', 'a', null) r");
    for text in [rules, told, cluster.log_since(mark), admin.notices().join("\n")] {
        assert!(!text.contains("TOPSECRET"), "{text}");
    }
}

/// Asks everything; whatever the files hold, it answers or refuses in good time, and the session
/// goes on.
fn assert_survives(admin: &Session, what: &str) {
    let started = Instant::now();
    for (_, sql) in GUARDED {
        let _ = admin.query(sql);
        assert_eq!(admin.value("select 1"), "1", "{what}: {sql}");
    }
    assert!(started.elapsed() < Duration::from_secs(30), "{what}: {:?}", started.elapsed());
}

#[test]
fn hostile_files_are_answered_or_refused() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    let dir = cluster.data_dir();
    let hba = |text: &[u8]| std::fs::write(cluster.hba_file(), text).expect("written");
    let ident = |text: &[u8]| std::fs::write(cluster.ident_file(), text).expect("written");

    hba(b"local @missing all trust\nlocal all all trust\n");
    let error = admin.value("select error from pgtls_hba_rules where line_number = 1");
    assert!(error.contains("missing") && error.contains("No such file"), "{error}");
    assert_survives(&admin, "missing @file");

    std::fs::write(dir.join("loop"), "@loop\n").expect("written");
    hba(b"local @loop all trust\n");
    assert_survives(&admin, "@file that names itself");

    hba(b"include pg_hba.conf\nlocal all all trust\n");
    ident(b"include pg_ident.conf\n");
    assert_survives(&admin, "file that includes itself");
    if cluster.version() >= 16 {
        let error =
            "select count(*) > 0 from pgtls_hba_rules where error ~ 'maximum nesting depth'";
        assert_eq!(admin.value(error), "t");
    }

    hba(b"local \xff\xfe\x80 \"\xc3\" trust\nlocal all all trust\n");
    ident(b"m\xff \xe9t\xe9 r\xf4le\nm /\xe9(.*) \\1\n");
    assert_eq!(admin.value("select count(*) from pgtls_hba_rules where error is null"), "2");
    assert_eq!(admin.value("select sys_name from pgtls_ident_mappings limit 1"), r"\E9t\E9");
    assert_survives(&admin, "bytes that are no UTF-8");

    hba(&[b"local all ".as_slice(), &b"a".repeat(100_000), b" trust\n"].concat());
    ident(&[b"m /".as_slice(), &b"(".repeat(50_000), b" x\n"].concat());
    assert_survives(&admin, "very long words");

    hba(&b"\0\0\0".repeat(1000));
    ident(b"\0");
    assert_survives(&admin, "null bytes");

    let many: String =
        (0..10_000).map(|n| format!("host db{n} +g{n} 10.0.0.{}/32 cert\n", n % 256)).collect();
    hba(many.as_bytes());
    assert_eq!(admin.value("select count(*) from pgtls_hba_rules"), "10000");
    assert_survives(&admin, "10,000 rules");
}

#[test]
fn hostile_expressions_can_be_cancelled() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    // Back references take exponential time.
    cluster.write_ident(r#"m "/^(x+)(x+)(x+)(x+)\4\3\2\1\1\2\3\4\4y$" \1"#);
    admin.run("set statement_timeout = '300ms'");
    for text in ["repeat('x', 400)", "repeat('x', 2000) || 'y'"] {
        let started = Instant::now();
        let result = admin.query(&format!("select pgtls_check_mapping({text}, 'x', 'm')"));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        if let Err(error) = result {
            assert_eq!(error.sqlstate, "57014", "{error}");
        }
        assert_eq!(admin.value("select 1"), "1");
    }
    // One that is compiled into something huge.
    cluster.write_ident(r#"m "/(((a{1,100}){1,100}){1,100}){1,100}" x"#);
    let started = Instant::now();
    let _ = admin.query("select * from pgtls_ident_mappings");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(admin.value("select 1"), "1");
}

#[test]
fn a_name_outside_ascii_is_matched_by_its_bytes() {
    let cluster = Cluster::builder()
        .roles(&["Жук"])
        .hba("hostssl all all all cert map=m")
        .ident(r"m /^(.*)к$ \1к")
        .extension()
        .start();
    cluster.client("Жук").with(Pki::standard().utf8()).login();
    let admin = cluster.admin();
    assert_eq!(admin.value("select pgtls_check_mapping('Жук', 'Жук', 'm')"), "t");
    let certificate = quote(&Pki::standard().utf8().bundle_pem());
    assert_eq!(
        check(&admin, &format!("{certificate}, 'Жук', 'postgres', '127.0.0.1'")),
        Some(true)
    );
}
