//! Latency histograms in constant memory.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time recorded, 10 minutes. Longer ones count as this.
const LONGEST: u64 = 600_000_000_000;

/// Significant digits: with 2, percentiles are within 1% of the measured values.
const DIGITS: u8 = 2;

/// A histogram of times.
#[derive(Debug)]
pub struct Latency(Option<Histogram<u64>>);

impl Default for Latency {
    fn default() -> Self {
        // These bounds are valid, so there is always a histogram.
        Self(Histogram::new_with_bounds(1, LONGEST, DIGITS).ok())
    }
}

impl Latency {
    /// Records one time, in nanoseconds.
    pub fn record(&mut self, nanos: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(nanos);
        }
    }

    /// Adds the times of `other`.
    pub fn add(&mut self, other: &Self) {
        if let (Some(all), Some(more)) = (&mut self.0, &other.0) {
            // Cannot fail: both have the same bounds.
            let _ = all.add(more);
        }
    }

    /// Number of times recorded.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The time that `percent` of all did not exceed; zero if there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let nanos = self.0.as_ref().map_or(0, |all| all.value_at_percentile(percent));
        Duration::from_nanos(nanos.min(self.max_nanos()))
    }

    /// The longest time recorded.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_nanos())
    }

    fn max_nanos(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_percent() {
        let mut latency = Latency::default();
        assert_eq!((latency.count(), latency.max()), (0, Duration::ZERO));
        for micros in 1..=1000 {
            latency.record(micros * 1000);
        }
        let p90 = latency.percentile(90.0).as_secs_f64();
        assert!((p90 / 0.0009 - 1.0).abs() < 0.01, "{p90}");
        assert!(latency.percentile(100.0) <= latency.max());
        assert_eq!(latency.count(), 1000);
    }
}
