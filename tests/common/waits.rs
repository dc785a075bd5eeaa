//! Durations with the time at which each was due, and their percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A period on the clock of the measurement.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub from: Duration,
    pub to: Duration,
}

#[derive(Debug, Default)]
pub struct Times(Vec<(Duration, Duration)>);

/// In milliseconds.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Waits {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Times {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn push(&mut self, due: Duration, wait: Duration) {
        self.0.push((due, wait));
    }

    /// Percentiles of what was due within a span.
    pub fn within(&self, span: Span) -> Waits {
        let due = self.0.iter().filter(|(due, _)| (span.from..span.to).contains(due));
        Waits::of(due.map(|(_, wait)| *wait))
    }
}

impl Waits {
    /// Percentiles within 0.1%, as far as microseconds tell.
    pub fn of(waits: impl Iterator<Item = Duration>) -> Self {
        let mut all = Histogram::<u64>::new(3).unwrap();
        // Not `saturating_record`: it never enlarges the histogram, whose first range ends at 2 ms.
        waits.for_each(|wait| all.record(u64::try_from(wait.as_micros()).unwrap()).unwrap());
        let millis = |micros: u64| micros as f64 / 1e3;
        Self {
            count: usize::try_from(all.len()).unwrap(),
            p50: millis(all.value_at_quantile(0.5)),
            p99: millis(all.value_at_quantile(0.99)),
            max: millis(all.max()),
        }
    }
}
