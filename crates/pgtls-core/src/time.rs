//! Points in time as the core counts them.

/// Seconds since 1970-01-01 00:00:00 UTC, without leap seconds; negative before.
///
/// The core never asks for the current time: whoever calls passes it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);
