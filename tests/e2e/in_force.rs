//! What is in force against what is on file: sessions of any age are asked, and a real login
//! decides who is right.

use pgtls_e2e::address_space;
use pgtls_e2e::prelude::*;

/// A cluster whose `ssl_ca_file` can be replaced, a session from before everything, and what both
/// say.
struct Stage {
    cluster: Cluster,
    old: Session,
}

impl Stage {
    fn new(cluster: Cluster) -> Self {
        let old = cluster.admin();
        Self { cluster, old }
    }

    /// The answer of old and of new sessions, which has to be the same.
    fn value(&self, sql: &str) -> Option<String> {
        let answers = [self.old.maybe(sql), self.cluster.admin().maybe(sql)];
        assert_eq!(answers[0], answers[1], "old and new sessions agree: {sql}");
        let [answer, _] = answers;
        answer
    }

    /// Whether a login as alice is foretold, now and after a reload.
    fn foretold(&self, client: &Identity) -> [bool; 2] {
        [false, true].map(|on_file| {
            let pem = quote(&client.bundle_pem());
            let sql = format!(
                "select pgtls_check_login({pem}, 'alice', 'postgres', '127.0.0.1', on_file => {on_file})"
            );
            self.value(&sql).as_deref() == Some("t")
        })
    }

    fn admits(&self, client: &Identity) -> bool {
        self.cluster.client("alice").with(client).connect().is_ok()
    }

    /// The settings that a reload would change something of.
    fn differs(&self) -> Option<String> {
        self.value("select string_agg(item, ' ' order by item) from pgtls_configuration where not in_force")
    }
}

fn preloaded() -> Builder {
    Cluster::builder().roles(&["alice"]).preloaded()
}

/// W1, W14: a CA file that was not loaded, or not taken, is what nobody is judged by.
#[test]
fn a_ca_that_was_not_loaded_lets_nobody_in() {
    let pki = Pki::standard();
    let stage = Stage::new(preloaded().start());
    let newcomer = pki.other_root().issue("/CN=alice").build();
    let both = [&pki.root().cert, &pki.other_root().cert];
    assert_eq!(stage.differs(), None);
    stage.cluster.replace_ca(&both);
    std::fs::write(stage.cluster.tls_path("server.crt"), "broken").unwrap();
    stage.cluster.reload();
    assert_eq!(stage.foretold(&newcomer), [false, true]);
    assert!(!stage.admits(&newcomer));
    assert_eq!(stage.differs().as_deref(), Some("ssl_ca_file ssl_cert_file"));
    let pem = quote(&newcomer.bundle_pem());
    let said = format!(
        "select string_agg(source, '; ') from pgtls_explain_login({pem}, 'alice', 'postgres', '127.0.0.1') \
         where check_name = 'configuration' and outcome = 'warning'"
    );
    let said = stage.value(&said).unwrap_or_default();
    assert!(said.contains("ssl_ca_file = ") && said.contains("ssl_cert_file = "), "{said}");
    stage.cluster.replace_server(pki.server());
    stage.cluster.reload();
    assert_eq!(stage.foretold(&newcomer), [true, true]);
    assert!(stage.admits(&newcomer));
    assert_eq!(stage.differs(), None);
}

/// W12: what counts is the content, not the time of a file.
#[test]
fn a_link_to_an_older_file_is_a_change_and_chmod_is_none() {
    let pki = Pki::standard();
    let cluster = preloaded()
        .set("pgtls_ext.credential_check_interval", "1s")
        .set("pgtls_ext.credential_action", "terminate")
        .start();
    let (ca, older, newer) =
        (cluster.tls_path("ca.crt"), cluster.tls_path("older.crt"), cluster.tls_path("newer.crt"));
    std::fs::write(&older, pki.other_root().cert.pem()).unwrap();
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    std::fs::File::open(&older).unwrap().set_modified(past).unwrap();
    std::fs::copy(&ca, &newer).unwrap();
    std::fs::remove_file(&ca).unwrap();
    std::os::unix::fs::symlink(&newer, &ca).unwrap();
    cluster.reload();
    let stage = Stage::new(cluster);
    let alice = stage.cluster.client("alice").with(pki.alice()).login();
    assert_eq!(stage.differs(), None);
    std::fs::remove_file(&ca).unwrap();
    std::os::unix::fs::symlink(&older, &ca).unwrap();
    assert_eq!(stage.differs().as_deref(), Some("ssl_ca_file"));
    assert_eq!(stage.foretold(pki.alice()), [true, false]);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(alice.value("select 1"), "1", "the server admits her");
    assert!(stage.admits(pki.alice()));
    // Back again, with another time and another mode.
    std::fs::remove_file(&ca).unwrap();
    std::os::unix::fs::symlink(&newer, &ca).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&newer, mode).unwrap();
    std::fs::File::open(&newer).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    assert_eq!(stage.differs(), None);
    assert_eq!(stage.foretold(pki.alice()), [true, true]);
}

