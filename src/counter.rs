//! Counters and gauges: one atomic addition each.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use thread_local::ThreadLocal;

/// A counter that only grows. It has its own cache line, so that two cores that update
/// different counters do not contend.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The current count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Subtracts one.
    pub fn dec(&self) {
        self.add(-1);
    }

    /// Adds `change`, which may be negative.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The current value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A gauge that all threads change frequently: each thread counts in its own cell and adds the
/// sum to the shared value in batches, so that neither counting nor [`BatchedGauge::is_above`]
/// makes threads contend for cache lines.
#[derive(Debug, Default)]
pub struct BatchedGauge {
    handed_over: Gauge,
    cells: ThreadLocal<Gauge>,
}

/// The amount up to which a thread keeps changes in its cell. Small compared with any useful
/// limit.
const BATCH: i64 = 16 * 1024;

impl BatchedGauge {
    /// Adds `change`, which may be negative.
    pub fn add(&self, change: i64) {
        if change == 0 {
            return;
        }
        // Only this thread writes its cell.
        let cell = self.cells.get_or_default();
        let sum = cell.get() + change;
        if sum.abs() < BATCH {
            cell.set(sum);
        } else {
            self.handed_over.add(sum);
            cell.set(0);
        }
    }

    /// The current value.
    pub fn get(&self) -> i64 {
        self.handed_over.get() + self.cells.iter().map(Gauge::get).sum::<i64>()
    }

    /// True if the value is larger than `limit`. Reads the other threads' cells only if the
    /// shared value is close to it.
    pub fn is_above(&self, limit: i64) -> bool {
        // More threads than count concurrently in any deployment.
        const CLOSE: i64 = 64 * BATCH;
        let roughly = self.handed_over.get();
        if roughly.saturating_sub(limit).saturating_abs() > CLOSE {
            roughly > limit
        } else {
            self.get() > limit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batched_gauge_counts_what_every_thread_keeps_to_itself() {
        let gauge = BatchedGauge::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // Added to the shared value several times, with a remainder at the end.
                    (0..1000).for_each(|_| gauge.add(100));
                    gauge.add(-1);
                });
            }
        });
        let sum = 4 * (1000 * 100 - 1);
        assert_eq!(gauge.get(), sum);
        // A limit close to the value, which reads all cells, and one that is not close.
        assert!(gauge.is_above(sum - 1) && !gauge.is_above(sum));
        gauge.add(100 * BATCH);
        assert!(gauge.is_above(sum) && !gauge.is_above(1000 * BATCH));
    }

    #[test]
    fn a_gauge_goes_both_ways() {
        let gauge = Gauge::default();
        gauge.inc();
        gauge.add(4);
        gauge.dec();
        assert_eq!(gauge.get(), 4);
    }
}
