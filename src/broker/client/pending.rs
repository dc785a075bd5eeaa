//! Replies that wait for a condition (their gate), in the order in which they must be sent:
//! PUBACKs and PUBRECs in the order of the publishes [MQTT-4.6.0-2] [MQTT-4.6.0-3], PUBRELs in
//! the order of the PUBRECs [MQTT-4.6.0-4].
//!
//! The gate of a reply is a commit number, a message that must be on disk, completed or
//! refused, or nothing. Only the first reply of a line may be sent, so order needs no search.
//! There are two lines, because a publish may wait for room on the disk, and the replies that
//! let a client receive, and so make room, must not wait behind it.
//!
//! The CONNACK of a session that is not durable waits for the last written end of a session
//! (`Registry::last_end`), so that a crash cannot restore a session after the client was told
//! that there is none. A CONNACK or SUBACK in the queue also holds up deliveries. PINGRESP is
//! not queued, so that a slow disk does not delay it. With `durability = "async"` nothing
//! waits.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::broker::spare;
use crate::message::{CommitNo, Message};
use crate::protocol::{Auth, ConnAck, PacketId, ReasonCode, SubAck, UnsubAck};
use crate::sabotage::Sabotage;
use crate::telemetry::PacketType;

/// Stands for the commit of the current step until its number is known.
const THIS_STEP: CommitNo = CommitNo::MAX;

/// A reply to be sent.
#[derive(Debug)]
pub enum Reply {
    /// Accepts the connection.
    ConnAck(Box<ConnAck>),
    /// Acknowledges a QoS 1 publish.
    PubAck(PacketId, ReasonCode),
    /// Acknowledges a QoS 2 publish.
    PubRec(PacketId, ReasonCode),
    /// For a QoS 2 delivery: its PUBREC is recorded.
    PubRel(PacketId, ReasonCode),
    /// Completes a QoS 2 publish after its PUBREL.
    PubComp(PacketId, ReasonCode),
    /// The subscriptions are made.
    SubAck(Box<SubAck>),
    /// The subscriptions are removed.
    UnsubAck(Box<UnsubAck>),
    /// Continues or ends a re-authentication.
    Auth(Box<Auth>),
}

