//! What the store counts: plain atomics that anyone may read at any time. How they
//! are named and exported is not decided here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Upper bounds for durations in seconds: from the fsync of a fast SSD to a stalled disk.
pub const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// Upper bounds for messages in a batch.
pub const MESSAGES: [f64; 16] =
    [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5];

/// A histogram with fixed bounds. Recording takes two relaxed additions.
#[derive(Debug)]
pub struct AtomicHistogram {
    bounds: &'static [f64; 16],
    /// `sum` is kept in this unit, so that it can be an integer.
    unit: f64,
    buckets: [AtomicU64; 17],
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSnapshot {
    /// Upper bounds, inclusive, rising.
    pub bounds: &'static [f64; 16],
    /// Not cumulative; one more than bounds, the last for what lies above them.
    pub counts: [u64; 17],
    /// All values together.
    pub sum: f64,
    /// How many values.
    pub count: u64,
}

impl AtomicHistogram {
    /// For durations, in seconds.
    pub fn seconds() -> Self {
        Self::new(&SECONDS, 1e9)
    }

    /// For counts.
    pub fn counts() -> Self {
        Self::new(&MESSAGES, 1.0)
    }

    fn new(bounds: &'static [f64; 16], unit: f64) -> Self {
        Self { bounds, unit, buckets: Default::default(), sum: AtomicU64::new(0) }
    }

    /// Adds a duration to a histogram of seconds.
    pub fn record_duration(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.add(duration.as_secs_f64(), nanos);
    }

    /// Adds a count to a histogram of counts.
    pub fn record_count(&self, count: usize) {
        // Counts above 2^52 do not occur; losing their last bits is no loss.
        #[allow(clippy::cast_precision_loss)]
        self.add(count as f64, count as u64);
    }

    fn add(&self, value: f64, units: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(units, Ordering::Relaxed);
    }

    /// What has been recorded so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts = std::array::from_fn(|index| {
            self.buckets.get(index).map_or(0, |bucket| bucket.load(Ordering::Relaxed))
        });
        #[allow(clippy::cast_precision_loss)]
        let sum = self.sum.load(Ordering::Relaxed) as f64 / self.unit;
        HistogramSnapshot { bounds: self.bounds, counts, sum, count: counts.iter().sum() }
    }
}

/// Everything that the store tells about itself.
#[derive(Debug)]
pub struct StoreMetrics {
    /// From BEGIN to the return of COMMIT.
    pub commit_duration: AtomicHistogram,
    /// Messages written in one batch.
    pub batch_messages: AtomicHistogram,
    /// From the first operation of a batch to its BEGIN.
    pub queue_wait: AtomicHistogram,
    /// Of one checkpoint.
    pub checkpoint_duration: AtomicHistogram,
    /// From opening the file to the end of the scan.
    pub recovery_duration: AtomicHistogram,
    /// Bytes of the database file.
    pub database_size: AtomicU64,
    /// Bytes of the WAL file.
    pub wal_size: AtomicU64,
    /// Bytes of unused pages within the database file.
    pub free_bytes: AtomicU64,
    /// Bytes that the volume has left.
    pub volume_available: AtomicU64,
    /// When the oldest message on disk was accepted, in milliseconds since 1970; 0
    /// without one.
    pub oldest_message: AtomicU64,
    /// Messages that wait for room on the disk, and their publishers with them.
    pub stalled: AtomicU64,
    /// Operations that wait or run.
    pub pending: AtomicU64,
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Messages written and committed.
    pub committed_messages: AtomicU64,
    /// Messages settled before they were written.
    pub elided_messages: AtomicU64,
    /// Messages refused because the disk is full.
    pub refused_messages: AtomicU64,
    /// Deliveries deleted, whether or not they had been written.
    pub deleted_deliveries: AtomicU64,
    /// Checkpoints run.
    pub checkpoints: AtomicU64,
    /// Checkpoints that another program should have run.
    pub forced_checkpoints: AtomicU64,
    errors: Mutex<BTreeMap<i32, u64>>,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            commit_duration: AtomicHistogram::seconds(),
            batch_messages: AtomicHistogram::counts(),
            queue_wait: AtomicHistogram::seconds(),
            checkpoint_duration: AtomicHistogram::seconds(),
            recovery_duration: AtomicHistogram::seconds(),
            database_size: AtomicU64::new(0),
            wal_size: AtomicU64::new(0),
            free_bytes: AtomicU64::new(0),
            volume_available: AtomicU64::new(0),
            oldest_message: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            committed_messages: AtomicU64::new(0),
            elided_messages: AtomicU64::new(0),
            refused_messages: AtomicU64::new(0),
            deleted_deliveries: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            forced_checkpoints: AtomicU64::new(0),
            errors: Mutex::default(),
        }
    }
}

impl StoreMetrics {
    /// Errors so far, by SQLite's extended result code.
    pub fn errors(&self) -> Vec<(i32, u64)> {
        self.errors.lock().iter().map(|(code, count)| (*code, *count)).collect()
    }

    pub(super) fn count_error(&self, code: i32) {
        *self.errors.lock().entry(code).or_default() += 1;
    }
}

pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_of_the_first_bound_that_reaches_it() {
        let histogram = AtomicHistogram::seconds();
        histogram.record_duration(Duration::from_micros(50));
        histogram.record_duration(Duration::from_micros(51));
        histogram.record_duration(Duration::from_mins(1));
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.counts[0], snapshot.counts[1], snapshot.counts[16]), (1, 1, 1));
        assert_eq!(snapshot.count, 3);
        assert!((snapshot.sum - 60.000_101).abs() < 1e-9);
    }
}
