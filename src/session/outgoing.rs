//! Moves deliveries from the queue through the inflight window to the client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{DeliveryState, Entry, Overflow, Page, Session};
use crate::message::{CommitNo, DeliveryId, RowCommit, WallMillis};
use crate::protocol::{PacketId, QoS};

/// A receiver counts as answering if it has made progress with its unacknowledged messages
/// within this time. That is a few elision windows: messages held for longer were never
/// acknowledged in time.
const ANSWERING: Duration = Duration::from_millis(20);

/// What the connection has to do next for this session.
#[derive(Debug)]
pub enum Outgoing {
    /// Send PUBLISH.
    Publish(Entry),
    /// Send PUBREL: PUBREC was received before the connection was lost.
    Release(PacketId),
    /// Write a new packet identifier, because the old one is in use by a message in flight.
    /// The delivery stays in the queue until `change` is committed.
    Renumber {
        /// The delivery's row.
        delivery: DeliveryId,
        /// The new identifier.
        packet_id: PacketId,
        /// To be submitted with the change.
        change: Arc<RowCommit>,
    },
    /// Remove an expired delivery.
    Expired(Entry),
    /// Remove a delivery whose message the disk refused. Its publisher was told so.
    Refused(Entry),
    /// Remove a delivery whose packet is too large for the client, as if it had been delivered
    /// [MQTT-3.1.2-25].
    TooLarge(Entry),
    /// Remove a delivery that the client is not authorized to receive.
    NotPermitted(Entry),
    /// Remove a delivery that the other end of a bridge can never be sent.
    Unsendable(Entry),
}

/// The connection's decision about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It may be sent.
    Sendable,
    /// Its packet exceeds the client's Maximum Packet Size.
    TooLarge,
    /// The client is not authorized to receive it.
    NotPermitted,
    /// The other end of a bridge can never be sent it.
    Unsendable,
    /// The same, and the bridge stops before it. For QoS 1 and 2 only.
    Withheld,
}

/// Why no delivery can be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryBlock {
    /// The queue is empty.
    QueueEmpty,
    /// The first delivery's message has to be committed before it is sent.
    AwaitingCommit,
    /// The inflight window is full. Ends with an acknowledgement.
    WindowFull,
    /// A change of the first delivery's row has to be committed. It has been submitted or is
    /// about to be, so the next commit may end this.
    AwaitingRow,
    /// The first delivery may have been sent, and its packet identifier is in use by another
    /// one in flight. Ends with an acknowledgement.
    PacketIdInUse,
    /// The first delivery has to be read back from disk.
    Paging,
    /// The first delivery can never be sent, and stays: see [`Fit::Withheld`].
    Withheld,
}

/// Whether a queue has room for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Yes,
    /// There is room after the oldest message is dropped.
    AfterDropping,
    /// There is no room.
    No,
}

/// The decision about the first delivery of a line, by message state and time.
enum Verdict {
    Send,
    Block(DeliveryBlock),
    Expired,
    Refused,
}

fn judge(front: &Entry, committed: CommitNo, wall: WallMillis) -> Verdict {
    let durability = &front.message.durability;
    if front.may_have_been_sent() {
        return Verdict::Send;
    }
    if durability.is_refused() {
        return Verdict::Refused;
    }
    if front.state == DeliveryState::AwaitingCommit && !durability.may_acknowledge(committed) {
        return Verdict::Block(DeliveryBlock::AwaitingCommit);
    }
    if !front.is_row_committed(committed) {
        return Verdict::Block(DeliveryBlock::AwaitingRow);
    }
    if front.message.is_expired(wall) { Verdict::Expired } else { Verdict::Send }
}

fn wrapped(fit: Fit) -> fn(Entry) -> Outgoing {
    match fit {
        Fit::Sendable | Fit::Withheld => Outgoing::Publish,
        Fit::TooLarge => Outgoing::TooLarge,
        Fit::NotPermitted => Outgoing::NotPermitted,
        Fit::Unsendable => Outgoing::Unsendable,
    }
}

impl DeliveryBlock {
    /// `self`, or `other` if this line is empty.
    fn or(self, other: Self) -> Self {
        if self == Self::QueueEmpty { other } else { self }
    }
}

impl Session {
    /// Whether the session's limits leave room for a message of `size` bytes. Messages in
    /// flight do not count, because the inflight window limits them.
    pub fn room_for(&self, size: usize) -> Room {
        let fits = self.queue.len() < self.limits.max_queued_messages
            && self.queue.bytes() + size as u64 <= self.limits.max_queued_bytes;
        match self.limits.overflow {
            _ if fits => Room::Yes,
            Overflow::DropOldest => Room::AfterDropping,
            Overflow::Refuse | Overflow::DropNewest => Room::No,
        }
    }

