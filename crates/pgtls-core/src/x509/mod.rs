//! Certificates and what they are made of (RFC 5280, section 4).

pub(crate) mod algorithm;
pub mod bundle;
pub mod certificate;
pub(crate) mod decoded;
pub mod distribution_point;
pub mod extension;
pub mod general_name;
pub mod lint;
pub mod name;
pub mod request;
pub mod serial;
mod strict;
pub mod tree;
