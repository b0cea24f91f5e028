//! The recorder under load and under attack: counts stay right, rows stay consistent, nobody is
//! locked out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgtls_e2e::prelude::*;

/// How long clients come and go; `PGTLS_STRESS_SECONDS` asks for another time,
/// `PGTLS_STRESS_CLIENTS` for more of them.
const SECONDS: u64 = 10;
const CLIENTS: usize = 12;

fn asked<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Kilobytes of memory of a process that no other process shares.
fn private_memory(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn two_thousand_failures_in_a_row_are_counted_one_by_one() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let _ = cluster.handshake().with(pki.expired()).complete();
                    drop(cluster.handshake().garbage(b"GET / HTTP/1.0\r\n\r\n"));
                }
            });
        }
    });
    let count = |reason: &str| {
        admin.value(&format!("select count from pgtls_failures where reason = '{reason}'"))
    };
    eventually("all are counted", || count("expired") == "1000" && count("other") == "1000");
    assert_eq!(admin.value("select sum(count) from pgtls_failures"), "2000");
    // Equal ones are one row, also if two processes had the first of them at the same time.
    assert_eq!(
        admin.row("select count(*), sum(count) from pgtls_recent_failures"),
        ["2", "2000"].map(|cell| Some(cell.to_owned()))
    );
    assert_eq!(
        admin.value(
            "select count(*) from pgtls_recent_failures where reason = 'expired' and serial is null"
        ),
        "0",
    );
    assert_eq!(admin.value("select dropped_records from pgtls_status"), "0");
    cluster.client("alice").with(pki.alice()).login();
}

#[test]
fn clients_that_hang_or_leave_in_mid_handshake_keep_nobody_out() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    let hanging: Vec<_> = (0..30)
        .map(|number| match number % 3 {
            0 => cluster.handshake().tcp(),
            1 => cluster.handshake().half_hello(),
            _ => cluster.handshake().hello(),
        })
        .collect();
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(alice.value("select source from pgtls_sessions"), "recorded");
    drop(hanging);
    let failed = "select reason, count from pgtls_failures where count > 0";
    eventually("those that had begun are counted", || {
        admin.rows(failed) == [["eof", "20"].map(|value| Some(value.to_owned()))]
    });
    assert_eq!(admin.value("select count(*) from pgtls_sessions()"), "2");
}

#[test]
fn a_certificate_of_ten_megabytes_is_one_more_failure() {
    let pki = Pki::standard();
    let names = vec![0_u8; 10 << 20];
    let huge =
        pki.issue("/CN=alice").by(pki.intermediate()).extension("2.5.29.17", false, &names).build();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let admin = cluster.admin();
    cluster.client("alice").with(&huge).refused();
    eventually("it is counted", || admin.value("select sum(count) from pgtls_failures") == "1");
    println!("{:?}", admin.row("select reason, message from pgtls_recent_failures"));
    assert_eq!(admin.value("select count(*) from pgtls_client_certificates"), "0");
    cluster.client("alice").with(pki.alice()).login();
}

