//! The work budget of one poll of a task, in units.

use std::future::poll_fn;
use std::task::Poll;

/// What a long poll may cost, in units of about 0.1 to 0.2 µs: together at most a few
/// milliseconds. See [`super::LongPolls`].
const LONG: usize = 16 * 1024;
/// What a poll may cost that anybody may have at any time: a few hundred microseconds.
const SHORT: usize = 2 * 1024;

/// A packet, without what it brings about.
pub const PACKET: usize = 1;
/// A message put into one queue: 0.3 µs, and 1 µs if nothing of the session is cached.
pub const RECEIVER: usize = 4;
/// A QoS 0 message that a connected receiver had no room for, beside its cost: some 240 of
/// them in a long poll.
pub const DROPPED: usize = 64;
/// A message taken out of a queue, and encoded or given up.
pub const DELIVERY: usize = 2;
/// A node of the router or of the retained messages.
pub const NODE: usize = 2;
/// As many bytes that are read or written cost one unit.
const BYTES_A_UNIT: usize = 512;

/// Nodes that are looked at under one hold of a lock: 0.1 to 0.2 ms.
pub const NODES_AT_ONCE: usize = 1024;

/// What is left of a poll's work.
#[derive(Debug, Clone, Copy)]
pub struct Budget(usize);

impl Budget {
    /// For a task whose turn it is.
    pub const fn of_long_poll() -> Self {
        Self(LONG)
    }

    /// For a task that has not left anything undone so far.
    pub const fn of_short_poll() -> Self {
        Self(SHORT)
    }

    /// For work that must not be interrupted.
    pub const fn unlimited() -> Self {
        Self(usize::MAX)
    }

    /// Takes what `units` of work cost.
    pub fn spend(&mut self, units: usize) {
        self.0 = self.0.saturating_sub(units);
    }

    /// Takes what it costs to read or write `bytes`.
    pub fn spend_bytes(&mut self, bytes: usize) {
        self.spend(bytes / BYTES_A_UNIT);
    }

    /// True if others are to have their turn first.
    pub fn is_spent(self) -> bool {
        self.0 == 0
    }
}

/// Lets the other tasks of this thread have their turn.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
