//! Inspects a session's queue without changing it.

use super::{Entry, Session};
use crate::message::{DeliveryId, QueuedId};

/// Part of what waits for a client or is in flight to it, in order.
#[derive(Debug, Default)]
pub struct Peek {
    /// Each in memory, or the id of a row.
    pub items: Vec<Peeked>,
    /// A page is on its way from the disk to the queue: what is in it is missing here.
    pub is_paging: bool,
}

/// One delivery.
#[derive(Debug, Clone)]
pub enum Peeked {
    /// Sent, and not acknowledged.
    InFlight(Entry),
    /// Waits in memory.
    Waiting(Entry),
    /// Waits on disk.
    OnDisk(QueuedId),
}

impl Peeked {
    /// The order of the queue.
    pub fn delivery(&self) -> DeliveryId {
        match self {
            Self::InFlight(entry) | Self::Waiting(entry) => entry.delivery,
            Self::OnDisk(queued) => queued.id,
        }
    }
}

impl Session {
    /// The first `count` deliveries behind `after`. Takes as long as the window is large,
    /// however long the queue.
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
