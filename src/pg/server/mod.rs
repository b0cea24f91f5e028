//! The server: its settings, files, catalogues and types.

pub(crate) mod auth_files;
pub(crate) mod backends;
pub(crate) mod catalog;
pub(crate) mod config_files;
pub(crate) mod files;
pub(crate) mod guc;
pub(crate) mod memory_file;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod regex;
pub(crate) mod settings;
pub(in crate::pg) mod sys;
pub(crate) mod tls_settings;
pub(in crate::pg) mod version;
