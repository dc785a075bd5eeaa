//! The operations of the store.

use std::sync::Arc;

use super::record::{PagedDelivery, RetainedRecord, SessionRecord, SubscriptionRecord};
use super::room::allowance::Promise;
use crate::memory::Ledger;
use crate::message::{
    ChangeNo, DeliveryId, Message, MessageId, OpenStep, Order, QueuedId, RowCommit, SessionId,
    SessionWake, SlotState,
};
use crate::protocol::PacketId;

/// One change to the file. Within a batch, inserts run before deletes.
#[derive(Debug)]
pub enum Op {
    /// Insert the message with the deliveries in its slots, and its incoming
    /// packet id, unless it has been settled (write elision: see
    /// [`crate::message::Durability::take`]).
    Message(Arc<Message>),
    /// A delivery was acknowledged, expired or dropped. With `last`, its message
    /// goes with it.
    Delete {
        /// The delivery's row.
        delivery: DeliveryId,
        /// The message's row, if this was the last delivery of it.
        message: Option<MessageId>,
    },
    /// As [`Op::Delete`], for a delivery that goes on elsewhere once its row is gone: it is
    /// not put off as other deletes are.
    Remove {
        /// The delivery's row.
        delivery: DeliveryId,
        /// The message's row, if this was the last delivery of it.
        message: Option<MessageId>,
        /// Told of the batch that it is in.
        change: Arc<RowCommit>,
    },
    /// A delivery that was never read back from disk is dropped: the store looks up
    /// which message it belongs to and counts that down.
    Drop(DeliveryId),
    /// The receiver has sent PUBREC: PUBREL may go once this is committed.
    Received(DeliveryId),
    /// A delivery is to be sent under another packet id than the one that it was queued
    /// with.
    PacketId {
        /// The delivery's row.
        delivery: DeliveryId,
        /// The new id.
        packet_id: PacketId,
        /// Told of the batch that it is in.
        change: Arc<RowCommit>,
    },
    /// A delivery goes from one session to another, at the end of its queue.
    Move {
        /// The delivery's row.
        delivery: DeliveryId,
        /// What the row is to say, under another id.
        to: SlotState,
        /// The shared subscription that it goes through.
        share: Arc<str>,
        /// Told of the batch that it is in.
        change: Arc<RowCommit>,
    },
    /// A change of state that has a key: see [`Change`]. Of several under one key the
    /// highest number holds, in whatever order they are submitted.
    State(ChangeNo, Change),
}

/// A change of state, numbered under the lock that decided it.
#[derive(Debug)]
pub enum Change {
    /// The publisher of a session that becomes durable late has yet to send PUBREL.
    OpenIncoming(SessionId, PacketId),
    /// The publisher has sent PUBREL: PUBCOMP may go once this is committed.
    CloseIncoming(SessionId, PacketId),
    /// Insert or replace the session's row (not its subscriptions or deliveries).
    Session(Box<SessionRecord>),
    /// Remove the session's row, subscriptions and incoming packet ids. Its
    /// deliveries are dropped by the broker, or at the next start.
    EndSession(SessionId),
    /// Insert or replace.
    Subscribe(SessionId, Box<SubscriptionRecord>),
    /// By its full filter, `$share/...` included.
    Unsubscribe(SessionId, Box<str>),
    /// Insert or replace by topic. With the message whose publisher is told if the disk
    /// has no room for it, if there is one.
    Retain(Arc<RetainedRecord>, Option<MessageId>),
    /// By topic.
    Unretain(Box<str>),
}

/// All that one step of a connection asks for: handed over under one lock, and in
/// one transaction.
#[derive(Debug, Default)]
pub struct Submission {
    /// In order. Drained by the store.
    pub ops: Vec<Op>,
    /// QoS 1 messages whose durable receivers are all online and answering: held
    /// back for the elision window. Drained by the store.
    pub held: Vec<Arc<Message>>,
    /// Rung when the batch with `ops` has been committed (or the store is
    /// poisoned). Drained by the store. The publishers of messages need not be
    /// here: [`Message::publisher`] is rung when the message's batch is committed.
    pub waiters: Vec<Arc<SessionWake>>,
    /// Held from before the first number was drawn until the store has the changes.
    pub numbers: Option<OpenStep>,
    /// Room for what grows the file. Taken by the store, unless nothing is to be written.
    pub promise: Option<Promise>,
}

impl Submission {
    /// One more change of state, numbered now: to be called under the lock that decides it.
    pub fn change(&mut self, order: &Arc<Order>, change: Change) {
        let no = self.number(order);
        self.ops.push(Op::State(no, change));
    }

    /// The next number, which counts as open until this is submitted.
    pub fn number(&mut self, order: &Arc<Order>) -> ChangeNo {
        self.numbers.get_or_insert_with(|| order.enter()).draw()
    }
}

/// A request to read part of a queue back from disk.
#[derive(Debug)]
pub struct PageRequest {
    /// Rising ids of committed deliveries of one session.
    pub ids: Vec<QueuedId>,
    /// Counts the messages that are read.
    pub ledger: Ledger,
    /// Where the answer goes.
    pub reply: PageReply,
}

/// Called on the reader thread; must be quick.
pub struct PageReply(pub Box<dyn FnOnce(Result<Vec<PagedDelivery>, super::PageError>) + Send>);

impl std::fmt::Debug for PageReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageReply")
    }
}
