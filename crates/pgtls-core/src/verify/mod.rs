//! What a chain is worth: OpenSSL's verdict on it, revocation, and the two together.

pub mod chain;
pub mod credential;
pub mod host_name;
pub mod judgement;
pub mod revocation;
pub mod verdict;
pub mod verify_error;
