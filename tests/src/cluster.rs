//! Throw-away PostgreSQL servers.
//!
//! A [`Cluster`] has its own directory, port, certificates and log. It is stopped when it is
//! dropped, when a test panics, when the test binary exits and when it is killed. The server runs
//! as an unprivileged account also when the tests are run by root.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::client::{Login, Rows, Session};
use crate::handshake::Handshake;
use crate::install::{EXTENSION, Installation, Stage};
use crate::log::{Log, Mark};
use crate::pki::{Cert, Crl, Identity, Pki};
use crate::psql::Psql;
use crate::sys;

/// The bootstrap superuser; only it may log in over the Unix socket by default.
pub const SUPERUSER: &str = "postgres";

/// The first line of every `pg_hba.conf`: the harness's own way in.
const HARNESS_HBA: &str = "local all,replication postgres trust";

/// How long a server may take to start, to reload or to write an expected line.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a fast shutdown may take before an immediate one, and that before SIGKILL.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(15);

/// Ports to choose from: below those the kernel gives to clients, so that a restart finds its own
/// free again.
const PORTS: std::ops::Range<u16> = 10_300..32_700;

/// How many ports to try before giving up.
const PORT_ATTEMPTS: usize = 20;

/// How a server is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Waits for clients (SIGTERM).
    Smart,
    /// Disconnects clients (SIGINT).
    Fast,
    /// Without a checkpoint: the next start is a recovery (SIGQUIT).
    Immediate,
}

/// Describes a cluster to start. Unless told otherwise: TLS with the standard PKI's server
/// certificate, the root CA trusted for clients, no CRL, `cert` authentication for every role over
/// TLS, nothing else.
#[derive(Clone)]
pub struct Builder {
    settings: BTreeMap<String, String>,
    hba: Vec<String>,
    ident: Vec<String>,
    server: Option<Identity>,
    trust: Option<Vec<Cert>>,
    crl_file: Option<Vec<Crl>>,
    crl_dir: Option<Vec<Crl>>,
    roles: Vec<String>,
    environment: Vec<(String, String)>,
    stage: Option<Stage>,
    create_extension: bool,
}

impl Builder {
    /// Sets a parameter in `postgresql.conf`.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Sets a variable in the environment of the server.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a line to `pg_hba.conf`; the first one replaces the default lines. They start at line
    /// [`Cluster::FIRST_HBA_LINE`].
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// Adds a line to `pg_ident.conf`.
    pub fn ident(mut self, line: &str) -> Self {
        self.ident.push(line.to_owned());
        self
    }

    /// The server's certificate and key.
    pub fn server_identity(mut self, identity: &Identity) -> Self {
        self.server = Some(identity.clone());
        self
    }

    /// The content of `ssl_ca_file`; with nothing, the setting is left empty.
    pub fn trust(mut self, cas: &[&Identity]) -> Self {
        self.trust = Some(cas.iter().map(|ca| ca.cert.clone()).collect());
        self
    }

    /// The content of `ssl_crl_file`.
    pub fn crl_file(mut self, crls: &[&Crl]) -> Self {
        self.crl_file = Some(owned(crls));
        self
    }

    /// The content of `ssl_crl_dir`.
    pub fn crl_dir(mut self, crls: &[&Crl]) -> Self {
        self.crl_dir = Some(owned(crls));
        self
    }

