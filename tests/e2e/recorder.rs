//! `pgtls_sessions` with the recorder: every session, its rule, its certificate and what that is
//! worth now.

use std::thread;

use pgtls_e2e::prelude::*;

/// One cell of a session's row, as another session sees it.
fn cell(observer: &Session, pid: u32, column: &str) -> Option<String> {
    observer.maybe(&format!("select {column}::text from pgtls_sessions where pid = {pid}"))
}

/// A column that has no NULLs.
fn names(session: &Session, sql: &str) -> Vec<String> {
    session.column(sql).into_iter().flatten().collect()
}

#[test]
fn a_session_is_described_to_others() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "guest"])
        .hba("hostssl all alice all cert map=people")
        .hba("hostssl all all all trust clientcert=verify-ca clientname=DN")
        .hba("host all all all trust")
        .ident("people alice alice")
        .preloaded()
        .start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(pki.alice()).application_name("app").login();
    let identity = alice.value("select ssl_client_dn_rfc2253()");
    let line = Cluster::FIRST_HBA_LINE;
    for (column, expected) in [
        ("auth_method", Some("cert".to_owned())),
        ("auth_identity", Some(identity)),
        ("line_number", Some(line.to_string())),
        ("map_name", Some("people".to_owned())),
        ("clientcert", Some("verify-full".to_owned())),
        ("clientname", Some("CN".to_owned())),
        ("client_cn", Some("alice".to_owned())),
        ("client_subject", Some(alice.value("select ssl_client_dn()"))),
        ("client_fingerprint", Some(pki.alice().cert.fingerprint())),
        ("client_serial", Some(pki.alice().cert.serial())),
        ("client_chain_length", Some("3".to_owned())),
        ("client_chain_recorded", Some("3".to_owned())),
        ("key_exchange_group", alice.maybe("select ssl_key_exchange_group()")),
        ("sni", alice.maybe("select ssl_sni()")),
        ("alpn", alice.maybe("select ssl_alpn()")),
        ("version", alice.maybe("select ssl_version()")),
        ("cipher", alice.maybe("select ssl_cipher()")),
        ("bits", alice.maybe("select ssl_cipher_bits()::text")),
        ("application_name", Some("app".to_owned())),
        ("credential_status", Some("valid".to_owned())),
        ("credential_detail", None),
        ("source", Some("recorded".to_owned())),
        ("file_name", (cluster.version() >= 16).then(|| cluster.hba_file().display().to_string())),
    ] {
        assert_eq!(cell(&admin, alice.pid(), column), expected, "{column}");
    }
    // Every column that both have is what the session says of itself.
    let own: Vec<String> = names(
        &admin,
        "select attname::text from pg_attribute where attrelid = 'pgtls_sessions'::regclass
         and attnum > 0 and attname in (select unnest(proargnames) from pg_proc where proname = 'ssl_session')",
    );
    assert!(own.len() > 30, "{own:?}");
    for column in own {
        let said = alice.maybe(&format!("select {column}::text from ssl_session()"));
        assert_eq!(cell(&admin, alice.pid(), &column), said, "{column}");
    }

    let guest = cluster.client("guest").with(pki.alice()).login();
    for (column, expected) in [
        ("auth_method", Some("trust")),
        ("auth_identity", None),
        ("clientcert", Some("verify-ca")),
        ("clientname", Some("DN")),
        ("map_name", None),
        ("client_cn", Some("alice")),
    ] {
        assert_eq!(cell(&admin, guest.pid(), column).as_deref(), expected, "{column}");
    }

    let plain = cluster.client("guest").no_tls().login();
    for (column, expected) in [
        ("ssl", Some("false")),
        ("auth_method", Some("trust")),
        ("clientcert", None),
        ("clientname", None),
        ("client_subject", None),
        ("client_fingerprint", None),
        ("context_loaded_at", None),
        ("credential_status", Some("none")),
        ("source", Some("recorded")),
    ] {
        assert_eq!(cell(&admin, plain.pid(), column).as_deref(), expected, "{column}");
    }
    let gone = guest.pid();
    drop(guest);
    let row = format!("select from pgtls_sessions where pid = {gone}");
    eventually("the row is gone", || admin.rows(&row).is_empty());
}

