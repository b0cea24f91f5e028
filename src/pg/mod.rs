//! The server's side: everything that reads server memory, calls a server function or touches OpenSSL by pointer.
//!
//! All unsafe code of the extension is below this module. What leaves it is owned data or a handle that borrows; raw
//! pointers and `pg_sys` types stay inside.

pub(crate) mod auth_files;
pub(crate) mod backends;
pub(crate) mod catalog;
mod cstr;
pub(crate) mod failures;
pub(crate) mod files;
mod flags;
mod group;
pub(crate) mod guc;
pub(crate) mod hooks;
pub(crate) mod inventory;
pub(crate) mod json;
pub(crate) mod kept;
pub(crate) mod library;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod regex;
mod reload;
pub(crate) mod rows;
mod save;
pub(crate) mod settings;
mod shmem;
pub(crate) mod slots;
pub(crate) mod status;
mod sys;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod tls;
pub(crate) mod trust_store;
pub(crate) mod verify;
mod version;
mod worker;
