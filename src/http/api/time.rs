//! Formats times as RFC 3339, in UTC with milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::message::WallMillis;

const DAY: u64 = 86_400;

/// Formats a time as `2026-11-24T18:27:26.042Z`.
pub(in crate::http) fn rfc3339(at: WallMillis) -> String {
    let (seconds, millis) = (at.0 / 1000, at.0 % 1000);
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// As [`rfc3339`], for a `SystemTime`.
pub(in crate::http) fn rfc3339_system(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    rfc3339(WallMillis(u64::try_from(since).unwrap_or(u64::MAX)))
}

/// Formats a time as `20261124T182726042Z`: for file names, which sort by time.
pub(in crate::http) fn compact(at: WallMillis) -> String {
    rfc3339(at).replace(['-', ':', '.'], "")
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years are counted from
/// March, so that the leap day comes last: `civil_from_days` of Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms".
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_that_date_prints() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(WallMillis(seconds * 1000)), text);
        }
        assert_eq!(compact(WallMillis(1_798_761_599_042)), "20261231T235959042Z");
    }
}
