//! The staged grid: what was done to the files, what the server was told to do about it, and who
//! asks. What is said of a login now equals a login now; what is said of the files equals a login
//! after a reload, if the reload takes; and whether it takes is foretold.
//!
//! `PGTLS_STAGED_GRID=full` runs all of it, otherwise it is a sample that fits into CI.

use pgtls_e2e::address_space;
use pgtls_e2e::prelude::*;

/// Something done to the files of the server.
struct Change {
    name: &'static str,
    make: fn(&Cluster),
}

fn touch(cluster: &Cluster, name: &str) {
    let path = cluster.tls_path(name);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&path, mode).unwrap();
    std::fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
}

/// Puts a link to an older file in the place of a file.
fn link_to_older(cluster: &Cluster, name: &str, content: &str) {
    let (path, older) = (cluster.tls_path(name), cluster.tls_path("older"));
    std::fs::write(&older, content).unwrap();
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    std::fs::File::open(&older).unwrap().set_modified(past).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&older, &path).unwrap();
}

const HBA: &str = "hostssl all all all cert map=m";
const IDENT: &str = "m /(.*) \\1";

/// The state that everything starts from.
fn good(cluster: &Cluster) {
    let pki = Pki::standard();
    for name in ["ca.crt", "crl.pem", "server.crt", "server.key", "older"] {
        let _ = std::fs::remove_file(cluster.tls_path(name));
    }
    cluster.replace_server(pki.server());
    cluster.replace_ca(&[&pki.root().cert]);
    cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl(), &other_crl()]);
    cluster.write_hba(HBA);
    cluster.write_ident(IDENT);
}

fn other_crl() -> Crl {
    CrlBuilder::new(Pki::standard().other_root()).build()
}

fn revoking() -> Crl {
    let pki = Pki::standard();
    pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build()
}

const CHANGES: &[Change] = &[
    Change { name: "nothing", make: |_| {} },
    Change {
        name: "server: another",
        make: |cluster| {
            let another = Pki::standard().server_ca().issue("/CN=another").server_auth();
            cluster.replace_server(
                &another.san_dns("localhost").san_ip(std::net::Ipv4Addr::LOCALHOST.into()).build(),
            );
        },
    },
    Change {
        name: "server: broken",
        make: |cluster| std::fs::write(cluster.tls_path("server.crt"), "broken").unwrap(),
    },
    Change {
        name: "key: of another",
        make: |cluster| std::fs::write(cluster.tls_path("server.key"), Key::ec().pem()).unwrap(),
    },
    Change {
        name: "CA: one more",
        make: |cluster| {
            let pki = Pki::standard();
            cluster.replace_ca(&[&pki.root().cert, &pki.other_root().cert]);
        },
    },
    Change {
        name: "CA: another",
        make: |cluster| cluster.replace_ca(&[&Pki::standard().other_root().cert]),
    },
    Change {
        name: "CA: broken",
        make: |cluster| std::fs::write(cluster.tls_path("ca.crt"), "broken").unwrap(),
    },
    Change { name: "CA: touched", make: |cluster| touch(cluster, "ca.crt") },
    Change {
        name: "CA: link to an older one",
        make: |cluster| {
            link_to_older(cluster, "ca.crt", &Pki::standard().other_root().cert.pem());
        },
    },
    Change {
        name: "CA: away and back",
        make: |cluster| {
            cluster.replace_ca(&[&Pki::standard().other_root().cert]);
            cluster.replace_ca(&[&Pki::standard().root().cert]);
        },
    },
    Change {
        name: "CRL: revokes",
        make: |cluster| {
            let pki = Pki::standard();
            cluster.replace_crl(&[pki.root_crl(), &revoking(), &other_crl()]);
        },
    },
    Change {
        name: "CRL: one is missing",
        make: |cluster| cluster.replace_crl(&[Pki::standard().root_crl()]),
    },
    Change { name: "CRL: broken", make: |cluster| cluster.replace_crl_bytes(b"broken") },
    Change { name: "CRL: touched", make: |cluster| touch(cluster, "crl.pem") },
    Change {
        name: "CRL: link to an older one",
        make: |cluster| {
            let crls = [Pki::standard().root_crl().pem(), revoking().pem()].concat();
            link_to_older(cluster, "crl.pem", &crls);
        },
    },
    Change {
        name: "rules: reject",
        make: |cluster| cluster.write_hba(&format!("hostssl all alice all reject\n{HBA}")),
    },
    Change { name: "rules: broken", make: |cluster| cluster.write_hba("hostssl all all") },
    Change {
        name: "rules: a comment",
        make: |cluster| cluster.write_hba(&format!("# nothing\n{HBA}")),
    },
    Change { name: "mappings: none", make: |cluster| cluster.write_ident("m nobody alice") },
    Change { name: "mappings: broken", make: |cluster| cluster.write_ident("m alice") },
];

/// What the server is told.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Nothing,
    Reload,
    /// A reload at which its certificate is broken.
    FailingReload,
    Restart,
}

const TOLD: [Told; 4] = [Told::Nothing, Told::Reload, Told::FailingReload, Told::Restart];

