//! Certificates beyond their columns: what every extension says, certificate requests, and what
//! strict readers and current rules object to.
//!
//! None of it decides a login, and none of it is called by a hook.

pub(crate) mod decoded;
pub mod lint;
pub mod request;
mod strict;
