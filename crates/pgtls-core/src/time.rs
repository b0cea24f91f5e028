//! Points in time as the core counts them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01 00:00:00 UTC, without leap seconds; negative before.
///
/// The core never asks for the current time: whoever calls passes it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixTime(pub i64);

const SECONDS_OF_DAY: i64 = 86_400;

/// Days between 0000-03-01 and 1970-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_EPOCH: i64 = 719_468;

/// Days of a Gregorian cycle of 400 years.
const DAYS_OF_ERA: i64 = 146_097;

impl UnixTime {
    /// The instant of a calendar date and time in UTC; `None` when there is no such day or time of
    /// day.
    pub(crate) fn from_civil(
        (year, month, day): (i64, i64, i64),
        (hour, minute, second): (i64, i64, i64),
    ) -> Option<Self> {
        let in_range = (1..=12).contains(&month)
            && (1..=days_of_month(year, month)).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second);
        if !in_range {
            return None;
        }
        // Years start in March here, so that the leap day is the last of its year.
        let march_year = if month > 2 { year } else { year - 1 };
        let march_month = (month + 9) % 12;
        let era = march_year.div_euclid(400);
        let year_of_era = march_year.rem_euclid(400);
        let day_of_year = (153 * march_month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * DAYS_OF_ERA + day_of_era - DAYS_TO_EPOCH;
        Some(Self(days * SECONDS_OF_DAY + hour * 3600 + minute * 60 + second))
    }
}

/// RFC 3339 in UTC, such as `2050-01-01T00:00:00Z`; years outside 0 to 9999 get a sign or more
/// digits.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(SECONDS_OF_DAY) + DAYS_TO_EPOCH;
        let of_day = self.0.rem_euclid(SECONDS_OF_DAY);
        let era = days.div_euclid(DAYS_OF_ERA);
        let day_of_era = days.rem_euclid(DAYS_OF_ERA);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524
            - day_of_era / (DAYS_OF_ERA - 1))
            / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = (march_month + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_are_counted_and_written_back() {
        for (text, seconds, date) in [
            ("1970-01-01T00:00:00Z", 0, (1970, 1, 1)),
            ("1949-12-31T00:00:00Z", -631_238_400, (1949, 12, 31)),
            ("2000-02-29T00:00:00Z", 951_782_400, (2000, 2, 29)),
            ("9999-12-31T00:00:00Z", 253_402_214_400, (9999, 12, 31)),
            ("0000-01-01T00:00:00Z", -62_167_219_200, (0, 1, 1)),
        ] {
            let time = UnixTime::from_civil(date, (0, 0, 0)).unwrap();
            assert_eq!((time.0, time.to_string().as_str()), (seconds, text));
        }
        // Every day of two Gregorian cycles is the day after the one before.
        let mut expected = UnixTime::from_civil((1600, 1, 1), (23, 59, 59)).unwrap();
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_of_month(year, month) {
                    let time = UnixTime::from_civil((year, month, day), (23, 59, 59));
                    assert_eq!(time, Some(expected));
                    let text = format!("{year:04}-{month:02}-{day:02}T23:59:59Z");
                    assert_eq!(expected.to_string(), text);
                    expected.0 += SECONDS_OF_DAY;
                }
            }
        }
    }

    #[test]
    fn days_and_hours_that_do_not_exist_are_refused() {
        for (date, time) in [
            ((1900, 2, 29), (0, 0, 0)),
            ((2023, 4, 31), (0, 0, 0)),
            ((2023, 13, 1), (0, 0, 0)),
            ((2023, 0, 1), (0, 0, 0)),
            ((2023, 1, 0), (0, 0, 0)),
            ((2023, 1, 1), (24, 0, 0)),
            ((2023, 1, 1), (0, 60, 0)),
            ((2023, 1, 1), (0, 0, 60)),
        ] {
            assert_eq!(UnixTime::from_civil(date, time), None, "{date:?} {time:?}");
        }
    }
}