#[test]
fn a_row_is_visible_to_whom_pg_stat_ssl_shows_it() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "bob", "watcher", "team"])
        .hba("hostssl all all all trust clientcert=verify-ca")
        .preloaded()
        .start();
    let admin = cluster.admin();
    admin.run("grant pg_read_all_stats to watcher");
    admin.run("grant alice to team");
    let sessions: Vec<_> = ["alice", "bob", "watcher", "team"]
        .map(|role| (role, cluster.client(role).with(pki.alice()).login()))
        .into();
    for (role, session) in &sessions {
        let expected = match *role {
            "watcher" => vec!["alice", "bob", "postgres", "team", "watcher"],
            "team" => vec!["alice", "team"],
            own => vec![own],
        };
        let seen = names(session, "select usename::text from pgtls_sessions order by usename");
        assert_eq!(seen, expected, "{role}");
        // The function behind the view keeps the rule by itself.
        let seen = names(
            session,
            "select usename::text from pgtls_sessions() f join pg_stat_activity using (pid) order by usename",
        );
        assert_eq!(seen, expected, "{role}");
        // Where the server's files are is for pg_read_all_settings.
        assert_eq!(session.value("select count(file_name) from pgtls_sessions"), "0");
        assert!(session.error("select * from pgtls_failures").sqlstate == "42501");
        assert!(session.error("select * from pgtls_recent_failures()").sqlstate == "42501");
    }
    let alice = &sessions[0].1;
    admin.run("alter role alice in database postgres set role to bob");
    assert_eq!(names(alice, "select usename::text from pgtls_sessions"), ["alice"]);
    // A role that was given up is not one's own any more.
    admin.run("grant bob to alice");
    alice.run("set role bob");
    assert_eq!(
        names(
            alice,
            "select usename::text from pgtls_sessions() join pg_stat_activity using (pid)"
        ),
        ["bob"]
    );
}

#[test]
fn the_planner_leaves_the_recorded_facts_out_where_nobody_asks() {
    let cluster = Cluster::builder().preloaded().start();
    let admin = cluster.admin();
    let plan = |columns: &str| {
        names(&admin, &format!("explain select {columns} from pgtls_sessions")).join("\n")
    };
    let scan = "Function Scan on pgtls_sessions";
    assert!(!plan("pid, usename, ssl, version, cipher, bits").contains(scan));
    assert!(plan("client_cn").contains(scan));
}

#[test]
fn the_standing_of_a_certificate_follows_what_is_in_force() {
    let pki = Pki::standard();
    let soon = pki.issue("/CN=alice").by(pki.intermediate());
    let soon = soon.not_before(now() - 100 * DAY).valid_days(30).build();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .crl_file(&[pki.root_crl(), &pki.crl(pki.intermediate()).build()])
        .preloaded()
        .start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let other = cluster.client("alice").with(&soon).login();
    let standing = |session: &Session| {
        let pid = session.pid();
        println!("{:?}", cell(&admin, pid, "credential_detail"));
        cell(&admin, pid, "credential_status").unwrap()
    };
    let on_file =
        |session: &Session| cell(&admin, session.pid(), "credential_status_on_file").unwrap();
    assert_eq!((standing(&alice), standing(&other)), ("valid".into(), "renew_soon".into()));
    admin.run("set pgtls_ext.renewal_window = '10d'");
    assert_eq!(standing(&other), "valid");
    // What the files say is in force after a reload, and not before. The session that asks is older
    // than all of them.
    let step = |before: &str, after: &str| {
        assert_eq!((standing(&alice), on_file(&alice)), (before.into(), after.into()));
        cluster.reload();
        assert_eq!((standing(&alice), on_file(&alice)), (after.into(), after.into()));
        let login = cluster.client("alice").with(pki.alice()).connect();
        assert_eq!(login.is_ok(), after == "valid", "{after}");
    };
    cluster.replace_crl(&[
        pki.root_crl(),
        &pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build(),
    ]);
    step("valid", "revoked");
    assert_eq!((standing(&other), on_file(&other)), ("valid".into(), "valid".into()));
    cluster.replace_crl(&[pki.root_crl(), &pki.crl(pki.intermediate()).stale().build()]);
    step("revoked", "crl_unavailable");
    cluster.replace_crl(&[pki.root_crl()]);
    step("crl_unavailable", "crl_unavailable");
    cluster.replace_crl(&[pki.root_crl(), &pki.crl(pki.intermediate()).build()]);
    step("crl_unavailable", "valid");
    cluster.replace_ca(&[&pki.other_root().cert]);
    step("valid", "untrusted");
}