/// W8: every setting and every file is looked at, also those that are not loaded by the session
/// that asks.
#[test]
fn what_was_changed_and_not_reloaded_is_named() {
    let pki = Pki::standard();
    let stage = Stage::new(preloaded().start());
    let fresh = CertBuilder::new("/CN=server").self_signed().build();
    stage.cluster.replace_server(&fresh);
    assert_eq!(stage.differs().as_deref(), Some("ssl_cert_file"));
    stage.cluster.set("ssl_min_protocol_version", "TLSv1.3");
    stage.cluster.set("ssl_ca_file", "");
    assert_eq!(
        stage.differs().as_deref(),
        Some("ssl_ca_file ssl_cert_file ssl_min_protocol_version")
    );
    let min = "select value_in_force || ' ' || value_on_file from pgtls_configuration \
               where item = 'ssl_min_protocol_version'";
    assert_eq!(stage.value(min).as_deref(), Some("TLSv1.2 TLSv1.3"));
    // Not yet in force.
    assert!(stage.admits(pki.alice()));
    assert_eq!(stage.foretold(pki.alice()), [true, false]);
    stage.cluster.reload();
    assert_eq!(stage.differs(), None);
    assert_eq!(stage.foretold(pki.alice()), [false, false]);
    assert!(!stage.admits(pki.alice()));
}

/// W13: what was in place for a moment and was never loaded ends nobody.
#[test]
fn a_file_that_was_never_loaded_ends_nobody() {
    let pki = Pki::standard();
    let cluster = preloaded()
        .set("pgtls_ext.credential_check_interval", "1s")
        .set("pgtls_ext.credential_action", "terminate")
        .start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let mark = cluster.mark();
    cluster.replace_ca(&[&pki.other_root().cert]);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    cluster.replace_ca(&[&pki.root().cert]);
    cluster.reload();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(alice.value("select 1"), "1");
    assert!(!cluster.log_since(mark).contains("untrusted"));
    // One that is loaded does.
    let gone = format!("select from pg_stat_activity where pid = {}", alice.pid());
    cluster.replace_ca(&[&pki.other_root().cert]);
    cluster.reload();
    let admin = cluster.admin();
    eventually("the session ends", || admin.rows(&gone).is_empty());
}

/// W19: the server makes more of a CA file than a store.
#[test]
fn a_ca_file_that_the_server_does_not_load_is_not_on_file() {
    let pki = Pki::standard();
    let stage = Stage::new(preloaded().start());
    let trusted = pki.root().cert.pem().replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    for content in [trusted, pki.root_crl().pem()] {
        std::fs::write(stage.cluster.tls_path("ca.crt"), content).unwrap();
        assert_eq!(stage.foretold(pki.alice()), [true, false]);
        let problem = "select problem from pgtls_configuration where item = 'ssl_ca_file'";
        let problem = stage.value(problem).unwrap_or_default();
        assert!(problem.starts_with("could not load root certificate file"), "{problem}");
        let log = stage.cluster.reload();
        assert!(log.contains("SSL configuration was not reloaded"), "{log}");
        assert_eq!(stage.foretold(pki.alice()), [true, false]);
        assert!(stage.admits(pki.alice()));
    }
}

/// W3: any session sees what is in force, also one without TLS and one that is older than the last
/// reload.
#[test]
fn what_is_in_force_does_not_depend_on_who_asks() {
    let pki = Pki::standard();
    let stage = Stage::new(preloaded().crl_file(&[pki.root_crl(), pki.intermediate_crl()]).start());
    let alice = stage.cluster.client("alice").with(pki.alice()).login();
    stage.cluster.sql("grant pg_monitor to alice");
    let revoking = pki.crl(pki.intermediate()).number(77).build();
    stage.cluster.replace_crl(&[pki.root_crl(), &revoking]);
    let in_force = "select in_force from pgtls_crls where crl_number = 77";
    let everybody = |expected: &str| {
        assert_eq!(stage.value(in_force).as_deref(), Some(expected));
        assert_eq!(alice.value(in_force), expected);
    };
    everybody("f");
    stage.cluster.reload();
    everybody("t");
}

/// After a crash the state is published anew, and a standby has one of its own.
#[test]
fn it_is_known_after_a_crash_and_on_a_standby() {
    let pki = Pki::standard();
    let cluster = preloaded().start();
    cluster.replace_ca(&[&pki.other_root().cert]);
    let killed = cluster.admin();
    cluster.kill9(killed.pid());
    eventually("the server is back", || {
        cluster.client("alice").with(pki.alice()).connect().is_ok()
    });
    let stage = Stage::new(cluster);
    assert_eq!(stage.foretold(pki.alice()), [true, false]);
    stage.cluster.reload();
    assert_eq!(stage.foretold(pki.alice()), [false, false]);
    let standby = Stage::new(stage.cluster.standby());
    assert_eq!(standby.foretold(pki.alice()), [false, false]);
    assert_eq!(standby.value("select in_force_known from pgtls_status").as_deref(), Some("t"));
}

