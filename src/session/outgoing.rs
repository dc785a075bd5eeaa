//! From the queue through the window to the client, and the acknowledgements back.

use std::time::{Duration, Instant};

use super::{Entry, Overflow, Page, Session};
use crate::message::{CommitNo, WallMillis};
use crate::protocol::{PacketId, QoS};

/// A receiver counts as answering if its oldest unacknowledged message has seen
/// some progress within this time. A few elision windows: longer ones were never
/// answered in time, see `ARCHITECTURE.md`.
const ANSWERING: Duration = Duration::from_millis(20);

/// What the connection is to do next for this session.
#[derive(Debug)]
pub enum Outgoing {
    /// Send PUBLISH.
    Publish(Entry),
    /// Send PUBREL: the message was received before the connection was lost.
    Release(PacketId),
    /// Its time is over: never sent, to be removed.
    Expired(Entry),
    /// The disk had no room for it: its publisher was told so, nobody gets it.
    Refused(Entry),
}

/// What an acknowledgement meant.
#[derive(Debug)]
pub enum Receipt {
    /// The delivery is complete.
    Done(Entry),
    /// PUBREC: the delivery is to be marked, then PUBREL goes.
    Release(Entry),
    /// No such packet id is in flight.
    Unknown,
    /// The id is in flight, and this is not what can come now: the client breaks the
    /// protocol [MQTT-4.8.0-1].
    OutOfPlace,
}

/// What became of a message at the end of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Yes,
    /// The oldest has to go first.
    AfterDropping,
    /// Not for this one.
    No,
}

/// Why the front of a queue is not simply sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hindrance {
    /// Its message is not committed yet.
    Gate,
    /// The disk had no room for it.
    Refused,
    /// Its time is over.
    Expired,
}

impl Hindrance {
    fn apply(hindrance: Option<Self>, entry: Entry) -> Outgoing {
        match hindrance {
            Some(Self::Refused) => Outgoing::Refused(entry),
            Some(Self::Expired) => Outgoing::Expired(entry),
            Some(Self::Gate) | None => Outgoing::Publish(entry),
        }
    }
}

fn hindrance(front: &Entry, committed: CommitNo, wall: WallMillis) -> Option<Hindrance> {
    let durability = &front.message.durability;
    // Whatever has been sent once is completed [MQTT-3.3.2-5].
    if front.begun || front.received {
        return None;
    }
    if durability.is_refused() {
        return Some(Hindrance::Refused);
    }
    if front.gated && !durability.may_acknowledge(committed) {
        return Some(Hindrance::Gate);
    }
    front.message.is_expired(wall).then_some(Hindrance::Expired)
}

impl Session {
    /// Whether a message of `size` bytes finds room, by the session's limits. What is
    /// in flight does not count: the window bounds it.
    pub fn room_for(&self, size: usize) -> Room {
        let fits = self.queue.len() < self.limits.max_queued_messages
            && self.queue.bytes() + size as u64 <= self.limits.max_queued_bytes;
        match self.limits.overflow {
            _ if fits => Room::Yes,
            Overflow::DropOldest => Room::AfterDropping,
            Overflow::Refuse | Overflow::DropNewest => Room::No,
        }
    }

    /// The next thing to send. `committed` opens gates; `now` tells what expired.
    /// `None`: nothing waits, or the window is full, or the front waits for a commit
    /// or for a page. A full window holds up QoS 1 and 2 alone [MQTT-4.9.0-2].
    pub fn next_outgoing(
        &mut self,
        committed: CommitNo,
        wall: WallMillis,
        now: Instant,
    ) -> Option<Outgoing> {
        let light = self.queue.front_light().map(|entry| entry.delivery);
        let kept = self.queue.front().map(|entry| entry.delivery);
        // In the order in which they were queued, as far as nothing stands in the way.
        if light.is_some_and(|light| kept.is_none_or(|kept| light < kept)) {
            self.next_light(committed, wall).or_else(|| self.next_kept(committed, wall, now))
        } else {
            self.next_kept(committed, wall, now).or_else(|| self.next_light(committed, wall))
        }
    }

    fn next_light(&mut self, committed: CommitNo, wall: WallMillis) -> Option<Outgoing> {
        let front = self.queue.front_light()?;
        let hindrance = hindrance(front, committed, wall);
        if hindrance == Some(Hindrance::Gate) {
            return None;
        }
        let entry = self.queue.pop_light()?;
        Some(Hindrance::apply(hindrance, entry))
    }

    fn next_kept(
        &mut self,
        committed: CommitNo,
        wall: WallMillis,
        now: Instant,
    ) -> Option<Outgoing> {
        let quota = self.quota();
        let front = self.queue.front()?;
        match hindrance(front, committed, wall) {
            Some(Hindrance::Gate) => return None,
            None => {}
            hindrance => {
                let entry = self.queue.pop()?;
                return Some(Hindrance::apply(hindrance, entry));
            }
        }
        let packet_id = front.packet_id?;
        if self.window.len() >= quota || self.window.contains(packet_id) {
            return None;
        }
        let entry = self.queue.pop()?;
        if self.window.is_empty() {
            self.life.progress(now);
        }
        self.sent_up_to = self.sent_up_to.max(entry.delivery);
        self.window.insert(packet_id, entry.clone());
        Some(if entry.received { Outgoing::Release(packet_id) } else { Outgoing::Publish(entry) })
    }

