//! Reads a session's queue without changing it.

use super::{Entry, Session};
use crate::message::{DeliveryId, QueuedId};

/// Part of the deliveries that are waiting or in flight, in order.
#[derive(Debug, Default)]
pub struct Peek {
    /// Entries in memory, and ids of those on disk.
    pub items: Vec<Peeked>,
    /// True if a page is being read back from disk. Its deliveries are missing here.
    pub is_paging: bool,
}

/// One delivery.
#[derive(Debug, Clone)]
pub enum Peeked {
    /// Sent, but not acknowledged.
    InFlight(Entry),
    /// Waits in memory.
    Waiting(Entry),
    /// Waits on disk.
    OnDisk(QueuedId),
}

impl Peeked {
    /// Its identifier. The queue is in the order of these.
    pub fn delivery(&self) -> DeliveryId {
        match self {
            Self::InFlight(entry) | Self::Waiting(entry) => entry.delivery,
            Self::OnDisk(queued) => queued.id,
        }
    }
}

impl Session {
    /// The first `count` deliveries after `after`. Takes time in proportion to the inflight
    /// window, not to the queue.
    pub fn peek(&self, after: DeliveryId, count: usize) -> Peek {
        let mut items: Vec<Peeked> = self
            .window
            .iter()
            .filter(|entry| entry.delivery > after)
            .map(|entry| Peeked::InFlight(entry.clone()))
            .collect();
        let is_paging = self.queue.peek(after, count, &mut items);
        items.sort_by_key(Peeked::delivery);
        items.truncate(count);
        Peek { items, is_paging }
    }
}
