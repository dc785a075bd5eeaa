//! Refuses what cannot be written because the disk has no space, and parks what may wait.

use std::collections::HashSet;
use std::sync::Arc;

use super::parked::{back_pressured_publisher, bytes_of, refuse};
use super::{Plan, retained_topic};
use crate::message::{Message, MessageId};
use crate::store::op::{Change, Op};

/// The part of a batch that found no space.
#[derive(Debug, Default)]
pub(in crate::store) struct NoRoom {
    /// Bytes of its inserts.
    pub(in crate::store) bytes: u64,
    /// Bytes of its largest message.
    pub(in crate::store) largest: u64,
    /// The messages that were refused.
    pub(in crate::store) refused: Vec<Arc<Message>>,
}

impl Plan {
    /// Adds what may be tried again to the plan, before a batch is added. Returns how many
    /// messages were refused instead because their publishers no longer wait.
    pub(in crate::store) fn unpark(&mut self, room: u64, probe: bool) -> usize {
        let released = self.parked.release(room, probe);
        for message in released.messages {
            if self.parked.is_closed(message.id) {
                self.messages.push(message);
            } else {
                self.add_op(Op::Message(message));
            }
        }
        self.retained.extend(released.retained);
        released.refused
    }

    /// Parks messages, with the retained messages that belong to them.
    pub(in crate::store) fn park(&mut self, messages: Vec<Arc<Message>>) {
        if messages.is_empty() {
            return;
        }
        for message in &messages {
            if let Some(incoming) = message.incoming {
                // It is opened when the message is taken again.
                self.add_incoming(incoming, false);
            }
        }
        let ids: HashSet<MessageId> =
            messages.iter().filter(|message| message.is_kept).map(|message| message.id).collect();
        if !ids.is_empty() {
            let parked = &mut self.parked;
            self.retained.retain(|(no, change)| match change {
                Change::Retain(record, Some(message)) if ids.contains(message) => {
                    parked.add_retained(*no, Arc::clone(record), Some(*message));
                    false
                }
                _ => true,
            });
        }
        self.parked.add(messages);
        self.keep_last_incoming();
    }

    /// Refuses the messages of a batch for which the disk has no space, or parks them if their
    /// publishers wait. A message larger than `most` bytes could wait for ever, so it is
    /// refused.
    pub(in crate::store) fn reject_messages(&mut self, most: u64) -> NoRoom {
        let (bytes, largest) = (self.insert_bytes(), self.sizes().max().unwrap_or(0));
        let waits = |message: &mut Arc<Message>| {
            back_pressured_publisher(message).is_some() && bytes_of(message) <= most
        };
        let parked: Vec<_> = self.messages.extract_if(.., waits).collect();
        self.park(parked);
        for message in &self.messages {
            refuse(message);
        }
        self.set_retained_aside();
        let refused = std::mem::take(&mut self.messages);
        self.has_refused |= !refused.is_empty();
        self.parked.discard_closed(&refused);
        self.without_messages();
        // Nothing that may be refused is left, so one change per topic is enough.
        self.retained.reverse();
        self.retained.dedup_by(|(_, a), (_, b)| retained_topic(a) == retained_topic(b));
        self.retained.reverse();
        NoRoom { bytes, largest, refused }
    }

    /// Sets aside retained messages without a publisher to notify: they stay in memory and are
    /// written later. Until then the row of the older one is removed.
    fn set_retained_aside(&mut self) {
        let told = |message: &&Arc<Message>| message.is_kept && message.publisher.is_some();
        let told: HashSet<MessageId> =
            self.messages.iter().filter(told).map(|message| message.id).collect();
        let parked = &mut self.parked;
        for (no, change) in &mut self.retained {
            if let Change::Retain(record, message) = &*change
                && message.is_none_or(|message| !told.contains(&message))
            {
                let topic = record.topic.clone();
                parked.add_retained(*no, Arc::clone(record), None);
                *change = Change::Unretain(topic);
            }
        }
    }
}
