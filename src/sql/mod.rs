//! The SQL surface. Thin and safe: each function fetches through `pg`, evaluates with the core, and
//! maps to SQL.
//!
//! What SQL sees of a function (its volatility, parallel safety, arguments, columns, privileges and
//! comment) is declared in `sql/pgtls_ext--*.sql`, not here: hence `sql = false`.
// An `ErrorReport` is what carries SQLSTATE, detail and hint through pgrx, and it is large.
#![allow(clippy::result_large_err)]

mod chain;
mod check_reload;
mod client_certificates;
mod columns;
mod configuration;
mod crls;
mod failures;
mod lint_certificate;
mod login;
mod logins;
mod mapping;
mod metrics;
mod parse_certificates;
mod parse_crls;
mod parse_requests;
mod rehearsal;
mod server_certificates;
mod session;
mod sessions;
mod status;
mod terminate;
