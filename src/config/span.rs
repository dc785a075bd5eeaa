//! Durations: `"5ms"`, `"30s"`, `"7d"`, `"never"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time, or [`Span::NEVER`] where a key allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// Units in microseconds, largest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Span {
    /// `"never"`: longer than any other.
    pub const NEVER: Self = Self(Duration::MAX);
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// From milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// From seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// From hours.
    pub const fn hours(count: u64) -> Self {
        Self::seconds(count * 3600)
    }

    /// From days.
    pub const fn days(count: u64) -> Self {
        Self::hours(count * 24)
    }

    /// True for `"never"`.
    pub fn is_never(self) -> bool {
        self == Self::NEVER
    }

    /// `None` for `"never"`.
    pub fn finite(self) -> Option<Duration> {
        (!self.is_never()).then_some(self.0)
    }

    /// The length; `Duration::MAX` for `"never"`.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// In whole seconds as MQTT counts expiry, at most `u32::MAX`, which means never.
    pub fn as_mqtt_seconds(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("never") {
            return Ok(Self::NEVER);
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(drop)?;
        let unit = unit.trim_start();
        // 0 needs no unit; any other number does.
        if unit.is_empty() && number == 0 {
            return Ok(Self::ZERO);
        }
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(())?;
        number.checked_mul(*factor).map(|micros| Self(Duration::from_micros(micros))).ok_or(())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            return f.write_str("never");
        }
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        let exact = UNITS.iter().find(|(_, factor)| micros > 0 && micros.is_multiple_of(*factor));
        match exact {
            Some((unit, factor)) => write!(f, "{}{unit}", micros / factor),
            None => f.write_str("0s"),
        }
    }
}

serde_as_text!(Span, "a time with its unit, such as 5ms, 30s, 10m, 18h or 7d, or \"never\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!("250us".parse(), Ok(Span(Duration::from_micros(250))));
        assert_eq!("5ms".parse(), Ok(Span::millis(5)));
        assert_eq!("30 s".parse(), Ok(Span::seconds(30)));
        assert_eq!("10m".parse(), Ok(Span::seconds(600)));
        assert_eq!("18h".parse(), Ok(Span::hours(18)));
        assert_eq!("7d".parse(), Ok(Span::days(7)));
        assert_eq!("0".parse(), Ok(Span::ZERO));
        assert_eq!("never".parse(), Ok(Span::NEVER));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "30", "s", "-1s", "1.5h", "1y", "1M", "99999999999999999d"] {
            assert_eq!(text.parse::<Span>(), Err(()), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in ["250us", "1500ms", "5ms", "90s", "18h", "7d", "0s", "never"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn never_is_the_largest_number_of_mqtt_seconds() {
        assert_eq!(Span::NEVER.as_mqtt_seconds(), u32::MAX);
        assert_eq!(Span::days(7).as_mqtt_seconds(), 604_800);
        assert_eq!(Span::NEVER.finite(), None);
    }
}
