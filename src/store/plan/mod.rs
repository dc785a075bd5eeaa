//! The plan: a batch, sorted into the order of execution.
//!
//! Messages and deliveries by id, so that the tables grow at their ends; then
//! sessions and subscriptions in the order of their numbers, and of each retained topic
//! the last change; then updates and deletes, as runs of consecutive ids. Deciding
//! what is written happens here, writing it in `statements`.

mod cost;
pub(in crate::store) mod latest;
mod parked;
mod reject;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ahash::AHashMap;

use crate::message::{
    ChangeNo, CommitNo, DeliveryId, IncomingId, Message, MessageId, SessionId, Slot, SlotState,
    Stored,
};
use crate::protocol::PacketId;
use crate::store::batch::{Batch, Highest};
use crate::store::op::{Change, Op};
use crate::store::room::allowance::Promise;
use latest::Latest;
use parked::{Parked, is_cut_off};

/// A delivery's row, as its slot was when the message was taken.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct DeliveryRow {
    pub(in crate::store) slot: SlotState,
    pub(in crate::store) message: MessageId,
    pub(in crate::store) size: u32,
    pub(in crate::store) shared: bool,
}

/// A delivery that goes to another session.
#[derive(Debug, Clone)]
pub(in crate::store) struct Move {
    pub(in crate::store) delivery: DeliveryId,
    pub(in crate::store) to: SlotState,
    pub(in crate::store) share: Arc<str>,
}

/// One change to the packet ids that a publisher has open.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Incoming {
    pub(in crate::store) session: SessionId,
    pub(in crate::store) packet_id: PacketId,
    /// Opened by a message, or closed by PUBREL.
    pub(in crate::store) open: bool,
    no: ChangeNo,
}

/// A change and its number.
pub(in crate::store) type Numbered = (ChangeNo, Change);

/// Everything that has yet to be committed. Vectors keep their memory.
#[derive(Debug, Default)]
pub(in crate::store) struct Plan {
    pub(in crate::store) messages: Vec<Arc<Message>>,
    pub(in crate::store) deliveries: Vec<DeliveryRow>,
    pub(in crate::store) incoming: Vec<Incoming>,
    /// Sessions and subscriptions.
    pub(in crate::store) ordered: Vec<Numbered>,
    /// Of each topic in the order of their numbers; the last one holds.
    pub(in crate::store) retained: Vec<Numbered>,
    /// The shared subscriptions of deliveries that came through one.
    pub(in crate::store) shares: AHashMap<DeliveryId, Arc<str>>,
    /// In the order in which they came: one delivery may go on and on.
    pub(in crate::store) moves: Vec<Move>,
    /// One for each delivery.
    pub(in crate::store) packet_ids: Vec<(DeliveryId, PacketId)>,
    pub(in crate::store) received: Vec<u64>,
    pub(in crate::store) drops: Vec<u64>,
    pub(in crate::store) deleted_deliveries: Vec<u64>,
    pub(in crate::store) deleted_messages: Vec<u64>,
    pub(in crate::store) highest: Highest,
    /// Messages that were settled before they were written.
    pub(in crate::store) elided: usize,
    pub(in crate::store) written: usize,
    /// Bytes of their topics, properties and payloads.
    written_bytes: u64,
    /// Room for what it changes.
    pub(in crate::store) promise: Option<Promise>,
    /// What waits for room, apart from the batch.
    pub(in crate::store) parked: Parked,
    /// Messages have been refused since the start: their publishers may be cut off.
    pub(in crate::store) has_refused: bool,
    /// Messages that were refused behind others, since they were last counted.
    pub(in crate::store) refused_behind: usize,
    /// Of this batch and those before it.
    pub(in crate::store) latest: Latest,
}

impl Plan {
    /// Takes over a batch; what an earlier one left stays in front.
    pub(in crate::store) fn add(&mut self, batch: &mut Batch) {
        Promise::merge(&mut self.promise, batch.promise.take());
        self.messages.append(&mut batch.held);
        for op in batch.ops.drain(..) {
            if let Op::PacketId { change, .. }
            | Op::Move { change, .. }
            | Op::Remove { change, .. } = &op
            {
                change.take(batch.number);
            }
            self.add_op(op);
        }
        self.messages.sort_by_key(|message| message.id);
        let behind = self.parked.behind(&mut self.messages);
        self.park(behind);
        if self.has_refused {
            self.refuse_cut_off();
        }
        if let Some(last) = self.messages.last() {
            self.highest.message = self.highest.message.max(last.id);
        }
        self.keep_last_incoming();
        self.sort_retained();
        // What was submitted later may have been decided before.
        self.ordered.sort_by_key(|(no, _)| *no);
        self.keep_last_packet_ids();
        sort_ids(&mut self.received);
    }

