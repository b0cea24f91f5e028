//! What is written down of clients' chains, for processes that need not judge them again: it is
//! used, and nothing depends on it.

use std::path::PathBuf;

use pgtls_e2e::prelude::*;

struct Stage {
    cluster: Cluster,
    _client: Session,
}

impl Stage {
    /// A client is connected, and something was written down of its certificate.
    fn new() -> Self {
        let pki = Pki::standard();
        let crls = [pki.root_crl(), &pki.crl(pki.intermediate()).build()];
        let cluster = Cluster::builder().roles(&["alice"]).crl_file(&crls).preloaded().start();
        let client = cluster.client("alice").with(pki.alice()).login();
        let stage = Self { cluster, _client: client };
        stage.cluster.reload();
        eventually("a verdict is written down", || stage.written().contains("Trusted"));
        stage
    }

    fn file(&self) -> PathBuf {
        self.cluster.data_dir().join("pg_stat_tmp/pgtls_ext.verdicts")
    }

    fn written(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap_or_default()
    }

    /// What a session says that has not looked before.
    fn status(&self) -> Option<String> {
        self.cluster
            .admin()
            .maybe("select credential_status from pgtls_sessions where usename = 'alice'")
    }
}

#[test]
fn a_verdict_that_was_written_down_is_taken() {
    let stage = Stage::new();
    assert_eq!(stage.status().as_deref(), Some("valid"));
    // Nobody but the server's own user can do this; it shows who is believed.
    let mut lines: Vec<String> = stage.written().lines().map(str::to_owned).collect();
    for line in lines.iter_mut().skip(1) {
        let (key, holds) = (&line[..68], &line[line.find(",\"holds\"").unwrap()..]);
        let revoked =
            r#"{"Refused":{"code":23,"text":"certificate revoked","depth":0,"logged":""}}"#;
        *line = format!(r#"{key}{{"verdict":{revoked}{holds}"#);
    }
    std::fs::write(stage.file(), lines.join("\n")).unwrap();
    assert_eq!(stage.status().as_deref(), Some("revoked"));
}

#[test]
fn without_a_usable_file_the_answer_is_the_same() {
    let stage = Stage::new();
    let written = stage.written();
    for damaged in
        ["", "{}", "no json", &written[..written.len() / 2], &written.replace("Trusted", "X")]
    {
        std::fs::write(stage.file(), damaged).unwrap();
        assert_eq!(stage.status().as_deref(), Some("valid"), "{damaged}");
    }
    std::fs::remove_file(stage.file()).unwrap();
    std::fs::create_dir(stage.file()).unwrap();
    assert_eq!(stage.status().as_deref(), Some("valid"));
}

/// What came into force later, and what begins or ends, is not judged by what was written down
/// before.
#[test]
fn what_is_written_down_is_of_what_is_in_force() {
    let stage = Stage::new();
    let pki = Pki::standard();
    let revoking = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    stage.cluster.replace_crl(&[pki.root_crl(), &revoking]);
    assert_eq!(stage.status().as_deref(), Some("valid"), "on file only");
    stage.cluster.reload();
    assert_eq!(stage.status().as_deref(), Some("revoked"));
    eventually("it is written down", || stage.written().contains("Refused"));
    assert_eq!(stage.status().as_deref(), Some("revoked"));
}
