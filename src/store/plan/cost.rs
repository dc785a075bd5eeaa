//! What a plan costs: bytes in the WAL, rows that change, and the free pages that may be
//! returned with it. These are estimates; the plan decides what is written.

use super::parked::{bytes_of, bytes_of_retained};
use super::{Change, Plan};

impl Plan {
    /// Approximate number of bytes that its inserts take in the WAL.
    pub(in crate::store) fn insert_bytes(&self) -> u64 {
        self.sizes().sum::<u64>() + self.letters.bytes()
    }

    /// Bytes of topics, properties and payloads of the messages and retained messages that
    /// were written.
    pub(in crate::store) fn payload_bytes(&self) -> u64 {
        let retained = self.last_retained().map(|change| match change {
            Change::Retain(record, _) => {
                (record.topic.len() + record.properties.len() + record.payload.len()) as u64
            }
            _ => 0,
        });
        self.written_bytes + retained.sum::<u64>()
    }

    /// Approximate number of bytes that each message and retained message takes.
    pub(in crate::store) fn sizes(&self) -> impl Iterator<Item = u64> {
        let messages = self.messages.iter().map(|message| bytes_of(message));
        let retained = self.last_retained().filter_map(|change| match change {
            Change::Retain(record, _) => Some(bytes_of_retained(record)),
            _ => None,
        });
        messages.chain(retained)
    }

    /// The number of rows that are changed or deleted.
    pub(in crate::store) fn changes(&self) -> usize {
        let deletes = self.deleted_deliveries.len() + self.deleted_messages.len();
        let updates = self.received.len() + self.packet_ids.len() + self.moves.len();
        // The rows of the dead letter, of its delivery and of its message.
        let letters = 3 * self.letters.chosen() + self.removed_letters.len();
        deletes + updates + letters + self.drops.len() + self.incoming.len() + self.ordered.len()
    }

    /// Free pages that may be returned to the volume with this batch. The number follows what
    /// the batch inserts: enough for a queue that shrinks twice as fast as messages of 500
    /// bytes arrive. Deletes add nothing: a queue that drains leaves the end of the file free,
    /// so no pages need to be moved.
    pub(in crate::store) fn pages_to_give_back(&self) -> i64 {
        /// 64 KiB in the WAL: little compared with the sync of a commit.
        const LEAST: usize = 8;
        /// The maximum for one batch: 8 MiB.
        const MOST: usize = 1024;
        let bytes: usize = self.deliveries.iter().map(|row| row.size as usize).sum();
        let pages = LEAST + self.deliveries.len() / 16 + bytes / (8192 * 2);
        i64::try_from(pages.min(MOST)).unwrap_or(0)
    }
}
