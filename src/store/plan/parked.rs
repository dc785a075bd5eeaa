//! Parked messages: those that found no space on the disk and whose publishers wait for it, and
//! retained messages whose publishers cannot be told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ahash::AHashMap;

use super::Numbered;
use crate::message::{ChangeNo, Message, MessageId, SessionId, Stored, Wake};
use crate::protocol::PacketId;
use crate::store::op::Change;
use crate::store::record::RetainedRecord;

/// Of a row in each table, and its share of index pages.
const ROW: u64 = 256;

/// About as many bytes as a message's inserts take.
pub(in crate::store) fn bytes_of(message: &Message) -> u64 {
    message.size() as u64 + ROW
}

/// About as many bytes as a retained message's insert takes.
pub(in crate::store) fn bytes_of_retained(record: &RetainedRecord) -> u64 {
    (record.payload.len() + record.properties.len() + record.topic.len()) as u64 + ROW
}

/// The disk has no room for it.
pub(in crate::store) fn refuse(message: &Message) {
    message.durability.refuse();
    if let Some(publisher) = &message.publisher {
        publisher.message_refused();
    }
    if let Some(trace) = &message.trace {
        trace.stored(Stored::Refused);
    }
}

/// See the module. Messages by id, so in the order of each publisher.
#[derive(Debug, Default)]
pub(in crate::store) struct Parked {
    messages: Vec<Arc<Message>>,
    /// Retained with a message that is parked.
    bound: Vec<(MessageId, ChangeNo, Arc<RetainedRecord>)>,
    /// Retained by whom nobody tells: QoS 0, wills. Of each topic the last; memory
    /// holds them anyway, bounded by `mqtt.max_retained_bytes`.
    free: AHashMap<Box<str>, (ChangeNo, Arc<RetainedRecord>)>,
    /// Messages whose packet id was released while they waited.
    closed: HashSet<MessageId>,
}

/// What may be tried again.
#[derive(Debug, Default)]
pub(in crate::store) struct Released {
    pub(in crate::store) messages: Vec<Arc<Message>>,
    pub(in crate::store) retained: Vec<Numbered>,
    /// Messages whose publisher has left: refused.
    pub(in crate::store) refused: usize,
}

impl Parked {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.free.is_empty()
    }

    /// How many messages wait.
    pub(in crate::store) fn len(&self) -> usize {
        self.messages.len()
    }

    /// The messages.
    pub(in crate::store) fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Parks messages that come after all that are parked, or were released last.
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

    /// A retained message that waits, alone or with its message.
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

    /// The topic has something newer.
    pub(in crate::store) fn discard_free(&mut self, topic: &str, no: ChangeNo) {
        if self.free.get(topic).is_some_and(|(known, _)| *known < no) {
            self.free.remove(topic);
        }
    }

    /// Something newer under these topics is on disk.
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

    /// A publisher has released a packet id: a message that waits must not open it again.
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

    /// True if the packet id of a message that was released was closed while it waited.
    pub(in crate::store) fn is_closed(&self, message: MessageId) -> bool {
        !self.closed.is_empty() && self.closed.contains(&message)
    }

    /// These messages are on disk or refused: they do not come back.
    pub(in crate::store) fn discard_closed(&mut self, messages: &[Arc<Message>]) {
        if !self.closed.is_empty() {
            for message in messages {
                self.closed.remove(&message.id);
            }
        }
    }

    /// Takes out those of `messages` that come after something of the same publisher that
    /// is parked: they must not overtake it. What was released goes before it.
    pub(in crate::store) fn behind(&self, messages: &mut Vec<Arc<Message>>) -> Vec<Arc<Message>> {
        let mut first: HashMap<*const Wake, MessageId> = HashMap::new();
        for message in &self.messages {
            if let Some(publisher) = publisher_of(message) {
                // They stand in the order of their ids.
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

    /// Refuses those whose publishers are cut off, and returns how many.
    pub(in crate::store) fn refuse_cut_off(&mut self) -> usize {
        let cut_off: Vec<_> = self.messages.extract_if(.., |message| is_cut_off(message)).collect();
        for message in &cut_off {
            refuse(message);
            self.discard(message.id);
            if let Some(publisher) = &message.publisher {
                publisher.ring();
            }
        }
        cut_off.len()
    }

    /// Takes out what fits into `room` bytes, in the order of each publisher; with
    /// `probe` the first message whatever its size.
    pub(in crate::store) fn release(&mut self, mut room: u64, mut probe: bool) -> Released {
        let mut released = Released::default();
        let mut behind: HashSet<*const Wake> = HashSet::new();
        for message in std::mem::take(&mut self.messages) {
            let bytes = bytes_of(&message);
            // Refused: its packet id was used anew by a connection that has taken the place
            // of its publisher's.
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

    /// The message is refused, and what was retained with it: what it would have replaced
    /// holds, in memory too.
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

/// The publisher, if it waits for room.
pub(in crate::store) fn back_pressured_publisher(message: &Arc<Message>) -> Option<*const Wake> {
    message.publisher.as_ref().filter(|publisher| publisher.has_back_pressure()).map(Arc::as_ptr)
}

/// True if a message of the same publisher was refused, behind which it must not be taken.
pub(in crate::store) fn is_cut_off(message: &Arc<Message>) -> bool {
    message.publisher.as_ref().is_some_and(|publisher| publisher.is_cut_off())
}
