//! Generates identifiers that are never reused.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::{DeliveryId, MessageId, SessionId};

/// Each counter holds the last number that was used.
#[derive(Debug)]
pub struct Ids {
    message: AtomicU64,
    delivery: AtomicU64,
    session: AtomicU64,
}

impl Ids {
    /// Continues after the last numbers in the database.
    pub fn new(message: MessageId, delivery: DeliveryId, session: SessionId) -> Self {
        Self {
            message: AtomicU64::new(message.0),
            delivery: AtomicU64::new(delivery.0),
            session: AtomicU64::new(session.0),
        }
    }

    /// The next message.
    pub fn message(&self) -> MessageId {
        MessageId(self.message.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The next delivery. To be called under the receiving session's lock, so that ids rise in
    /// the order of its queue.
    pub fn delivery(&self) -> DeliveryId {
        DeliveryId(self.delivery.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The next session.
    pub fn session(&self) -> SessionId {
        SessionId(self.session.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
