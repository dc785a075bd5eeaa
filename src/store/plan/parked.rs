//! Parked messages: those that found no space on the disk and whose publishers wait for it,
//! and retained messages whose publishers cannot be notified.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ahash::AHashMap;

use super::Numbered;
use crate::message::{ChangeNo, Message, MessageId, SessionId, Stored, Wake};
use crate::protocol::PacketId;
use crate::store::op::Change;
use crate::store::record::RetainedRecord;

/// Bytes of a row in each table, with its share of index pages.
const ROW: u64 = 256;

/// Approximate number of bytes that a message's inserts take.
pub(in crate::store) fn bytes_of(message: &Message) -> u64 {
    message.size() as u64 + ROW
}

/// Approximate number of bytes that a retained message's insert takes.
pub(in crate::store) fn bytes_of_retained(record: &RetainedRecord) -> u64 {
    (record.payload.len() + record.properties.len() + record.topic.len()) as u64 + ROW
}

/// Refuses a message for which the disk has no space.
pub(in crate::store) fn refuse(message: &Message) {
    message.durability.refuse();
    if let Some(publisher) = &message.publisher {
        publisher.message_refused();
    }
    if let Some(trace) = &message.trace {
        trace.stored(Stored::Refused);
    }
}

/// See the module. Messages are ordered by id, so also in each publisher's order.
#[derive(Debug, Default)]
pub(in crate::store) struct Parked {
    messages: Vec<Arc<Message>>,
    /// Retained messages that belong to a parked message.
    bound: Vec<(MessageId, ChangeNo, Arc<RetainedRecord>)>,
    /// Retained messages without a publisher to notify: QoS 0 and wills. The last one of each
    /// topic; memory holds them anyway, limited by `mqtt.max_retained_bytes`.
    free: AHashMap<Box<str>, (ChangeNo, Arc<RetainedRecord>)>,
    /// Messages whose packet identifier was released while they waited.
    closed: HashSet<MessageId>,
}

/// What may be tried again.
#[derive(Debug, Default)]
pub(in crate::store) struct Released {
    pub(in crate::store) messages: Vec<Arc<Message>>,
    pub(in crate::store) retained: Vec<Numbered>,
    /// Messages refused because their publisher no longer waits.
    pub(in crate::store) refused: usize,
}

