//! Points in time on their way to SQL and from it.

use std::time::SystemTime;

use pgrx::pg_sys;
use pgrx::prelude::TimestampWithTimeZone;
use pgtls_core::time::UnixTime;

/// Seconds from the Unix epoch to PostgreSQL's, 2000-01-01 00:00:00 UTC.
const POSTGRES_EPOCH: i64 = 946_684_800;

/// The years 0 to 9999, in seconds.
const CERTIFICATE_TIMES: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

/// Microseconds since PostgreSQL's epoch. The years 0 to 9999, which are all that a certificate can
/// name, fit.
pub(in crate::pg) fn microseconds(time: UnixTime) -> i64 {
    time.0.saturating_sub(POSTGRES_EPOCH).saturating_mul(1_000_000)
}

/// The second that a `timestamptz` is in; `None` for `infinity`, which is later than any.
pub(in crate::pg) fn from_microseconds(microseconds: i64) -> Option<UnixTime> {
    let second = microseconds.div_euclid(1_000_000).saturating_add(POSTGRES_EPOCH);
    (microseconds != i64::MAX).then_some(UnixTime(second))
}

/// The second that a `timestamptz` is in; `None` outside the years that certificates can name.
pub(crate) fn moment(time: TimestampWithTimeZone) -> Option<UnixTime> {
    from_microseconds(time.into()).filter(|time| CERTIFICATE_TIMES.contains(&time.0))
}

/// When this backend last took over the server's configuration (`pg_conf_load_time()`), in
/// microseconds.
pub(in crate::pg) fn configuration_loaded() -> i64 {
    // SAFETY: a plain read of a variable of this backend.
    unsafe { pgrx::pg_sys::PgReloadTime }
}

/// A time of the file system as microseconds since PostgreSQL's epoch.
pub(in crate::pg) fn file_time(time: SystemTime) -> i64 {
    let microseconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    };
    microseconds.saturating_sub(POSTGRES_EPOCH.saturating_mul(1_000_000))
}

/// A `timestamptz`; `None` for a time outside PostgreSQL's range.
pub(crate) fn timestamp(time: UnixTime) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(microseconds(time)).ok()
}

/// A moment of the server's clock, in microseconds of its epoch, as microseconds since the Unix
/// epoch.
pub(crate) fn unix_microseconds(moment: i64) -> i64 {
    moment.saturating_add(POSTGRES_EPOCH.saturating_mul(1_000_000))
}

/// The reverse.
pub(in crate::pg) fn server_microseconds(moment: i64) -> i64 {
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

/// When the transaction started: what `now()` says in SQL.
pub(crate) fn transaction_start() -> TimestampWithTimeZone {
    // SAFETY: reads a variable of this process.
    let start = unsafe { pg_sys::GetCurrentTransactionStartTimestamp() };
    TimestampWithTimeZone::try_from(start)
        .unwrap_or_else(|_| TimestampWithTimeZone::positive_infinity())
}

/// When this process was started, which is when its client connected.
pub(crate) fn session_start() -> UnixTime {
    // SAFETY: reads a variable of this process.
    unix(unsafe { pg_sys::MyStartTimestamp })
}
