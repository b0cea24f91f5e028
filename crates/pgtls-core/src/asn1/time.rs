//! UTCTime and GeneralizedTime, in the forms that OpenSSL's `ASN1_TIME_to_tm` takes.

use super::der::{GENERALIZED_TIME, UTC_TIME};
use crate::time::UnixTime;

/// `YYMMDDhhmm[ss]` or `YYYYMMDDhhmm[ss[.f]]`, then `Z` or an offset. Two-digit years are 1950 to
/// 2049.
pub fn parse_time(tag: u8, text: &[u8]) -> Option<UnixTime> {
    let mut digits = Digits(text);
    let year = match tag {
        UTC_TIME => match digits.two()? {
            year if year < 50 => 2000 + year,
            year => 1900 + year,
        },
        GENERALIZED_TIME => digits.two()? * 100 + digits.two()?,
        _ => return None,
    };
    let (month, day) = (digits.two()?, digits.two()?);
    let (hour, minute) = (digits.two()?, digits.two()?);
    let second = if digits.0.first()?.is_ascii_digit() { digits.two()? } else { 0 };
    if let (GENERALIZED_TIME, Some((b'.', fraction))) = (tag, digits.0.split_first()) {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        digits.0 = &fraction[length..];
    }
    let local = UnixTime::from_civil((year, month, day), (hour, minute, second))?;
    let (zone, rest) = digits.0.split_first()?;
    let sign = match zone {
        b'Z' => return rest.is_empty().then_some(local),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    digits.0 = rest;
    let (hours, minutes) = (digits.two()?, digits.two()?);
    let in_range = digits.0.is_empty() && hours <= 12 && minutes < 60;
    in_range.then(|| UnixTime(local.0 - sign * (hours * 3600 + minutes * 60)))
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn two(&mut self) -> Option<i64> {
        let ([tens, ones], rest) = self.0.split_first_chunk()?;
        if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
            return None;
        }
        self.0 = rest;
        Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    }
}
