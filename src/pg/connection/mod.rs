//! The connection of this backend.

pub(in crate::pg) mod flags;
pub(crate) mod port;
pub(crate) mod tls;
