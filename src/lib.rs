//! TLS in PostgreSQL, visible, checkable and explainable from SQL.
//!
//! The extension has floors, and dependencies point down only:
//!
//! * [`sql`]: the SQL surface: arguments and rows. [`worker`]: the background worker.
//! * [`checks`]: the answers. No SQL types, no pointers.
//! * [`pg`]: everything that touches the server or OpenSSL by pointer; all unsafe code is here.
//! * `pgtls_core` (a crate of its own): certificates, names, chains as pure data. It knows neither
//!   of the others.
//!
//! `docs/architecture.md` is the map.
#![deny(unsafe_code)]

mod checks;
mod error;
#[allow(unsafe_code)]
mod pg;
mod sql;
mod worker;

pgrx::pg_module_magic!(name, version);

/// Runs when the server loads the library, before any of its functions.
#[pgrx::pg_guard]
#[allow(non_snake_case)]
extern "C-unwind" fn _PG_init() {
    if let Err(error) = pg::memory::install().and_then(|()| pg::openssl::libssl::check()) {
        error.raise();
    }
    pg::server::guc::define();
    if pg::server::process::is_being_preloaded() {
        pg::server::guc::define_recorder();
        pg::recorder::hooks::install();
        worker::install();
    }
}