/// Without preloading the files are all that is known.
#[test]
fn without_preloading_both_answers_are_about_the_files() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).extension().start();
    let stage = Stage::new(cluster);
    assert_eq!(stage.value("select in_force_known from pgtls_status").as_deref(), Some("f"));
    assert_eq!(stage.foretold(pki.alice()), [true, true]);
    stage.cluster.replace_ca(&[&pki.other_root().cert]);
    assert_eq!(stage.foretold(pki.alice()), [false, false]);
    assert_eq!(
        stage.value("select count(*) from pgtls_configuration where in_force is not null"),
        Some("0".into())
    );
}

/// Rules and mappings, too, are those that were loaded, and a file that is not taken changes
/// nothing.
#[test]
fn rules_and_mappings_are_those_that_were_loaded() {
    let pki = Pki::standard();
    let hba = "hostssl all all all cert map=m";
    let cluster = preloaded().hba(hba).ident("m alice alice").start();
    let stage = Stage::new(cluster);
    let hint = "select problem from pgtls_configuration where item = 'hba_file'";
    assert_eq!(stage.differs(), None);
    let check = |now: bool, then: bool| {
        assert_eq!(stage.foretold(pki.alice()), [now, then]);
        assert_eq!(stage.admits(pki.alice()), now);
    };
    check(true, true);
    // A comment is no change.
    stage.cluster.write_hba(&format!("# rules\n{hba}"));
    assert_eq!(stage.differs(), None);
    stage.cluster.write_hba(&format!("hostssl all alice all reject\n{hba}"));
    assert_eq!(stage.differs().as_deref(), Some("hba_file"));
    assert_eq!(stage.value(hint).as_deref(), Some("holds other lines than those in force"));
    check(true, false);
    stage.cluster.reload();
    check(false, false);
    // One that is not taken: the one before it stays, also when the server has to start over after
    // a crash.
    stage.cluster.write_hba(&format!("{hba}\nhostssl all"));
    let log = stage.cluster.reload();
    assert!(log.contains("was not reloaded"), "{log}");
    let said = stage.value("select last_reload_error from pgtls_status").unwrap_or_default();
    assert!(said.contains("pg_hba.conf was not reloaded"), "{said}");
    assert!(said.contains("line 3"), "{said}");
    check(false, false);
    let said = stage.value(hint).unwrap_or_default();
    assert!(said.starts_with("the server would not load it, because of "), "{said}");
    let killed = stage.cluster.admin();
    stage.cluster.kill9(killed.pid());
    let stage = Stage::new(stage.cluster);
    assert_eq!(stage.foretold(pki.alice()), [false, false]);
    stage.cluster.write_hba(hba);
    stage.cluster.write_ident("m alice bob");
    stage.cluster.reload();
    assert_eq!(stage.foretold(pki.alice()), [false, false]);
    stage.cluster.write_ident("m alice alice");
    assert_eq!(stage.differs().as_deref(), Some("ident_file"));
    assert_eq!(stage.foretold(pki.alice()), [false, true]);
    assert!(!stage.admits(pki.alice()));
    stage.cluster.restart();
    let stage = Stage::new(stage.cluster);
    assert_eq!(stage.foretold(pki.alice()), [true, true]);
    assert!(stage.admits(pki.alice()));
}

/// A backend inherits the CRLs that the server has read, and does not read them again to say what a
/// certificate is worth.
#[test]
fn a_large_crl_costs_a_fresh_backend_nothing() {
    let pki = Pki::standard();
    let large = pki.crl(pki.intermediate()).many(1_000_000).build();
    let cluster = preloaded().crl_file(&[pki.root_crl(), &large]).start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let ask = format!(
        "select credential_status || ' ' || credential_status_on_file from pgtls_sessions where pid = {}",
        alice.pid()
    );
    let known = "select in_force from pgtls_configuration where item = 'ssl_crl_file'";
    assert_eq!(cluster.admin().value(known), "t");
    // The comparison with the files is made once, by another process, and takes a moment.
    let growth = || {
        let fresh = cluster.admin();
        let before = address_space(fresh.pid());
        let started = std::time::Instant::now();
        assert_eq!(fresh.value(&ask), "valid valid");
        println!("{:?}", started.elapsed());
        address_space(fresh.pid()) - before
    };
    // From 19 on the server shows no context, so a backend reads what was written down of it.
    let is_inherited = cluster.version() < 19;
    eventually("the files have been compared", || growth() < 20_000_000 || !is_inherited);
    // A file that is not the same is read, and its content decides.
    cluster.replace_crl(&[
        pki.root_crl(),
        &pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build(),
    ]);
    assert_eq!(cluster.admin().value(&ask), "valid revoked");
    cluster.reload();
    assert_eq!(cluster.admin().value(&ask), "revoked revoked");
}
