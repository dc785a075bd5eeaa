//! The plan of a transaction: a batch, sorted into the order of execution.
//!
//! Messages and deliveries are ordered by id, so that the tables grow at their ends; then
//! sessions and subscriptions by change number, and the last change of each retained topic;
//! then updates and deletes, as runs of consecutive ids; then dead letters, which use the pages
//! that the deletes have freed. The plan decides what is written,
//! `statements` writes it.

mod cost;
pub(in crate::store) mod latest;
mod letters;
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
pub(in crate::store) use letters::Letters;
use parked::{Parked, is_cut_off};

/// The row of a delivery, copied from its slot when the message was taken.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct DeliveryRow {
    pub(in crate::store) slot: SlotState,
    pub(in crate::store) message: MessageId,
    pub(in crate::store) size: u32,
    pub(in crate::store) shared: bool,
}

/// A delivery that moves to another session.
#[derive(Debug, Clone)]
pub(in crate::store) struct Move {
    pub(in crate::store) delivery: DeliveryId,
    pub(in crate::store) to: SlotState,
    pub(in crate::store) share: Arc<str>,
}

/// A change to the packet identifiers that a publisher has open.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Incoming {
    pub(in crate::store) session: SessionId,
    pub(in crate::store) packet_id: PacketId,
    /// True if a message opens it, false if PUBREL closes it.
    pub(in crate::store) open: bool,
    no: ChangeNo,
}

/// A change and its number.
pub(in crate::store) type Numbered = (ChangeNo, Change);

/// Everything that is not committed yet. Vectors keep their memory.
#[derive(Debug, Default)]
pub(in crate::store) struct Plan {
    pub(in crate::store) messages: Vec<Arc<Message>>,
    pub(in crate::store) deliveries: Vec<DeliveryRow>,
    pub(in crate::store) incoming: Vec<Incoming>,
    /// Sessions and subscriptions.
    pub(in crate::store) ordered: Vec<Numbered>,
    /// Per topic in ascending order of numbers; the last one applies.
    pub(in crate::store) retained: Vec<Numbered>,
    /// The shared subscriptions of the deliveries that came through one.
    pub(in crate::store) shares: AHashMap<DeliveryId, Arc<str>>,
    /// In order of arrival: one delivery may move several times.
    pub(in crate::store) moves: Vec<Move>,
    /// At most one for each delivery.
    pub(in crate::store) packet_ids: Vec<(DeliveryId, PacketId)>,
    pub(in crate::store) received: Vec<u64>,
    pub(in crate::store) drops: Vec<u64>,
    pub(in crate::store) deleted_deliveries: Vec<u64>,
    pub(in crate::store) deleted_messages: Vec<u64>,
    /// Dead letters, separately from the batch.
    pub(in crate::store) letters: Letters,
    /// Messages to delete with the next batch: see [`Letters::committed`].
    pub(in crate::store) late_messages: Vec<u64>,
    /// Dead letters to remove.
    pub(in crate::store) removed_letters: Vec<u64>,
    pub(in crate::store) highest: Highest,
    /// Messages that all receivers acknowledged before they were written.
    pub(in crate::store) elided: usize,
    pub(in crate::store) written: usize,
    /// Bytes of topics, properties and payloads of the written messages.
    written_bytes: u64,
    /// The space reserved for its changes.
    pub(in crate::store) promise: Option<Promise>,
    /// Messages that wait for space, separately from the batch.
    pub(in crate::store) parked: Parked,
    /// True if messages have been refused since the start, so that publishers may be cut off.
    pub(in crate::store) has_refused: bool,
    /// Messages refused because an earlier one of their publisher was, since the last count.
    pub(in crate::store) refused_behind: usize,
    /// The change numbers of this batch and of earlier ones.
    pub(in crate::store) latest: Latest,
}

