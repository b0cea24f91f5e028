//! What is recorded of logins, sessions and reloads, in shared memory and in a file.

pub(crate) mod failure_ring;
pub(crate) mod failures;
mod fnv;
pub(crate) mod hooks;
pub(crate) mod in_force;
pub(crate) mod inventory;
pub(crate) mod logins;
pub(crate) mod publication;
pub(in crate::pg) mod reload;
pub(in crate::pg) mod reload_error;
pub(crate) mod rules_in_force;
pub(crate) mod same_files;
pub(crate) mod save;
pub(in crate::pg) mod segment;
pub(in crate::pg) mod session_end;
pub(crate) mod sessions;
pub(crate) mod shared_file;
pub(crate) mod status;
pub(crate) mod verdicts;
