//! `pgtls_client_certificates`: what is remembered of client certificates, and for how long.

use std::path::{Path, PathBuf};

use pgtls_e2e::prelude::*;
use pgtls_e2e::{limit_file_size, state_file};

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

/// The process ID of the background worker, which is in none of the server's views because it has
/// no database.
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

/// Whether it is used is one thing, what it is worth another; and that ends with the first of the
/// chain.
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

/// W30: sessions that stay for weeks, beside clients whose certificates live for minutes.
#[test]
fn who_is_connected_is_not_forgotten() {
    let ca = CertBuilder::new("/CN=ca").ca().self_signed().build();
    let issue = |name: &str, begins: i64| {
        ca.issue(format!("/CN={name}").as_str()).not_before(now() + begins).build()
    };
    let cluster = Cluster::builder()
        .roles(&["guest"])
        .trust(&[&ca])
        .hba("hostssl all all all trust clientcert=verify-ca")
        .set("pgtls_ext.max_client_certificates", 20)
        .preloaded()
        .start();
    let admin = cluster.admin();
    let login = |identity: &Identity| cluster.client("guest").with(identity).login();
    let pooled: Vec<_> = (0..12).map(|number| issue(&format!("pooled{number}"), -100)).collect();
    let mut sessions: Vec<_> = pooled.iter().map(login).collect();
    // Seldom there, and due for nothing.
    let seldom: Vec<_> = (0..3).map(|number| issue(&format!("seldom{number}"), -100)).collect();
    seldom.iter().for_each(|identity| drop(login(identity)));
    let rotating: Vec<_> = (0..50).map(|number| issue("rotating", number - 90)).collect();
    for identity in &rotating {
        let session = login(identity);
        let pid = session.pid();
        drop(session);
        eventually("it has gone", || {
            let count = format!("select count(*) from pg_stat_activity where pid = {pid}");
            admin.value(&count) == "0"
        });
    }
    for (identity, connected) in
        pooled.iter().map(|identity| (identity, "1")).chain(seldom.iter().map(|it| (it, "0")))
    {
        assert_eq!(cell(&admin, identity, "connected").as_deref(), Some(connected));
        assert_eq!(cell(&admin, identity, "superseded_by").as_deref(), None);
    }
    // Five places are left for the others: the last of them, of which one is current.
    let last = rotating.last().expect("there are fifty");
    for (position, identity) in rotating.iter().enumerate() {
        let is_there = position >= 45;
        let expected = is_there.then(|| "1".to_owned());
        assert_eq!(cell(&admin, identity, "logins"), expected, "{position}");
        let by = (45..49).contains(&position).then(|| last.cert.fingerprint());
        assert_eq!(cell(&admin, identity, "superseded_by"), by, "{position}");
    }
    let kinds = "select client_certificates, evicted_client_certificates, evicted_expired, \
         evicted_superseded, evicted_valid, unrecorded_client_certificates from pgtls_status";
    let row = |values: [&str; 6]| values.map(|value| Some(value.to_owned()));
    assert_eq!(admin.row(kinds), row(["20", "45", "0", "45", "0", "0"]));

    // One that has ended goes before one that is good, whoever came last.
    let brief = ca.issue("/CN=brief").not_after(now() + 2).build();
    drop(login(&brief));
    eventually("it has ended", || cell(&admin, &brief, "status").as_deref() == Some("expired"));
    // The rotating one has left three that are superseded.
    let strangers: Vec<_> = (0..8).map(|number| issue(&format!("s{number}"), -50)).collect();
    for identity in &strangers[..5] {
        drop(login(identity));
    }
    assert_eq!(cell(&admin, &brief, "logins"), None);
    assert_eq!(admin.row(kinds)[2].as_deref(), Some("1"));
    assert_eq!(cell(&admin, last, "logins").as_deref(), Some("1"));

    // Eight that stay take the places of all that are not connected; then there is no place.
    sessions.extend(strangers.iter().map(login));
    assert_eq!(admin.value("select count(*) from pgtls_client_certificates"), "20");
    assert_eq!(admin.value("select sum(connected) from pgtls_client_certificates"), "20");
    let before = admin.value("select dropped_records from pgtls_status");
    assert_eq!(before, "0");
    drop(login(&rotating[0]));
    assert_eq!(admin.row(kinds)[5].as_deref(), Some("1"));
    assert_eq!(admin.value("select sum(connected) from pgtls_client_certificates"), "20");
    assert_eq!(admin.value("select dropped_records from pgtls_status"), "0");
    // Who leaves makes room.
    drop(sessions);
    eventually("they have gone", || {
        admin.value("select sum(connected) from pgtls_client_certificates") == "0"
    });
    drop(login(&rotating[0]));
    assert_eq!(cell(&admin, &rotating[0], "logins").as_deref(), Some("1"));

    // After a crash everybody is gone, and the places are free.
    let held = login(&rotating[1]);
    cluster.kill9(held.pid());
    drop((held, admin));
    eventually("the server is back", || {
        cluster.client("guest").with(&rotating[2]).connect().is_ok()
    });
    let admin = cluster.admin();
    let more: Vec<_> = (0..25).map(|number| issue(&format!("more{number}"), -40)).collect();
    more.iter().for_each(|identity| drop(login(identity)));
    assert_eq!(cell(&admin, &more[24], "logins").as_deref(), Some("1"));
    assert_eq!(cell(&admin, &rotating[1], "logins"), None);
}

