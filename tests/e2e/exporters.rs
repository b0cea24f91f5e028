//! The files in `monitoring/` with the programs that they are for: two exporters, Prometheus and its
//! rules.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgtls_e2e::prelude::*;

use super::monitoring::{documented, file, server};

/// A program that `scripts/setup-debian.sh exporters` has unpacked.
fn program(name: &str) -> PathBuf {
    let file = file("target/exporters/usr/bin").join(name);
    assert!(file.exists(), "{} is missing: scripts/setup-debian.sh exporters", file.display());
    file
}

/// A program that runs until it is dropped, and where it listens.
struct Running {
    process: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Running {
    fn start(mut command: Command, address: String) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("the program can be started");
        let running = Self { process, address };
        eventually("the program listens", || TcpStream::connect(&running.address).is_ok());
        running
    }

    fn get(&self, path: &str) -> String {
        let mut body = Err(String::new());
        eventually("it is ready", || {
            body = self.try_get(path);
            !matches!(&body, Err(head) if head.contains(" 503 "))
        });
        body.unwrap_or_else(|answer| panic!("{path}: {answer}"))
    }

    fn try_get(&self, path: &str) -> Result<String, String> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("there are timeouts");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        match head.contains(" 200 ") {
            true => Ok(body.to_owned()),
            false => Err(answer),
        }
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").to_string()
}

/// An exporter that keeps its files in this directory.
fn postgres_exporter(dir: &Path, source: &str) -> Running {
    // As it is shipped, but without its cache.
    let queries = std::fs::read_to_string(file("monitoring/postgres_exporter.yml")).unwrap();
    let path = dir.join("postgres_exporter.yml");
    std::fs::write(&path, queries.replace("cache_seconds: 30", "cache_seconds: 0")).unwrap();
    let address = free_address();
    let mut command = Command::new(program("prometheus-postgres-exporter"));
    command
        .arg(format!("--web.listen-address={address}"))
        .arg(format!("--extend.query-path={}", path.display()))
        .args(["--disable-default-metrics", "--disable-settings-metrics"])
        .env("DATA_SOURCE_NAME", source);
    Running::start(command, address)
}

fn unix_source(cluster: &Cluster) -> String {
    let (socket, port) = (cluster.socket_dir(), cluster.port());
    format!("host={} port={port} user=exporter dbname=postgres sslmode=disable", socket.display())
}

/// The names of the metrics of an answer, without what `before` names begin with.
fn names(metrics: &str, before: &str) -> BTreeSet<String> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(before));
    let names = lines.filter(|line| line.starts_with("pgtls_"));
    names.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn postgres_exporter_has_every_metric_over_tls_and_the_socket() {
    let pki = Pki::standard();
    let cluster = server();
    let _client = cluster.client("alice").with(pki.alice()).login();
    let identity = pki.issue("/CN=exporter").build();
    let files = identity.write(cluster.dir(), "exporter");
    let [cert, key] = [&files.cert, &files.key].map(|path| path.display().to_string());
    let ca = cluster.tls_path("server-ca.crt");
    std::fs::write(&ca, pki.root().cert.pem()).unwrap();
    let port = cluster.port();
    let over_tls = format!(
        "host=127.0.0.1 port={port} user=exporter dbname=postgres sslmode=require sslcert={cert} sslkey={key}"
    );
    for source in [unix_source(&cluster), over_tls] {
        let exporter = postgres_exporter(cluster.dir(), &source);
        // A connection that outlives reloads.
        exporter.get("/metrics");
        cluster.reload();
        let metrics = exporter.get("/metrics");
        assert_eq!(names(&metrics, ""), documented(), "{source}");
        assert!(
            !metrics.contains("NaN") && metrics.contains("pg_exporter_user_queries_load_error")
        );
        let mut promtool = Command::new(program("promtool"));
        let mut promtool = promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool can be started");
        let ours =
            metrics.lines().filter(|line| line.contains("pgtls_")).map(|line| format!("{line}\n"));
        let ours: String = ours.collect();
        promtool.stdin.take().expect("piped").write_all(ours.as_bytes()).expect("it reads");
        let said = promtool.wait_with_output().expect("it ends");
        let said = [said.stdout, said.stderr]
            .map(|out| String::from_utf8_lossy(&out).into_owned())
            .concat();
        assert!(!said.contains("pgtls_"), "{said}");
    }
}