    /// The next thing to send. `committed` is the last commit. `fit` is called before a
    /// PUBLISH enters the inflight window, so that a message that cannot be sent does not
    /// block those behind it.
    ///
    /// # Errors
    /// Why nothing can be sent; for QoS 1 and 2 if both lines are blocked. A full inflight
    /// window does not block QoS 0 [MQTT-4.9.0-2].
    pub fn next_outgoing(
        &mut self,
        committed: CommitNo,
        now: (WallMillis, Instant),
        fit: impl Fn(&Entry) -> Fit,
    ) -> Result<Outgoing, DeliveryBlock> {
        let qos0 = self.queue.front_qos0().map(|entry| entry.delivery);
        let kept = self.queue.front().map(|entry| entry.delivery);
        // In the order in which they were queued, unless one line is blocked.
        if qos0.is_some_and(|qos0| kept.is_none_or(|kept| qos0 < kept)) {
            let next = self.next_qos0(committed, now.0, &fit);
            next.or_else(|block| {
                self.next_kept(committed, now, &fit).map_err(|kept| kept.or(block))
            })
        } else {
            let next = self.next_kept(committed, now, &fit);
            next.or_else(|block| self.next_qos0(committed, now.0, &fit).map_err(|l| block.or(l)))
        }
    }

    fn next_qos0(
        &mut self,
        committed: CommitNo,
        wall: WallMillis,
        fit: &impl Fn(&Entry) -> Fit,
    ) -> Result<Outgoing, DeliveryBlock> {
        // Otherwise it would not be certain for which message the other end closes.
        if self.life.connected().is_some_and(|connected| connected.one_at_a_time) {
            let has_kept =
                !self.window.is_empty() || self.queue.is_on_disk() || self.queue.front().is_some();
            if has_kept {
                return Err(DeliveryBlock::WindowFull);
            }
        }
        let front = self.queue.front_qos0().ok_or(DeliveryBlock::QueueEmpty)?;
        let wrap = match judge(front, committed, wall) {
            Verdict::Block(block) => return Err(block),
            Verdict::Expired => Outgoing::Expired,
            Verdict::Refused => Outgoing::Refused,
            Verdict::Send => wrapped(fit(front)),
        };
        self.queue.pop_qos0().map(wrap).ok_or(DeliveryBlock::QueueEmpty)
    }

    fn next_kept(
        &mut self,
        committed: CommitNo,
        (wall, now): (WallMillis, Instant),
        fit: &impl Fn(&Entry) -> Fit,
    ) -> Result<Outgoing, DeliveryBlock> {
        let quota = self.quota();
        let nothing =
            if self.queue.is_on_disk() { DeliveryBlock::Paging } else { DeliveryBlock::QueueEmpty };
        let front = self.queue.front().ok_or(nothing)?;
        if front.has_lost_row_change()
            && let Some(packet_id) = front.packet_id
        {
            return self.write_packet_id(packet_id).ok_or(nothing);
        }
        let received = front.state == DeliveryState::Received;
        let given_up: Option<fn(Entry) -> Outgoing> = match judge(front, committed, wall) {
            Verdict::Block(block) => return Err(block),
            Verdict::Expired => Some(Outgoing::Expired),
            Verdict::Refused => Some(Outgoing::Refused),
            Verdict::Send if received => None,
            Verdict::Send => match fit(front) {
                Fit::Sendable => None,
                Fit::Withheld => return Err(DeliveryBlock::Withheld),
                unfit => Some(wrapped(unfit)),
            },
        };
        if let Some(wrap) = given_up {
            return self.queue.pop().map(wrap).ok_or(nothing);
        }
        if self.window.len() >= quota {
            return Err(DeliveryBlock::WindowFull);
        }
        let packet_id = front.packet_id.filter(|id| !self.window.contains(*id));
        let Some(packet_id) = packet_id else {
            return self.renumber().unwrap_or_else(|| self.next_kept(committed, (wall, now), fit));
        };
        let mut entry = self.queue.pop().ok_or(nothing)?;
        if !received {
            entry.qos = entry.qos.min(self.max_qos());
        }
        if self.window.is_empty() {
            self.life.progress(now);
        }
        self.sent_since_start = self.sent_since_start.max(entry.delivery);
        self.sent_up_to = self.sent_up_to.max(entry.delivery);
        if received {
            self.window.insert(packet_id, entry);
            return Ok(Outgoing::Release(packet_id));
        }
        self.window.insert(packet_id, Entry { state: DeliveryState::Sent, ..entry.clone() });
        Ok(Outgoing::Publish(entry))
    }

    /// The QoS to which deliveries are lowered. At least QoS 1: they are acknowledged, whatever
    /// becomes of them.
    fn max_qos(&self) -> QoS {
        let connected = self.life.connected();
        connected.map_or(QoS::ExactlyOnce, |connected| connected.max_qos.max(QoS::AtLeastOnce))
    }

