//! Counts how often each rule for short memory was applied, so that a simulation can show that
//! it has covered all of them. Counts nothing without the feature `failpoints`; operators use
//! the metrics.

#[cfg(feature = "failpoints")]
use std::sync::atomic::{AtomicU64, Ordering};

use super::Broker;

/// A rule of `docs/limits.md`, "Memory", that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A QoS 0 message was not queued.
    Dropped,
    /// A QoS 0 message was removed from a queue.
    Shed,
    /// A QoS 1 or 2 message was lost, and its client is disconnected.
    Lost,
    /// A message for a durable session waits on disk only.
    Spilled,
    /// A publisher was refused.
    Refused,
    /// Packets of a client were held until the disk has what it sent before.
    Held,
}

#[cfg(feature = "failpoints")]
const WAYS: usize = Way::Held as usize + 1;

/// How often each rule was applied.
#[cfg(feature = "failpoints")]
#[derive(Debug, Default)]
pub(super) struct Ways([AtomicU64; WAYS]);

impl Broker {
    /// Counts `times` applications of a rule.
    #[cfg(feature = "failpoints")]
    #[allow(clippy::indexing_slicing)] // There is a place for each.
    pub(in crate::broker) fn gives_way(&self, way: Way, times: usize) {
        self.ways.0[way as usize].fetch_add(times as u64, Ordering::Relaxed);
    }

    /// Does nothing without the feature.
    #[cfg(not(feature = "failpoints"))]
    #[inline]
    #[allow(clippy::unused_self)] // As with the feature.
    pub(in crate::broker) fn gives_way(&self, _: Way, _: usize) {}

    /// How often a rule was applied.
    #[cfg(feature = "failpoints")]
    #[allow(clippy::indexing_slicing)]
    pub fn gave_way(&self, way: Way) -> u64 {
        self.ways.0[way as usize].load(Ordering::Relaxed)
    }
}
