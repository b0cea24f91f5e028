//! The answers: what the files, the connection and the records say about a question.
//!
//! Safe, without SQL types and without pointers. The facts come from `pg`, what they mean is
//! decided by the core; `sql` makes rows of the answers, and the worker acts on them.

pub(crate) mod access;
pub(crate) mod auth_comments;
pub(crate) mod basis;
pub(crate) mod configuration;
pub(crate) mod credentials;
pub(crate) mod crl_directory;
pub(crate) mod crl_file;
pub(crate) mod expiring;
pub(crate) mod inventory;
pub(crate) mod login;
pub(crate) mod metrics;
pub(crate) mod rehearsal;
pub(crate) mod reload;
pub(crate) mod revocation;
pub(crate) mod server_certificates;
pub(crate) mod session_certificate;
pub(crate) mod termination;
pub(crate) mod tls_files;
