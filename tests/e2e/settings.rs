//! `pgtls_status`, and the settings that change what the server does.

use pgtls_e2e::prelude::*;

#[test]
fn the_status_knows_whether_a_reload_took() {
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    let status = |column: &str| admin.maybe(&format!("select {column}::text from pgtls_status"));
    assert_eq!(status("preloaded").as_deref(), Some("true"));
    assert_eq!(status("ssl_on").as_deref(), Some("true"));
    assert_eq!(status("last_reload_at"), None);
    assert_eq!(status("last_reload_ok"), None);
    // The session that set the cluster up may still be leaving.
    eventually("one session", || status("tracked_sessions").as_deref() == Some("1"));
    assert_eq!(status("dropped_records").as_deref(), Some("0"));
    // The server's is the one that the tests have.
    let openssl =
        if openssl::version::number() >= 0x3000_0000 { "OpenSSL 3." } else { "OpenSSL 1.1.1" };
    assert!(status("openssl_built").unwrap().starts_with(openssl));
    assert!(status("openssl_runtime").unwrap().starts_with(openssl));
    let started = status("context_loaded_at").unwrap();

    cluster.reload();
    assert_eq!(status("last_reload_ok").as_deref(), Some("true"));
    let loaded = status("context_loaded_at").unwrap();
    assert!(loaded > started);
    let alice = cluster.client("alice").with(Pki::standard().alice()).login();
    let context_of = |session: &Session| {
        admin.maybe(&format!(
            "select context_loaded_at::text from pgtls_sessions where pid = {}",
            session.pid()
        ))
    };
    // From 19 on a connection has a context of its own, which does not tell when the server loaded
    // it.
    let known = (cluster.version() < 19).then(|| loaded.clone());
    assert_eq!(context_of(&alice), known);

    std::fs::write(cluster.tls_path("server.crt"), "nonsense").unwrap();
    cluster.reload();
    assert_eq!(status("last_reload_ok").as_deref(), Some("false"));
    assert_eq!(status("context_loaded_at").as_deref(), Some(&*loaded));
    assert!(status("last_reload_at").unwrap() > loaded);
    // New sessions are made with the old context, too.
    let later = cluster.client("alice").with(Pki::standard().alice()).login();
    assert_eq!(context_of(&later), known);
}

#[test]
fn without_preloading_the_status_says_so_and_the_rest_is_an_error() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    assert_eq!(
        admin
            .row("select preloaded, ssl_on, context_loaded_at, tracked_sessions from pgtls_status"),
        [Some("f".to_owned()), Some("t".to_owned()), None, None],
    );
    for statement in [
        "select * from pgtls_client_certificates",
        "select * from pgtls_failures",
        "select * from pgtls_recent_failures",
        "select * from pgtls_terminate_invalid()",
        "select pgtls_reset()",
    ] {
        let error = admin.error(statement);
        assert_eq!(error.sqlstate, "55000", "{statement}");
        let hint = "Add pgtls_ext to shared_preload_libraries and restart the server.";
        assert_eq!(error.hint.as_deref(), Some(hint), "{statement}");
    }
}

#[test]
fn only_who_may_can_see_and_end() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    for statement in [
        "select * from pgtls_status",
        "select * from pgtls_status()",
        "select * from pgtls_client_certificates()",
        "select * from pgtls_failures()",
        "select * from pgtls_terminate_invalid()",
        "select pgtls_reset()",
    ] {
        assert_eq!(alice.error(statement).sqlstate, "42501", "{statement}");
    }
    cluster.sql("grant pg_monitor to alice");
    for view in
        ["pgtls_status", "pgtls_client_certificates", "pgtls_failures", "pgtls_recent_failures"]
    {
        alice.run(&format!("select * from {view}"));
    }
    assert_eq!(alice.error("select * from pgtls_terminate_invalid()").sqlstate, "42501");
    assert_eq!(alice.error("select pgtls_reset()").sqlstate, "42501");
    assert_eq!(alice.error("set pgtls_ext.require_tls = on").sqlstate, "55P02");
}

