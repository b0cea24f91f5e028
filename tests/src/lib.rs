//! A harness for end-to-end tests of pgtls_ext: a real server, a real PKI, real TLS clients.
//!
//! A test reads as cluster, client, SQL, expectation:
//!
//! ```no_run
//! use pgtls_e2e::prelude::*;
//!
//! let pki = Pki::standard();
//! let cluster = Cluster::builder().roles(&["alice"]).extension().start();
//! let alice = cluster.client("alice").with(pki.alice()).login();
//! assert_eq!(alice.value("select ssl_client_cn()"), "alice");
//! ```
//!
//! Which server: `PG_CONFIG` (default `pg_config`). Which extension: `PGTLS_STAGE`, a tree made by
//! `make install DESTDIR=…`. Which PKI: `PGTLS_TEST_PKI`, a directory to keep it in (default: a new
//! one each run).

pub mod client;
pub mod cluster;
pub mod dashboard;
pub mod handshake;
pub mod install;
pub mod log;
pub mod monitoring;
pub mod pki;
pub mod pooler;
pub mod psql;
pub mod relay;
mod state_file;
mod sys;
mod tls;
mod transplant;

pub use state_file::state_file;
pub use sys::{address_space, limit_address_space, limit_file_size, process_exists};
pub use testpki::{der, x509};

/// What most tests need.
pub mod prelude {
    pub use crate::client::{Alert, Login, LoginError, Rows, Session, SqlError};
    pub use crate::cluster::{
        Builder, Cluster, Kept, SUPERUSER, Shutdown, eventually, quote, quote_name,
    };
    pub use crate::der::now;
    pub use crate::handshake::{Answer, Handshake};
    pub use crate::install::{EXTENSION, Installation, Stage};
    pub use crate::log::Mark;
    pub use crate::pki::{
        Cert, CertBuilder, Crl, CrlBuilder, DAY, Digest, Eku, Identity, Key, Name, Pki, Reason,
        Text,
    };
    pub use crate::pooler::Pooler;
    pub use crate::psql::{Background, Psql, PsqlOutput};
    pub use crate::relay::Relay;
}
