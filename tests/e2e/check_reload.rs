//! `pgtls_check_reload`: what it foretells is what a reload and a restart then do, for everything
//! that can be wrong.

use pgtls_e2e::prelude::*;

/// What is done to the server before it is asked.
struct Case {
    name: &'static str,
    /// The setting that the server has something against; `None` if it has nothing.
    item: Option<&'static str>,
    change: fn(&Cluster),
}

fn write(cluster: &Cluster, name: &str, content: &str) {
    std::fs::write(cluster.tls_path(name), content).unwrap();
}

fn set_mode(cluster: &Cluster, name: &str, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(cluster.tls_path(name), mode).unwrap();
}

const CASES: &[Case] = &[
    Case { name: "nothing", item: None, change: |_| {} },
    Case {
        name: "another good certificate",
        item: None,
        change: |cluster| {
            cluster.replace_server(&CertBuilder::new("/CN=new").self_signed().build())
        },
    },
    Case {
        name: "no certificate",
        item: Some("ssl_cert_file"),
        change: |cluster| write(cluster, "server.crt", "nothing"),
    },
    Case {
        name: "certificate gone",
        item: Some("ssl_cert_file"),
        change: |cluster| std::fs::remove_file(cluster.tls_path("server.crt")).unwrap(),
    },
    Case {
        name: "key of another certificate",
        item: Some("ssl_key_file"),
        change: |cluster| write(cluster, "server.key", &Key::ec().pem()),
    },
    Case {
        name: "key readable by all",
        item: Some("ssl_key_file"),
        change: |cluster| set_mode(cluster, "server.key", 0o644),
    },
    Case {
        name: "key gone",
        item: Some("ssl_key_file"),
        change: |cluster| std::fs::remove_file(cluster.tls_path("server.key")).unwrap(),
    },
    Case {
        name: "key is a certificate",
        item: Some("ssl_key_file"),
        change: |cluster| write(cluster, "server.key", &Pki::standard().root().cert.pem()),
    },
    Case {
        name: "CA file empty",
        item: Some("ssl_ca_file"),
        change: |cluster| write(cluster, "ca.crt", ""),
    },
    Case {
        name: "CA file of trusted certificates",
        item: Some("ssl_ca_file"),
        change: |cluster| {
            let pem = Pki::standard().root().cert.pem();
            write(cluster, "ca.crt", &pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"));
        },
    },
    Case {
        name: "CA file with a CRL only",
        item: Some("ssl_ca_file"),
        change: |cluster| write(cluster, "ca.crt", &Pki::standard().root_crl().pem()),
    },
    Case {
        name: "CRL file broken",
        item: Some("ssl_crl_file"),
        change: |cluster| cluster.replace_crl_bytes(b"no list"),
    },
    Case {
        name: "CRL file in DER",
        item: Some("ssl_crl_file"),
        change: |cluster| cluster.replace_crl_bytes(Pki::standard().root_crl().der()),
    },
    Case {
        name: "limits the wrong way round",
        item: Some("ssl_max_protocol_version"),
        change: |cluster| {
            cluster.set("ssl_min_protocol_version", "TLSv1.3");
            cluster.set("ssl_max_protocol_version", "TLSv1.2");
        },
    },
    Case {
        name: "no such cipher",
        item: Some("ssl_ciphers"),
        change: |cluster| cluster.set("ssl_ciphers", "NOTHING"),
    },
    Case {
        name: "DH file gone",
        item: Some("ssl_dh_params_file"),
        change: |cluster| cluster.set("ssl_dh_params_file", "nowhere.pem"),
    },
    Case {
        name: "a rule that is none",
        item: Some("hba_file"),
        change: |cluster| cluster.write_hba("hostssl all all all certificate"),
    },
    Case {
        name: "a mapping that is none",
        item: Some("ident_file"),
        change: |cluster| cluster.write_ident("m alice"),
    },
];

/// Items at which only a start is refused, and only a reload.
const ONLY_START: &str = "ssl_dh_params_file";
const ONLY_RELOAD: &str = "ident_file";

#[test]
fn what_is_foretold_is_what_a_reload_and_a_restart_do() {
    let pki = Pki::standard();
    let mut wrong = Vec::new();
    for case in CASES {
        let cluster = Cluster::builder()
            .crl_file(&[pki.root_crl(), pki.intermediate_crl()])
            .preloaded()
            .start();
        (case.change)(&cluster);
        // OpenSSL 1.1.1 takes any list of ciphers, because those of TLS 1.3 are left.
        let openssl = "select openssl_runtime like 'OpenSSL 1.%' from pgtls_status";
        let takes_any = case.name == "no such cipher" && cluster.admin().value(openssl) == "t";
        let item = case.item.filter(|_| !takes_any);
        let steps = cluster
            .sql("select item, outcome, detail, hint from pgtls_check_reload() order by step");
        let steps: Vec<Vec<String>> = steps
            .into_iter()
            .map(|step| step.into_iter().map(Option::unwrap_or_default).collect())
            .collect();
        let of = |item: &str| {
            let step = steps.iter().find(|step| step[0] == item);
            step.map(|step| step[1].clone()).unwrap_or_default()
        };
        let against: Vec<_> = steps
            .iter()
            .filter(|step| !["reload", "restart"].contains(&&*step[0]))
            .filter(|step| ["failed", "warning"].contains(&&*step[1]))
            .collect();
        let log = cluster.reload();
        let is_taken = !log.contains("was not reloaded");
        cluster.shut_down(Shutdown::Fast);
        let started = cluster.try_start_again();
        let expected: Vec<_> = item.into_iter().collect();
        let found: Vec<_> = against.iter().map(|step| &*step[0]).collect();
        let said = against.first().map(|step| step[2].clone()).unwrap_or_default();
        // What the server says of a line of rules has other words in its log than in its view.
        let is_said =
            |log: &str| log.contains(&said) || item.is_none_or(|it| !it.starts_with("ssl_"));
        let agrees = found == expected
            && (of("reload") == "ok") == is_taken
            && (of("restart") == "ok") == started.is_ok()
            && is_said(&log);
        if !agrees {
            wrong.push(format!("{}: {steps:?}\nreload: {log}\nstart: {started:?}", case.name));
        }
        // The words decide nothing alone: these two are what the table says.
        assert_eq!(is_taken, item.is_none_or(|item| item == ONLY_START), "{}", case.name);
        assert_eq!(started.is_ok(), item.is_none_or(|item| item == ONLY_RELOAD), "{}", case.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Nothing is changed by the trial, and nothing of a key is shown.
#[test]
fn a_trial_changes_nothing_and_shows_no_key() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let key = std::fs::read_to_string(cluster.tls_path("server.key")).unwrap();
    cluster.replace_ca(&[&pki.other_root().cert]);
    let all = cluster.sql("select r::text from pgtls_check_reload() r");
    let all = format!("{all:?}");
    for line in key.lines().filter(|line| !line.starts_with("--")) {
        assert!(!all.contains(line), "{line}");
    }
    cluster.client("alice").with(pki.alice()).login();
    cluster.sql("grant pg_monitor to alice");
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(alice.error("select * from pgtls_check_reload()").sqlstate, "42501");
}

/// A monitor over the Unix socket, in a connection from before the last reloads, sees all there is.
#[test]
fn monitors_see_the_servers_certificates_and_what_ends() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .hba("local all all trust")
        .hba("hostssl all all all cert")
        .crl_file(&[pki.root_crl(), pki.intermediate_crl()])
        .preloaded()
        .start();
    cluster.sql("grant pg_monitor to alice");
    let monitor = cluster.client("alice").unix().login();
    drop(cluster.client("alice").with(pki.alice()).login());
    for _ in 0..10 {
        cluster.reload();
    }
    let own = "select in_force::text, on_file::text, key_matches::text, status, problem \
               from pgtls_server_certificates where role = 'server' order by on_file desc";
    let words = |words: [&str; 4], problem: Option<&str>| {
        let mut row: Vec<_> = words.map(|word| Some(word.to_owned())).to_vec();
        row.push(problem.map(str::to_owned));
        row
    };
    assert_eq!(monitor.rows(own), [words(["true", "true", "true", "valid"], None)]);
    let soon = CertBuilder::new("/CN=soon").self_signed().valid_days(10).build();
    std::fs::write(cluster.tls_path("server.crt"), soon.cert.pem()).unwrap();
    let rows = monitor.rows(own);
    assert_eq!(
        rows[0],
        words(
            ["false", "true", "false", "valid"],
            Some("ssl_key_file holds the key of another certificate")
        )
    );
    assert_eq!(rows[1][..2], [Some("true".to_owned()), Some("false".to_owned())]);
    let kinds =
        monitor.value("select string_agg(distinct kind, ' ' order by kind) from pgtls_expiring()");
    assert_eq!(kinds, "ca client crl server");
    let first = "select kind, name from pgtls_expiring('11 days') where kind = 'server'";
    assert_eq!(monitor.row(first), ["server", "/CN=soon"].map(|word| Some(word.to_owned())));
    assert_eq!(monitor.value("select count(*) from pgtls_expiring('1 minute')"), "0");
    let cas =
        "select count(*) from pgtls_server_certificates where role = 'ca' and in_force and on_file";
    assert_eq!(monitor.value(cas), "1");
}
