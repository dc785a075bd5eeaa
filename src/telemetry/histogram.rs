//! Histograms of plain atomics, for durations and sizes that are recorded at a low rate.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// Upper bounds for durations in seconds: from the fsync of a fast SSD to a stalled disk.
pub const SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds for the number of messages in a batch.
pub const MESSAGES: [f64; 16] =
    [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5];

/// A recorded value and the span in which it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// The trace id, as in `traceparent`.
    pub trace_id: [u8; 16],
    /// The span id.
    pub span_id: [u8; 8],
    /// The recorded value.
    pub value: f64,
    /// When it was recorded.
    pub at: SystemTime,
}

/// Called with each value that a histogram records.
pub type Forward = Box<dyn Fn(f64) + Send + Sync>;

/// A histogram with fixed bounds. Recording takes two relaxed additions.
#[derive(Debug)]
pub struct AtomicHistogram {
    bounds: &'static [f64],
    /// The number of units of `sum` in 1.0: the sum is kept as an integer.
    unit: f64,
    buckets: Box<[Bucket]>,
    sum: AtomicU64,
    also: OnceLock<Also>,
}

#[derive(Debug, Default)]
struct Bucket {
    count: AtomicU64,
    /// The last value that was measured in a sampled span.
    exemplar: Mutex<Option<Exemplar>>,
}

struct Also(Forward);

impl std::fmt::Debug for Also {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Also")
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSnapshot {
    /// Upper bounds, inclusive, ascending, without infinity.
    pub bounds: &'static [f64],
    /// Counts per bucket, not cumulative; the last one is for values above all bounds.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
    /// The number of values.
    pub count: u64,
}

impl AtomicHistogram {
    /// A histogram of durations, in seconds.
    pub fn seconds() -> Self {
        Self::new(&SECONDS, 1e9)
    }

    /// A histogram of counts.
    pub fn counts() -> Self {
        Self::new(&MESSAGES, 1.0)
    }

    fn new(bounds: &'static [f64], unit: f64) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Bucket::default()).collect();
        Self { bounds, unit, buckets, sum: AtomicU64::new(0), also: OnceLock::new() }
    }

    /// Adds a duration to a histogram of seconds.
    pub fn record_duration(&self, duration: Duration) {
        self.add(duration.as_secs_f64(), nanos(duration));
    }

    /// As [`AtomicHistogram::record_duration`], for a value measured within a sampled span:
    /// the scrape shows the last such value of each bucket as its exemplar.
    pub fn record_with_exemplar(&self, duration: Duration, trace_id: [u8; 16], span_id: [u8; 8]) {
        let value = duration.as_secs_f64();
        if let Some(bucket) = self.buckets.get(self.index(value)) {
            let exemplar = Exemplar { trace_id, span_id, value, at: SystemTime::now() };
            *bucket.exemplar.lock() = Some(exemplar);
        }
        self.add(value, nanos(duration));
    }

    /// Adds a count to a histogram of counts.
    pub fn record_count(&self, count: usize) {
        // Counts above 2^52 do not occur, so no precision is lost.
        #[allow(clippy::cast_precision_loss)]
        self.add(count as f64, count as u64);
    }

    /// Also passes each value to `also` from now on. Only the first call has an effect.
    pub fn forward(&self, also: Forward) {
        let _ = self.also.set(Also(also));
    }

    fn index(&self, value: f64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    fn add(&self, value: f64, units: u64) {
        if let Some(bucket) = self.buckets.get(self.index(value)) {
            bucket.count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(units, Ordering::Relaxed);
        if let Some(also) = self.also.get() {
            (also.0)(value);
        }
    }

    /// Upper bounds, ascending, without infinity.
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// What has been recorded so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let load = |bucket: &Bucket| bucket.count.load(Ordering::Relaxed);
        let counts: Vec<u64> = self.buckets.iter().map(load).collect();
        #[allow(clippy::cast_precision_loss)]
        let sum = self.sum.load(Ordering::Relaxed) as f64 / self.unit;
        let count = counts.iter().sum();
        HistogramSnapshot { bounds: self.bounds, counts, sum, count }
    }

    /// The exemplar of each bucket, in their order.
    pub fn exemplars(&self) -> Vec<Option<Exemplar>> {
        self.buckets.iter().map(|bucket| *bucket.exemplar.lock()).collect()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_of_the_first_bound_that_reaches_it() {
        let histogram = AtomicHistogram::seconds();
        histogram.record_duration(Duration::from_micros(50));
        histogram.record_duration(Duration::from_micros(51));
        histogram.record_duration(Duration::from_mins(1));
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.counts[0], snapshot.counts[1], snapshot.counts[17]), (1, 1, 1));
        assert_eq!(snapshot.count, 3);
        assert!((snapshot.sum - 60.000_101).abs() < 1e-9);
    }

    #[test]
    fn an_exemplar_stands_in_the_bucket_of_its_value() {
        let histogram = AtomicHistogram::seconds();
        histogram.record_duration(Duration::from_millis(3));
        assert_eq!(histogram.exemplars(), [None; 18], "what no span was sampled for has none");
        histogram.record_with_exemplar(Duration::from_millis(4), [1; 16], [2; 8]);
        let exemplars = histogram.exemplars();
        let exemplar = exemplars[6].unwrap();
        assert_eq!((exemplar.trace_id, exemplar.span_id), ([1; 16], [2; 8]));
        assert!((exemplar.value - 0.004).abs() < 1e-9);
        assert_eq!(histogram.snapshot().counts[6], 2, "and is counted like any other");
        assert_eq!(exemplars.iter().flatten().count(), 1);
    }

    #[test]
    fn each_value_is_forwarded_once() {
        let (histogram, seen) = (AtomicHistogram::counts(), Arc::new(Mutex::new(Vec::new())));
        histogram.record_count(1);
        let to = Arc::clone(&seen);
        histogram.forward(Box::new(move |value| to.lock().push(value)));
        histogram.record_count(7);
        histogram.forward(Box::new(|_| panic!("the first stays")));
        histogram.record_count(8);
        assert_eq!(*seen.lock(), [7.0, 8.0]);
    }
}