impl Reply {
    /// Its reason code.
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::PubAck(_, reason)
            | Self::PubRec(_, reason)
            | Self::PubRel(_, reason)
            | Self::PubComp(_, reason) => *reason,
            Self::Auth(auth) => auth.reason,
            Self::ConnAck(_) | Self::SubAck(_) | Self::UnsubAck(_) => ReasonCode::Success,
        }
    }

    /// The packet identifier that it carries.
    pub fn packet_id(&self) -> Option<PacketId> {
        match self {
            Self::PubAck(id, _)
            | Self::PubRec(id, _)
            | Self::PubRel(id, _)
            | Self::PubComp(id, _) => Some(*id),
            Self::SubAck(suback) => Some(suback.packet_id),
            Self::UnsubAck(unsuback) => Some(unsuback.packet_id),
            Self::ConnAck(_) | Self::Auth(_) => None,
        }
    }

    /// Its type, for the counters.
    pub fn packet_type(&self) -> PacketType {
        match self {
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::PubAck(..) => PacketType::PubAck,
            Self::PubRec(..) => PacketType::PubRec,
            Self::PubRel(..) => PacketType::PubRel,
            Self::PubComp(..) => PacketType::PubComp,
            Self::SubAck(_) => PacketType::SubAck,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

/// A reply and its gate.
#[derive(Debug)]
pub struct Pending {
    /// The reply.
    pub reply: Reply,
    /// This message must be committed, completed or refused.
    pub message: Option<Arc<Message>>,
    /// This commit must be reached; 0 is no condition.
    commit: CommitNo,
}

impl Pending {
    /// A reply that waits only for its place in the order.
    pub fn at_once(reply: Reply) -> Self {
        Self { reply, message: None, commit: 0 }
    }

    /// A reply that waits for a commit whose number is known.
    pub fn at_commit(reply: Reply, commit: CommitNo) -> Self {
        Self { reply, message: None, commit }
    }

    /// A reply that waits for a message to be on disk, or acknowledged by its receivers.
    pub fn with_message(reply: Reply, message: Option<Arc<Message>>) -> Self {
        Self { reply, message, commit: 0 }
    }

    /// Also waits for the commit of the current step, if `waits`.
    #[must_use]
    pub fn and_this_step(mut self, waits: bool) -> Self {
        if waits {
            self.commit = THIS_STEP;
        }
        self
    }

    /// Reports to the message's trace that its publisher has been answered, or never will be.
    pub(super) fn answer_trace(&self, answered: bool) {
        if let Some(trace) = self.message.as_ref().and_then(|message| message.trace.as_ref()) {
            trace.answered(answered.then(|| self.reply.reason()));
        }
    }

    fn size(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.size())
    }

    fn is_open(&self, committed: CommitNo) -> bool {
        if Sabotage::AcknowledgeEarly.is_on() {
            return self.commit <= committed + 1;
        }
        self.commit <= committed
            && self.message.as_ref().is_none_or(|message| {
                message.durability.may_acknowledge(committed) || message.durability.is_refused()
            })
    }
}

/// Replies in one order: only the first may be sent.
#[derive(Debug, Default)]
struct Line {
    queue: VecDeque<Pending>,
    /// How many replies at the end belong to the current step.
    new: usize,
}

impl Line {
    fn push(&mut self, pending: Pending) {
        self.new += 1;
        self.queue.push_back(pending);
    }

    fn submitted(&mut self, commit: CommitNo) {
        for pending in self.queue.iter_mut().rev().take(self.new) {
            if pending.commit == THIS_STEP {
                pending.commit = commit;
            }
        }
    }

    fn pop_open(&mut self, committed: CommitNo) -> Option<Pending> {
        if self.queue.front()?.is_open(committed) { self.queue.pop_front() } else { None }
    }
}

/// The replies of one connection, in two lines: see the module. The protocol requires no order
/// between the lines.
#[derive(Debug, Default)]
pub struct PendingQueue {
    /// PUBACK and PUBREC.
    publishes: Line,
    /// All others. Their gates are commits, and those of later replies are not lower.
    others: Line,
    /// Bytes of the messages that replies wait for.
    bytes: usize,
    new_gates: bool,
    /// The number of SUBACKs in the queue: deliveries must not overtake them.
    subscribes: usize,
}

impl PendingQueue {
    /// Appends a reply.
    pub fn push(&mut self, pending: Pending) {
        self.new_gates |= pending.commit == THIS_STEP;
        self.subscribes += usize::from(matches!(pending.reply, Reply::SubAck(_)));
        self.bytes += pending.size();
        match pending.reply {
            Reply::PubAck(..) | Reply::PubRec(..) => self.publishes.push(pending),
            _ => self.others.push(pending),
        }
    }

    /// Bytes of the messages that replies wait for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// True if no reply waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the first publish waits for room on the disk.
    pub fn is_blocked_by_back_pressure(&self) -> bool {
        let message = self.publishes.queue.front().and_then(|pending| pending.message.as_ref());
        message.is_some_and(|message| message.durability.is_parked())
    }

    /// Bytes that the replies take in memory, without their messages.
    pub fn memory(&self) -> usize {
        (self.publishes.queue.capacity() + self.others.queue.capacity()) * size_of::<Pending>()
    }

    /// How many replies wait.
    pub fn len(&self) -> usize {
        self.publishes.queue.len() + self.others.queue.len()
    }

    /// True if deliveries must wait for a CONNACK or a SUBACK.
    pub fn holds_deliveries(&self) -> bool {
        self.subscribes > 0 || self.opens_connection()
    }

    /// True if the CONNACK is still queued. Nothing may be sent before it [MQTT-3.2.0-1].
    pub fn opens_connection(&self) -> bool {
        matches!(self.others.queue.front(), Some(Pending { reply: Reply::ConnAck(_), .. }))
    }

    /// True if a reply of this step waits for the step's own commit.
    pub fn has_new_gates(&self) -> bool {
        self.new_gates
    }

    /// Records the number of the commit that the current step is in.
    pub fn submitted(&mut self, commit: CommitNo) {
        if std::mem::take(&mut self.new_gates) {
            self.publishes.submitted(commit);
            self.others.submitted(commit);
        }
        self.publishes.new = 0;
        self.others.new = 0;
    }

    /// Frees the memory of lines that are empty.
    pub fn shrink(&mut self) {
        spare::shrink_queue(&mut self.publishes.queue);
        spare::shrink_queue(&mut self.others.queue);
    }

    /// Replies that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.publishes.queue.capacity() + self.others.queue.capacity()
    }

    /// The connection has ended, so the replies will not be sent.
    pub fn abandon(&self) {
        self.publishes.queue.iter().for_each(|pending| pending.answer_trace(false));
    }

    /// Takes the next reply whose gate is open.
    pub fn pop_open(&mut self, committed: CommitNo) -> Option<Pending> {
        let publish =
            if self.opens_connection() { None } else { self.publishes.pop_open(committed) };
        let pending = publish.or_else(|| self.others.pop_open(committed))?;
        self.bytes -= pending.size();
        self.subscribes -= usize::from(matches!(pending.reply, Reply::SubAck(_)));
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MessageHead, MessageId, WallMillis};
    use crate::protocol::QoS;

    fn waiting() -> Arc<Message> {
        let head = MessageHead {
            id: MessageId(1),
            qos: QoS::AtLeastOnce,
            retain: false,
            published_at: WallMillis(0),
            expires_at: None,
        };
        Arc::new(Message::new(head, "t", &[], b"x", 1, None))
    }

    #[test]
    fn what_a_receiver_needs_does_not_stand_behind_a_publish_that_waits() {
        let id = PacketId::FIRST;
        let mut queue = PendingQueue::default();
        let publish = Reply::PubAck(id, ReasonCode::Success);
        queue.push(Pending::with_message(publish, Some(waiting())));
        queue.push(Pending::at_commit(Reply::PubRel(id, ReasonCode::Success), 2));
        queue.submitted(2);
        assert!(queue.pop_open(1).is_none());
        assert!(matches!(queue.pop_open(2).unwrap().reply, Reply::PubRel(..)));
        assert!(queue.pop_open(2).is_none() && queue.len() == 1);
    }

    #[test]
    fn mqtt_3_2_0_1_nothing_leaves_before_connack() {
        let mut queue = PendingQueue::default();
        queue.push(Pending::at_commit(Reply::ConnAck(Box::default()), 2));
        queue.push(Pending::at_once(Reply::PubAck(PacketId::FIRST, ReasonCode::Success)));
        assert!(queue.pop_open(1).is_none());
        assert!(matches!(queue.pop_open(2).unwrap().reply, Reply::ConnAck(_)));
        assert!(matches!(queue.pop_open(2).unwrap().reply, Reply::PubAck(..)));
    }
}
