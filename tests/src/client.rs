//! TLS clients that speak SQL.
//!
//! A [`Login`] says how to connect, a [`Session`] is connected. The methods of a session that
//! cannot give what they promise panic with the SQL, the error and the end of the server's log.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{self, SslVersion};
use postgres::config::{SslMode, SslNegotiation};
use postgres::{Config, NoTls, SimpleQueryMessage};

use crate::cluster::Cluster;
use crate::log::Log;
use crate::pki::Identity;
use crate::tls::TlsOptions;

/// Rows as text, NULL as `None`.
pub type Rows = Vec<Vec<Option<String>>>;

/// What the server said beside its answers.
type Notices = Arc<Mutex<Vec<String>>>;

/// How long a login may take.
const LOGIN_PATIENCE: Duration = Duration::from_secs(60);

/// What OpenSSL adds to an alert's number to make it an error's reason.
const ALERT_REASON: i32 = 1_000;

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tls,
    DirectTls,
    Plain,
    UnixSocket,
}

/// How to connect: a role, and how it presents itself.
#[derive(Clone)]
pub struct Login {
    address: IpAddr,
    port: u16,
    socket_dir: PathBuf,
    log: Log,
    role: String,
    database: String,
    password: Option<String>,
    application_name: Option<String>,
    options: Option<String>,
    transport: Transport,
    tls: TlsOptions,
}

impl Login {
    pub(crate) fn new(cluster: &Cluster, role: &str) -> Self {
        Self {
            address: cluster.address(),
            port: cluster.port(),
            socket_dir: cluster.socket_dir(),
            log: cluster.log().clone(),
            role: role.to_owned(),
            database: "postgres".to_owned(),
            password: None,
            application_name: None,
            options: None,
            transport: Transport::Tls,
            tls: TlsOptions::new(),
        }
    }

    /// Presents this certificate, with the chain exactly as it is.
    pub fn with(mut self, identity: &Identity) -> Self {
        self.tls.identity = Some(identity.clone());
        self
    }

    /// Into this database instead of `postgres`.
    pub fn database(mut self, name: &str) -> Self {
        self.database = name.to_owned();
        self
    }

    /// With this password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Under this `application_name`.
    pub fn application_name(mut self, name: &str) -> Self {
        self.application_name = Some(name.to_owned());
        self
    }

    /// With these command-line options, such as `-c work_mem=1MB`.
    pub fn options(mut self, options: &str) -> Self {
        self.options = Some(options.to_owned());
        self
    }

    /// Speaks TLS 1.2 alone.
    pub fn tls12(self) -> Self {
        self.tls_versions(SslVersion::TLS1_2, SslVersion::TLS1_2)
    }

    /// Speaks TLS 1.3 alone.
    pub fn tls13(self) -> Self {
        self.tls_versions(SslVersion::TLS1_3, SslVersion::TLS1_3)
    }

    /// Speaks these versions of TLS.
    pub fn tls_versions(mut self, min: SslVersion, max: SslVersion) -> Self {
        self.tls.min = Some(min);
        self.tls.max = Some(max);
        self
    }

    /// Offers these ciphers, up to TLS 1.2.
    pub fn ciphers(mut self, list: &str) -> Self {
        self.tls.ciphers = Some(list.to_owned());
        self
    }

    /// Offers these cipher suites of TLS 1.3.
    pub fn ciphersuites(mut self, list: &str) -> Self {
        self.tls.ciphersuites = Some(list.to_owned());
        self
    }

    /// Offers these groups for the key exchange.
    pub fn groups(mut self, list: &str) -> Self {
        self.tls.groups = Some(list.to_owned());
        self
    }

