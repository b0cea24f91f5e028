//! The real `psql`, and any other program on libpq.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::cluster::Cluster;
use crate::install::Installation;
use crate::log::Log;
use crate::pki::{Identity, IdentityFiles, Pki, write_private};
use crate::sys;

/// The entry of the service file that names the connection.
const SERVICE: &str = "test";

/// A `psql` to run. Unless told otherwise it verifies the server fully and has no certificate.
#[derive(Clone)]
pub struct Psql {
    socket_dir: PathBuf,
    parameters: Vec<(String, String)>,
    options: Vec<String>,
    directory: Option<PathBuf>,
    log: Log,
}

impl Psql {
    pub(crate) fn new(cluster: &Cluster, role: &str) -> Self {
        let dir = sys::fresh_dir("psql-");
        let ca = dir.join("server-ca.crt");
        std::fs::write(&ca, Pki::standard().server_ca().cert.pem()).expect("a file can be written");
        let nowhere = dir.join("none").display().to_string();
        let psql = Self {
            socket_dir: cluster.socket_dir(),
            parameters: Vec::new(),
            options: Vec::new(),
            directory: None,
            log: cluster.log().clone(),
        };
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

    /// Prints as a person sees it, in lines of at most so many characters: aligned, with a header.
    pub fn aligned(self, columns: usize) -> Self {
        self.option("--pset=tuples_only=off")
            .option("--pset=footer=off")
            .option("--pset=format=wrapped")
            .option(&format!("--pset=columns={columns}"))
    }

    /// Presents this certificate, with the chain exactly as it is.
    pub fn with(self, identity: &Identity) -> Self {
        let files = identity.write(&sys::fresh_dir("psql-"), "client");
        self.with_files(&files)
    }

    /// Presents this certificate with its key encrypted.
    pub fn with_encrypted_key(self, identity: &Identity, passphrase: &str) -> Self {
        let files = identity.write(&sys::fresh_dir("psql-"), "client");
        write_private(&files.key, &identity.key.encrypted_pem(passphrase));
        self.with_files(&files).parameter("sslpassword", passphrase)
    }

    fn with_files(self, files: &IdentityFiles) -> Self {
        self.parameter("sslcert", &files.cert.display().to_string())
            .parameter("sslkey", &files.key.display().to_string())
    }

    /// Over the Unix socket.
    pub fn unix(mut self) -> Self {
        self.parameters.retain(|(name, _)| name != "hostaddr" && !name.starts_with("ssl"));
        let socket_dir = self.socket_dir.display().to_string();
        self.parameter("host", &socket_dir)
    }

    /// Runs in this directory, where relative paths of the script start.
    pub fn in_directory(mut self, path: &Path) -> Self {
        self.directory = Some(path.to_owned());
        self
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
        let mut command = self.psql();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
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
        self.read(&output)
    }

    /// Runs another program of the installation, such as `pg_dump`, with this connection.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> PsqlOutput {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = sys::spawn(command).unwrap_or_else(|e| panic!("{program}: {e}"));
        self.read(&child.wait_with_output().expect("a program ends"))
    }

    /// Starts a program, such as `pg_receivewal`, with this connection, and ends it when the result
    /// is dropped.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn background(&self, program: &str, arguments: &[&str]) -> Background {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Background(sys::spawn(command).unwrap_or_else(|e| panic!("{program}: {e}")))
    }

    /// The connection as an entry of a service file: with `PGSERVICEFILE` naming that,
    /// `psql service=NAME` connects.
    pub fn service(&self, name: &str) -> String {
        self.parameters.iter().fold(format!("[{name}]\n"), |entry, (parameter, value)| {
            entry + &format!("{parameter}={value}\n")
        })
    }

    fn psql(&self) -> Command {
        let mut command = self.command("psql");
        command
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--no-password"])
            .args(["--set", "ON_ERROR_STOP=1", "--file", "-"])
            .args(&self.options);
        command
    }

    /// The program, told of the connection by a service file: all of them read that, and it has all
    /// parameters.
    fn command(&self, program: &str) -> Command {
        let dir = sys::fresh_dir("psql-");
        let service = dir.join("service.conf");
        write_private(&service, &self.service(SERVICE));
        let mut command = Installation::get().program(program);
        command
            .env("PGSERVICEFILE", service)
            .env("PGSERVICE", SERVICE)
            .env("HOME", &dir)
            .current_dir(self.directory.as_ref().unwrap_or(&dir));
        command
    }

    fn read(&self, output: &Output) -> PsqlOutput {
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

/// A program that runs until this is dropped.
pub struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        // Errors mean that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What came of a run of `psql` or another program.
#[derive(Clone, Debug)]
pub struct PsqlOutput {
    /// Exit status: 0 fine, 2 no connection, 3 an error in the script; `None` when ended by a
    /// signal.
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
            "exit status {:?}\n{}{}{}",
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
            "failure was expected\n{}{}{}",
            self.stdout,
            self.stderr,
            self.log.tail()
        );
        self.stderr.clone()
    }
}
