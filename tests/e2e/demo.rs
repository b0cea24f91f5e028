//! `make demo`: runs to its end, and leaves behind what it says and no more.

use std::path::Path;
use std::process::Command;

use pgtls_e2e::pki::UNKNOWN_OID;
use pgtls_e2e::prelude::*;

fn demo(keep: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    let output = command.env("KEEP", keep).output().expect("the demo can be started");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}

/// The rest of the first line that has `before` in it.
fn after<'a>(text: &'a str, before: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}:\n{text}"));
    rest.lines().next().unwrap_or_default()
}

#[test]
fn the_demo_shows_what_it_promises() {
    let shown = demo("");
    for text in [
        "(1 row)",
        "version             | TLSv1.3",
        "ssl_client_cn        | alice",
        "spiffe://acme.example/billing",
        UNKNOWN_OID,
        "certificate expired",
        " alice | ",
        " alice   | alice     | revoked",
        " carol   | ",
        " | alice   | revoked           | t",
        "certificate revoked",
        "could not accept SSL connection: certificate verify failed",
        " expired | /O=Acme/CN=alice",
        " revoked | /O=Acme/CN=alice",
        " revocation | failed",
        " pg_reload_conf \n----------------\n t",
        " last_reload_ok \n----------------\n f",
    ] {
        assert!(shown.contains(text), "no {text:?}:\n{shown}");
    }
    let errors: Vec<_> = shown.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors, [""; 0], "{shown}");
    let directory = Path::new(after(&shown, "\\set pem `cat ")).parent().expect("a directory");
    assert!(!directory.exists(), "{} was left behind", directory.display());
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
    let stopped = Command::new("sh").arg(stop).output().expect("sh can be started");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "carol\n", "{output:?}");
    assert!(stopped.status.success(), "{stopped:?}");
    let directory = stop.parent().expect("a script is in a directory");
    assert!(!directory.exists(), "{} was left behind", directory.display());
}