    /// When the other end last acknowledged something, or was sent a message after a pause;
    /// `None` if nothing is in flight.
    pub fn unacknowledged_since(&self) -> Option<Instant> {
        if self.window.is_empty() { None } else { self.life.progressed_at() }
    }

    /// The first delivery in flight, and how many are.
    pub fn first_in_flight(&self) -> Option<(DeliveryId, usize)> {
        let first = self.window.iter().map(|entry| entry.delivery).min()?;
        Some((first, self.window.len()))
    }

    /// When the oldest message was accepted that is in flight or waits; see
    /// [`super::Queue::oldest_message`].
    pub fn oldest_message(&self) -> Option<WallMillis> {
        let in_flight = self.window.iter().map(|entry| entry.message.published_at).min();
        in_flight.or_else(|| self.queue.oldest_message())
    }

    /// The most QoS 1 and 2 messages that may be in flight.
    fn quota(&self) -> usize {
        self.life
            .connected()
            .map_or(0, |connected| connected.most_in_flight().min(self.limits.inflight_window))
    }

    /// The next page to read, if the queue's head runs low: see [`super::Queue::next_page`].
    pub fn next_page(&mut self, most: impl FnOnce() -> u64) -> Option<Page> {
        self.queue.next_page(most)
    }

    /// True if a QoS 1 message for this session may be held for the elision window: the client
    /// is connected, acknowledges, and has no backlog.
    pub fn is_answering(&self, now: Instant) -> bool {
        self.life.connected().is_some_and(|_| {
            self.window.len() < self.quota()
                && !self.queue.is_on_disk()
                && (self.window.is_empty() || self.life.progressed_within(now, ANSWERING))
        })
    }
}

impl Session {
    /// Appends a delivery to the queue; see [`super::Queue::push`].
    pub fn enqueue(&mut self, entry: Entry, committed: CommitNo, spill: bool) {
        self.has_shared |= entry.share.is_some();
        self.queue.push(entry, committed, spill);
    }

    /// See [`super::Queue::drop_oldest`].
    pub fn drop_oldest(&mut self) -> Option<Result<Entry, crate::message::DeliveryId>> {
        self.queue.drop_oldest()
    }

    /// Adds a page that was read back from disk.
    pub fn paged(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.queue.paged(entries);
    }

    /// True while part of the queue has yet to be read back from disk.
    pub fn is_draining(&self) -> bool {
        self.queue.is_on_disk()
    }

    /// Evicts from memory what is on disk, for a session without a connection. True if nothing
    /// is left in memory.
    pub fn evict(&mut self, committed: CommitNo) -> bool {
        self.queue.evict(committed)
    }

    /// See [`super::Queue::take_refused`].
    pub fn take_refused(&mut self) -> Vec<Entry> {
        self.queue.take_refused()
    }

    /// True if no client is connected and the queue has its first message in memory.
    pub fn is_forgettable(&self) -> bool {
        self.life.connected().is_none() && self.queue.in_memory() == 1
    }

    /// True if the session outlives its connection.
    pub fn outlives(&self) -> bool {
        self.life.expiry > 0
    }

    /// True if publishers are refused when the queue is full.
    pub fn refuses(&self) -> bool {
        self.limits.overflow == Overflow::Refuse
    }

    /// True if the queue is full and publishers are refused.
    pub fn is_full_and_refusing(&self) -> bool {
        self.refuses() && self.room_for(0) == Room::No
    }

    /// Bytes of this session in memory, without messages and router nodes, which are shared.
    pub fn own_memory(&self) -> u64 {
        let entries = (self.queue.capacity() + self.window.capacity()) * size_of::<Entry>();
        let will = self.will.as_ref().map_or(0, |will| will.size());
        let ids = self.queue.memory_of_ids() + self.incoming.memory();
        let owner = self.owner.as_ref().map_or(0, |owner| owner.len() as u64);
        entries as u64 + ids + self.subscriptions.bytes() + will + owner
    }

    /// Bytes that the broker holds for this session, as if it shared nothing. `own` is its
    /// [`Session::own_memory`].
    pub fn holds(&self, own: u64) -> u64 {
        own + self.subscriptions.routed_bytes() + self.message_memory()
    }

    /// Bytes of its messages in memory, each as if it had no other receiver.
    pub fn message_memory(&self) -> u64 {
        self.queue.memory_bytes() + self.window.bytes()
    }

    /// The change of the number in flight since the last call.
    pub fn in_flight_change(&mut self) -> i64 {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let now = self.window.len();
        let change = signed(now) - signed(self.counted_in_flight);
        self.counted_in_flight = now;
        change
    }
}
