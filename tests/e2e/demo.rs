//! `make demo`: runs to its end, and leaves behind what it says and no more.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use pgtls_e2e::prelude::*;

/// What fits a terminal of the usual width.
const COLUMNS: usize = 80;

/// What can be read in two minutes, less the lines that `make` prints before.
const LINES: usize = 196;

/// What a demonstration has to say, scene by scene, in this order.
const SCENES: [(&str, &[&str]); 9] = [
    (
        "1. Who is connected",
        &[
            " billing | t   | TLSv1.3 | billing   | ",
            "| renew_soon",
            " carol   | t   | TLSv1.3 | carol ",
            "guest   | f   |         |           |            | none",
        ],
    ),
    ("2. Which CAs", &["     1 | sent        | ", "     2 | trust store | "]),
    ("3. Whose certificate", &["pgtls_ext   | /C=DE/", "/CN=carol"]),
    (
        "4. dave",
        &[
            "unknown ca",
            "check_name | chain\ndetail     | unable to get local issuer",
            "pgtls_check_login \n-------------------\n t",
        ],
    ),
    (
        "5. A new CRL",
        &["crl_status_on_file | stale", "every client certificate issued by this CA is refused"],
    ),
    (
        "6. The good CRL revokes",
        &[" alice   | revoked           | certificate revoked", "| revoked           | t\n"],
    ),
    (
        "7. Three clients",
        &[
            "certificate expired",
            "could not accept SSL connection: certificate verify failed",
            " unknown_ca | 127.0.0.1   | /O=Acme/CN=dave",
            " revoked    | 127.0.0.1   | /O=Acme/CN=alice",
            " expired    | 127.0.0.1   | /O=Acme/CN=erin",
        ],
    ),
    (
        "8. The server got",
        &[
            " ssl_cert_file | failed\n",
            " reload        | failed\n restart       | failed\n",
            " pg_reload_conf \n----------------\n t",
            "last_reload_ok    | f",
            "last_reload_error | SSL configuration was not reloaded: could not load",
        ],
    ),
    (
        "9. The file is put right. What expires next",
        &[" client | /O=Acme/CN=billing ", "| renew_soon", " crl ", " server | /CN=localhost "],
    ),
];

fn demo(keep: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    let output = command.env("KEEP", keep).output().expect("the demo can be started");
    assert!(output.status.success(), "{output:?}");
    text(&output)
}

/// One run for all tests that only read.
fn shown() -> &'static str {
    static SHOWN: OnceLock<String> = OnceLock::new();
    SHOWN.get_or_init(|| demo(""))
}

/// Standard output and standard error.
fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// The rest of the first line that has `before` in it.
fn after<'a>(text: &'a str, before: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}:\n{text}"));
    rest.lines().next().unwrap_or_default()
}

