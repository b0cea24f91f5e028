//! `pgtls_client_certificates`: what is remembered of client certificates, and for how long.

use std::path::{Path, PathBuf};

use pgtls_e2e::prelude::*;

/// One cell of a certificate's row.
fn cell(admin: &Session, identity: &Identity, column: &str) -> Option<String> {
    let fingerprint = identity.cert.fingerprint();
    let rows = admin.rows(&format!(
        "select ({column})::text from pgtls_client_certificates where fingerprint = {}",
        quote(&fingerprint)
    ));
    rows.first().and_then(|row| row[0].clone())
}

pub(super) fn file(cluster: &Cluster) -> PathBuf {
    cluster.data_dir().join("pg_stat/pgtls_ext.stat")
}

/// The process ID of the background worker, which is in none of the server's views because it has no database.
pub(super) fn worker(cluster: &Cluster) -> Option<u32> {
    let parent = format!("PPid:\t{}\n", cluster.pid());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid: &u32| {
        let read =
            |file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("status").contains(&parent) && read("cmdline").contains("pgtls_ext worker")
    })
}

#[test]
fn a_certificate_is_remembered_with_who_used_it() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "bob"])
        .hba("hostssl all bob all trust clientcert=verify-ca")
        .hba("hostssl all all all cert")
        .preloaded()
        .start();
    cluster.database("other", "UTF8");
    let admin = cluster.admin();
    assert_eq!(admin.value("select count(*) from pgtls_client_certificates"), "0");
    let alice = cluster.client("alice").with(pki.alice()).login();
    let other = cluster.client("bob").with(pki.alice()).database("other").login();
    cluster.client("postgres").with(pki.alice()).refused();
    cluster.client("alice").with(pki.bob()).refused();
    // What the server could not verify leaves no trace here.
    cluster.client("alice").with(pki.untrusted()).refused();
    for (column, expected) in [
        ("cn", "alice"),
        ("serial", &pki.alice().cert.serial()),
        ("logins", "2"),
        ("failed_logins", "1"),
        ("roles", "{alice,bob}"),
        ("databases", "{other,postgres}"),
        ("host(last_client_addr)", "127.0.0.1"),
        ("connected", "2"),
        ("status", "valid"),
        ("ends_at = not_after", "true"),
        ("last_seen between first_seen and now()", "true"),
    ] {
        assert_eq!(cell(&admin, pki.alice(), column).as_deref(), Some(expected), "{column}");
    }
    assert_eq!(cell(&admin, pki.bob(), "logins").as_deref(), Some("0"));
    assert_eq!(cell(&admin, pki.bob(), "status").as_deref(), Some("valid"));
    assert_eq!(admin.value("select count(*) from pgtls_client_certificates"), "2");
    drop((alice, other));
    eventually("nobody is connected", || {
        cell(&admin, pki.alice(), "connected").as_deref() == Some("0")
    });
    assert_eq!(
        cluster
            .client("alice")
            .with(pki.alice())
            .login()
            .error("select * from pgtls_client_certificates")
            .sqlstate,
        "42501"
    );
    admin.run("select pgtls_reset()");
    assert_eq!(admin.value("select count(*) from pgtls_client_certificates"), "0");
    assert_eq!(admin.value("select sum(count) from pgtls_failures"), "0");
    assert_eq!(admin.value("select count(*) from pgtls_recent_failures"), "0");
}

/// Whether it is used is one thing, what it is worth another; and that ends with the first of the chain.
#[test]
fn the_status_is_what_the_certificate_is_worth_and_how_long_it_is() {
    let ca = CertBuilder::new("/CN=ca").ca().self_signed().build();
    let below = |end: i64| ca.issue("/CN=below").ca().not_after(now() + end).build();
    let (brief, long) = (below(3 * DAY), below(3_000 * DAY));
    let alice = |issuer: &Identity, life: i64| {
        issuer.issue("/CN=alice").not_before(now() - 60).not_after(now() + life).build()
    };
    let cluster = Cluster::builder().roles(&["alice"]).trust(&[&ca]).preloaded().start();
    let admin = cluster.admin();
    let cases = [
        // W4, W15, W31: the oracle is the dates that were asked for.
        (alice(&long, 30 * DAY), "valid", 30 * DAY),
        (alice(&long, 365 * DAY), "valid", 365 * DAY),
        (alice(&long, 3_600), "valid", 3_600),
        (alice(&long, 20), "renew_soon", 20),
        (alice(&brief, 365 * DAY), "valid", 3 * DAY),
        (alice(&brief, 3_600), "valid", 3_600),
    ];
    let check = |client: &Identity, status: &str, end: i64, logins: &str| {
        let cell = |column: &str| cell(&admin, client, column).unwrap_or_default();
        assert_eq!((&*cell("status"), &*cell("logins")), (status, logins));
        let off = format!("abs(extract(epoch from ends_at) - {}) < 60", now() + end);
        assert_eq!(cell(&off), "true", "{status} {end}: {}", cell("ends_at"));
    };
    for (client, status, end) in &cases {
        // Nobody has logged in with it yet.
        cluster.client("postgres").with(client).refused();
        check(client, status, *end, "0");
        let session = cluster.client("alice").with(client).login();
        check(client, status, *end, "1");
        let sql = "select credential_status, abs(extract(epoch from credential_ends_at)";
        let sql = format!("{sql} - {}) < 60 from pgtls_sessions", now() + end);
        let own = format!("{sql} where pid = pg_backend_pid()");
        assert_eq!(session.row(&own), [*status, "t"].map(|value| Some(value.to_owned())));
    }
    // An intermediate in its last third makes all clients below it due.
    let old = ca.issue("/CN=old").ca().not_before(now() - 30 * DAY).not_after(now() + 3 * DAY);
    let client = alice(&old.build(), 365 * DAY);
    cluster.client("alice").with(&client).login();
    check(&client, "renew_soon", 3 * DAY, "1");
    let detail = cell(&admin, &client, "status_detail").unwrap_or_default();
    assert!(detail.starts_with("/CN=old, above it, expires at "), "{detail}");
}