#[test]
fn require_tls_refuses_plain_tcp_and_nothing_else() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .hba("local all all trust")
        .hba("host all all all trust")
        .set("pgtls_ext.require_tls", "on")
        .preloaded()
        .start();
    let error = cluster.client("alice").no_tls().refused();
    assert_eq!(error.sqlstate.as_deref(), Some("28000"));
    assert_eq!(error.message, "connections over TCP without TLS are not allowed");
    cluster.client("alice").with(pki.alice()).login();
    cluster.client("alice").unix().login();
    let admin = cluster.admin();
    assert_eq!(
        admin.row("select reason, host(client_addr), usename from pgtls_recent_failures"),
        ["plaintext_refused", "127.0.0.1", "alice"].map(|value| Some(value.to_owned())),
    );
    // It does not depend on the recorder.
    cluster.set("pgtls_ext.track", "off");
    cluster.reload();
    cluster.client("alice").no_tls().refused();
    assert_eq!(admin.value("select sum(count) from pgtls_failures"), "1");
    let untracked = cluster.client("alice").with(pki.alice()).login();
    let source = format!("select source from pgtls_sessions where pid = {}", untracked.pid());
    assert_eq!(admin.value(&source), "pg_stat_ssl");
    cluster.set("pgtls_ext.require_tls", "off");
    cluster.reload();
    cluster.client("alice").no_tls().login();
}

#[test]
fn sessions_of_invalid_certificates_are_ended_and_no_others() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "bob"])
        .crl_file(&[pki.root_crl(), &pki.crl(pki.intermediate()).build()])
        .preloaded()
        .start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let bob = cluster.client("bob").with(pki.bob()).login();
    let end = |how: &str| {
        admin.rows(&format!(
            "select pid, usename, credential_status, terminated from pgtls_terminate_invalid({how})"
        ))
    };
    assert!(end("").is_empty());
    let crl = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    cluster.replace_crl(&[pki.root_crl(), &crl]);
    assert!(end("false").is_empty(), "the server has not loaded it");
    let pid = alice.pid();
    let row = |terminated: &str| {
        vec![
            [&pid.to_string(), "alice", "revoked", terminated].map(|v| Some(v.to_owned())).to_vec(),
        ]
    };
    assert_eq!(end("on_file => true"), row("f"));
    cluster.reload();
    assert_eq!(end(""), row("f"));
    assert_eq!(end("true"), row("f"));
    assert_eq!(end("false"), row("t"));
    let gone = format!("select from pg_stat_activity where pid = {pid}");
    eventually("the session ends", || admin.rows(&gone).is_empty());
    assert_eq!(bob.value("select 1"), "1");
    assert!(end("false").is_empty());
}

#[test]
fn the_worker_says_and_ends_what_is_invalid() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "bob"])
        .crl_file(&[pki.root_crl(), &pki.crl(pki.intermediate()).build()])
        .set("pgtls_ext.credential_check_interval", "1s")
        .preloaded()
        .start();
    let admin = cluster.admin();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let bob = cluster.client("bob").with(pki.bob()).login();
    let mark = cluster.mark();
    let crl = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    cluster.replace_crl(&[pki.root_crl(), &crl]);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(!cluster.log_since(mark).contains("is revoked"), "the server would admit her");
    cluster.reload();
    let said = format!(
        "client certificate \"/CN=alice\" of process {} is revoked: certificate revoked at depth 0",
        alice.pid()
    );
    cluster.wait_for_log(mark, &said);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(cluster.log_since(mark).matches("is revoked").count(), 1, "said once");
    assert_eq!(alice.value("select 1"), "1");
    cluster.set("pgtls_ext.credential_action", "terminate");
    cluster.reload();
    let gone = format!("select from pg_stat_activity where pid = {}", alice.pid());
    eventually("the session ends", || admin.rows(&gone).is_empty());
    assert_eq!(bob.value("select 1"), "1");

    // The server has not loaded this file, and would admit bob again at once.
    let mark = cluster.mark();
    cluster.replace_ca(&[&pki.other_root().cert]);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(!cluster.log_since(mark).contains("is untrusted"));
    assert_eq!(bob.value("select 1"), "1");
    cluster.reload();
    let gone = format!("select from pg_stat_activity where pid = {}", bob.pid());
    eventually("the session ends", || admin.rows(&gone).is_empty());
}

/// From 19 on the server can choose the CA file by the host name that a client asks for. What the
/// worker compares with is `ssl_ca_file` alone, so it ends nobody then.
#[test]
fn the_worker_only_says_what_is_invalid_while_the_server_chooses_by_host() {
    if Installation::get().version < 19 {
        return;
    }
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .crl_file(&[pki.root_crl(), &pki.crl(pki.intermediate()).build()])
        .set("ssl_sni", "on")
        .set("pgtls_ext.credential_check_interval", "1s")
        .set("pgtls_ext.credential_action", "terminate")
        .preloaded()
        .start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let mark = cluster.mark();
    let crl = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    cluster.replace_crl(&[pki.root_crl(), &crl]);
    cluster.reload();
    cluster.wait_for_log(mark, &format!("of process {} is revoked", alice.pid()));
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(alice.value("select 1"), "1");
}
