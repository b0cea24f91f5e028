//! Points in time on their way to SQL.

use pgrx::pg_sys;
use pgrx::prelude::TimestampWithTimeZone;
use pgtls_core::UnixTime;

/// Seconds from the Unix epoch to PostgreSQL's, 2000-01-01 00:00:00 UTC.
const POSTGRES_EPOCH: i64 = 946_684_800;

/// Microseconds since PostgreSQL's epoch. The years 0 to 9999, which are all that a certificate can name, fit.
pub(super) fn microseconds(time: UnixTime) -> i64 {
    time.0.saturating_sub(POSTGRES_EPOCH).saturating_mul(1_000_000)
}

/// A `timestamptz`; `None` for a time outside PostgreSQL's range.
pub(crate) fn timestamp(time: UnixTime) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(microseconds(time)).ok()
}

/// A moment of the server's clock, in microseconds of its epoch, as microseconds since the Unix epoch.
pub(crate) fn unix_microseconds(moment: i64) -> i64 {
    moment.saturating_add(POSTGRES_EPOCH.saturating_mul(1_000_000))
}

/// The reverse.
pub(super) fn server_microseconds(moment: i64) -> i64 {
    moment.saturating_sub(POSTGRES_EPOCH.saturating_mul(1_000_000))
}

/// The present, also where no statement runs.
pub(crate) fn clock() -> UnixTime {
    // SAFETY: reads the clock.
    unix(unsafe { pg_sys::GetCurrentTimestamp() })
}

fn unix(microseconds: pg_sys::TimestampTz) -> UnixTime {
    UnixTime(microseconds.div_euclid(1_000_000) + POSTGRES_EPOCH)
}

/// When the running statement started: the same for everything in it.
pub(crate) fn now() -> UnixTime {
    // SAFETY: reads a variable of this process.
    unix(unsafe { pg_sys::GetCurrentStatementStartTimestamp() })
}

/// When this process was started, which is when its client connected.
pub(crate) fn session_start() -> UnixTime {
    // SAFETY: reads a variable of this process.
    unix(unsafe { pg_sys::MyStartTimestamp })
}