#[test]
fn the_least_recently_seen_is_forgotten_and_counted() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["guest"])
        .hba("hostssl all all all trust clientcert=verify-ca")
        .set("pgtls_ext.max_client_certificates", 2)
        .preloaded()
        .start();
    let admin = cluster.admin();
    for identity in [pki.alice(), pki.bob(), pki.alice(), pki.rsa()] {
        cluster.client("guest").with(identity).login();
    }
    assert_eq!(cell(&admin, pki.alice(), "logins").as_deref(), Some("2"));
    assert_eq!(cell(&admin, pki.bob(), "logins"), None);
    assert_eq!(cell(&admin, pki.rsa(), "logins").as_deref(), Some("1"));
    assert_eq!(
        admin.row("select client_certificates, max_client_certificates, evicted_client_certificates from pgtls_status"),
        ["2", "2", "1"].map(|value| Some(value.to_owned())),
    );
}

#[test]
fn it_survives_a_restart_and_a_file_that_is_no_good() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    cluster.client("alice").with(pki.alice()).login();
    cluster.client("alice").with(pki.expired()).refused();
    // The client hears of it before the server has said so.
    eventually("the failure is counted", || {
        cluster.admin().value("select count from pgtls_failures where reason = 'expired'") == "1"
    });
    let first_seen = cell(&cluster.admin(), pki.alice(), "first_seen");
    cluster.restart();
    let admin = cluster.admin();
    for (column, expected) in [("logins", "1"), ("roles", "{alice}"), ("databases", "{postgres}")] {
        assert_eq!(cell(&admin, pki.alice(), column).as_deref(), Some(expected), "{column}");
    }
    assert_eq!(cell(&admin, pki.alice(), "first_seen"), first_seen);
    assert_eq!(admin.value("select count from pgtls_failures where reason = 'expired'"), "1");
    drop(admin);

    // A crash loses no more than what came after the last write, which was at the restart.
    cluster.shut_down(Shutdown::Immediate);
    cluster.start_again();
    assert_eq!(cell(&cluster.admin(), pki.alice(), "logins").as_deref(), Some("1"));

    // The worker writes as well, once a minute and at a reload.
    let written = || std::fs::metadata(file(&cluster)).and_then(|file| file.modified()).ok();
    let before = written();
    cluster.client("alice").with(pki.alice()).login();
    cluster.reload();
    eventually("the worker has written", || written() != before);
    cluster.shut_down(Shutdown::Immediate);
    cluster.start_again();
    assert_eq!(cell(&cluster.admin(), pki.alice(), "logins").as_deref(), Some("2"));

    // Damaged, cut short, of another version, of something else.
    cluster.shut_down(Shutdown::Fast);
    let good = std::fs::read(file(&cluster)).unwrap();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let mut newer = good.clone();
    newer[8] = 200;
    let cases = [damaged, good[..good.len() / 2].to_vec(), newer, b"nonsense".to_vec(), Vec::new()];
    for bytes in cases {
        std::fs::write(file(&cluster), bytes).unwrap();
        let mark = cluster.mark();
        cluster.start_again();
        assert!(
            cluster.log_since(mark).contains("pgtls_ext sets \"pg_stat/pgtls_ext.stat\" aside")
        );
        assert!(file(&cluster).with_extension("stat.damaged").exists());
        assert_eq!(cluster.admin().value("select count(*) from pgtls_client_certificates"), "0");
        cluster.shut_down(Shutdown::Fast);
    }
    std::fs::write(file(&cluster), good).unwrap();
    cluster.start_again();
    assert_eq!(cell(&cluster.admin(), pki.alice(), "logins").as_deref(), Some("2"));
    cluster.set("pgtls_ext.save", "off");
    cluster.restart();
    assert_eq!(cell(&cluster.admin(), pki.alice(), "logins"), None);
}