    /// Offers these application protocols, which `libpq` does from PostgreSQL 17 on: `postgresql`.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.tls.offer_protocols(protocols);
        self
    }

    /// Calls the server by this name, which is verified and, unless an address, sent as SNI.
    pub fn server_name(mut self, name: &str) -> Self {
        self.tls.server_name = name.to_owned();
        self
    }

    /// Sends no SNI.
    pub fn no_sni(mut self) -> Self {
        self.tls.sni = false;
        self
    }

    /// Expects the server's certificate from this CA.
    pub fn server_ca(mut self, ca: &Identity) -> Self {
        self.tls.server_ca = Some(ca.cert.clone());
        self
    }

    /// Takes any server certificate.
    pub fn any_server(mut self) -> Self {
        self.tls.server_ca = None;
        self
    }

    /// Connects to this address, where the server listens there.
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// Over TCP without TLS.
    pub fn no_tls(mut self) -> Self {
        self.transport = Transport::Plain;
        self
    }

    /// Over the Unix socket.
    pub fn unix(mut self) -> Self {
        self.transport = Transport::UnixSocket;
        self
    }

    /// TLS from the first byte (PostgreSQL 17 and later).
    pub fn direct_tls(mut self) -> Self {
        self.transport = Transport::DirectTls;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// If the server, or TLS on either side, refuses.
    pub fn connect(&self) -> Result<Session, LoginError> {
        let notices = Arc::new(Mutex::new(Vec::new()));
        self.open(&notices).map(|client| Session {
            client: RefCell::new(client),
            notices,
            log: self.log.clone(),
            role: self.role.clone(),
        })
    }

    /// Connects.
    ///
    /// # Panics
    /// If the login is refused.
    pub fn login(&self) -> Session {
        self.connect().unwrap_or_else(|error| {
            panic!("{} was expected to log in: {error}\n{}", self.role, self.log.tail())
        })
    }

    /// Is refused.
    ///
    /// # Panics
    /// If the login is accepted.
    pub fn refused(&self) -> LoginError {
        match self.connect() {
            Ok(_) => panic!("{} was expected to be refused\n{}", self.role, self.log.tail()),
            Err(error) => error,
        }
    }

    fn open(&self, notices: &Notices) -> Result<postgres::Client, LoginError> {
        let mut config = Config::new();
        let notices = Arc::clone(notices);
        config.notice_callback(move |notice| {
            let line = format!("{}: {}", notice.severity(), notice.message());
            notices.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        });
        config
            .user(&self.role)
            .dbname(&self.database)
            .port(self.port)
            .connect_timeout(LOGIN_PATIENCE);
        if let Some(password) = &self.password {
            config.password(password);
        }
        if let Some(name) = &self.application_name {
            config.application_name(name);
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        match self.transport {
            Transport::UnixSocket => {
                config.host_path(&self.socket_dir).ssl_mode(SslMode::Disable);
                return Ok(config.connect(NoTls)?);
            }
            Transport::Plain => config.ssl_mode(SslMode::Disable),
            Transport::Tls => config.ssl_mode(SslMode::Require),
            Transport::DirectTls => {
                config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct)
            }
        };
        config.host(&self.tls.server_name).hostaddr(self.address);
        if self.transport == Transport::Plain {
            return Ok(config.connect(NoTls)?);
        }
        let mut tls = self.tls.clone();
        if self.transport == Transport::DirectTls && tls.alpn.is_empty() {
            tls.offer_protocols(&["postgresql"]);
        }
        Ok(config.connect(tls)?)
    }
}

/// A connected client.
pub struct Session {
    client: RefCell<postgres::Client>,
    notices: Notices,
    log: Log,
    role: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a session of {}", self.role)
    }
}

impl Session {
    /// The one value of a query, not NULL.
    pub fn value(&self, sql: &str) -> String {
        self.maybe(sql).unwrap_or_else(|| self.fail(sql, "NULL"))
    }

    /// The one value of a query.
    pub fn maybe(&self, sql: &str) -> Option<String> {
        let mut row = self.row(sql);
        if row.len() != 1 {
            self.fail(sql, &format!("one column expected, not {}", row.len()));
        }
        row.remove(0)
    }

    /// The one row of a query.
    pub fn row(&self, sql: &str) -> Vec<Option<String>> {
        let mut rows = self.rows(sql);
        if rows.len() != 1 {
            self.fail(sql, &format!("one row expected, not {}", rows.len()));
        }
        rows.remove(0)
    }

    /// The first column of all rows.
    pub fn column(&self, sql: &str) -> Vec<Option<String>> {
        self.rows(sql).into_iter().filter_map(|row| row.into_iter().next()).collect()
    }

    /// All rows of one or more statements.
    pub fn rows(&self, sql: &str) -> Rows {
        self.query(sql).unwrap_or_else(|error| self.fail(sql, &error.to_string()))
    }

    /// Runs one or more statements.
    pub fn run(&self, sql: &str) {
        self.rows(sql);
    }

    /// The error of a statement that has to fail.
    pub fn error(&self, sql: &str) -> SqlError {
        match self.query(sql) {
            Ok(rows) => self.fail(sql, &format!("an error expected, not {rows:?}")),
            Err(error) => error,
        }
    }

    /// All rows of one or more statements.
    ///
    /// # Errors
    /// If one fails.
    pub fn query(&self, sql: &str) -> Result<Rows, SqlError> {
        let messages = self.client.borrow_mut().simple_query(sql)?;
        Ok(messages.iter().filter_map(|message| self.cells(sql, message)).collect())
    }

    /// The notices and warnings since the last call, as `WARNING: text`.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pid of this session's backend.
    pub fn pid(&self) -> u32 {
        self.value("select pg_backend_pid()").parse().expect("a pid is a number")
    }

    /// The client underneath, for prepared statements, COPY and the like.
    pub fn raw(&self) -> std::cell::RefMut<'_, postgres::Client> {
        self.client.borrow_mut()
    }

    fn cells(&self, sql: &str, message: &SimpleQueryMessage) -> Option<Vec<Option<String>>> {
        let SimpleQueryMessage::Row(row) = message else { return None };
        let cell = |index| {
            let cell: Result<Option<&str>, _> = row.try_get(index);
            cell.map(|cell| cell.map(str::to_owned))
                .unwrap_or_else(|e| self.fail(sql, &format!("column {index}: {e}")))
        };
        Some((0..row.len()).map(cell).collect())
    }

    fn fail(&self, sql: &str, what: &str) -> ! {
        panic!("{}: {sql}\n{what}\n{}", self.role, self.log.tail())
    }
}

