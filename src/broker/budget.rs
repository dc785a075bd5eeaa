//! The work budget of one poll of a task, in units.

/// The budget of a long poll, in units of about 0.1 to 0.2 µs: a few milliseconds at most. See
/// [`super::Turns`].
const LONG: usize = 16 * 1024;
/// The budget of a short poll: a few hundred microseconds.
const SHORT: usize = 2 * 1024;

/// A packet, without the work that it causes.
pub const PACKET: usize = 1;
/// A message put into one queue: 0.3 µs, and 1 µs if nothing of the session is cached.
pub const RECEIVER: usize = 4;
/// A QoS 0 message that a connected receiver had no room for, in addition to its other cost. A
/// long poll covers about 240 of these.
pub const DROPPED: usize = 64;
/// A message taken out of a queue and encoded or dropped.
pub const DELIVERY: usize = 2;
/// A node of the router or of the tree of retained messages.
pub const NODE: usize = 2;
/// This many bytes read or written cost one unit: 0.7 to 1 GB/s, as measured for payloads of
/// 1 MB to sockets that nobody reads, and for topic names of 60 KB. The kernel, and the
/// allocator, take a fresh page for each 4 KiB of them.
const BYTES_A_UNIT: usize = 128;

/// Nodes that are visited under one hold of a lock: 0.1 to 0.2 ms.
pub const NODES_AT_ONCE: usize = 1024;

/// The remaining work of a poll.
#[derive(Debug, Clone, Copy)]
pub struct Budget(usize);

impl Budget {
    /// For a task that has a turn for a long poll.
    pub const fn of_long_poll() -> Self {
        Self(LONG)
    }

    /// For a task that left no work undone in its last poll, or was woken with many others.
    pub const fn of_short_poll() -> Self {
        Self(SHORT)
    }

    /// For work that must not be interrupted.
    pub const fn unlimited() -> Self {
        Self(usize::MAX)
    }

    /// Subtracts `units` of work.
    pub fn spend(&mut self, units: usize) {
        self.0 = self.0.saturating_sub(units);
    }

    /// Subtracts the cost of reading or writing `bytes`.
    pub fn spend_bytes(&mut self, bytes: usize) {
        self.spend(bytes / BYTES_A_UNIT);
    }

    /// True if the task must yield.
    pub fn is_spent(self) -> bool {
        self.0 == 0
    }
}