    /// What comes behind a refused message of a publisher that is to send it again.
    fn refuse_cut_off(&mut self) {
        let cut_off: Vec<_> = self.messages.extract_if(.., |message| is_cut_off(message)).collect();
        if !cut_off.is_empty() {
            // Set aside first, so that packet ids and what is to be retained go with them.
            self.park(cut_off);
            self.refused_behind += self.parked.refuse_cut_off();
        }
    }

    pub(in crate::store) fn add_op(&mut self, op: Op) {
        match op {
            Op::Message(message) => {
                if let Some(incoming) = message.incoming {
                    self.add_incoming(incoming, true);
                }
                self.messages.push(message);
            }
            Op::Delete { delivery, message } | Op::Remove { delivery, message, .. } => {
                self.deleted_deliveries.push(delivery.0);
                self.deleted_messages.extend(message.map(|message| message.0));
            }
            Op::Drop(delivery) => self.drops.push(delivery.0),
            Op::Move { delivery, to, share, .. } => {
                self.highest.delivery = self.highest.delivery.max(to.delivery);
                self.moves.push(Move { delivery, to, share });
            }
            Op::PacketId { delivery, packet_id, .. } => self.packet_ids.push((delivery, packet_id)),
            Op::Received(delivery) => self.received.push(delivery.0),
            Op::State(no, change) => self.add_change(no, change),
        }
    }

    fn add_change(&mut self, no: ChangeNo, change: Change) {
        if let Change::Session(record) = &change {
            self.highest.session = self.highest.session.max(record.id);
        }
        // A message that is to be retained may be refused yet, and what it would replace
        // holds again: it is noted when it is on disk.
        let is_newest = match &change {
            Change::Retain(..) => !self.latest.is_older(no, &change),
            _ => self.latest.note(no, &change),
        };
        if !is_newest {
            return;
        }
        match change {
            Change::OpenIncoming(session, packet_id) => {
                self.incoming.push(Incoming { session, packet_id, open: true, no });
            }
            Change::CloseIncoming(session, packet_id) => {
                self.incoming.push(Incoming { session, packet_id, open: false, no });
                self.parked.close_incoming(session, packet_id, no);
            }
            Change::Retain(..) | Change::Unretain(_) => {
                self.retained.push((no, change));
            }
            Change::Session(_)
            | Change::EndSession(_)
            | Change::Subscribe(..)
            | Change::Unsubscribe(..) => self.ordered.push((no, change)),
        }
    }

    pub(in crate::store) fn add_incoming(&mut self, incoming: IncomingId, open: bool) {
        let IncomingId { session, packet_id, change: no } = incoming;
        if self.latest.note_incoming(no, session, packet_id) {
            self.incoming.push(Incoming { session, packet_id, open, no });
        }
    }

    /// Decides about one message, as late as can be. False: nothing of it is to be
    /// written but, perhaps, its incoming packet id.
    pub(in crate::store) fn take(&mut self, message: &Message, commit: CommitNo) -> bool {
        if !message.durability.take(commit) {
            if message.durability.is_refused() {
                self.take_back_incoming(message);
                return false;
            }
            self.elided += 1;
            if let Some(trace) = &message.trace {
                trace.stored(Stored::Elided);
            }
            return false;
        }
        let first = self.deliveries.len();
        let size = u32::try_from(message.size()).unwrap_or(u32::MAX);
        // After `take` a receiver that acknowledges queues a delete, before it the
        // slot says so: either way its row does not stay.
        let rows = message.slots.iter().filter_map(Slot::to_write);
        self.deliveries.extend(rows.map(|slot| DeliveryRow {
            slot,
            message: message.id,
            size,
            shared: false,
        }));
        for (slot, share) in message.shared_slots() {
            if let Some(slot) = slot.to_write() {
                self.shares.insert(slot.delivery, Arc::clone(share));
            }
        }
        let rows = self.deliveries.get_mut(first..).unwrap_or_default();
        if rows.len() > 1 {
            for row in rows.iter_mut() {
                row.shared = true;
            }
        }
        let Some(last) = rows.iter().map(|row| row.slot.delivery).max() else { return false };
        self.highest.delivery = self.highest.delivery.max(last);
        self.written += 1;
        self.written_bytes += message.size() as u64;
        true
    }