/// The lines, each without the spaces at its end, which the demonstration leaves out.
fn trimmed(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The scenes' texts, in their order.
fn scenes(shown: &str) -> Vec<&str> {
    let starts: Vec<usize> = SCENES
        .iter()
        .map(|(title, _)| {
            let start = shown.find(&format!("\n{title}"));
            start.unwrap_or_else(|| panic!("no scene {title:?}:\n{shown}"))
        })
        .collect();
    let ends = starts.iter().skip(1).copied().chain([shown.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &shown[start..end]).collect()
}

/// The directory that the introduction names, alone in its line.
fn directory(shown: &str) -> PathBuf {
    let line = shown.lines().find_map(|line| line.strip_prefix("  /"));
    PathBuf::from(format!("/{}", line.unwrap_or_else(|| panic!("no directory:\n{shown}"))))
}

#[test]
fn every_scene_of_the_demo_shows_what_it_is_about() {
    for ((title, expected), scene) in SCENES.iter().zip(scenes(shown())) {
        for text in expected.iter().map(|text| trimmed(text)) {
            assert!(scene.contains(text.trim_end_matches('\n')), "{title}: no {text:?}:\n{scene}");
        }
    }
    let unexpected: BTreeSet<_> =
        shown().lines().filter(|line| line.contains("ERROR") || line.contains("FATAL")).collect();
    assert_eq!(unexpected, BTreeSet::new(), "{}", shown());
}

#[test]
fn the_server_s_own_view_cuts_the_name_in_the_demo() {
    let scene = scenes(shown())[2];
    let name = after(scene, "pg_stat_ssl | ");
    assert_eq!(name.len(), 63, "{scene}");
    assert!(!name.contains("/CN="), "{scene}");
}

#[test]
fn the_demo_shows_who_comes_through_a_pooler() {
    let scene = scenes(shown())[0];
    for role in ["shop", "stock"] {
        let row = format!(" {role:7} | t   | TLSv1.3 | pgbouncer | ");
        assert_eq!(scene.contains(&row), Pooler::is_available(), "{scene}");
    }
}

#[test]
fn the_demo_fits_a_terminal_and_two_minutes() {
    let wide: Vec<_> = shown().lines().filter(|line| line.chars().count() > COLUMNS).collect();
    assert_eq!(wide, [""; 0]);
    // From 16, a login that is refused has a second line in the server's log.
    let lines = shown().lines().filter(|line| !line.contains("failed at depth 0: ")).count();
    assert!(lines <= LINES, "{lines} lines");
}

#[test]
fn nothing_is_left_of_a_demo() {
    let directory = directory(shown());
    let run = directory.parent().expect("a cluster's directory is below that of the run");
    assert!(run.to_string_lossy().contains("pgtls-e2e-"), "{}", run.display());
    assert!(!run.exists(), "{} was left behind", run.display());
    let port = after(shown(), "port ").split(' ').next().and_then(|port| port.parse().ok());
    let port: u16 = port.expect("a port");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "somebody listens on {port}");
}

#[test]
fn the_readme_quotes_the_demo() {
    if Installation::get().version >= 16 {
        // There the server's log has details, which the demonstration shows.
        return;
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("there is a README");
    let (_, quoted) = readme.split_once("```console\n").expect("the README quotes the demo");
    let (quoted, _) = quoted.split_once("```").expect("a block ends");
    assert!(shown().contains(quoted), "not in the demo:\n{quoted}\n---\n{}", shown());
}

#[test]
fn a_demo_that_is_kept_can_be_used_and_stopped() {
    if std::env::var_os("PGTLS_IN_CHROOT").is_some() {
        // There the demo refuses: nothing outlives the command that runs in a chroot.
        return;
    }
    let shown = demo("1");
    let services = after(&shown, "PGSERVICEFILE=");
    let stop = Path::new(after(&shown, "  sh "));
    let mut psql = Installation::get().program("psql");
    psql.args(["-XAt", "service=carol", "-c", "select ssl_client_cn()"]);
    let output = psql.env("PGSERVICEFILE", services).output().expect("psql can be started");
    let queries = after(&shown, "psql service=admin -f ");
    let mut psql = Installation::get().program("psql");
    psql.args(["-X", "service=admin", "-f", queries]).env("PGSERVICEFILE", services);
    let answers = psql.output().expect("psql can be started");
    let stopped = Command::new("sh").arg(stop).output().expect("sh can be started");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "carol\n", "{output:?}");
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(answers.status.success(), "{answers:?}");
    let answers = text(&answers);
    assert_eq!(scenes(&answers).len(), SCENES.len());
    for text in [" trust store | ", "unknown ca", " expired    | ", "last_reload_ok    | t"] {
        assert!(answers.contains(text), "no {text:?}:\n{answers}");
    }
    assert!(!answers.contains("ERROR"), "{answers}");
    assert!(Path::new(queries).starts_with(directory(&shown)), "{queries}");
    let directory = stop.parent().expect("a script is in a directory");
    assert!(!directory.exists(), "{} was left behind", directory.display());
}
