//! Rows as the rest of the broker sees them.

use std::sync::Arc;

use super::clock::ClockReading;
use crate::message::{DeliveryId, IdList, Message, MessageId, SessionId, WallMillis, WillRecord};
use crate::protocol::{PacketId, QoS, SubscriptionOptions, Version};

/// A durable session's own row.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// Its key.
    pub id: SessionId,
    /// Unique.
    pub client_id: Box<str>,
    /// Of its last connection.
    pub version: Version,
    /// Seconds that it outlives its connection; `u32::MAX` is for ever.
    pub expiry: u32,
    /// When its connection ended; `None` while connected.
    pub disconnected_at: Option<WallMillis>,
    /// The largest delivery that may have been sent, as of the row's writing:
    /// older ones are repeated with DUP. While connected, all may have been.
    pub sent_up_to: DeliveryId,
    /// To be published if the client does not come back. Few have one, and a start has
    /// all sessions in memory twice.
    pub will: Option<Box<WillRecord>>,
}

/// A subscription's row.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionRecord {
    /// In full, `$share/...` included.
    pub filter: Box<str>,
    /// As subscribed.
    pub options: SubscriptionOptions,
    /// v5 Subscription Identifier.
    pub identifier: Option<u32>,
}

/// A retained message's row.
#[derive(Debug, Clone, PartialEq)]
pub struct RetainedRecord {
    /// Its key.
    pub topic: Box<str>,
    /// Encoded v5 properties, as in [`Message::properties`].
    pub properties: Vec<u8>,
    /// Never empty: an empty payload removes the row.
    pub payload: Vec<u8>,
    /// As published.
    pub qos: QoS,
    /// When it was accepted.
    pub published_at: WallMillis,
    /// From the Message Expiry Interval.
    pub expires_at: Option<WallMillis>,
}

impl RetainedRecord {
    /// Bytes of topic, properties and payload.
    pub fn size(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len()
    }

    /// True once its expiry has passed.
    pub fn is_expired(&self, now: WallMillis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A delivery read back from disk.
#[derive(Debug, Clone)]
pub struct PagedDelivery {
    /// Its row.
    pub delivery: DeliveryId,
    /// Drawn when it was queued.
    pub packet_id: PacketId,
    /// Of this delivery, at most the message's.
    pub qos: QoS,
    /// The RETAIN flag that the receiver is to see.
    pub retain: bool,
    /// True once PUBREC was received and committed: only PUBREL is to be sent.
    pub received: bool,
    /// The shared subscription that it came through, in full.
    pub share: Option<Arc<str>>,
    /// Shared among the deliveries of one page that belong to it.
    pub message: Arc<Message>,
}

/// What a start finds in the file.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Every durable session that has not been ended.
    pub sessions: Vec<RecoveredSession>,
    /// Deliveries of sessions that have ended, which came through shared subscriptions:
    /// others may get them. Nothing else removes them.
    pub unclaimed: IdList,
    /// All retained messages; expired ones included.
    pub retained: Vec<RetainedRecord>,
    /// The largest id ever given out, so that ids never repeat.
    pub last_message: MessageId,
    /// The largest id ever given out.
    pub last_delivery: DeliveryId,
    /// The largest id ever given out.
    pub last_session: SessionId,
    /// The clock to which the times in it were brought: the broker's has to begin there.
    pub clock: Option<ClockReading>,
    /// That clock may be wrong: see [`ClockMark::stepped`](super::ClockMark::stepped).
    pub clock_is_doubtful: bool,
}

/// One session with all that belongs to it.
#[derive(Debug)]
pub struct RecoveredSession {
    /// Its row.
    pub record: SessionRecord,
    /// Its subscriptions.
    pub subscriptions: Vec<SubscriptionRecord>,
    /// QoS 2 packet ids of its own publishes that wait for PUBREL.
    pub incoming: Vec<PacketId>,
    /// Its deliveries that the receiver may hold, in order: those that it has sent
    /// PUBREC for, and those at QoS 2 that may have been sent. They are completed,
    /// whatever expires and however full the queue is.
    pub sent: IdList,
    /// Its other deliveries, in order.
    pub queue: IdList,
    /// The packet id of its last delivery; the cycle goes on behind it.
    pub last_packet_id: Option<PacketId>,
    /// Some of them came through a shared subscription.
    pub has_shared: bool,
}

impl RecoveredSession {
    /// True if a delivery may have been sent, as far as the session's row tells: all may
    /// have been while it was connected.
    pub fn may_have_sent(&self, delivery: DeliveryId) -> bool {
        self.record.disconnected_at.is_none() || delivery <= self.record.sent_up_to
    }

    /// All its deliveries.
    pub fn queued(&self) -> usize {
        self.sent.len() + self.queue.len()
    }
}