/// The server goes on with what it has, and so do we, for sessions of any age.
#[test]
fn a_reload_that_does_not_take_changes_no_standing() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let standings = |session: &Session| {
        let pid = alice.pid();
        ["credential_status", "credential_status_on_file"]
            .map(|column| cell(session, pid, column).unwrap())
    };
    let status = |column: &str| admin.maybe(&format!("select {column} from pgtls_status"));
    assert_eq!(status("last_reload_error"), None);
    cluster.replace_ca(&[&pki.other_root().cert]);
    std::fs::write(cluster.tls_path("server.crt"), "no certificate").unwrap();
    for _ in 0..3 {
        cluster.reload();
        assert_eq!(standings(&admin), ["valid", "untrusted"]);
        assert_eq!(standings(&cluster.admin()), ["valid", "untrusted"]);
        let said = status("last_reload_error").unwrap_or_default();
        assert!(said.starts_with("SSL configuration was not reloaded: could not load"), "{said}");
        assert!(said.contains("server.crt"), "{said}");
        cluster.client("alice").with(pki.alice()).login();
    }
    assert_eq!(status("last_reload_ok").as_deref(), Some("f"));
    cluster.replace_server(pki.server());
    cluster.reload();
    assert_eq!(standings(&admin), ["untrusted", "untrusted"]);
    assert_eq!(standings(&cluster.admin()), ["untrusted", "untrusted"]);
    assert_eq!(status("last_reload_ok").as_deref(), Some("t"));
    assert_eq!(status("last_reload_error"), None);
    assert!(cluster.client("alice").with(pki.alice()).connect().is_err());
}

/// A file that is gone for a moment, or broken, must not make every session of the server look bad.
#[test]
fn a_file_that_cannot_be_read_says_nothing_against_a_certificate() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .crl_file(&[pki.root_crl(), pki.intermediate_crl()])
        .preloaded()
        .start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let standing = |expected: &str| {
        let pid = alice.pid();
        assert_eq!(cell(&admin, pid, "credential_status").as_deref(), Some("valid"));
        assert_eq!(cell(&admin, pid, "credential_status_on_file").as_deref(), Some(expected));
        for how in ["false", "false, on_file => true"] {
            let end = format!("select max(pid) from pgtls_terminate_invalid({how})");
            assert_eq!(admin.maybe(&end), None);
        }
    };
    standing("valid");
    cluster.replace_crl_bytes(b"no list");
    standing("unknown");
    cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl()]);
    let ca_file = cluster.tls_path("ca.crt");
    let aside = ca_file.with_extension("aside");
    std::fs::rename(&ca_file, &aside).unwrap();
    standing("unknown");
    std::fs::rename(&aside, &ca_file).unwrap();
    standing("valid");
}

