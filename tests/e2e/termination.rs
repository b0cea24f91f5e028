//! Sessions that are ended because of their certificate: the client is told why, an open
//! transaction gets its grace, and a wrong file does not empty the server.

use std::time::{Duration, Instant};

use pgtls_e2e::prelude::*;

/// A server whose worker looks every second.
fn server() -> Builder {
    let pki = Pki::standard();
    Cluster::builder()
        .roles(&["alice", "bob"])
        .crl_file(&[pki.root_crl(), &pki.crl(pki.intermediate()).build()])
        .set("pgtls_ext.credential_check_interval", "1s")
        .set("pgtls_ext.credential_action", "terminate")
        .preloaded()
}

/// Has the server load a CRL that revokes these.
fn revoke(cluster: &Cluster, identities: &[&Identity]) {
    let pki = Pki::standard();
    let crl = pki.crl(pki.intermediate());
    let crl = identities.iter().fold(crl, |crl, identity| crl.revoke(&identity.cert));
    cluster.replace_crl(&[pki.root_crl(), &crl.build()]);
    cluster.reload();
}

const ADMINISTRATOR: &str = "terminating connection due to administrator command";

/// Whether the process is that of a session.
fn is_there(admin: &Session, pid: u32) -> bool {
    admin.value(&format!("select count(*) from pg_stat_activity where pid = {pid}")) == "1"
}

#[test]
fn the_client_is_told_why_and_nobody_else_is() {
    let pki = Pki::standard();
    let cluster = server().set("pgtls_ext.credential_action", "log").start();
    let alice = cluster.psql("alice").with(pki.alice());
    let sleeping = "select pid from pg_stat_activity where query like 'select pg_sleep%' \
                    and state = 'active'";
    let admin = cluster.admin();
    let mark = cluster.mark();
    let told = |end: &str| {
        std::thread::scope(|scope| {
            let client = scope.spawn(|| alice.tool("psql", &["-c", "select pg_sleep(60)"]));
            eventually("she sleeps", || !admin.rows(sleeping).is_empty());
            if end.contains("invalid") {
                revoke(&cluster, &[pki.alice()]);
            }
            admin.rows(end);
            client.join().expect("psql ends").stderr
        })
    };
    // Somebody who is ended for another reason hears nothing of certificates.
    let other = told(&format!("select pg_terminate_backend(pid) from ({sleeping}) s"));
    assert!(other.contains(ADMINISTRATOR) && !other.contains("DETAIL"), "{other}");
    let detail = "DETAIL:  The client certificate has been revoked.";
    assert!(!cluster.log_since(mark).contains(detail));
    let why = told("select * from pgtls_terminate_invalid(dry_run => false)");
    assert!(why.contains(ADMINISTRATOR) && why.contains(detail), "{why}");
    assert_eq!(cluster.log_since(mark).matches(detail).count(), 1);
    assert_eq!(admin.value("select sessions_terminated from pgtls_status"), "1");
}

#[test]
fn an_open_transaction_gets_its_grace_from_the_worker() {
    let pki = Pki::standard();
    let cluster = server().set("pgtls_ext.credential_grace", "4s").start();
    let admin = cluster.admin();
    let idle = cluster.client("alice").with(pki.alice()).login();
    let short = cluster.client("alice").with(pki.alice()).login();
    let long = cluster.client("alice").with(pki.alice()).login();
    let bob = cluster.client("bob").with(pki.bob()).login();
    for session in [&short, &long, &bob] {
        session.run("begin");
    }
    let [idle_pid, short_pid, long_pid] = [&idle, &short, &long].map(Session::pid);
    let there = |pid| is_there(&admin, pid);
    let mark = cluster.mark();
    let started = Instant::now();
    revoke(&cluster, &[pki.alice()]);
    eventually("the idle session ends", || !there(idle_pid));
    assert!(there(short_pid) && there(long_pid));
    cluster.wait_for_log(mark, "is revoked, waiting for its transaction: ");
    short.run("commit");
    eventually("the session ends after its transaction", || !there(short_pid));
    assert!(there(long_pid), "its grace is not over");
    eventually("the grace is over", || !there(long_pid));
    assert!(started.elapsed() > Duration::from_secs(4));
    bob.run("commit");
    let detail = "DETAIL:  The client certificate has been revoked.";
    assert_eq!(cluster.log_since(mark).matches(detail).count(), 3);
    let status = "select sessions_terminated::text, (worker_pid is not null)::text, \
                  (worker_last_check > now() - interval '1 minute')::text, \
                  termination_held_back_at::text from pgtls_status";
    assert_eq!(admin.row(status)[..3], ["3", "true", "true"].map(|cell| Some(cell.to_owned())));
    assert_eq!(admin.row(status)[3], None);
}

#[test]
fn an_open_transaction_gets_its_grace_from_the_function() {
    let pki = Pki::standard();
    let cluster = server().set("pgtls_ext.credential_action", "log").start();
    let admin = cluster.admin();
    let idle = cluster.client("alice").with(pki.alice()).login();
    let busy = cluster.client("alice").with(pki.alice()).login();
    busy.run("begin");
    let pids = [&idle, &busy].map(Session::pid);
    revoke(&cluster, &[pki.alice()]);
    let started = Instant::now();
    let end = "select count(*) filter (where terminated) from pgtls_terminate_invalid(false, \
               grace => '2 seconds')";
    assert_eq!(admin.value(end), "2");
    assert!(started.elapsed() >= Duration::from_secs(2));
    for pid in pids {
        eventually("the session ends", || !is_there(&admin, pid));
    }
    // It can be cancelled while it waits.
    let busy = cluster.client("bob").with(pki.bob()).login();
    busy.run("begin");
    revoke(&cluster, &[pki.alice(), pki.bob()]);
    admin.run("set statement_timeout = 300");
    assert_eq!(admin.error(end).sqlstate, "57014");
    assert_eq!(busy.value("select 1"), "1");
    assert_eq!(admin.value("select count(*) from pgtls_terminate_invalid(null, null)"), "1");
}

#[test]
fn a_wrong_file_does_not_empty_the_server() {
    let pki = Pki::standard();
    let cluster = server().start();
    let admin = cluster.admin();
    let many: Vec<_> = (0..8).map(|_| cluster.client("alice").with(pki.alice()).login()).collect();
    let bob = cluster.client("bob").with(pki.bob()).login();
    let pids: Vec<_> = many.iter().chain([&bob]).map(Session::pid).collect();
    let mark = cluster.mark();
    cluster.replace_ca(&[&pki.other_root().cert]);
    cluster.reload();
    cluster.wait_for_log(
        mark,
        "pgtls_ext ends no session: the certificates of 9 of 9 would not be accepted any more, \
         which is above pgtls_ext.credential_max_share",
    );
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(cluster.log_since(mark).matches("ends no session").count(), 1, "said once");
    for session in many.iter().chain([&bob]) {
        assert_eq!(session.value("select 1"), "1");
    }
    let status =
        "select sessions_terminated, termination_held_back_at is not null from pgtls_status";
    assert_eq!(admin.row(status), ["0", "t"].map(|cell| Some(cell.to_owned())));
    // Whoever has looked at it can have it done.
    let mark = cluster.mark();
    cluster.set("pgtls_ext.credential_max_share", "100");
    cluster.reload();
    for pid in pids {
        eventually("the session ends", || !is_there(&admin, pid));
    }
    let detail = "DETAIL:  The client certificate is not trusted any more.";
    assert_eq!(cluster.log_since(mark).matches(detail).count(), 9);
    assert!(cluster.log_since(mark).contains("is untrusted, terminating its session"));
}