/// The same identity with a newer certificate: the older one is superseded, in the sessions as
/// well.
#[test]
fn a_newer_certificate_supersedes_those_before_it() {
    let ca = CertBuilder::new("/CN=ca").ca().self_signed().build();
    let alice = |begins: i64| ca.issue("/CN=alice").not_before(now() + begins);
    let (old, new, newest) = (alice(-90).build(), alice(-60).build(), alice(-30).build());
    let uri = alice(-10).san_uri("spiffe://example.com/alice").build();
    let cluster = Cluster::builder().roles(&["alice"]).trust(&[&ca]).preloaded().start();
    let admin = cluster.admin();
    let login = |identity: &Identity| cluster.client("alice").with(identity).login();
    let own = "select superseded from pgtls_sessions where pid = pg_backend_pid()";
    let of_old = login(&old);
    assert_eq!(of_old.value(own), "f");
    // Shown and refused is not logged in.
    cluster.client("postgres").with(&newest).refused();
    assert_eq!(of_old.value(own), "f");
    let of_new = login(&new);
    let of_uri = login(&uri);
    assert_eq!((of_old.value(own), of_new.value(own)), ("t".into(), "f".into()));
    assert_eq!(of_uri.value(own), "f", "a URI is another identity");
    let by = |identity: &Identity| cell(&admin, identity, "superseded_by");
    assert_eq!(by(&old), Some(new.cert.fingerprint()));
    assert_eq!((by(&new), by(&newest), by(&uri)), (None, None, None));
    assert_eq!(admin.maybe(own), None, "without a certificate nothing is");
    // It holds over a restart.
    drop((of_old, of_new, of_uri, admin));
    cluster.restart();
    let admin = cluster.admin();
    assert_eq!(cell(&admin, &old, "superseded_by"), Some(new.cert.fingerprint()));
    assert_eq!(cell(&admin, &uri, "superseded_by"), None);
}

#[test]
fn one_certificate_can_be_forgotten() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["guest"])
        .hba("hostssl all all all trust clientcert=verify-ca")
        .preloaded()
        .start();
    let admin = cluster.admin();
    let login = |identity: &Identity| cluster.client("guest").with(identity).login();
    let kept = [pki.bob(), pki.rsa(), pki.ed25519()];
    let session = login(pki.alice());
    kept.iter().for_each(|identity| drop(login(identity)));
    let forget = |text: &str| format!("select pgtls_forget({})", quote(text));
    let fingerprint = pki.alice().cert.fingerprint();
    // As OpenSSL prints it.
    let pairs = fingerprint.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair));
    let printed = pairs.collect::<Vec<_>>().join(":").to_uppercase();
    assert_eq!(session.error(&forget(&fingerprint)).sqlstate, "42501");
    assert_eq!(admin.value(&forget(&printed)), "t");
    assert_eq!(admin.value(&forget(&fingerprint)), "f");
    assert_eq!(cell(&admin, pki.alice(), "logins"), None);
    for identity in kept {
        let cn = cell(&admin, identity, "cn");
        assert_eq!(cell(&admin, identity, "logins").as_deref(), Some("1"), "{cn:?}");
        assert_eq!(cell(&admin, identity, "serial"), Some(identity.cert.serial()), "{cn:?}");
    }
    drop(login(pki.alice()));
    assert_eq!(cell(&admin, pki.alice(), "logins").as_deref(), Some("1"));
    assert_eq!(admin.error(&forget("alice")).sqlstate, "22023");
    cluster.sql("grant execute on function pgtls_forget(text) to guest");
    assert_eq!(session.value(&forget(&fingerprint)), "t");
    assert_eq!(
        cluster.sql("select count(*) from pgtls_client_certificates")[0][0].as_deref(),
        Some("3")
    );
    // It stays forgotten over a restart.
    drop((session, admin));
    cluster.restart();
    assert_eq!(cell(&cluster.admin(), pki.alice(), "logins"), None);
    assert_eq!(cell(&cluster.admin(), pki.bob(), "logins").as_deref(), Some("1"));
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
        cluster.wait_for_log(mark, "pgtls_ext sets \"pg_stat/pgtls_ext.stat\" aside");
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