#[test]
fn rows_are_consistent_while_clients_come_and_go() {
    let pki = Pki::standard();
    let roles: Vec<String> = (0..8).map(|number| format!("user{number}")).collect();
    let identities: HashMap<&str, Identity> = roles
        .iter()
        .map(|role| {
            let identity = pki.issue(&*format!("/CN={role}")).by(pki.intermediate()).build();
            (role.as_str(), identity)
        })
        .collect();
    let names: Vec<&str> = roles.iter().map(String::as_str).collect();
    let clients = asked("PGTLS_STRESS_CLIENTS", CLIENTS);
    let cluster = Cluster::builder()
        .roles(&names)
        .set("max_connections", clients + 30)
        .set("log_connections", "off")
        .preloaded()
        .start();
    let (over, logins) = (AtomicBool::new(false), AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(asked("PGTLS_STRESS_SECONDS", SECONDS));
    thread::scope(|scope| {
        for number in 0..clients {
            let (cluster, over, logins, names, identities) =
                (&cluster, &over, &logins, &names, &identities);
            scope.spawn(move || {
                for turn in 0.. {
                    // Also when the reader fails, which ends the test only once everybody has left.
                    if over.load(Ordering::Relaxed) || Instant::now() > end {
                        break;
                    }
                    let role = names[(number + turn) % names.len()];
                    let session = cluster.client(role).with(&identities[role]).login();
                    session.run("select * from pgtls_sessions");
                    logins.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let admin = cluster.admin();
        let (mut rows_seen, mut turns, mut memory) = (0, 0, 0);
        while Instant::now() < end {
            let rows = admin.rows(
                "select usename, client_cn, client_fingerprint, credential_status, source
                 from pgtls_sessions where client_addr is not null and usename is not null and source = 'recorded'",
            );
            for row in &rows {
                let role = row[0].as_deref().unwrap();
                assert_eq!(row[1].as_deref(), Some(role));
                assert_eq!(row[2], Some(identities[role].cert.fingerprint()));
                assert_eq!(row[3].as_deref(), Some("valid"));
            }
            admin.run("select * from pgtls_client_certificates");
            rows_seen += rows.len();
            turns += 1;
            if turns == 20 {
                memory = private_memory(admin.pid());
            }
        }
        over.store(true, Ordering::Relaxed);
        let grown = private_memory(admin.pid()) - memory;
        println!("{rows_seen} rows in {turns} turns, memory grew by {grown} kB");
        assert!(rows_seen > 0 && turns > 20 && grown < 4096);
    });
    let logins = logins.load(Ordering::Relaxed).to_string();
    println!("{logins} logins");
    let admin = cluster.admin();
    assert_eq!(admin.value("select sum(logins) from pgtls_client_certificates"), logins);
    assert_eq!(admin.value("select dropped_records from pgtls_status"), "0");
    assert_eq!(admin.value("select sum(count) from pgtls_failures"), "0");
    eventually("all slots are empty", || {
        admin.value("select tracked_sessions from pgtls_status") == "1"
    });
}

/// Files change and are reloaded all the time, and what is on file would refuse everybody. But each
/// reload that would load it fails, so the server never refuses anybody, and nobody may be ended,
/// by the worker or by the function.
#[test]
fn nobody_is_ended_whom_the_server_admits() {
    let pki = Pki::standard();
    let good = pki.crl(pki.intermediate()).build();
    let revoking = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .crl_file(&[pki.root_crl(), &good])
        .set("pgtls_ext.credential_check_interval", "1s")
        .set("pgtls_ext.credential_action", "terminate")
        .preloaded()
        .start();
    let login = || cluster.client("alice").with(pki.alice()).login();
    let staying: Vec<Session> = (0..5).map(|_| login()).collect();
    let mark = cluster.mark();
    let end = Instant::now() + Duration::from_secs(asked("PGTLS_LOAD_SECONDS", 12));
    let (mut refused, mut taken, mut logins) = (0, 0, 0);
    let reloads_taken = |admin: &Session| admin.value("select last_reload_ok from pgtls_status");
    let admin = cluster.admin();
    let ending = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let admin = cluster.admin();
            while Instant::now() < end {
                let ended = "select count(*) from pgtls_terminate_invalid(false)";
                let ended: u64 = admin.value(ended).parse().unwrap();
                ending.fetch_add(ended, Ordering::Relaxed);
            }
        });
        while Instant::now() < end {
            // A reload can take neither: the certificate goes first and comes back last.
            std::fs::write(cluster.tls_path("server.crt"), "broken").unwrap();
            cluster.replace_crl(&[pki.root_crl(), &revoking]);
            cluster.reload();
            refused += u64::from(reloads_taken(&admin) == "f");
            logins += u64::from(login().value("select 1") == "1");
            cluster.replace_crl(&[pki.root_crl(), &good]);
            cluster.replace_server(pki.server());
            cluster.reload();
            taken += u64::from(reloads_taken(&admin) == "t");
            logins += u64::from(login().value("select 1") == "1");
        }
    });
    println!("{refused} reloads refused, {taken} taken, {logins} logins");
    assert!(refused > 5 && taken > 5 && logins > 10, "{refused} {taken} {logins}");
    assert_eq!(ending.load(Ordering::Relaxed), 0, "ended by the function");
    for session in &staying {
        assert_eq!(session.value("select 1"), "1");
    }
    assert!(!cluster.log_since(mark).contains("terminating its session"));

    // The same list in force ends all of them.
    cluster.replace_crl(&[pki.root_crl(), &revoking]);
    cluster.reload();
    let left = "select count(*) from pg_stat_activity where usename = 'alice'";
    eventually("they are ended", || admin.value(left) == "0");
}