    /// Makes these login roles.
    pub fn roles(mut self, names: &[&str]) -> Self {
        self.roles.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Also listens on `::1`, where there is IPv6.
    pub fn ipv6(self) -> Self {
        self.set("listen_addresses", "127.0.0.1,::1")
    }

    /// Has the extension under test where `CREATE EXTENSION` finds it.
    pub fn staged(self) -> Self {
        let stage = Stage::of_extension();
        self.stage(stage)
    }

    /// Has any staged tree found by `CREATE EXTENSION` and the like.
    pub fn stage(mut self, stage: &Stage) -> Self {
        self.stage = Some(stage.clone());
        self
    }

    /// Creates the extension under test in the database `postgres`.
    pub fn extension(mut self) -> Self {
        self.create_extension = true;
        self.staged()
    }

    /// Creates the extension under test and preloads it.
    pub fn preloaded(self) -> Self {
        self.set("shared_preload_libraries", EXTENSION).extension()
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it does not start, with its log.
    pub fn start(self) -> Cluster {
        self.try_start().unwrap_or_else(|log| panic!("the server did not start\n{log}"))
    }

    /// Starts it, or returns the log of why it does not start.
    ///
    /// # Errors
    /// If the server ends by itself.
    pub fn try_start(self) -> Result<Cluster, String> {
        let dir = new_cluster_dir();
        copy_data(template(), &dir.join("data"));
        let mut cluster = Cluster::at(dir, self.settings);
        cluster.environment = self.environment;
        if let Some(stage) = &self.stage {
            cluster.bindir = stage.bindir().to_owned();
        }
        let pki = Pki::standard();

        cluster.replace_server(self.server.as_ref().unwrap_or(pki.server()));
        cluster.default("ssl_cert_file", cluster.tls_path("server.crt"));
        cluster.default("ssl_key_file", cluster.tls_path("server.key"));
        let trust = self.trust.unwrap_or_else(|| vec![pki.root().cert.clone()]);
        if !trust.is_empty() {
            cluster.replace_ca(&trust.iter().collect::<Vec<_>>());
            cluster.default("ssl_ca_file", cluster.tls_path("ca.crt"));
        }
        if let Some(crls) = &self.crl_file {
            cluster.replace_crl(&crls.iter().collect::<Vec<_>>());
            cluster.default("ssl_crl_file", cluster.crl_file());
        }
        if let Some(crls) = &self.crl_dir {
            cluster.replace_crl_dir(&crls.iter().collect::<Vec<_>>());
            cluster.default("ssl_crl_dir", cluster.crl_dir());
        }
        cluster.default("dynamic_shared_memory_type", shared_memory_type());
        for (name, value) in self.stage.iter().flat_map(Stage::settings) {
            cluster.default(name, value);
        }
        if self.hba.is_empty() {
            cluster.write_hba("hostssl all all 127.0.0.1/32 cert\nhostssl all all ::1/128 cert");
        } else {
            cluster.write_hba(&self.hba.join("\n"));
        }
        cluster.write_ident(&self.ident.join("\n"));
        cluster.launch_on_a_free_port()?;

        for role in &self.roles {
            cluster.role(role);
        }
        if self.create_extension {
            cluster.sql(&format!("create extension {EXTENSION}"));
        }
        Ok(cluster)
    }
}

/// A running server.
pub struct Cluster {
    dir: PathBuf,
    port: u16,
    log: Log,
    settings: Mutex<BTreeMap<String, String>>,
    environment: Vec<(String, String)>,
    /// Where the server's programs are.
    bindir: PathBuf,
    server: Arc<Server>,
}

impl Cluster {
    /// The number of the first `pg_hba.conf` line that a test gives: before it is the harness's
    /// own.
    pub const FIRST_HBA_LINE: u32 = 2;

    /// Describes a cluster.
    pub fn builder() -> Builder {
        Builder {
            settings: default_settings(),
            hba: Vec::new(),
            ident: Vec::new(),
            server: None,
            trust: None,
            crl_file: None,
            crl_dir: None,
            roles: Vec::new(),
            environment: Vec::new(),
            stage: None,
            create_extension: false,
        }
    }

    /// Starts a cluster as [`Builder`] has it by default.
    pub fn start() -> Self {
        Self::builder().start()
    }

    // --- Clients
    // -----------------------------------------------------------------------------------------------

    /// A TLS login as this role, without a certificate until one is given.
    pub fn client(&self, role: &str) -> Login {
        Login::new(self, role)
    }

    /// The real `psql` as this role.
    pub fn psql(&self, role: &str) -> Psql {
        Psql::new(self, role)
    }

    /// A raw TLS client, for what a well-behaved one does not do.
    pub fn handshake(&self) -> Handshake {
        Handshake::new(self)
    }

    /// The superuser, over the Unix socket.
    pub fn admin(&self) -> Session {
        self.admin_in("postgres")
    }

    /// The superuser in this database, over the Unix socket.
    pub fn admin_in(&self, database: &str) -> Session {
        self.client(SUPERUSER).unix().database(database).login()
    }

    /// Runs statements as the superuser in a session of their own and returns the rows of all of
    /// them.
    ///
    /// # Panics
    /// If one fails.
    pub fn sql(&self, sql: &str) -> Rows {
        self.admin().rows(sql)
    }

    /// Makes a login role.
    pub fn role(&self, name: &str) {
        self.sql(&format!("create role {} login", quote_name(name)));
    }

    /// Makes a database in this encoding, such as `LATIN1`, with the C locale.
    pub fn database(&self, name: &str, encoding: &str) {
        let name = quote_name(name);
        self.sql(&format!(
            "create database {name} template template0 encoding '{encoding}' locale 'C'"
        ));
    }

    // --- Configuration
    // -----------------------------------------------------------------------------------------

    /// Sets a parameter in `postgresql.conf`; [`reload`](Self::reload) or
    /// [`restart`](Self::restart) puts it in force.
    pub fn set(&self, name: &str, value: impl ToString) {
        self.settings().insert(name.to_owned(), value.to_string());
        self.write_settings();
    }

    /// Takes a parameter out of `postgresql.conf`.
    pub fn unset(&self, name: &str) {
        self.settings().remove(name);
        self.write_settings();
    }

    /// Replaces the lines of `pg_hba.conf` after the harness's own.
    pub fn write_hba(&self, lines: &str) {
        self.write_hba_whole(&format!("{HARNESS_HBA}\n{lines}\n"));
    }

    /// Replaces all of `pg_hba.conf`: keep a way in for the superuser, or the harness has none.
    pub fn write_hba_whole(&self, text: &str) {
        sys::install(&self.hba_file(), text.as_bytes(), 0o600);
    }

    /// Replaces `pg_ident.conf`.
    pub fn write_ident(&self, lines: &str) {
        sys::install(&self.ident_file(), format!("{lines}\n").as_bytes(), 0o600);
    }

    /// Replaces the server's certificate and key.
    pub fn replace_server(&self, identity: &Identity) {
        sys::install(&self.tls_path("server.crt"), identity.bundle_pem().as_bytes(), 0o644);
        sys::install(&self.tls_path("server.key"), identity.key.pem().as_bytes(), 0o600);
    }

    /// Replaces the content of `ssl_ca_file`.
    pub fn replace_ca(&self, cas: &[&Cert]) {
        let text: String = cas.iter().map(|cert| cert.pem()).collect();
        sys::install(&self.tls_path("ca.crt"), text.as_bytes(), 0o644);
    }

    /// Replaces the content of the CRL file.
    pub fn replace_crl(&self, crls: &[&Crl]) {
        let text: String = crls.iter().map(|crl| crl.pem()).collect();
        self.replace_crl_bytes(text.as_bytes());
    }

    /// Replaces the content of the CRL file by anything.
    pub fn replace_crl_bytes(&self, content: &[u8]) {
        sys::install(&self.crl_file(), content, 0o644);
    }

    /// Replaces the CRL directory: `<issuer hash>.r0`, `.r1` and so on for several of one issuer.
    pub fn replace_crl_dir(&self, crls: &[&Crl]) {
        let dir = self.crl_dir();
        let _ = fs::remove_dir_all(&dir);
        sys::make_dir(&dir, 0o755);
        for crl in crls {
            let hash = crl.issuer_hash();
            let free = (0..).map(|n| dir.join(format!("{hash}.r{n}"))).find(|path| !path.exists());
            let path = free.expect("there is always a higher number");
            sys::install(&path, crl.pem().as_bytes(), 0o644);
        }
    }

    // --- Life
    // --------------------------------------------------------------------------------------------------

    /// Reloads the configuration, waits until new sessions have it, and returns what the server
    /// logged meanwhile.
    ///
    /// # Panics
    /// If the server does not get to it.
    pub fn reload(&self) -> String {
        let loaded = || self.sql("select pg_conf_load_time()");
        let before = loaded();
        let mark = self.log.mark();
        sys::signal(self.pid(), libc::SIGHUP).expect("the server can be signalled");
        eventually("the reload", || {
            loaded() != before || self.log.since(mark).contains("contains errors; ")
        });
        self.log.since(mark)
    }

    /// Shuts down, fast, and starts again on the same port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        self.shut_down(Shutdown::Fast);
        self.start_again();
    }

    /// Shuts down; [`start_again`](Self::start_again) follows.
    pub fn shut_down(&self, how: Shutdown) {
        self.server.shut_down(how);
    }

    /// Starts a server that was shut down.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        self.try_start_again()
            .unwrap_or_else(|log| panic!("the server did not start again\n{log}"));
    }

