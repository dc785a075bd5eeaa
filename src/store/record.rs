//! The rows as the rest of the broker sees them.

use std::sync::Arc;

use super::clock::ClockReading;
use crate::message::{DeliveryId, IdList, Message, MessageId, SessionId, WallMillis, WillRecord};
use crate::protocol::{PacketId, QoS, SubscriptionOptions, Version};

/// A durable session's own row.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// The key.
    pub id: SessionId,
    /// Unique among sessions.
    pub client_id: Box<str>,
    /// The verified user name that it belongs to; `None` for nobody's, as in files of schema
    /// version 2 and older.
    pub owner: Option<Box<str>>,
    /// The protocol version of its last connection.
    pub version: Version,
    /// Session expiry in seconds; `u32::MAX` is for ever.
    pub expiry: u32,
    /// When its connection ended; `None` while it is connected.
    pub disconnected_at: Option<WallMillis>,
    /// The largest delivery id that may have been sent when the row was written: deliveries up
    /// to it are repeated with DUP. While the session is connected, all may have been sent.
    pub sent_up_to: DeliveryId,
    /// Published if the client does not reconnect in time. Boxed because few sessions have
    /// one, and a start holds every session in memory twice.
    pub will: Option<Box<WillRecord>>,
}

/// A subscription's row.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionRecord {
    /// The full filter, `$share/...` included.
    pub filter: Box<str>,
    /// The options as subscribed.
    pub options: SubscriptionOptions,
    /// The MQTT 5.0 Subscription Identifier.
    pub identifier: Option<u32>,
}

/// A retained message's row.
#[derive(Debug, Clone, PartialEq)]
pub struct RetainedRecord {
    /// The key.
    pub topic: Box<str>,
    /// Encoded MQTT 5.0 properties, as in [`Message::properties`].
    pub properties: Vec<u8>,
    /// Never empty: an empty payload removes the row.
    pub payload: Vec<u8>,
    /// The QoS as published.
    pub qos: QoS,
    /// When it was accepted.
    pub published_at: WallMillis,
    /// The end of its Message Expiry Interval.
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
    /// The key of its row.
    pub delivery: DeliveryId,
    /// The packet identifier assigned when it was queued.
    pub packet_id: PacketId,
    /// The QoS of this delivery, at most the message's.
    pub qos: QoS,
    /// The RETAIN flag that is sent to the receiver.
    pub retain: bool,
    /// True once PUBREC was received and committed: only PUBREL is to be sent.
    pub received: bool,
    /// The full filter of the shared subscription that it came through.
    pub share: Option<Arc<str>>,
    /// The message, shared by the deliveries of one page that belong to it.
    pub message: Arc<Message>,
}

/// The state that a start reads from the file.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Every durable session that has not ended.
    pub sessions: Vec<RecoveredSession>,
    /// Deliveries of ended sessions that came through shared subscriptions: the broker may
    /// deliver them to other members. Nothing else removes them.
    pub unclaimed: IdList,
    /// All retained messages; expired ones included.
    pub retained: Vec<RetainedRecord>,
    /// The largest message id that may have been used; later ids are larger.
    pub last_message: MessageId,
    /// The largest delivery id that may have been used.
    pub last_delivery: DeliveryId,
    /// The largest session id that may have been used.
    pub last_session: SessionId,
    /// The clock reading that all times were adjusted to: the broker's clock has to start
    /// there.
    pub clock: Option<ClockReading>,
    /// That clock may be wrong: see [`ClockMark::stepped`](super::ClockMark::stepped).
    pub clock_is_doubtful: bool,
}

/// One session with all that belongs to it.
#[derive(Debug)]
pub struct RecoveredSession {
    /// The session's row.
    pub record: SessionRecord,
    /// The session's subscriptions.
    pub subscriptions: Vec<SubscriptionRecord>,
    /// Packet identifiers of the client's own QoS 2 publishes that wait for PUBREL.
    pub incoming: Vec<PacketId>,
    /// Its deliveries that the receiver may hold, in order: those for which it has sent
    /// PUBREC, and QoS 2 deliveries that may have been sent. They are completed even if they
    /// expire or the queue is full.
    pub sent: IdList,
    /// Its other deliveries, in order.
    pub queue: IdList,
    /// The packet identifier of its last delivery; new ones are assigned after it.
    pub last_packet_id: Option<PacketId>,
    /// True if some of its deliveries came through a shared subscription.
    pub has_shared: bool,
}

impl RecoveredSession {
    /// True if a delivery may have been sent, according to the session's row: while it was
    /// connected, any may have been.
    pub fn may_have_sent(&self, delivery: DeliveryId) -> bool {
        self.record.disconnected_at.is_none() || delivery <= self.record.sent_up_to
    }

    /// The number of its deliveries.
    pub fn queued(&self) -> usize {
        self.sent.len() + self.queue.len()
    }
}
