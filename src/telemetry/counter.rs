//! Counters and gauges: one atomic addition each.

use std::marker::PhantomData;
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

/// The closed set of values that a metric's label can have.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// The index in [`Label::ALL`].
    fn index(self) -> usize;

    /// The value as shown in the label.
    fn as_str(self) -> &'static str;
}

/// One counter for each value of a label.
#[derive(Debug)]
pub struct Counters<L>(Box<[Counter]>, PhantomData<fn(L)>);

impl<L: Label> Default for Counters<L> {
    fn default() -> Self {
        Self(L::ALL.iter().map(|_| Counter::default()).collect(), PhantomData)
    }
}

impl<L: Label> Counters<L> {
    /// Adds one to `label`.
    pub fn inc(&self, label: L) {
        self.add(label, 1);
    }

    /// Adds `count` to `label`.
    pub fn add(&self, label: L, count: u64) {
        if let Some(counter) = self.0.get(label.index()) {
            counter.add(count);
        }
    }

    /// The current count of `label`.
    pub fn get(&self, label: L) -> u64 {
        self.0.get(label.index()).map_or(0, Counter::get)
    }

    /// Each value with its count.
    pub fn iter(&self) -> impl Iterator<Item = (L, u64)> {
        L::ALL.iter().copied().zip(self.0.iter().map(Counter::get))
    }
}

/// One gauge for each value of a label.
#[derive(Debug)]
pub struct Gauges<L>(Box<[Gauge]>, PhantomData<fn(L)>);

impl<L: Label> Default for Gauges<L> {
    fn default() -> Self {
        Self(L::ALL.iter().map(|_| Gauge::default()).collect(), PhantomData)
    }
}

impl<L: Label> Gauges<L> {
    /// Adds `change`, which may be negative, to `label`.
    pub fn add(&self, label: L, change: i64) {
        if let Some(gauge) = self.0.get(label.index()) {
            gauge.add(change);
        }
    }

    /// The sum over all values.
    pub fn sum(&self) -> i64 {
        self.0.iter().map(Gauge::get).sum()
    }

    /// Each value with its gauge's value.
    pub fn iter(&self) -> impl Iterator<Item = (L, i64)> {
        L::ALL.iter().copied().zip(self.0.iter().map(Gauge::get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::DropReason;

    #[test]
    fn each_label_value_is_counted_on_its_own() {
        let counters = Counters::<DropReason>::default();
        counters.inc(DropReason::Expired);
        counters.add(DropReason::QueueFull, 3);
        assert_eq!(counters.get(DropReason::Expired), 1);
        assert_eq!(counters.iter().map(|(_, count)| count).sum::<u64>(), 4);
    }

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
