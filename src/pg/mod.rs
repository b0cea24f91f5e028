//! The server's side: everything that reads server memory, calls a server function or touches OpenSSL by pointer.
//!
//! All unsafe code of the extension is below this module. What leaves it is owned data or a handle that borrows; raw
//! pointers and `pg_sys` types stay inside.

pub(crate) mod auth_files;
pub(crate) mod catalog;
pub(crate) mod files;
pub(crate) mod json;
pub(crate) mod library;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod regex;
pub(crate) mod rows;
pub(crate) mod settings;
mod sys;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod tls;
pub(crate) mod trust_store;