    /// The same of one that may not start; then with its log.
    ///
    /// # Errors
    /// If it does not start.
    pub fn try_start_again(&self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            match self.launch() {
                // Somebody else may hold the port for a moment.
                Err(log) if port_was_taken(&log) && started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                outcome => return outcome,
            }
        }
    }

    /// Restarts as a daemon that outlives this process, and so does the directory of the run.
    ///
    /// # Panics
    /// If it does not start.
    pub fn keep(self) -> Kept {
        self.shut_down(Shutdown::Fast);
        let mut pg_ctl = Installation::get().program_in(&self.bindir, "pg_ctl");
        pg_ctl
            .args(["start", "--silent", "--pgdata"])
            .arg(self.data_dir())
            .arg("--log")
            .arg(self.log.path())
            .current_dir(&self.dir)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        sys::run_as_server(pg_ctl);
        let dir = sys::keep_run_dir().to_owned();
        let stop = dir.join("stop");
        let script = stop_script(&self.data_dir(), &dir);
        fs::write(&stop, script).expect("a script can be written");
        Kept { dir, stop }
    }

    /// Runs a shell script as the server's account, in this directory; `psql` in it is the server's,
    /// and without arguments a superuser over the Unix socket.
    pub fn shell(&self, directory: &Path, script: &str) -> Output {
        let mut bash = Installation::get().program_in(Path::new("/bin"), "bash");
        let path = std::env::var("PATH").unwrap_or_default();
        bash.args(["-euo", "pipefail", "-c", script])
            .current_dir(directory)
            .env("PATH", format!("{}:{path}", self.bindir.display()))
            // Else libpq looks into the home of whoever runs the tests.
            .env("HOME", directory)
            .env("PGDATA", self.data_dir())
            .env("PGHOST", self.socket_dir())
            .env("PGPORT", self.port().to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGDATABASE", "postgres");
        sys::output_as_server(bash)
    }

    /// A streaming standby of this server, in step with it as of now; `adapt` may change its
    /// settings.
    pub fn standby(&self) -> Self {
        let dir = new_cluster_dir();
        let mut command = Installation::get().program("pg_basebackup");
        command
            .args([
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
                "--wal-method=stream",
            ])
            .arg("--pgdata")
            .arg(dir.join("data"))
            .arg("--host")
            .arg(self.socket_dir())
            .args(["--port", &self.port.to_string(), "--username", SUPERUSER]);
        sys::run_as_server(command);
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.dir.join("tls")).arg(&dir);
        run(copy);

        let (here, there) = (self.dir.display().to_string(), dir.display().to_string());
        let settings = self.settings().clone();
        let moved = settings.into_iter().map(|(name, value)| (name, value.replace(&here, &there)));
        let mut standby = Self::at(dir, moved.collect());
        standby.bindir.clone_from(&self.bindir);
        standby
            .launch_on_a_free_port()
            .unwrap_or_else(|log| panic!("the standby did not start\n{log}"));
        standby.catch_up_with(self);
        standby
    }

    /// Waits until this standby has replayed all that `primary` has written so far.
    ///
    /// # Panics
    /// If it does not get there.
    pub fn catch_up_with(&self, primary: &Self) {
        let end = primary.admin().value("select pg_current_wal_lsn()");
        let admin = self.admin();
        eventually("the standby", || {
            admin.value(&format!("select pg_last_wal_replay_lsn() >= '{end}'")) == "t"
        });
    }

    /// Ends one process of this server with SIGKILL, which makes the server end all others and
    /// start anew, and waits until it has.
    ///
    /// # Panics
    /// If `pid` is not a child of this server, or the server does not come back.
    pub fn kill9(&self, pid: u32) {
        let mark = self.mark();
        self.kill_child(pid);
        let log = self.wait_for_log(mark, "database system is ready to accept connections");
        assert!(log.contains("all server processes terminated; reinitializing"), "{log}");
    }

    /// Ends one process of this server with SIGKILL, whatever becomes of the server.
    ///
    /// # Panics
    /// If `pid` is not a child of this server.
    pub fn kill_child(&self, pid: u32) {
        assert_eq!(sys::parent_of(pid), Some(self.pid()), "{pid} is not a child of this server");
        sys::signal(pid, libc::SIGKILL).expect("a child of the server can be killed");
    }

    /// Asks one process of this server to end (SIGTERM), as `kill` does.
    ///
    /// # Panics
    /// If `pid` is not a child of this server.
    pub fn ask_child_to_end(&self, pid: u32) {
        assert_eq!(sys::parent_of(pid), Some(self.pid()), "{pid} is not a child of this server");
        sys::signal(pid, libc::SIGTERM).expect("a child of the server can be asked");
    }

    // --- What it is
    // --------------------------------------------------------------------------------------------

    /// The postmaster's pid.
    ///
    /// # Panics
    /// If the server is shut down.
    pub fn pid(&self) -> u32 {
        self.server.pid().expect("the server runs")
    }

    /// The port, for TCP and the Unix socket alike.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address it listens on.
    pub fn address(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    /// Major version of the server.
    pub fn version(&self) -> u32 {
        Installation::get().version
    }

    /// The superuser's way in over the Unix socket, as a connection string: for subscriptions,
    /// dblink and the like.
    pub fn conninfo(&self) -> String {
        let (host, port) = (self.socket_dir(), self.port);
        format!("host={} port={port} user={SUPERUSER} dbname=postgres", host.display())
    }

    /// The directory that holds all of this cluster.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where the Unix socket is.
    pub fn socket_dir(&self) -> PathBuf {
        self.dir.join("s")
    }

    /// `ssl_crl_file`, once it is set.
    pub fn crl_file(&self) -> PathBuf {
        self.tls_path("crl.pem")
    }

    /// `ssl_crl_dir`, once it is set.
    pub fn crl_dir(&self) -> PathBuf {
        self.tls_path("crl.d")
    }

    /// A file beside the server's certificate.
    pub fn tls_path(&self, name: &str) -> PathBuf {
        self.dir.join("tls").join(name)
    }

    /// `pg_hba.conf`.
    pub fn hba_file(&self) -> PathBuf {
        self.data_dir().join("pg_hba.conf")
    }

    /// `pg_ident.conf`.
    pub fn ident_file(&self) -> PathBuf {
        self.data_dir().join("pg_ident.conf")
    }

    // --- Log
    // ---------------------------------------------------------------------------------------------------

    /// The server's log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Where the log ends now.
    pub fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// What was logged after `mark`.
    pub fn log_since(&self, mark: Mark) -> String {
        self.log.since(mark)
    }

    /// Waits until `text` is logged after `mark` and returns all that was logged until then.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn wait_for_log(&self, mark: Mark, text: &str) -> String {
        let started = Instant::now();
        loop {
            let log = self.log.since(mark);
            if log.contains(text) {
                return log;
            }
            assert!(started.elapsed() < PATIENCE, "{text:?} was not logged\n{}", self.log.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    // --- Inside
    // ------------------------------------------------------------------------------------------------

    fn at(dir: PathBuf, settings: BTreeMap<String, String>) -> Self {
        let log = Log::new(dir.join("log"));
        if !dir.join("tls").exists() {
            sys::make_dir(&dir.join("tls"), 0o755);
        }
        sys::make_dir(&dir.join("s"), 0o755);
        let server = Arc::new(Server::default());
        sys::stop_at_exit(Arc::downgrade(&server));
        let environment = Vec::new();
        let settings = Mutex::new(settings);
        let bindir = Installation::get().bindir().to_owned();
        let cluster = Self { dir, port: 0, log, settings, environment, bindir, server };
        let socket_dir = cluster.socket_dir().display().to_string();
        cluster.settings().insert("unix_socket_directories".to_owned(), socket_dir);
        cluster
    }

    fn settings(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a parameter that the test has not set.
    fn default(&self, name: &str, value: impl IntoSetting) {
        self.settings().entry(name.to_owned()).or_insert(value.into_setting());
    }

    fn write_settings(&self) {
        let lines = self.settings().iter().fold(String::new(), |lines, (name, value)| {
            lines + &format!("{name} = '{}'\n", value.replace('\'', "''"))
        });
        sys::install(&self.data_dir().join("postgresql.conf"), lines.as_bytes(), 0o600);
    }

    fn launch_on_a_free_port(&mut self) -> Result<(), String> {
        let mut result = Err("no free port was found".to_owned());
        for _ in 0..PORT_ATTEMPTS {
            self.port = free_port();
            self.settings().insert("port".to_owned(), self.port.to_string());
            result = self.launch();
            match &result {
                Err(log) if port_was_taken(log) => {}
                _ => break,
            }
        }
        result
    }

    /// Starts the server and waits until it lets the superuser in; or returns its log if it ends
    /// instead.
    fn launch(&self) -> Result<(), String> {
        self.write_settings();
        let log = OpenOptions::new().create(true).append(true).open(self.log.path());
        let log = log.expect("the log can be opened");
        sys::give_to_server(self.log.path());
        let mark = self.log.mark();
        let mut command = Installation::get().program_in(&self.bindir, "postgres");
        command
            .arg("-D")
            .arg(self.data_dir())
            .current_dir(&self.dir)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let child = sys::spawn_as_server(command).expect("the server can be started");
        self.server.watch(child);

        let started = Instant::now();
        let probe = self.client(SUPERUSER).unix();
        loop {
            if self.server.has_ended() {
                return Err(self.log.since(mark));
            }
            if probe.connect().is_ok() {
                break;
            }
            if started.elapsed() > PATIENCE {
                self.server.shut_down(Shutdown::Immediate);
                return Err(format!("not ready in time\n{}", self.log.since(mark)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // With several addresses the server is content with one.
        let log = self.log.since(mark);
        if port_was_taken(&log) {
            self.server.shut_down(Shutdown::Fast);
            return Err(log);
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(tail) = self.log.unseen_tail()
        {
            eprintln!("{tail}");
        }
        self.server.stop();
        sys::remove_dir(&self.dir);
    }
}

/// What [`Cluster::keep`] left behind.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The directory of the run, with the server and everything its clients need.
    pub dir: PathBuf,
    /// A shell script that stops the server and removes the directory.
    pub stop: PathBuf,
}

/// The server process, shared with the one that stops it at exit.
#[derive(Default)]
pub(crate) struct Server {
    child: Mutex<Option<Child>>,
}

impl Server {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, child: Child) {
        *self.child() = Some(child);
    }

    fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Whether the server is gone; forgets it then.
    fn has_ended(&self) -> bool {
        let mut child = self.child();
        let running = matches!(child.as_mut().map(Child::try_wait), Some(Ok(None)));
        if !running {
            *child = None;
        }
        !running
    }

    fn shut_down(&self, how: Shutdown) {
        let first = match how {
            Shutdown::Smart => libc::SIGTERM,
            Shutdown::Fast => libc::SIGINT,
            Shutdown::Immediate => libc::SIGQUIT,
        };
        for signal in [first, libc::SIGQUIT, libc::SIGKILL] {
            let started = Instant::now();
            if let Some(pid) = self.pid() {
                // An error means that it is gone, which is what is waited for.
                let _ = sys::signal(pid, signal);
            }
            while started.elapsed() < SHUTDOWN_PATIENCE {
                if self.has_ended() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Stops the server, whatever it takes.
    pub(crate) fn stop(&self) {
        self.shut_down(Shutdown::Fast);
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within a minute, naming `what`.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A value for `postgresql.conf`.
trait IntoSetting {
    fn into_setting(self) -> String;
}

impl IntoSetting for PathBuf {
    fn into_setting(self) -> String {
        self.display().to_string()
    }
}

impl IntoSetting for String {
    fn into_setting(self) -> String {
        self
    }
}

fn default_settings() -> BTreeMap<String, String> {
    [
        ("listen_addresses", "127.0.0.1"),
        ("ssl", "on"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("shared_buffers", "16MB"),
        ("max_connections", "100"),
        ("log_connections", "on"),
        ("log_line_prefix", "%m [%p] %q%u@%d "),
        ("lc_messages", "C"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A name as an SQL identifier.
pub fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal.
pub fn quote(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''"));
    if text.contains('\\') { format!(" E{}", quoted.replace('\\', "\\\\")) } else { quoted }
}

fn owned<T: Clone>(items: &[&T]) -> Vec<T> {
    items.iter().map(|item| (*item).clone()).collect()
}

fn new_cluster_dir() -> PathBuf {
    let dir = sys::fresh_dir("c");
    sys::set_mode(&dir, 0o755);
    sys::give_to_server(&dir);
    dir
}

/// The data directory that every cluster starts from.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let dir = sys::fresh_dir("template-");
        sys::set_mode(&dir, 0o700);
        sys::give_to_server(&dir);
        let mut initdb = Installation::get().program("initdb");
        initdb
            .args(["--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8"])
            .args(["--locale", "C", "--no-sync", "--wal-segsize", "1", "--pgdata"])
            .arg(&dir)
            .current_dir("/");
        sys::run_as_server(initdb);
        dir
    })
}

/// A script for the user who ran us, who may be root: `pg_ctl` would refuse.
fn stop_script(data: &Path, run: &Path) -> String {
    let (data, run) = (data.display(), run.display());
    format!(
        "#!/bin/sh
# Stops the server and removes its directory.
pid=$(head -n 1 '{data}/postmaster.pid' 2>/dev/null)
# The number may be another process's by now: a server works in its data directory.
while [ -n \"$pid\" ] && [ \"$(readlink \"/proc/$pid/cwd\")\" = '{data}' ]; do
    kill -INT \"$pid\" 2>/dev/null
    sleep 0.2
done
rm -rf '{run}'
"
    )
}

/// The kind of shared memory that initdb found to work here.
fn shared_memory_type() -> String {
    let conf = fs::read_to_string(template().join("postgresql.conf")).unwrap_or_default();
    let line = conf.lines().find_map(|line| line.strip_prefix("dynamic_shared_memory_type = "));
    let kind = line.and_then(|line| line.split_whitespace().next());
    kind.unwrap_or("posix").to_owned()
}

fn copy_data(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto"]).arg(from).arg(to);
    run(copy);
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A port that nobody listens on at this moment.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    loop {
        // From a place of its own for each process, so that parallel runs seldom meet.
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = (std::process::id().wrapping_mul(211)).wrapping_add(step) % count;
        let port = PORTS.start + u16::try_from(offset).expect("less than the count of ports");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn port_was_taken(log: &str) -> bool {
    log.contains("Address already in use")
}
