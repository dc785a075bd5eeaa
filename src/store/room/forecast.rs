//! Forecasts when the database will be full.
//!
//! Pure: the caller passes the bytes in use and the time. The rate is the median of the slopes
//! between all pairs of samples of the last minutes (Theil and Sen): a burst that drains
//! again, a checkpoint or a late sample changes it little, and a few samples of steady growth
//! are enough to show it.

use std::collections::VecDeque;
use std::time::Duration;

/// Older samples say little about the future.
const WINDOW: Duration = Duration::from_mins(5);

/// Closer samples would weigh the same moment twice.
const SPACING: Duration = Duration::from_secs(5);

/// Minimum time between the first and the last sample; with less there is no rate.
const LEAST: Duration = Duration::from_secs(15);

/// The bytes in use at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    at: Duration,
    used: u64,
}

/// The samples of the last minutes.
#[derive(Debug, Default)]
pub(in crate::store) struct Forecast {
    samples: VecDeque<Sample>,
}

impl Forecast {
    /// Adds a sample: `used` bytes at time `at`, counted from any origin. A sample that comes
    /// too soon after the last one is ignored.
    pub(in crate::store) fn see(&mut self, at: Duration, used: u64) {
        while self.samples.front().is_some_and(|first| at.saturating_sub(first.at) > WINDOW) {
            self.samples.pop_front();
        }
        if self.samples.back().is_none_or(|last| at.saturating_sub(last.at) >= SPACING) {
            self.samples.push_back(Sample { at, used });
        }
    }

    /// Seconds until `room` bytes are used up: 0 if there are none, infinity while the use
    /// does not grow or there are too few samples.
    #[allow(clippy::cast_precision_loss)] // Bytes of a disk are far below 2^52.
    pub(in crate::store) fn seconds_to_full(&self, room: u64) -> f64 {
        if room == 0 {
            return 0.0;
        }
        let rate = self.rate();
        if rate > 0.0 { room as f64 / rate } else { f64::INFINITY }
    }

    /// Growth in bytes per second.
    #[allow(clippy::cast_precision_loss)] // As above.
    fn rate(&self) -> f64 {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        if last.at.saturating_sub(first.at) < LEAST {
            return 0.0;
        }
        let later = |index| self.samples.iter().skip(index + 1);
        let pairs = self.samples.iter().enumerate();
        let pairs = pairs.flat_map(|(index, a)| later(index).map(move |b| (a, b)));
        let mut slopes: Vec<f64> = pairs
            .map(|(a, b)| (b.used as f64 - a.used as f64) / b.at.saturating_sub(a.at).as_secs_f64())
            .collect();
        slopes.sort_unstable_by(f64::total_cmp);
        slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn is_never(seconds: f64) -> bool {
        seconds.is_infinite() && seconds > 0.0
    }

    fn seen(used: impl Fn(u64) -> u64, seconds: impl IntoIterator<Item = u64>) -> Forecast {
        let mut forecast = Forecast::default();
        for second in seconds {
            forecast.see(Duration::from_secs(second), used(second));
        }
        forecast
    }

    fn assert_about(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.1, "{found} is not about {expected}");
    }

    #[test]
    fn steady_growth_is_told_in_seconds() {
        let forecast = seen(|second| second << 20, 0..60);
        assert_about(forecast.seconds_to_full(3600 << 20), 3600.0);
    }

    #[test]
    fn while_nothing_grows_it_never_is_full() {
        for used in [|_| 0, |_| GIB, |second| GIB - second * 1000] {
            assert!(is_never(seen(used, 0..300).seconds_to_full(GIB)));
        }
        assert!(is_never(Forecast::default().seconds_to_full(GIB)));
    }

    #[test]
    fn without_room_it_is_full_now() {
        assert!(Forecast::default().seconds_to_full(0) <= 0.0);
    }

    #[test]
    fn a_few_seconds_are_no_rate() {
        assert!(is_never(seen(|second| second * GIB, 0..15).seconds_to_full(GIB)));
        assert!(seen(|second| second * GIB, 0..16).seconds_to_full(GIB) < 2.0);
    }

    #[test]
    fn jitter_moves_it_little() {
        // 1 MiB/s, with 40 MiB that come and go every 35 seconds.
        let used = |second: u64| (second << 20) + if second % 35 < 5 { 40 << 20 } else { 0 };
        assert_about(seen(used, 0..300).seconds_to_full(3600 << 20), 3600.0);
    }

    #[test]
    fn one_burst_is_no_trend() {
        let used = |second| if (100..110).contains(&second) { GIB } else { GIB / 2 };
        assert!(is_never(seen(used, 0..300).seconds_to_full(GIB)));
    }

    #[test]
    fn growth_that_has_ended_is_forgotten() {
        let used = |second: u64| second.min(120) << 20;
        assert!(seen(used, 0..120).seconds_to_full(GIB).is_finite());
        assert!(is_never(seen(used, 0..421).seconds_to_full(GIB)));
        // No samples were taken in between.
        let late = seen(used, (0..120).chain([1000, 1010, 1020]));
        assert!(is_never(late.seconds_to_full(GIB)));
    }

    #[test]
    fn what_it_keeps_is_bounded() {
        assert!(seen(|second| second, 0..100_000).samples.len() <= 61);
    }
}
