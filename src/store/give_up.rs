//! What of a plan is given up when there is no room for it, and what waits.

use std::sync::Arc;

use super::op::Op;
use super::parked::{bytes_of, patient_publisher, refuse};
use super::plan::Plan;
use super::record::RetainedRecord;
use crate::message::Message;

/// What of a batch found no room.
#[derive(Debug, Default)]
pub(super) struct NoRoom {
    /// Bytes of its inserts.
    pub(super) bytes: u64,
    /// Bytes of its largest message.
    pub(super) largest: u64,
    /// Messages that are refused.
    pub(super) refused: Vec<Arc<Message>>,
}

impl Plan {
    /// Brings back what may be tried again, before a batch is added. Returns how many
    /// messages were refused instead, since their publishers have left.
    pub(super) fn unpark(&mut self, room: u64, probe: bool) -> usize {
        let released = self.parked.release(room, probe);
        for message in released.messages {
            self.add_op(Op::Message(message));
        }
        self.retained.extend(released.retained);
        released.refused
    }

    /// Sets messages aside, with what is to be retained with them.
    pub(super) fn park(&mut self, messages: Vec<Arc<Message>>) {
        if messages.is_empty() {
            return;
        }
        for message in &messages {
            if let Some((session, packet_id)) = message.incoming {
                // Opened when the message is taken again.
                self.add_incoming(session, packet_id, false);
            }
        }
        let kept: Vec<_> = messages.iter().filter(|message| message.is_kept).collect();
        if !kept.is_empty() {
            let parked = &mut self.parked;
            self.retained.retain(|op| match (op, kept.iter().find(|of| is_of(op, of))) {
                (Op::Retain(record), Some(message)) => {
                    parked.add_retained(Arc::clone(record), Some(message.id));
                    false
                }
                _ => true,
            });
        }
        self.parked.add(messages);
        self.keep_last_incoming();
    }

    /// The disk has no room for the batch: messages are refused or, if their
    /// publishers would rather wait, parked. One larger than `most` bytes would wait
    /// for ever.
    pub(super) fn give_up_messages(&mut self, most: u64) -> NoRoom {
        let (bytes, largest) = (self.insert_bytes(), self.sizes().max().unwrap_or(0));
        let waits = |message: &mut Arc<Message>| {
            patient_publisher(message).is_some() && bytes_of(message) <= most
        };
        let parked: Vec<_> = self.messages.extract_if(.., waits).collect();
        self.park(parked);
        for message in &self.messages {
            refuse(message);
        }
        self.give_up_retained();
        let refused = std::mem::take(&mut self.messages);
        self.without_messages();
        NoRoom { bytes, largest, refused }
    }

    /// What is retained without anyone to be told that it is not goes on to be so in
    /// memory and is written later. Until then no older one may be found on disk.
    fn give_up_retained(&mut self) {
        let told: Vec<_> =
            self.messages.iter().filter(|of| of.is_kept && of.publisher.is_some()).collect();
        let parked = &mut self.parked;
        for op in &mut self.retained {
            if let Op::Retain(record) = &*op
                && !told.iter().any(|message| is_of(op, message))
            {
                let topic = record.topic.clone();
                parked.add_retained(Arc::clone(record), None);
                *op = Op::Unretain(topic);
            }
        }
    }
}

/// True if the message is what is to be retained.
fn is_of(op: &Op, message: &Message) -> bool {
    let same = |record: &RetainedRecord| {
        *record.topic == *message.topic()
            && record.published_at == message.published_at
            && record.payload == message.payload()
    };
    matches!(op, Op::Retain(record) if same(record))
}
