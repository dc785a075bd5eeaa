//! Packet identifiers of deliveries. They are drawn in a cycle when deliveries are queued, and
//! replaced if the cycle returns to one that is still in flight.

use std::sync::Arc;

use super::{DeliveryBlock, Home, Outgoing, Session};
use crate::message::RowCommit;
use crate::protocol::PacketId;

impl Session {
    /// The next packet identifier. Skips some that are in flight, but not without limit: a
    /// delivery whose identifier is in use when it is sent gets another one.
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

    /// A packet identifier that is not in flight. Takes time in proportion to those in flight.
    pub(crate) fn draw_free_packet_id(&mut self) -> Option<PacketId> {
        let from = self.next_packet_id;
        let cycle = std::iter::successors(Some(from), |id| Some(id.next())).take(0xFFFF);
        let free = cycle.into_iter().find(|id| !self.window.contains(*id))?;
        self.next_packet_id = free.next();
        Some(free)
    }

    /// Gives the first delivery a free packet identifier, because its own is in flight.
    /// `None`: done, and there is no row to write.
    pub(super) fn renumber(&mut self) -> Option<Result<Outgoing, DeliveryBlock>> {
        let may_have_been_sent = self.queue.front().is_none_or(|front| front.may_have_been_sent());
        if may_have_been_sent {
            // A repeat must keep its packet identifier [MQTT-4.4.0-1].
            return Some(Err(DeliveryBlock::PacketIdInUse));
        }
        let Some(packet_id) = self.draw_free_packet_id() else {
            return Some(Err(DeliveryBlock::PacketIdInUse));
        };
        self.write_packet_id(packet_id).map(Ok)
    }

    /// Sets the packet identifier of the first delivery. Returns the write of its row, if it
    /// has one.
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
