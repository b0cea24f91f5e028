//! The real `psql`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cluster::Cluster;
use crate::install::Installation;
use crate::log::Log;
use crate::pki::{Identity, Pki, write_private};
use crate::sys;

/// A `psql` to run. Unless told otherwise it verifies the server fully and has no certificate.
#[derive(Clone)]
pub struct Psql {
    dir: PathBuf,
    parameters: Vec<(String, String)>,
    options: Vec<String>,
    log: Log,
}

impl Psql {
    pub(crate) fn new(cluster: &Cluster, role: &str) -> Self {
        let dir = sys::fresh_dir("psql-");
        let ca = dir.join("server-ca.crt");
        std::fs::write(&ca, Pki::standard().server_ca().cert.pem()).expect("a file can be written");
        let nowhere = dir.join("none").display().to_string();
        let psql =
            Self { dir, parameters: Vec::new(), options: Vec::new(), log: cluster.log().clone() };
        psql.parameter("host", "localhost")
            .parameter("hostaddr", &cluster.address().to_string())
            .parameter("port", &cluster.port().to_string())
            .parameter("user", role)
            .parameter("dbname", "postgres")
            .parameter("sslmode", "verify-full")
            .parameter("sslrootcert", &ca.display().to_string())
            // Else libpq looks into the home directory.
            .parameter("sslcert", &nowhere)
            .parameter("sslkey", &nowhere)
            .parameter("sslcrl", &nowhere)
    }

    /// Sets a connection parameter of libpq.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.retain(|(known, _)| known != name);
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a command-line option.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Presents this certificate, with the chain exactly as it is.
    pub fn with(self, identity: &Identity) -> Self {
        let files = identity.write(&self.dir, "client");
        self.parameter("sslcert", &files.cert.display().to_string())
            .parameter("sslkey", &files.key.display().to_string())
    }

    /// Presents this certificate with its key encrypted.
    pub fn with_encrypted_key(self, identity: &Identity, passphrase: &str) -> Self {
        let psql = self.with(identity).parameter("sslpassword", passphrase);
        write_private(&psql.dir.join("client.key"), &identity.key.encrypted_pem(passphrase));
        psql
    }

    /// Into this database instead of `postgres`.
    pub fn database(self, name: &str) -> Self {
        self.parameter("dbname", name)
    }

    /// Runs this SQL (`psql` commands included) and returns what came of it.
    ///
    /// # Panics
    /// If `psql` cannot be started.
    pub fn run(&self, sql: &str) -> PsqlOutput {
        let conninfo: Vec<String> = self
            .parameters
            .iter()
            .map(|(name, value)| {
                format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
            })
            .collect();
        let mut command: Command = Installation::get().program("psql");
        command
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--no-password"])
            .args(["--set", "ON_ERROR_STOP=1", "--file", "-", "--dbname", &conninfo.join(" ")])
            .args(&self.options)
            .env("HOME", &self.dir)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = sys::spawn(command).expect("psql can be started");
        let mut stdin = child.stdin.take().expect("psql has a standard input");
        let sql = sql.to_owned();
        // In a thread: a script may be longer than a pipe, and psql may end before it has read it.
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            let _ = stdin.write_all(sql.as_bytes());
        });
        let output = child.wait_with_output().expect("psql ends");
        writer.join().expect("the writer does not panic");
        PsqlOutput {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            log: self.log.clone(),
        }
    }

    /// Runs this SQL and returns its output, without the last line's end.
    ///
    /// # Panics
    /// If `psql` fails, with the end of the server's log.
    pub fn output(&self, sql: &str) -> String {
        self.run(sql).success()
    }
}

/// What came of a run of `psql`.
#[derive(Clone, Debug)]
pub struct PsqlOutput {
    /// Exit status: 0 fine, 2 no connection, 3 an error in the script; `None` when ended by a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    log: Log,
}

impl PsqlOutput {
    /// Standard output of a run without error, without the last line's end.
    ///
    /// # Panics
    /// If there was an error, with the end of the server's log.
    pub fn success(&self) -> String {
        assert!(
            self.status == Some(0),
            "psql: {:?}\n{}{}{}",
            self.status,
            self.stdout,
            self.stderr,
            self.log.tail()
        );
        self.stdout.strip_suffix('\n').unwrap_or(&self.stdout).to_owned()
    }

    /// Standard error of a run that failed.
    ///
    /// # Panics
    /// If there was no error.
    pub fn failure(&self) -> String {
        assert!(
            self.status != Some(0),
            "psql was expected to fail\n{}{}{}",
            self.stdout,
            self.stderr,
            self.log.tail()
        );
        self.stderr.clone()
    }
}
