//! Packet ids of deliveries: drawn in a cycle when they are queued, and replaced when
//! the cycle has come round to one that was never acknowledged.

use std::sync::Arc;

use super::{DeliveryBlock, Home, Outgoing, Session};
use crate::message::RowCommit;
use crate::protocol::PacketId;

impl Session {
    /// The next packet id of the cycle. Those in flight are passed over, but not for
    /// long: a delivery that finds its id in flight when its turn comes is given another.
    pub(crate) fn draw_packet_id(&mut self) -> PacketId {
        const TRIES: usize = 16;
        let mut drawn = self.next_packet_id;
        for _ in 0..TRIES {
            if !self.window.contains(drawn) {
                break;
            }
            drawn = drawn.next();
        }
        self.next_packet_id = drawn.next();
        drawn
    }

    /// A packet id that is not in flight. Takes as long as there are ids that are.
    pub(crate) fn draw_free_packet_id(&mut self) -> Option<PacketId> {
        let from = self.next_packet_id;
        let cycle = std::iter::successors(Some(from), |id| Some(id.next())).take(0xFFFF);
        let free = cycle.into_iter().find(|id| !self.window.contains(*id))?;
        self.next_packet_id = free.next();
        Some(free)
    }

    /// The cycle of packet ids has come round to one that was never acknowledged: the
    /// first of the queue gets a free one. `None`: it has it, and needs no row for it.
    pub(super) fn renumber(&mut self) -> Option<Result<Outgoing, DeliveryBlock>> {
        let may_have_been_sent = self.queue.front().is_none_or(|front| front.may_have_been_sent());
        if may_have_been_sent {
            // A repeat keeps its packet id [MQTT-4.4.0-1].
            return Some(Err(DeliveryBlock::PacketIdInUse));
        }
        let Some(packet_id) = self.draw_free_packet_id() else {
            return Some(Err(DeliveryBlock::PacketIdInUse));
        };
        self.write_packet_id(packet_id).map(Ok)
    }

    /// Gives the first of the queue a packet id, and has it written if it has a row.
    pub(super) fn write_packet_id(&mut self, packet_id: PacketId) -> Option<Outgoing> {
        let front = self.queue.front()?;
        front.packet_id = Some(packet_id);
        match front.home {
            Home::Memory => return None,
            Home::Slot(slot) => {
                if let Some(slot) = front.message.slots.get(slot as usize) {
                    slot.renumber(packet_id);
                }
            }
            Home::Row => {}
        }
        let change = Arc::new(RowCommit::default());
        front.row_change = Some(Arc::clone(&change));
        Some(Outgoing::Renumber { delivery: front.delivery, packet_id, change })
    }
}
