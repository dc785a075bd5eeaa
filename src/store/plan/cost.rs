//! What a plan costs: bytes in the WAL, rows that change, and the free pages that may be
//! given back with it. Estimates only; what is written is decided in the plan.

use super::parked::{bytes_of, bytes_of_retained};
use super::{Change, Plan};

impl Plan {
    /// About as many bytes as its inserts will take in the WAL.
    pub(in crate::store) fn insert_bytes(&self) -> u64 {
        self.sizes().sum()
    }

    /// Bytes of topics, properties and payloads that were written, of messages and of
    /// what is retained.
    pub(in crate::store) fn payload_bytes(&self) -> u64 {
        let retained = self.last_retained().map(|change| match change {
            Change::Retain(record, _) => {
                (record.topic.len() + record.properties.len() + record.payload.len()) as u64
            }
            _ => 0,
        });
        self.written_bytes + retained.sum::<u64>()
    }

    pub(in crate::store) fn sizes(&self) -> impl Iterator<Item = u64> {
        let messages = self.messages.iter().map(|message| bytes_of(message));
        let retained = self.last_retained().filter_map(|change| match change {
            Change::Retain(record, _) => Some(bytes_of_retained(record)),
            _ => None,
        });
        messages.chain(retained)
    }

    /// Rows that change or go.
    pub(in crate::store) fn changes(&self) -> usize {
        let deletes = self.deleted_deliveries.len() + self.deleted_messages.len();
        let updates = self.received.len() + self.packet_ids.len() + self.moves.len();
        deletes + updates + self.drops.len() + self.incoming.len() + self.ordered.len()
    }

    /// Free pages that may be given back with this batch. What comes pays for it: enough
    /// for a queue that shrinks twice as fast as messages of 500 bytes come. What only
    /// goes does not: a queue that drains leaves the end of the file free by itself, and
    /// nothing need be moved then.
    pub(in crate::store) fn pages_to_give_back(&self) -> i64 {
        /// 64 KiB in the WAL: little beside the sync of a commit.
        const LEAST: usize = 8;
        /// Of one batch, however large: 8 MiB.
        const MOST: usize = 1024;
        let bytes: usize = self.deliveries.iter().map(|row| row.size as usize).sum();
        let pages = LEAST + self.deliveries.len() / 16 + bytes / (8192 * 2);
        i64::try_from(pages.min(MOST)).unwrap_or(0)
    }
}