#[test]
fn a_chain_that_was_cut_is_not_called_untrusted() {
    let pki = Pki::standard();
    let mut leaf = pki.issue("/CN=alice").by(pki.intermediate());
    // The room that texts may take is free for the chain where they do not.
    while leaf.clone().build().cert.der().len() < 4700 {
        leaf = leaf.san_dns("a-name-that-fills-the-certificate.example.com");
    }
    let leaf = leaf.build();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .set("pgtls_ext.session_chain_bytes", "1kB")
        .preloaded()
        .start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(&leaf).login();
    assert_eq!(cell(&admin, alice.pid(), "client_chain_recorded").as_deref(), Some("1"));
    assert_eq!(cell(&admin, alice.pid(), "credential_status").as_deref(), Some("unknown"));
    let detail = cell(&admin, alice.pid(), "credential_detail");
    assert_eq!(detail.as_deref(), Some("the chain was too large to be recorded whole"));
}

#[test]
fn the_end_of_a_certificate_comes_during_its_session() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    // Long enough to log in and look, on a busy machine too.
    let brief = pki.issue("/CN=alice").by(pki.intermediate()).not_after(now() + 10).build();
    let alice = cluster.client("alice").with(&brief).login();
    let standing = || cell(&admin, alice.pid(), "credential_status");
    assert_eq!(standing().as_deref(), Some("renew_soon"));
    eventually("the certificate expires", || standing().as_deref() == Some("expired"));
}

#[test]
fn a_chain_that_does_not_fit_is_cut_and_says_so() {
    let pki = Pki::standard();
    let mut large = pki.issue("/CN=alice").by(pki.intermediate());
    for number in 0..300 {
        large = large.san_dns(&format!("host-{number}.example.com"));
    }
    let large = large.build();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .set("pgtls_ext.session_chain_bytes", "1kB")
        .preloaded()
        .start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(&large).login();
    assert_eq!(cell(&admin, alice.pid(), "client_fingerprint"), Some(large.cert.fingerprint()));
    assert_eq!(cell(&admin, alice.pid(), "client_chain_length").as_deref(), Some("3"));
    assert_eq!(cell(&admin, alice.pid(), "client_chain_recorded").as_deref(), Some("0"));
    assert_eq!(cell(&admin, alice.pid(), "credential_status").as_deref(), Some("unknown"));
}

#[test]
fn without_preloading_only_the_own_session_is_whole() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).extension().start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(cell(&admin, alice.pid(), "source").as_deref(), Some("pg_stat_ssl"));
    assert_eq!(cell(&admin, alice.pid(), "client_cn"), None);
    let status = cell(&admin, alice.pid(), "credential_status");
    assert_eq!(status.as_deref(), Some("unknown"));
    assert_eq!(cell(&alice, alice.pid(), "source").as_deref(), Some("own"));
    assert_eq!(cell(&alice, alice.pid(), "client_cn").as_deref(), Some("alice"));
    assert_eq!(cell(&alice, alice.pid(), "credential_status").as_deref(), Some("valid"));
    let error = admin.error("select * from pgtls_failures");
    assert_eq!(error.sqlstate, "55000");
    assert!(error.hint.unwrap().contains("shared_preload_libraries"));
    assert_eq!(admin.error("select * from pgtls_recent_failures").sqlstate, "55000");
}