/// Somebody may have put anything where the file is kept. The server starts, saves and stops all
/// the same.
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
        cluster.wait_for_log(mark, said);
        cluster.client("alice").with(pki.alice()).login();

        put(&new, what);
        cluster.restart();
        // A directory stands in the way of the new file, and nothing is saved; it is not ours to
        // remove.
        let logins = if what == "directory" { None } else { Some("1") };
        assert_eq!(cell(&cluster.admin(), pki.alice(), "logins").as_deref(), logins, "{what}");
    }
}

/// Without room on the disk, or without the right to write or to read, the server goes on and says
/// so; what was saved before stays whole.
#[test]
fn a_full_disk_and_missing_rights_keep_nobody_out() {
    use std::os::unix::fs::PermissionsExt;

    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice", "bob"]).preloaded().start();
    cluster.shut_down(Shutdown::Fast);
    // More than the disk has room for, below.
    std::fs::write(file(&cluster), state_file(900)).unwrap();
    cluster.start_again();
    cluster.client("alice").with(pki.alice()).login();
    cluster.restart();
    let saved = || std::fs::read(file(&cluster)).unwrap();
    let with_alice = saved();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let says = |mark, text: &str| {
        eventually(text, || cluster.log_since(mark).contains(text));
    };
    let directory = file(&cluster).parent().unwrap().to_owned();

    // A disk that is full after the first megabyte; the server's log has less.
    let pid = worker(&cluster).expect("there is a worker");
    limit_file_size(pid, Some(1 << 20));
    cluster.client("bob").with(pki.bob()).login();
    let mark = cluster.mark();
    cluster.reload();
    says(mark, "pgtls_ext could not write \"pg_stat/pgtls_ext.stat.tmp\": File too large");
    assert_eq!(saved(), with_alice);
    assert!(!file(&cluster).with_extension("stat.tmp").exists(), "it would take up room");
    limit_file_size(pid, None);

    // A directory that only its owner's group could write, as on a disk mounted read-only.
    mode(&directory, 0o500);
    let mark = cluster.mark();
    cluster.reload();
    says(mark, "pgtls_ext could not write \"pg_stat/pgtls_ext.stat.tmp\": Permission denied");
    assert_eq!(worker(&cluster), Some(pid));
    cluster.client("bob").with(pki.bob()).login();
    mode(&directory, 0o700);
    cluster.restart();
    assert_ne!(saved(), with_alice);
    assert_eq!(cell(&cluster.admin(), pki.bob(), "logins").as_deref(), Some("2"));

    // A file that the server may not read, as one that root has left there.
    cluster.shut_down(Shutdown::Fast);
    mode(&file(&cluster), 0o000);
    let mark = cluster.mark();
    cluster.start_again();
    says(mark, "aside as \"pg_stat/pgtls_ext.stat.damaged\": Permission denied");
    cluster.client("alice").with(pki.alice()).login();
    assert_eq!(cell(&cluster.admin(), pki.alice(), "logins").as_deref(), Some("1"));
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
        cluster.wait_for_log(mark, &format!("pgtls_ext.stat.damaged\": {why}"));
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

#[test]
fn a_server_that_stops_while_its_file_is_read_loses_nothing() {
    const CERTIFICATES: u32 = 10_000;
    let cluster = Cluster::builder()
        .set("pgtls_ext.max_client_certificates", CERTIFICATES)
        .preloaded()
        .start();
    cluster.shut_down(Shutdown::Fast);
    let content = state_file(CERTIFICATES);
    std::fs::write(file(&cluster), &content).unwrap();
    for _ in 0..3 {
        // Perhaps before it is read, perhaps in the middle of it.
        cluster.start_again();
        cluster.shut_down(Shutdown::Fast);
        assert!(std::fs::read(file(&cluster)).unwrap() == content, "nothing new was there to save");
    }
    cluster.start_again();
    eventually("the file is read", || {
        cluster.admin().value("select client_certificates from pgtls_status")
            == CERTIFICATES.to_string()
    });
}
