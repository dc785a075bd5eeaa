//! One published message, shared by all that hold it.
//!
//! This module has the message itself (topic, properties and payload in one allocation), the
//! ids of messages and deliveries, the atomic that decides whether a message must be written
//! ([`Durability`]), the compact list of delivery ids for a queue on disk ([`IdList`]), the
//! wake-up of a connection ([`Wake`]) and of a session ([`SessionWake`]), the order of all
//! changes ([`Order`]), and the interface to the tracer of a message ([`Trace`]). Nothing here
//! does I/O, reads a clock, or knows sessions, routers or stores.

mod durability;
mod id_list;
mod ids;
mod order;
mod row_commit;
mod subscription_ids;
mod trace;
mod wake;
mod will;

use std::sync::Arc;

use smallvec::SmallVec;

pub use durability::{CommitNo, Durability, Slot, SlotState};
pub use id_list::{IdList, QueuedId};
pub use ids::{DeliveryId, MessageId, SessionId, WallMillis};
pub use order::{ChangeNo, OpenStep, Order};
pub use row_commit::RowCommit;
pub use subscription_ids::SubscriptionIds;
pub use trace::{CommitMark, CommitObserver, Committed, End, Follow, Step, Stored, Trace};
pub use wake::{Revoked, SessionWake, Waiter, Wake, WakeCause};
pub use will::WillRecord;

use crate::memory::{Charge, Ledger};
use crate::protocol::{PacketId, QoS, hops};

/// An accepted PUBLISH. Immutable except for the atomics that track its writing and its
/// receivers.
#[derive(Debug)]
pub struct Message {
    /// Rises with each accepted message, also over restarts.
    pub id: MessageId,
    /// Topic, then v5 properties, then payload.
    body: Box<[u8]>,
    topic_len: u16,
    /// The part of the properties that only bridges see.
    hops_len: u16,
    properties_len: u32,
    /// The QoS that the publisher chose.
    pub qos: QoS,
    /// The RETAIN flag that the publisher set.
    pub retain: bool,
    /// When the broker accepted it.
    pub published_at: WallMillis,
    /// After this it must not be sent; from the Message Expiry Interval.
    pub expires_at: Option<WallMillis>,
    /// The packet identifier of a durable publisher's QoS 2 PUBLISH. It is committed with the
    /// message, so that a repeat after a crash is detected.
    pub incoming: Option<IncomingId>,
    /// True if it is to be retained, and its publisher is acknowledged after that is
    /// committed.
    pub is_kept: bool,
    /// Its state between memory and disk.
    pub durability: Durability,
    /// One slot for each receiver at QoS 1 or 2.
    pub slots: SmallVec<[Slot; 1]>,
    /// For each slot, the full name of the shared subscription whose member it is, if any:
    /// `$share/GROUP/FILTER`. `None`: there are no shared subscriptions among them.
    pub shares: Option<Box<[Option<Arc<str>>]>>,
    /// Rung when the message is complete or committed.
    pub publisher: Option<Arc<Wake>>,
    /// The trace of the message, if it is traced.
    pub trace: Option<Box<Trace>>,
    charge: Option<Charge>,
}

/// The packet identifier of a durable publisher's QoS 2 PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncomingId {
    /// The publisher's session.
    pub session: SessionId,
    /// Chosen by the client.
    pub packet_id: PacketId,
    /// Drawn under the session's lock when the identifier was registered.
    pub change: ChangeNo,
}

/// The properties of a message that do not depend on its receivers.
#[derive(Debug, Clone, Copy)]
pub struct MessageHead {
    /// See [`Message::id`].
    pub id: MessageId,
    /// See [`Message::qos`].
    pub qos: QoS,
    /// See [`Message::retain`].
    pub retain: bool,
    /// See [`Message::published_at`].
    pub published_at: WallMillis,
    /// See [`Message::expires_at`].
    pub expires_at: Option<WallMillis>,
}

