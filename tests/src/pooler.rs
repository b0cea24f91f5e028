//! A real PgBouncer in front of a cluster.
//!
//! Clients reach it over a Unix socket; it reaches the server over TLS, with a certificate of its
//! own.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cluster::{Cluster, eventually};
use crate::pki::{Identity, Pki};
use crate::psql::Psql;
use crate::sys;

/// The number in the socket's name; nothing listens on TCP. Clusters have higher ones.
const PORT: &str = "6432";

/// A running PgBouncer.
pub struct Pooler {
    process: Child,
    socket_dir: PathBuf,
}

impl Pooler {
    /// Starts one that lets these roles in without asking and shows the server this certificate,
    /// and waits until it listens; `None` where there is no PgBouncer.
    ///
    /// # Panics
    /// If it cannot be started, or does not listen.
    pub fn start(cluster: &Cluster, identity: &Identity, roles: &[&str]) -> Option<Self> {
        let program = Program::find()?;
        let dir = cluster.dir().join("pooler");
        sys::make_dir(&dir, 0o755);
        let program = program.copy_to(&dir);
        let settings = write_settings(cluster, identity, roles, &dir);
        let mut command = Command::new(&program);
        command
            .arg(settings)
            .env("LD_LIBRARY_PATH", &dir)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process =
            sys::spawn_as_server(command).unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let pooler = Self { process, socket_dir: cluster.socket_dir() };
        let socket = pooler.socket_dir.join(format!(".s.PGSQL.{PORT}"));
        eventually("PgBouncer", || UnixStream::connect(&socket).is_ok());
        Some(pooler)
    }

    /// Whether there is a PgBouncer to start.
    pub fn is_available() -> bool {
        Program::find().is_some()
    }

    /// `psql` as this role, through the pooler.
    pub fn psql(&self, cluster: &Cluster, role: &str) -> Psql {
        let socket_dir = self.socket_dir.display().to_string();
        cluster.psql(role).unix().parameter("host", &socket_dir).parameter("port", PORT)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // Errors mean that it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// PgBouncer, and the libraries that come with it where it is not installed.
struct Program {
    file: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Program {
    /// The installed one; else the one that `scripts/setup-debian.sh pooler` unpacked, which is for
    /// the system it was made on and not for a chroot with another one.
    fn find() -> Option<Self> {
        let installed = PathBuf::from("/usr/sbin/pgbouncer");
        if installed.exists() {
            return Some(Self { file: installed, libraries: Vec::new() });
        }
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pgbouncer");
        let file = unpacked.join("usr/sbin/pgbouncer");
        let usable = file.exists() && std::env::var_os("PGTLS_IN_CHROOT").is_none();
        let libraries = ["lib", "usr/lib"].map(|dir| unpacked.join(dir)).into();
        usable.then_some(Self { file, libraries })
    }

    /// Copies it, with its libraries, to where the server's account can read it.
    fn copy_to(&self, dir: &Path) -> PathBuf {
        for library in self.libraries.iter().flat_map(|dir| libraries(dir)) {
            copy(&library, dir);
        }
        copy(&self.file, dir)
    }
}

/// The libraries in a directory and one below it, which is named after the architecture.
fn libraries(dir: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let inner = entries(dir).flat_map(|entry| entries(&entry.path()));
    entries(dir)
        .chain(inner)
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.to_string_lossy().contains(".so"))
        .collect()
}

fn copy(file: &Path, dir: &Path) -> PathBuf {
    let copy = dir.join(file.file_name().expect("a file has a name"));
    fs::copy(file, &copy).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    sys::set_mode(&copy, 0o755);
    copy
}

fn write_settings(cluster: &Cluster, identity: &Identity, roles: &[&str], dir: &Path) -> PathBuf {
    let install = |name: &str, text: &str, mode: u32| {
        let path = dir.join(name);
        sys::install(&path, text.as_bytes(), mode);
        path
    };
    let users: String = roles.iter().map(|role| format!("\"{role}\" \"\"\n")).collect();
    let users = install("users.txt", &users, 0o600);
    let ca = install("server-ca.crt", &Pki::standard().server_ca().cert.pem(), 0o644);
    let certificate = install("pooler.crt", &identity.bundle_pem(), 0o644);
    let key = install("pooler.key", &identity.key.pem(), 0o600);
    let settings = format!(
        "[databases]
* = host={} port={}
[pgbouncer]
listen_port = {PORT}
unix_socket_dir = {}
auth_type = trust
auth_file = {}
logfile = {}
server_tls_sslmode = verify-full
server_tls_ca_file = {}
server_tls_cert_file = {}
server_tls_key_file = {}
",
        cluster.address(),
        cluster.port(),
        cluster.socket_dir().display(),
        users.display(),
        dir.join("log").display(),
        ca.display(),
        certificate.display(),
        key.display(),
    );
    install("pgbouncer.ini", &settings, 0o644)
}