#[test]
fn sql_exporter_has_every_metric() {
    let cluster = server();
    let _client = cluster.client("alice").with(Pki::standard().alice()).login();
    let (socket, port) = (cluster.socket_dir(), cluster.port());
    let source = format!(
        "postgres://exporter@/postgres?host={}&port={port}&sslmode=disable",
        socket.display()
    );
    let config = std::fs::read_to_string(file("monitoring/sql_exporter.justwatch.yml")).unwrap();
    let config = config
        .replace("postgres://pgtls_exporter@localhost/postgres?sslmode=verify-full", &source)
        .replace("interval: 30s", "interval: 1s");
    let path = cluster.dir().join("sql_exporter.yml");
    std::fs::write(&path, config).unwrap();
    let address = free_address();
    let mut command = Command::new(program("prometheus-sql-exporter"));
    command.arg(format!("-web.listen-address={address}")).arg("-config.file").arg(&path);
    let exporter = Running::start(command, address);
    eventually("all queries have run", || names(&exporter.get("/metrics"), "sql_") == documented());
}

/// Prometheus takes every expression of the dashboard, as that of a rule.
#[test]
fn prometheus_takes_the_expressions_of_the_dashboard() {
    let expressions = pgtls_e2e::dashboard::expressions();
    let rules: String = (0..)
        .zip(&expressions)
        .map(|(number, expression)| {
            format!("  - record: panel:{number}\n    expr: {}\n", serde_json::json!(expression))
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("panels.yml");
    std::fs::write(&path, format!("groups:\n- name: panels\n  rules:\n{rules}")).unwrap();
    let said = Command::new(program("promtool")).args(["check", "rules"]).arg(&path).output();
    let said = said.expect("promtool can be started");
    let words = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{words}{}", String::from_utf8_lossy(&said.stderr));
    assert!(words.contains(&format!("{} rules found", expressions.len())), "{words}");
}

/// The rules that are shipped, and their tests for both directions.
#[test]
fn the_rules_pass_their_unit_tests() {
    for arguments in [["check", "rules", "pgtls.rules.yml"], ["test", "rules", "pgtls.test.yml"]] {
        let mut promtool = Command::new(program("promtool"));
        let said = promtool.args(arguments).current_dir(file("monitoring/prometheus")).output();
        let said = said.expect("promtool can be started");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}

/// How long alerts may take: the worker comes back after a minute, and some look back at minutes.
const ALERTED: Duration = Duration::from_secs(150);

/// The alerts that fire.
fn firing(prometheus: &Running) -> BTreeSet<String> {
    let alerts = prometheus.get("/api/v1/alerts");
    let parts = alerts.split("\"alertname\":\"").skip(1);
    parts.map(|part| part.split('"').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn each_alert_comes_with_what_it_is_about_and_goes_with_it() {
    let pki = Pki::standard();
    let cluster = server();
    let exporter = postgres_exporter(cluster.dir(), &unix_source(&cluster));
    let dir = cluster.dir().join("prometheus");
    std::fs::create_dir(&dir).unwrap();
    // As they are shipped, but without the waits.
    let rules = std::fs::read_to_string(file("monitoring/prometheus/pgtls.rules.yml")).unwrap();
    let rules: String = rules
        .lines()
        .filter(|line| !line.trim().starts_with("for: ") && !line.trim().starts_with("interval: "))
        .map(|line| format!("{}\n", line.replace("[10m]", "[20s]")))
        .collect();
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
    let config = format!(
        "global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
         scrape_configs: [{{job_name: pg, static_configs: [{{targets: ['{}']}}]}}]\n",
        exporter.address
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let address = free_address();
    let mut command = Command::new(program("prometheus"));
    command
        .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address={address}"));
    let prometheus = Running::start(command, address);
    let none = BTreeSet::new();
    let up = || prometheus.get("/api/v1/query?query=pgtls_worker_up").contains("\"value\"");
    eventually("it scrapes", up);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(firing(&prometheus), none, "nothing is wrong");
    cluster.reload();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(firing(&prometheus), none, "a good reload");

    let becomes = |expected: BTreeSet<String>| {
        let started = Instant::now();
        let mut found = firing(&prometheus);
        while found != expected {
            assert!(started.elapsed() < ALERTED, "{found:?} instead of {expected:?}");
            std::thread::sleep(Duration::from_millis(200));
            found = firing(&prometheus);
        }
    };
    let comes_and_goes = |alerts: &[&str], cause: &dyn Fn(), repair: &dyn Fn()| {
        let expected: BTreeSet<_> = alerts.iter().map(|alert| (*alert).to_owned()).collect();
        cause();
        becomes(expected);
        repair();
        becomes(BTreeSet::new());
    };
    let good = [pki.root_crl(), pki.intermediate_crl()];
    let stale = pki.crl(pki.intermediate()).stale().build();
    let put = |crls: &[&Crl]| cluster.replace_crl(crls);
    comes_and_goes(
        &["PgtlsReloadWouldRefuseClients", "PgtlsNotInForce"],
        &|| put(&[pki.root_crl(), &stale]),
        &|| put(&good),
    );
    comes_and_goes(
        &["PgtlsClientsRefused", "PgtlsCrlDue"],
        &|| {
            put(&[pki.root_crl(), &stale]);
            cluster.reload();
        },
        &|| {
            put(&good);
            cluster.reload();
        },
    );
    let certificate = cluster.tls_path("server.crt");
    let content = std::fs::read(&certificate).unwrap();
    comes_and_goes(
        &["PgtlsReloadFailed", "PgtlsNotInForce", "PgtlsCollectionError"],
        &|| {
            std::fs::write(&certificate, "nonsense").unwrap();
            cluster.reload();
        },
        &|| {
            std::fs::write(&certificate, &content).unwrap();
            cluster.reload();
        },
    );
    let other = pki.issue("/CN=localhost").by(pki.root()).server_auth().build();
    comes_and_goes(
        &["PgtlsKeyMismatch", "PgtlsNotInForce"],
        &|| std::fs::write(&certificate, other.cert.pem()).unwrap(),
        &|| std::fs::write(&certificate, &content).unwrap(),
    );
    let plain = std::cell::RefCell::new(None);
    comes_and_goes(
        &["PgtlsUnencryptedSessions"],
        &|| {
            plain.replace(Some(cluster.client("plain").no_tls().login()));
        },
        &|| {
            plain.replace(None);
        },
    );
    let alice = std::cell::RefCell::new(Some(cluster.client("alice").with(pki.alice()).login()));
    let revoking = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    comes_and_goes(
        &["PgtlsInvalidSessions"],
        &|| {
            put(&[pki.root_crl(), &revoking]);
            cluster.reload();
        },
        &|| {
            cluster.sql("select * from pgtls_terminate_invalid(dry_run => false)");
            alice.replace(None);
        },
    );
    let worker = super::inventory::worker(&cluster).expect("there is a worker");
    comes_and_goes(&["PgtlsWorkerDown"], &|| cluster.ask_child_to_end(worker), &|| {
        eventually("the worker is back", || super::inventory::worker(&cluster).is_some())
    });
    comes_and_goes(
        &["PgtlsServerCertificateExpires"],
        &|| {
            let soon = pki.issue("/CN=localhost").by(pki.root()).san_dns("localhost");
            cluster.replace_server(&soon.server_auth().valid_days(5).build());
            cluster.reload();
        },
        &|| {
            let later = pki.issue("/CN=localhost").by(pki.root()).san_dns("localhost");
            cluster.replace_server(&later.server_auth().valid_days(300).build());
            cluster.reload();
        },
    );
    comes_and_goes(
        &["PgtlsLoginFailures"],
        &|| {
            for _ in 0..30 {
                cluster.client("alice").with(pki.expired()).refused();
            }
        },
        // It is silent when the last failure is older than the time that is looked at.
        &|| (),
    );
}