impl Message {
    /// Copies topic, properties and payload into one allocation. `slots` is the number of
    /// receivers at QoS 1 or 2.
    pub fn new(
        head: MessageHead,
        topic: &str,
        properties: &[u8],
        payload: &[u8],
        slots: usize,
        publisher: Option<Arc<Wake>>,
    ) -> Self {
        let mut body = Vec::with_capacity(topic.len() + properties.len() + payload.len());
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(properties);
        body.extend_from_slice(payload);
        let body = body.into_boxed_slice();
        let mut message = Self::from_body(head, body, topic.len(), properties.len());
        let rest = hops::split(properties).1;
        message.hops_len = u16::try_from(properties.len() - rest.len()).unwrap_or_default();
        // `collect` would allocate capacity for a power of two.
        message.slots = SmallVec::with_capacity(slots);
        message.slots.extend((0..slots).map(|_| Slot::default()));
        message.publisher = publisher;
        message
    }

    /// A message that was read back from disk. It has no slots: its deliveries are rows.
    pub fn stored(head: MessageHead, topic: &str, properties: &[u8], payload: &[u8]) -> Self {
        let message = Self::new(head, topic, properties, payload, 0, None);
        message.durability.mark_stored();
        message
    }

    fn from_body(head: MessageHead, body: Box<[u8]>, topic: usize, properties: usize) -> Self {
        Self {
            id: head.id,
            body,
            // A topic name has at most 65,535 bytes [MQTT-1.5.4] and a property block at most
            // 268,435,455, so neither conversion loses anything.
            topic_len: u16::try_from(topic).unwrap_or(u16::MAX),
            hops_len: 0,
            properties_len: u32::try_from(properties).unwrap_or(u32::MAX),
            qos: head.qos,
            retain: head.retain,
            published_at: head.published_at,
            expires_at: head.expires_at,
            incoming: None,
            is_kept: false,
            durability: Durability::default(),
            slots: SmallVec::new(),
            shares: None,
            publisher: None,
            trace: None,
            charge: None,
        }
    }

    /// The topic name.
    pub fn topic(&self) -> &str {
        let bytes = self.body.get(..usize::from(self.topic_len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The encoded v5 properties that receivers get unchanged: without topic alias, message
    /// expiry interval and subscription identifiers, and without the length in front. Empty if
    /// there are none.
    pub fn properties(&self) -> &[u8] {
        self.all_properties().get(usize::from(self.hops_len)..).unwrap_or_default()
    }

    /// The same, with the [`hops`] in front of them.
    pub fn all_properties(&self) -> &[u8] {
        let start = usize::from(self.topic_len);
        self.body.get(start..start + self.properties_len as usize).unwrap_or_default()
    }

    /// The brokers that it has passed; `None`: it was published here.
    pub fn hops(&self) -> Option<&str> {
        if self.hops_len == 0 { None } else { hops::split(self.all_properties()).0 }
    }

    /// The application payload.
    pub fn payload(&self) -> &[u8] {
        let start = usize::from(self.topic_len) + self.properties_len as usize;
        self.body.get(start..).unwrap_or_default()
    }

    /// Bytes of topic, properties and payload, which count against queue limits.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// Charges the message's memory for its lifetime: once, however many receivers it has.
    pub fn charge_to(&mut self, ledger: Ledger) {
        self.charge = Some(ledger.charge(self.cost()));
    }

    /// Bytes that it takes in memory.
    fn cost(&self) -> u64 {
        /// Overhead of the allocator, and the counts of an `Arc`.
        const ALLOCATION: usize = 16;
        let room = self.slots.capacity() * size_of::<Slot>();
        let slots = if self.slots.spilled() { room + ALLOCATION } else { 0 };
        let shares = self.shares.as_deref().map_or(0, size_of_val);
        (size_of::<Self>() + 2 * ALLOCATION + self.body.len() + ALLOCATION + slots + shares) as u64
    }

    /// The slots of members of shared subscriptions, each with its shared subscription.
    pub fn shared_slots(&self) -> impl Iterator<Item = (&Slot, &Arc<str>)> {
        let shares = self.shares.as_deref().unwrap_or_default();
        self.slots.iter().zip(shares).filter_map(|(slot, share)| Some((slot, share.as_ref()?)))
    }

    /// True if the message must be committed even if all receivers have acknowledged it: a
    /// packet identifier or a retained message is committed with it. It is never elided.
    pub fn must_commit(&self) -> bool {
        self.incoming.is_some() || self.is_kept
    }

    /// True if the message has expired.
    pub fn is_expired(&self, now: WallMillis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