/// Reloads, and waits until it is written down what is in force: what is done to the files right
/// after a reload may else be what the process finds that does so.
fn reload(cluster: &Cluster) -> String {
    let log = cluster.reload();
    cluster.sql("select count(*) from pgtls_configuration");
    log
}

fn admits(cluster: &Cluster, client: &Identity) -> bool {
    cluster.client("alice").with(client).connect().is_ok()
}

fn foretold(session: &Session, client: &Identity, on_file: bool) -> bool {
    let pem = quote(&client.bundle_pem());
    let sql = format!(
        "select pgtls_check_login({pem}, 'alice', 'postgres', '127.0.0.1', on_file => {on_file})"
    );
    session.maybe(&sql).as_deref() == Some("t")
}

#[test]
fn now_and_after_a_reload_are_as_foretold() {
    let full = std::env::var("PGTLS_STAGED_GRID").is_ok_and(|size| size == "full");
    let pki = Pki::standard();
    let cluster =
        Cluster::builder().roles(&["alice"]).crl_file(&[pki.root_crl()]).preloaded().start();
    let newcomer = pki.other_root().issue("/CN=alice").build();
    let clients = [pki.alice(), &newcomer];
    let (mut asked, mut wrong) = (0, Vec::new());
    for (index, change) in CHANGES.iter().enumerate() {
        for (number, told) in TOLD.into_iter().enumerate() {
            // A restart takes longest.
            if !full && (index + number) % 2 == 1 {
                continue;
            }
            good(&cluster);
            reload(&cluster);
            let mut old = cluster.admin();
            (change.make)(&cluster);
            match told {
                Told::Nothing => {}
                Told::Reload => drop(reload(&cluster)),
                Told::FailingReload => {
                    let certificate = cluster.tls_path("server.crt");
                    let whole = std::fs::read(&certificate).unwrap();
                    std::fs::write(&certificate, "broken").unwrap();
                    reload(&cluster);
                    std::fs::write(&certificate, whole).unwrap();
                }
                Told::Restart => {
                    let sql = "select outcome from pgtls_check_reload() where item = 'restart'";
                    let comes_up = old.value(sql) == "ok";
                    cluster.shut_down(Shutdown::Fast);
                    let started = cluster.try_start_again().is_ok();
                    asked += 1;
                    if started != comes_up {
                        wrong.push(format!("{}: restart foretold {comes_up}", change.name));
                    }
                    if !started {
                        good(&cluster);
                        cluster.start_again();
                        continue;
                    }
                    old = cluster.admin();
                }
            }
            let young = cluster.admin();
            for client in clients {
                let now = admits(&cluster, client);
                for session in [&old, &young] {
                    asked += 1;
                    if foretold(session, client, false) != now {
                        wrong.push(format!("{}, {told:?}: now {now}", change.name));
                    }
                }
            }
            let taken = "select outcome from pgtls_check_reload() where item = 'reload'";
            let taken = [old.value(taken), young.value(taken)];
            let then = clients.map(|client| [&old, &young].map(|it| foretold(it, client, true)));
            let log = reload(&cluster);
            let is_taken = !log.contains("was not reloaded");
            asked += 2;
            if taken.iter().any(|outcome| (outcome == "ok") != is_taken) {
                wrong.push(format!("{}, {told:?}: reload foretold {taken:?}", change.name));
            }
            for (client, then) in clients.into_iter().zip(then) {
                let happens = admits(&cluster, client);
                for then in then.into_iter().filter(|_| is_taken) {
                    asked += 1;
                    if then != happens {
                        wrong.push(format!("{}, {told:?}: then {happens}", change.name));
                    }
                }
            }
        }
    }
    println!("{asked} answers, {} wrong", wrong.len());
    assert!(asked > 200 && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reloads without end, half of them failing: each is counted, and the postmaster keeps nothing of
/// them.
#[test]
fn a_storm_of_reloads_leaves_nothing_behind() {
    let full = std::env::var("PGTLS_STAGED_GRID").is_ok_and(|size| size == "full");
    let rounds = if full { 500 } else { 40 };
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let old = cluster.admin();
    let certificate = cluster.tls_path("server.crt");
    let whole = std::fs::read(&certificate).unwrap();
    let mut before = 0;
    for round in 0..rounds {
        std::fs::write(&certificate, "broken").unwrap();
        let log = cluster.reload();
        assert!(log.contains("SSL configuration was not reloaded"), "{log}");
        let said = old.value("select last_reload_error from pgtls_status");
        assert!(said.contains("server.crt"), "{said}");
        std::fs::write(&certificate, &whole).unwrap();
        cluster.reload();
        assert_eq!(old.maybe("select last_reload_error from pgtls_status"), None);
        assert!(foretold(&old, pki.alice(), false));
        // What the first rounds take is taken once.
        if round == rounds / 4 {
            before = address_space(cluster.pid());
        }
    }
    let grown = address_space(cluster.pid()).saturating_sub(before);
    assert!(grown < 1_000_000, "the postmaster has grown by {grown} bytes");
}