#[test]
fn walsenders_are_sessions_and_workers_are_not() {
    let cluster =
        Cluster::builder().set("wal_level", "logical").roles(&["alice"]).preloaded().start();
    let standby = cluster.standby();
    let admin = cluster.admin();
    eventually("the standby streams", || {
        names(&admin, "select source from pgtls_sessions where backend_type = 'walsender'")
            == ["recorded"]
    });
    assert_eq!(names(&standby.admin(), "select source from pgtls_sessions"), ["recorded"]);
    admin.run("alter role alice replication");
    let force =
        if cluster.version() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    thread::scope(|scope| {
        // A walsender that has a database, as logical replication does, with a certificate.
        scope.spawn(|| {
            let psql = cluster.psql("alice").with(Pki::standard().alice());
            psql.parameter("replication", "database").output("select pg_sleep(3)")
        });
        // A session whose work a parallel worker does.
        scope.spawn(|| {
            let session = cluster.admin();
            session.run(&format!("set {force} = on"));
            session.run("select pg_sleep(3)");
        });
        eventually("both are there", || {
            admin.value(
                "select count(*) from pg_stat_activity where backend_type = 'parallel worker'",
            ) == "1"
                && !admin.rows("select from pg_stat_activity where usename = 'alice'").is_empty()
        });
        let alice =
            "select backend_type, datname, client_cn, auth_method, source from pgtls_sessions
                     where usename = 'alice'";
        assert_eq!(
            admin.row(alice),
            ["walsender", "postgres", "alice", "cert", "recorded"].map(|v| Some(v.to_owned())),
        );
        // The standby, alice, the session with the worker, and the one that asks.
        assert_eq!(admin.value("select count(*) from pgtls_sessions()"), "4");
        assert_eq!(admin.value("select tracked_sessions from pgtls_status"), "4");
    });
}

#[test]
fn a_broken_recorder_refuses_no_login() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    cluster.set("pgtls_ext.debug_fault", "session");
    cluster.reload();
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(cell(&admin, alice.pid(), "source").as_deref(), Some("pg_stat_ssl"));
    assert_eq!(cell(&alice, alice.pid(), "source").as_deref(), Some("own"));
    cluster.set("pgtls_ext.debug_fault", "failure");
    cluster.reload();
    let error = cluster.client("alice").with(pki.expired()).refused();
    assert_eq!(error.tls_alert, Some(Alert::CertificateExpired));
    cluster.set("pgtls_ext.debug_fault", "none");
    cluster.reload();
    let again = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(cell(&admin, again.pid(), "source").as_deref(), Some("recorded"));
}

#[test]
fn killed_backends_and_restarts_leave_no_stale_row() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let other = cluster.client("alice").with(pki.alice()).login();
    cluster.kill9(alice.pid());
    drop((alice, other));
    let count = "select count(*) from pgtls_sessions()";
    eventually("one session is left", || cluster.admin().value(count) == "1");
    cluster.shut_down(Shutdown::Immediate);
    cluster.start_again();
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(alice.value(count), "1");
    let admin = cluster.admin();
    admin.run("drop extension pgtls_ext");
    let other = cluster.client("alice").with(pki.alice()).login();
    admin.run("create extension pgtls_ext");
    assert_eq!(cell(&admin, other.pid(), "source").as_deref(), Some("recorded"));
}

#[test]
fn the_status_has_the_last_reset_and_what_openssl_is_told() {
    let cluster = Cluster::builder().preloaded().start();
    let admin = cluster.admin();
    let status = "select stats_reset, openssl_security_level, fips_enabled, \
                  coalesce(fips_provider, false) from pgtls_status";
    let row = admin.row(status);
    assert_eq!(row[0], None);
    assert_eq!(row[2..], ["f", "f"].map(|cell| Some(cell.to_owned())));
    let level = |row: &[Option<String>]| row[1].as_ref().and_then(|it| it.parse::<i32>().ok());
    let default = level(&row).expect("it is known");
    assert!((0..=5).contains(&default), "{default}");
    admin.run("select pgtls_reset()");
    let recent = "select stats_reset between now() - interval '1 minute' and clock_timestamp() \
                  from pgtls_status";
    assert_eq!(admin.value(recent), "t");
    // It is that of new logins: on file alone, nothing changes.
    let other = if default == 1 { 2 } else { 1 };
    cluster.set("ssl_ciphers", format!("DEFAULT:@SECLEVEL={other}"));
    assert_eq!(level(&cluster.admin().row(status)), Some(default));
    cluster.reload();
    eventually("the level is in force", || level(&cluster.admin().row(status)) == Some(other));
}