/// An error that the server reported for a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlError {
    /// The SQLSTATE; empty when the connection broke instead.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// The DETAIL.
    pub detail: Option<String>,
    /// The HINT.
    pub hint: Option<String>,
}

impl From<postgres::Error> for SqlError {
    fn from(error: postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self {
                sqlstate: db.code().code().to_owned(),
                message: db.message().to_owned(),
                detail: db.detail().map(str::to_owned),
                hint: db.hint().map(str::to_owned),
            },
            None => Self { message: causes(&error).join(": "), ..Self::default() },
        }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sqlstate, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, "\nDETAIL: {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nHINT: {hint}")?;
        }
        Ok(())
    }
}

impl Error for SqlError {}

/// Why a login did not come about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginError {
    /// The SQLSTATE, when the server said so in its protocol.
    pub sqlstate: Option<String>,
    /// The message of whoever refused.
    pub message: String,
    /// The server's DETAIL.
    pub detail: Option<String>,
    /// The server's HINT.
    pub hint: Option<String>,
    /// The TLS alert that the server sent.
    pub tls_alert: Option<Alert>,
}

impl LoginError {
    /// Reads it off the causes of an error.
    pub(crate) fn from_error(error: &(dyn Error + 'static)) -> Self {
        let by_server = error.downcast_ref::<postgres::Error>().and_then(|e| e.as_db_error());
        let Some(db) = by_server else {
            return Self {
                message: causes(error).join(": "),
                tls_alert: alert_in(error),
                ..Self::default()
            };
        };
        Self {
            sqlstate: Some(db.code().code().to_owned()),
            message: db.message().to_owned(),
            detail: db.detail().map(str::to_owned),
            hint: db.hint().map(str::to_owned),
            tls_alert: None,
        }
    }
}

impl From<postgres::Error> for LoginError {
    fn from(error: postgres::Error) -> Self {
        Self::from_error(&error)
    }
}

impl From<ErrorStack> for LoginError {
    fn from(error: ErrorStack) -> Self {
        Self::from_error(&error)
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sqlstate) = &self.sqlstate {
            write!(f, "{sqlstate} ")?;
        }
        f.write_str(&self.message)?;
        match self.tls_alert {
            Some(alert) => write!(f, " (alert {alert:?})"),
            None => Ok(()),
        }
    }
}

impl Error for LoginError {}

/// A fatal TLS alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alert {
    /// 40
    HandshakeFailure,
    /// 42
    BadCertificate,
    /// 43
    UnsupportedCertificate,
    /// 44
    CertificateRevoked,
    /// 45
    CertificateExpired,
    /// 46
    CertificateUnknown,
    /// 47
    IllegalParameter,
    /// 48
    UnknownCa,
    /// 50
    DecodeError,
    /// 51
    DecryptError,
    /// 70
    ProtocolVersion,
    /// 71
    InsufficientSecurity,
    /// 80
    InternalError,
    /// 116
    CertificateRequired,
    /// 120
    NoApplicationProtocol,
    /// Any other.
    Other(u8),
}

impl From<u8> for Alert {
    fn from(number: u8) -> Self {
        match number {
            40 => Self::HandshakeFailure,
            42 => Self::BadCertificate,
            43 => Self::UnsupportedCertificate,
            44 => Self::CertificateRevoked,
            45 => Self::CertificateExpired,
            46 => Self::CertificateUnknown,
            47 => Self::IllegalParameter,
            48 => Self::UnknownCa,
            50 => Self::DecodeError,
            51 => Self::DecryptError,
            70 => Self::ProtocolVersion,
            71 => Self::InsufficientSecurity,
            80 => Self::InternalError,
            116 => Self::CertificateRequired,
            120 => Self::NoApplicationProtocol,
            other => Self::Other(other),
        }
    }
}

/// The next cause of an error. An `io::Error` hides the error it was made from: its source is that
/// one's source.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// The texts of an error and its causes, those left out that only repeat the one before.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        next = cause(error);
    }
    texts
}

/// The alert among an error's causes.
pub(crate) fn alert_in(error: &(dyn Error + 'static)) -> Option<Alert> {
    let mut next = Some(error);
    while let Some(error) = next {
        let stack = error
            .downcast_ref::<ssl::Error>()
            .and_then(ssl::Error::ssl_error)
            .or_else(|| error.downcast_ref::<ErrorStack>());
        let alert = stack.into_iter().flat_map(ErrorStack::errors).find_map(|error| {
            u8::try_from(error.reason_code() - ALERT_REASON).ok().map(Alert::from)
        });
        if alert.is_some() {
            return alert;
        }
        next = cause(error);
    }
    None
}
