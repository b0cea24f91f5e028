//! The what-if login: rules, maps, and the steps of the server.

pub mod access;
pub mod ending;
pub mod explain;
pub mod facts;
pub mod hba;
mod hint;
pub mod ident;
pub mod rehearsal;
pub mod review;
pub mod server_version;
pub mod step;
