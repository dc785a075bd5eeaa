//! The operations of the store.

use std::sync::Arc;

use super::dead_letter::DeadLetter;
use super::record::{PagedDelivery, RetainedRecord, SessionRecord, SubscriptionRecord};
use super::room::allowance::Promise;
use crate::memory::Ledger;
use crate::message::{
    ChangeNo, DeliveryId, Message, MessageId, OpenStep, Order, QueuedId, RowCommit, SessionId,
    SlotState, Waiter,
};
use crate::protocol::PacketId;

/// One change to the file. Within a batch, inserts run before deletes.
#[derive(Debug)]
pub enum Op {
    /// Insert the message, the deliveries in its slots and its incoming packet identifier,
    /// unless every receiver has acknowledged it (write elision: see
    /// [`crate::message::Durability::take`]).
    Message(Arc<Message>),
    /// A delivery was acknowledged, expired or dropped. Its message is deleted with it if
    /// `message` is set.
    Delete {
        /// The delivery's row.
        delivery: DeliveryId,
        /// The message's row, if this was the last delivery of it.
        message: Option<MessageId>,
    },
    /// As [`Op::Delete`], for a delivery that continues in memory once its row is deleted. It
    /// is not deferred as other deletes are.
    Remove {
        /// The delivery's row.
        delivery: DeliveryId,
        /// The message's row, if this was the last delivery of it.
        message: Option<MessageId>,
        /// Records the number of the batch that contains the change.
        change: Arc<RowCommit>,
    },
    /// A delivery that was never read back from disk is dropped: the store looks up its
    /// message and reduces the message's count.
    Drop(DeliveryId),
    /// The receiver has sent PUBREC: PUBREL may be sent once this is committed.
    Received(DeliveryId),
    /// A delivery gets another packet identifier than the one it was queued with.
    PacketId {
        /// The delivery's row.
        delivery: DeliveryId,
        /// The new packet identifier.
        packet_id: PacketId,
        /// Records the number of the batch that contains the change.
        change: Arc<RowCommit>,
    },
    /// A delivery moves to the end of another session's queue.
    Move {
        /// The delivery's row.
        delivery: DeliveryId,
        /// The new contents of the row, its new id included.
        to: SlotState,
        /// The shared subscription that it was delivered through.
        share: Arc<str>,
        /// Records the number of the batch that contains the change.
        change: Arc<RowCommit>,
    },
    /// A delivery was refused for good by the other end of a bridge: its row is replaced by a
    /// dead letter in one transaction, and the message's reference released. Unlike with
    /// [`Op::Delete`], the caller must not touch the message's slot or its references. Written
    /// as soon as the message is, and the disk has room.
    DeadLetter(Box<DeadLetter>),
    /// Remove the dead letters with these ids.
    RemoveDeadLetters(Vec<u64>),
    /// A change of keyed state: see [`Change`]. Of several changes under one key the one with
    /// the highest number applies, in whatever order they are submitted.
    State(ChangeNo, Change),
}

/// A change of keyed state, numbered under the lock that decided it.
#[derive(Debug)]
pub enum Change {
    /// A session becomes durable while its publisher has yet to send PUBREL.
    OpenIncoming(SessionId, PacketId),
    /// The publisher has sent PUBREL: PUBCOMP may be sent once this is committed.
    CloseIncoming(SessionId, PacketId),
    /// Insert or replace the session's row (not its subscriptions or deliveries).
    Session(Box<SessionRecord>),
    /// Remove the session's row, subscriptions and incoming packet identifiers. Its deliveries
    /// are dropped by the broker, or at the next start.
    EndSession(SessionId),
    /// Insert or replace.
    Subscribe(SessionId, Box<SubscriptionRecord>),
    /// By its full filter, `$share/...` included.
    Unsubscribe(SessionId, Box<str>),
    /// Insert or replace by topic. The second field is the message, if any, whose publisher is
    /// notified if the disk has no space for it.
    Retain(Arc<RetainedRecord>, Option<MessageId>),
    /// By topic.
    Unretain(Box<str>),
}

/// Everything that one step submits: under one lock, and in one transaction.
#[derive(Debug, Default)]
pub struct Submission {
    /// In order. Drained by the store.
    pub ops: Vec<Op>,
    /// QoS 1 messages whose durable receivers are all online and answering: held for the
    /// elision window. Drained by the store.
    pub held: Vec<Arc<Message>>,
    /// Woken when the batch with `ops` is committed or the store is poisoned. Drained by the
    /// store. Publishers of messages need not be listed: [`Message::publisher`] is woken when
    /// the message's batch is committed.
    pub waiters: Vec<Waiter>,
    /// Held from before the first number is drawn until the store has the changes.
    pub numbers: Option<OpenStep>,
    /// Space reserved for growth. Taken by the store, unless nothing is to be written.
    pub promise: Option<Promise>,
}

impl Submission {
    /// Adds a change of state, numbered now. Call it under the lock that decides the change.
    pub fn change(&mut self, order: &Arc<Order>, change: Change) {
        let no = self.number(order);
        self.ops.push(Op::State(no, change));
    }

    /// Draws the next number, which counts as open until this is submitted.
    pub fn number(&mut self, order: &Arc<Order>) -> ChangeNo {
        self.numbers.get_or_insert_with(|| order.enter()).draw()
    }
}

/// A request to read part of a queue back from disk.
#[derive(Debug)]
pub struct PageRequest {
    /// Ascending ids of committed deliveries of one session.
    pub ids: Vec<QueuedId>,
    /// The memory account that the messages are charged to.
    pub ledger: Ledger,
    /// Called with the result.
    pub reply: PageReply,
}

/// Called on the reader's thread; must be quick.
pub struct PageReply(pub Box<dyn FnOnce(Result<Vec<PagedDelivery>, super::PageError>) + Send>);

impl std::fmt::Debug for PageReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageReply")
    }
}
