//! OpenSSL: what it says of certificates, stores and connections.

mod checked_crls;
pub(in crate::pg) mod client_hello;
pub(crate) mod dry_run;
pub(in crate::pg) mod ffi;
pub(in crate::pg) mod group;
pub(crate) mod handshake_trial;
pub(crate) mod libssl;
pub(crate) mod probe;
pub(crate) mod protocol;
pub(crate) mod server_context;
pub(crate) mod trust_store;
pub(crate) mod verify;
