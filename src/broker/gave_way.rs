//! Counts how often each rule for short memory was applied, so that a simulation can show that
//! it has covered all of them. Counts nothing without the feature `failpoints`; operators use
//! the metrics.

#[cfg(feature = "failpoints")]
use std::sync::atomic::{AtomicU64, Ordering};

use super::Broker;

/// What of `docs/limits.md`, "Memory", has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A QoS 0 message was dropped on its way into a queue.
    Dropped,
    /// It was taken out of one.
    Shed,
    /// A QoS 1 or 2 message was lost to a client that is told so.
    Lost,
    /// A message for a durable session waits on the disk alone.
    Spilled,
    /// A publisher was refused.
    Refused,
    /// A client was read no further until the disk has what it sent.
    Held,
}

#[cfg(feature = "failpoints")]
const WAYS: usize = Way::Held as usize + 1;

/// See the module.
#[cfg(feature = "failpoints")]
#[derive(Debug, Default)]
pub(super) struct Ways([AtomicU64; WAYS]);

impl Broker {
    /// Somebody gave way, `times` times.
    #[cfg(feature = "failpoints")]
    #[allow(clippy::indexing_slicing)] // There is a place for each.
    pub(in crate::broker) fn gives_way(&self, way: Way, times: usize) {
        self.ways.0[way as usize].fetch_add(times as u64, Ordering::Relaxed);
    }

    /// Nothing, without the feature.
    #[cfg(not(feature = "failpoints"))]
    #[inline]
    #[allow(clippy::unused_self)] // As with it.
    pub(in crate::broker) fn gives_way(&self, _: Way, _: usize) {}

    /// How often that has happened.
    #[cfg(feature = "failpoints")]
    #[allow(clippy::indexing_slicing)]
    pub fn gave_way(&self, way: Way) -> u64 {
        self.ways.0[way as usize].load(Ordering::Relaxed)
    }
}
