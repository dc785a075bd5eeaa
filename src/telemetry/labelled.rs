//! Counters and gauges of which there is one for each value of a label.

use std::marker::PhantomData;

use super::{Counter, Gauge};

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
}