impl Plan {
    /// Adds a batch after what an earlier one left.
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
        // Changes may be submitted in another order than they were decided.
        self.ordered.sort_by_key(|(no, _)| *no);
        self.keep_last_packet_ids();
        sort_ids(&mut self.received);
    }

    /// Refuses the messages behind a refused one of a publisher that is cut off.
    fn refuse_cut_off(&mut self) {
        let cut_off: Vec<_> = self.messages.extract_if(.., |message| is_cut_off(message)).collect();
        if !cut_off.is_empty() {
            // Parked first, so that their packet identifiers and retained messages are
            // discarded too.
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
            Op::DeadLetter(letter) => self.letters.add(letter),
            Op::RemoveDeadLetters(ids) => self.removed_letters.extend(ids),
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
        // A retained message may still be refused, and then the one that it would replace
        // applies again. It is recorded once it is on disk.
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

    /// Decides as late as possible whether a message is written. False: nothing of it is
    /// written except, perhaps, its incoming packet identifier.
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
        // A receiver that acknowledges after `take` queues a delete; before it, the slot is
        // marked. In both cases no row remains.
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

    /// The message was refused after it was released, and its publisher has used the packet
    /// identifier again. A repeat of that newer message must not be taken for one of this.
    fn take_back_incoming(&mut self, message: &Message) {
        let Some(IncomingId { session, packet_id, change }) = message.incoming else { return };
        for opened in &mut self.incoming {
            if (opened.session, opened.packet_id, opened.no) == (session, packet_id, change) {
                opened.open = false;
            }
        }
    }

    /// Keeps the last change of each packet identifier. An elided message also opens its
    /// packet identifier: its PUBREC may have been sent, and a repeat must be recognised.
    pub(in crate::store) fn keep_last_incoming(&mut self) {
        // Of two with the same number, the second withdraws the first.
        self.incoming.reverse();
        self.incoming
            .sort_by_key(|change| (change.session, change.packet_id, std::cmp::Reverse(change.no)));
        self.incoming.dedup_by_key(|change| (change.session, change.packet_id));
    }

    fn keep_last_packet_ids(&mut self) {
        // The sort is stable, so the last one submitted is kept.
        self.packet_ids.sort_by_key(|(delivery, _)| std::cmp::Reverse(*delivery));
        self.packet_ids.reverse();
        self.packet_ids.dedup_by_key(|(delivery, _)| *delivery);
    }

    /// Sorts by topic, then by number. No change is dropped before it is known whether the
    /// disk refuses the message that the last one belongs to.
    fn sort_retained(&mut self) {
        self.retained.sort_by(|(a_no, a), (b_no, b)| {
            retained_topic(a).cmp(retained_topic(b)).then(a_no.cmp(b_no))
        });
    }

    /// The change of each topic that applies at the end of this batch.
    pub(in crate::store) fn last_retained(&self) -> impl Iterator<Item = &Change> {
        let same = |a: &Numbered, b: &Numbered| retained_topic(&a.1) == retained_topic(&b.1);
        self.retained.chunk_by(same).filter_map(|changes| changes.last()).map(|(_, change)| change)
    }

    /// True if this batch opens a packet identifier of a publisher.
    #[cfg(feature = "failpoints")]
    pub(in crate::store) fn opens_incoming(&self) -> bool {
        self.incoming.iter().any(|change| change.open)
    }

    /// True if this batch closes a packet identifier of a publisher.
    #[cfg(feature = "failpoints")]
    pub(in crate::store) fn closes_incoming(&self) -> bool {
        self.incoming.iter().any(|change| !change.open)
    }

    /// Called when drops have been looked up.
    pub(in crate::store) fn sort_deletes(&mut self) {
        sort_ids(&mut self.deleted_deliveries);
        sort_ids(&mut self.deleted_messages);
    }

    /// Discards what needs the most space, after the disk had none.
    pub(in crate::store) fn without_messages(&mut self) {
        self.messages.clear();
        self.deliveries.clear();
        self.shares.clear();
        // Their publishers are notified as well. Removals stay, since they free space.
        self.retained.retain(|(_, change)| !matches!(change, Change::Retain(..)));
        // An earlier removal of the same packet identifier may have been merged into it.
        self.incoming.iter_mut().for_each(|change| change.open = false);
        self.written = 0;
        self.written_bytes = 0;
    }

    /// Forgets the changes that free space, after they were committed without the rest.
    pub(in crate::store) fn without_deletes(&mut self) {
        self.incoming.clear();
        self.received.clear();
        self.packet_ids.clear();
        self.moves.clear();
        self.deleted_deliveries.clear();
        self.deleted_messages.clear();
        self.removed_letters.clear();
    }

    /// Adds the deletes that the last commit has left for the next one.
    pub(in crate::store) fn add_late_messages(&mut self) {
        self.deleted_messages.append(&mut self.late_messages);
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

/// Splits ascending ids into runs of consecutive ones: (first, last).
pub(in crate::store) fn runs(ids: &[u64]) -> impl Iterator<Item = (u64, u64)> + '_ {
    ids.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some((*run.first()?, *run.last()?)))
}