/// Somebody may have put anything where the file is kept. The server starts, saves and stops all the same.
#[test]
fn what_is_not_a_file_keeps_the_server_neither_from_starting_nor_from_stopping() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let kept = file(&cluster);
    let new = kept.with_extension("stat.tmp");
    let put = |path: &Path, what: &str| {
        let (program, arguments) = match what {
            "FIFO" => ("mkfifo", [].as_slice()),
            "link" => ("ln", ["-s", "/dev/zero"].as_slice()),
            _ => ("mkdir", [].as_slice()),
        };
        let done = std::process::Command::new(program).args(arguments).arg(path).status();
        assert!(done.expect("the program is there").success(), "{what}");
    };
    for what in ["FIFO", "link", "directory"] {
        cluster.shut_down(Shutdown::Fast);
        let _ = std::fs::remove_file(&kept);
        let damaged = kept.with_extension("stat.damaged");
        let _ = std::fs::remove_file(&damaged);
        put(&kept, what);
        let mark = cluster.mark();
        cluster.start_again();
        let said = "sets \"pg_stat/pgtls_ext.stat\" aside as \"pg_stat/pgtls_ext.stat.damaged\": not a regular file";
        assert!(cluster.log_since(mark).contains(said), "{what}: {}", cluster.log_since(mark));
        cluster.client("alice").with(pki.alice()).login();

        put(&new, what);
        cluster.restart();
        // A directory stands in the way of the new file, and nothing is saved; it is not ours to remove.
        let logins = if what == "directory" { None } else { Some("1") };
        assert_eq!(cell(&cluster.admin(), pki.alice(), "logins").as_deref(), logins, "{what}");
    }
}

/// The inventory at its largest setting makes a file larger than any CRL that is read.
#[test]
fn a_large_file_is_read_and_an_endless_one_is_not() {
    let cluster = Cluster::builder().preloaded().start();
    for (bytes, why) in [
        ((256_u64 << 20) + 1, "it is no state file of pgtls_ext"),
        ((1 << 30) + 1, "larger than 1073741824 bytes"),
    ] {
        cluster.shut_down(Shutdown::Fast);
        let sparse = std::fs::File::create(file(&cluster)).unwrap();
        sparse.set_len(bytes).unwrap();
        let mark = cluster.mark();
        cluster.start_again();
        let log = cluster.log_since(mark);
        assert!(log.contains(&format!("pgtls_ext.stat.damaged\": {why}")), "{bytes}: {log}");
        std::fs::remove_file(file(&cluster).with_extension("stat.damaged")).unwrap();
    }
}

/// Where the data directory is open to a group, so is this file, as the server's own are.
#[test]
fn the_file_has_the_mode_of_the_servers_own() {
    use std::os::unix::fs::PermissionsExt;

    let cluster = Cluster::builder().preloaded().start();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (directory, expected) in [(0o700, 0o600), (0o750, 0o640)] {
        cluster.shut_down(Shutdown::Fast);
        let permissions = std::fs::Permissions::from_mode(directory);
        std::fs::set_permissions(cluster.data_dir(), permissions).unwrap();
        cluster.start_again();
        // A change, or there is nothing to write.
        cluster.sql("select pgtls_reset()");
        cluster.restart();
        assert_eq!(mode(file(&cluster)), expected);
    }
}

#[test]
fn a_standby_has_its_own() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let standby = cluster.standby();
    standby.client("alice").with(pki.alice()).login();
    let admin = standby.admin();
    assert_eq!(cell(&admin, pki.alice(), "logins").as_deref(), Some("1"));
    assert_eq!(cell(&admin, pki.alice(), "status").as_deref(), Some("valid"));
    drop(admin);
    standby.restart();
    assert_eq!(cell(&standby.admin(), pki.alice(), "logins").as_deref(), Some("1"));
}

#[test]
fn a_fault_under_the_lock_leaves_no_lock_behind() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    cluster.set("pgtls_ext.debug_fault", "certificate");
    cluster.reload();
    let broken = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(admin.value("select dropped_records from pgtls_status"), "1");
    cluster.set("pgtls_ext.debug_fault", "none");
    cluster.reload();
    cluster.client("alice").with(pki.alice()).login();
    assert!(cell(&admin, pki.alice(), "logins").is_some());
    // A process of the server that is killed takes the others along, and everybody starts anew.
    let first = worker(&cluster).expect("there is a worker");
    cluster.kill9(first);
    drop((admin, broken));
    cluster.client("alice").with(pki.alice()).login();
    eventually("the worker is back", || worker(&cluster).is_some_and(|pid| pid != first));
}