impl Parked {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.free.is_empty()
    }

    /// The number of parked messages.
    pub(in crate::store) fn len(&self) -> usize {
        self.messages.len()
    }

    /// The parked messages.
    pub(in crate::store) fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Parks messages that come after all that are parked or were released last.
    pub(in crate::store) fn add(&mut self, messages: Vec<Arc<Message>>) {
        if messages.is_empty() {
            return;
        }
        for message in &messages {
            message.durability.park();
        }
        self.messages.extend(messages);
        self.messages.sort_by_key(|message| message.id);
    }

    /// Parks a retained message, alone or with its message.
    pub(in crate::store) fn add_retained(
        &mut self,
        no: ChangeNo,
        record: Arc<RetainedRecord>,
        with: Option<MessageId>,
    ) {
        match with {
            Some(message) => self.bound.push((message, no, record)),
            None => self.set_free(no, record),
        }
    }

    fn set_free(&mut self, no: ChangeNo, record: Arc<RetainedRecord>) {
        let known = self.free.get(&*record.topic);
        if known.is_none_or(|(known, _)| *known < no) {
            self.free.insert(record.topic.clone(), (no, record));
        }
    }

    /// Discards the parked retained message of a topic that has a newer one.
    pub(in crate::store) fn discard_free(&mut self, topic: &str, no: ChangeNo) {
        if self.free.get(topic).is_some_and(|(known, _)| *known < no) {
            self.free.remove(topic);
        }
    }

    /// Discards retained messages of parked messages whose topics have newer ones on disk.
    pub(in crate::store) fn discard_bound<'a>(
        &mut self,
        topics: impl Iterator<Item = (&'a str, ChangeNo)>,
    ) {
        if !self.bound.is_empty() {
            let topics: HashMap<&str, ChangeNo> = topics.collect();
            self.bound.retain(|(_, no, record)| {
                topics.get(&*record.topic).is_none_or(|newer| newer < no)
            });
        }
    }

    /// Records that a publisher released a packet identifier: a parked message must not open
    /// it again.
    pub(in crate::store) fn close_incoming(
        &mut self,
        session: SessionId,
        packet_id: PacketId,
        no: ChangeNo,
    ) {
        let of_it = self.messages.iter().filter(|message| {
            message.incoming.is_some_and(|id| {
                id.session == session && id.packet_id == packet_id && id.change < no
            })
        });
        self.closed.extend(of_it.map(|message| message.id));
    }

    /// True if the packet identifier of a released message was closed while it was parked.
    pub(in crate::store) fn is_closed(&self, message: MessageId) -> bool {
        !self.closed.is_empty() && self.closed.contains(&message)
    }

    /// Forgets messages that are on disk or refused and do not come back.
    pub(in crate::store) fn discard_closed(&mut self, messages: &[Arc<Message>]) {
        if !self.closed.is_empty() {
            for message in messages {
                self.closed.remove(&message.id);
            }
        }
    }

    /// Takes out of `messages` those that come after a parked message of the same publisher:
    /// they must not overtake it. Messages released earlier go before it.
    pub(in crate::store) fn behind(&self, messages: &mut Vec<Arc<Message>>) -> Vec<Arc<Message>> {
        let mut first: HashMap<*const Wake, MessageId> = HashMap::new();
        for message in &self.messages {
            if let Some(publisher) = publisher_of(message) {
                // They are in ascending order of ids.
                first.entry(publisher).or_insert(message.id);
            }
        }
        if first.is_empty() {
            return Vec::new();
        }
        let is_behind = |message: &mut Arc<Message>| {
            let first = publisher_of(message).and_then(|publisher| first.get(&publisher));
            first.is_some_and(|first| *first < message.id)
        };
        messages.extract_if(.., is_behind).collect()
    }

    /// Refuses the messages of publishers that are cut off, and returns how many.
    pub(in crate::store) fn refuse_cut_off(&mut self) -> usize {
        let cut_off: Vec<_> = self.messages.extract_if(.., |message| is_cut_off(message)).collect();
        for message in &cut_off {
            refuse(message);
            self.discard(message.id);
            if let Some(publisher) = &message.publisher {
                publisher.notify();
            }
        }
        cut_off.len()
    }

    /// Takes out what fits into `room` bytes, in each publisher's order; with `probe` the
    /// first message whatever its size.
    pub(in crate::store) fn release(&mut self, mut room: u64, mut probe: bool) -> Released {
        let mut released = Released::default();
        let mut behind: HashSet<*const Wake> = HashSet::new();
        for message in std::mem::take(&mut self.messages) {
            let bytes = bytes_of(&message);
            // Refused meanwhile: a later connection of the client used its packet identifier
            // again.
            let waits = !message.durability.is_refused();
            match back_pressured_publisher(&message).filter(|_| waits) {
                None => {
                    refuse(&message);
                    self.discard(message.id);
                    released.refused += 1;
                }
                Some(publisher)
                    if !behind.contains(&publisher)
                        && (bytes <= room || std::mem::take(&mut probe)) =>
                {
                    room = room.saturating_sub(bytes);
                    self.release_bound(message.id, &mut released);
                    released.messages.push(message);
                }
                Some(publisher) => {
                    behind.insert(publisher);
                    self.messages.push(message);
                }
            }
        }
        self.release_free(room, &mut released);
        released
    }

    /// Discards what belongs to a refused message, its retained message included: the one that
    /// it would have replaced still applies, in memory too.
    fn discard(&mut self, message: MessageId) {
        self.closed.remove(&message);
        self.bound.retain(|(with, ..)| *with != message);
    }

    fn release_bound(&mut self, message: MessageId, released: &mut Released) {
        let of_it = self.bound.extract_if(.., |(with, ..)| *with == message);
        released
            .retained
            .extend(of_it.map(|(with, no, record)| (no, Change::Retain(record, Some(with)))));
    }

    fn release_free(&mut self, mut room: u64, released: &mut Released) {
        let fits = self.free.extract_if(|_, (_, record)| {
            let bytes = bytes_of_retained(record);
            let fits = bytes <= room;
            if fits {
                room -= bytes;
            }
            fits
        });
        released.retained.extend(fits.map(|(_, (no, record))| (no, Change::Retain(record, None))));
    }
}

fn publisher_of(message: &Arc<Message>) -> Option<*const Wake> {
    message.publisher.as_ref().map(Arc::as_ptr)
}

/// The publisher, if it waits for space.
pub(in crate::store) fn back_pressured_publisher(message: &Arc<Message>) -> Option<*const Wake> {
    message.publisher.as_ref().filter(|publisher| publisher.has_back_pressure()).map(Arc::as_ptr)
}

/// True if an earlier message of the same publisher was refused, so that this one must not be
/// accepted.
pub(in crate::store) fn is_cut_off(message: &Arc<Message>) -> bool {
    message.publisher.as_ref().is_some_and(|publisher| publisher.is_cut_off())
}