    /// QoS 1 and 2 messages that may be in flight at once.
    fn quota(&self) -> usize {
        self.life
            .connected()
            .map_or(0, |connected| connected.receive_maximum.min(self.limits.inflight_window))
    }

    /// The next page to read, if the queue's head runs low.
    pub fn next_page(&mut self) -> Option<Page> {
        self.queue.next_page()
    }

    /// PUBACK.
    pub fn puback(&mut self, packet_id: PacketId, now: Instant) -> Receipt {
        match self.window.get_mut(packet_id) {
            Some(entry) if entry.qos == QoS::AtLeastOnce => self.complete(packet_id, now),
            Some(_) => Receipt::OutOfPlace,
            None => Receipt::Unknown,
        }
    }

    /// PUBREC; `failed` is a reason code of 0x80 or more, which ends the delivery
    /// [MQTT-4.3.3-4].
    pub fn pubrec(&mut self, packet_id: PacketId, failed: bool, now: Instant) -> Receipt {
        match self.window.get_mut(packet_id) {
            Some(entry) if entry.qos == QoS::ExactlyOnce => {
                if failed && !entry.received {
                    return self.complete(packet_id, now);
                }
                entry.received = true;
                let entry = entry.clone();
                self.life.progress(now);
                Receipt::Release(entry)
            }
            Some(_) => Receipt::OutOfPlace,
            None => Receipt::Unknown,
        }
    }

    /// PUBCOMP.
    pub fn pubcomp(&mut self, packet_id: PacketId, now: Instant) -> Receipt {
        match self.window.get_mut(packet_id) {
            Some(entry) if entry.received => self.complete(packet_id, now),
            Some(_) => Receipt::OutOfPlace,
            None => Receipt::Unknown,
        }
    }

    /// A delivery that cannot be sent after all.
    pub fn abandon(&mut self, packet_id: PacketId) {
        self.window.remove(packet_id);
    }

    fn complete(&mut self, packet_id: PacketId, now: Instant) -> Receipt {
        self.life.progress(now);
        self.window.remove(packet_id).map_or(Receipt::Unknown, Receipt::Done)
    }

    /// True if a QoS 1 message for this session may be held back for the elision
    /// window: the client is there, answers, and has no backlog.
    pub fn is_answering(&self, now: Instant) -> bool {
        self.life.connected().is_some_and(|_| {
            self.window.len() < self.quota()
                && !self.queue.is_on_disk()
                && (self.window.is_empty() || self.life.progressed_within(now, ANSWERING))
        })
    }
}

impl Session {
    /// Adds a delivery at the end of the queue; see [`super::Queue::push`].
    pub fn enqueue(&mut self, entry: Entry, committed: CommitNo, spill: bool) {
        self.queue.push(entry, committed, spill);
    }

    /// See [`super::Queue::drop_oldest`].
    pub fn drop_oldest(&mut self) -> Option<Result<Entry, crate::message::DeliveryId>> {
        self.queue.drop_oldest()
    }

    /// Brings a page that was read back from disk.
    pub fn paged(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.queue.paged(entries);
    }

    /// True while part of the queue has yet to be read back from disk.
    pub fn is_draining(&self) -> bool {
        self.queue.is_on_disk()
    }

    /// Lets go of what is on disk, for a session without a connection. True if
    /// nothing is left in memory.
    pub fn forget(&mut self, committed: CommitNo) -> bool {
        self.queue.forget(committed)
    }

    /// See [`super::Queue::take_refused`].
    pub fn take_refused(&mut self) -> Vec<Entry> {
        self.queue.take_refused()
    }

    /// True if nobody is connected and the first message has come into memory.
    pub fn is_forgettable(&self) -> bool {
        self.life.connected().is_none() && self.queue.in_memory() == 1
    }

    /// True if it waits for its client to come back.
    pub fn outlives(&self) -> bool {
        self.life.expiry > 0
    }

    /// True if publishers are to be told that there is no room.
    pub fn refuses(&self) -> bool {
        self.limits.overflow == Overflow::Refuse
    }

    /// True if there is no room, and publishers are to be told so.
    pub fn is_full_and_refusing(&self) -> bool {
        self.refuses() && self.room_for(0) == Room::No
    }

    /// Change of the bytes that this session keeps in memory since the last call.
    pub fn memory_change(&mut self) -> i64 {
        // What a queue entry costs beside its message's bytes, roughly.
        const OVERHEAD: u64 = 160;
        let entries = (self.queue.in_memory() + self.window.len()) as u64;
        let bytes = self.queue.memory_bytes() + self.window.bytes() + entries * OVERHEAD;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let change = bytes - self.counted_memory;
        self.counted_memory = bytes;
        change
    }

    /// Change of what is in flight since the last call.
    pub fn in_flight_change(&mut self) -> i64 {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let now = self.window.len();
        let change = signed(now) - signed(self.counted_in_flight);
        self.counted_in_flight = now;
        change
    }
}