    /// The message was refused since it was released: its packet id has been used anew for
    /// one that is not submitted yet. A repeat of that must not be taken for one of this.
    fn take_back_incoming(&mut self, message: &Message) {
        let Some(IncomingId { session, packet_id, change }) = message.incoming else { return };
        for opened in &mut self.incoming {
            if (opened.session, opened.packet_id, opened.no) == (session, packet_id, change) {
                opened.open = false;
            }
        }
    }

    /// Leaves one change for each packet id: what came last holds. An elided message
    /// leaves its packet id all the same: its PUBREC may be out, and a repeat must be
    /// known as one.
    pub(in crate::store) fn keep_last_incoming(&mut self) {
        // Of two with one number, the second takes back what the first would do.
        self.incoming.reverse();
        self.incoming
            .sort_by_key(|change| (change.session, change.packet_id, std::cmp::Reverse(change.no)));
        self.incoming.dedup_by_key(|change| (change.session, change.packet_id));
    }

    fn keep_last_packet_ids(&mut self) {
        // Stable, as below.
        self.packet_ids.sort_by_key(|(delivery, _)| std::cmp::Reverse(*delivery));
        self.packet_ids.reverse();
        self.packet_ids.dedup_by_key(|(delivery, _)| *delivery);
    }

    /// Of each topic the lowest number first. None is left out before it is known whether
    /// the disk refuses the message that the last one belongs to.
    fn sort_retained(&mut self) {
        self.retained.sort_by(|(a_no, a), (b_no, b)| {
            retained_topic(a).cmp(retained_topic(b)).then(a_no.cmp(b_no))
        });
    }

    /// Of each topic what holds at the end of this batch.
    pub(in crate::store) fn last_retained(&self) -> impl Iterator<Item = &Change> {
        let same = |a: &Numbered, b: &Numbered| retained_topic(&a.1) == retained_topic(&b.1);
        self.retained.chunk_by(same).filter_map(|changes| changes.last()).map(|(_, change)| change)
    }

    /// True if a publisher's packet id is opened by this batch.
    #[cfg(feature = "failpoints")]
    pub(in crate::store) fn opens_incoming(&self) -> bool {
        self.incoming.iter().any(|change| change.open)
    }

    /// True if a publisher's packet id is closed by this batch.
    #[cfg(feature = "failpoints")]
    pub(in crate::store) fn closes_incoming(&self) -> bool {
        self.incoming.iter().any(|change| !change.open)
    }

    /// To be called when drops have been looked up.
    pub(in crate::store) fn sort_deletes(&mut self) {
        sort_ids(&mut self.deleted_deliveries);
        sort_ids(&mut self.deleted_messages);
    }

    /// The disk had no room: what would need it most is given up.
    pub(in crate::store) fn without_messages(&mut self) {
        self.messages.clear();
        self.deliveries.clear();
        self.shares.clear();
        // Their publishers are told as well; removals make room.
        self.retained.retain(|(_, change)| !matches!(change, Change::Retain(..)));
        // An earlier removal of the same packet id may have been merged into it.
        self.incoming.iter_mut().for_each(|change| change.open = false);
        self.written = 0;
        self.written_bytes = 0;
    }

    /// Forgets what only takes room away, after it was committed without the rest.
    pub(in crate::store) fn without_deletes(&mut self) {
        self.incoming.clear();
        self.received.clear();
        self.packet_ids.clear();
        self.moves.clear();
        self.deleted_deliveries.clear();
        self.deleted_messages.clear();
    }

    /// Forgets everything, after it was committed.
    pub(in crate::store) fn reset(&mut self) {
        for (no, change) in &self.retained {
            self.latest.note(*no, change);
        }
        for (no, change) in &self.retained {
            self.parked.discard_free(retained_topic(change), *no);
        }
        let topics = self.retained.iter().map(|(no, change)| (retained_topic(change), *no));
        self.parked.discard_bound(topics);
        self.parked.discard_closed(&self.messages);
        self.without_messages();
        self.without_deletes();
        self.ordered.clear();
        self.retained.clear();
        self.drops.clear();
        self.highest = Highest::default();
        self.elided = 0;
    }
}

pub(in crate::store) fn retained_topic(change: &Change) -> &str {
    match change {
        Change::Retain(record, _) => &record.topic,
        Change::Unretain(topic) => topic,
        _ => "",
    }
}

fn sort_ids(ids: &mut Vec<u64>) {
    ids.sort_unstable();
    ids.dedup();
}

/// Splits rising ids into runs of consecutive ones: (first, last).
pub(in crate::store) fn runs(ids: &[u64]) -> impl Iterator<Item = (u64, u64)> + '_ {
    ids.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some((*run.first()?, *run.last()?)))
}
