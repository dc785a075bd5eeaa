//! The client's acknowledgements of deliveries.

use std::time::Instant;

use super::{DeliveryState, Entry, Session};
use crate::protocol::{PacketId, QoS};

/// The effect of an acknowledgement.
#[derive(Debug)]
pub enum Receipt {
    /// The delivery is complete.
    Done(Entry),
    /// PUBREC: "received" has to be recorded, then PUBREL is sent.
    Release(Entry),
    /// No such packet id is in flight.
    Unknown,
    /// The identifier is in flight, but not for this kind of acknowledgement, so the client
    /// violates the protocol [MQTT-4.8.0-1].
    OutOfPlace,
}

impl Session {
    /// PUBACK.
    pub fn puback(&mut self, packet_id: PacketId, now: Instant) -> Receipt {
        match self.window.get_mut(packet_id) {
            Some(entry) if entry.qos == QoS::AtLeastOnce => self.complete(packet_id, now),
            Some(_) => Receipt::OutOfPlace,
            None => Receipt::Unknown,
        }
    }

    /// Completes a delivery without an acknowledgement that succeeds.
    pub fn abandon(&mut self, packet_id: PacketId, now: Instant) -> Option<Entry> {
        match self.complete(packet_id, now) {
            Receipt::Done(entry) => Some(entry),
            _ => None,
        }
    }

    /// PUBREC. `failed`: its reason code is 0x80 or more, which completes the delivery
    /// [MQTT-4.3.3-4].
    pub fn pubrec(&mut self, packet_id: PacketId, failed: bool, now: Instant) -> Receipt {
        match self.window.get_mut(packet_id) {
            Some(entry) if entry.qos == QoS::ExactlyOnce => {
                if failed && entry.state != DeliveryState::Received {
                    return self.complete(packet_id, now);
                }
                let is_new = entry.state != DeliveryState::Received;
                entry.state = DeliveryState::Received;
                let entry = entry.clone();
                // A repeated one brings nothing forward.
                if is_new {
                    self.life.progress(now);
                }
                Receipt::Release(entry)
            }
            Some(_) => Receipt::OutOfPlace,
            None => Receipt::Unknown,
        }
    }

    /// PUBCOMP.
    pub fn pubcomp(&mut self, packet_id: PacketId, now: Instant) -> Receipt {
        match self.window.get_mut(packet_id) {
            Some(entry) if entry.state == DeliveryState::Received => self.complete(packet_id, now),
            Some(_) => Receipt::OutOfPlace,
            None => Receipt::Unknown,
        }
    }

    fn complete(&mut self, packet_id: PacketId, now: Instant) -> Receipt {
        self.life.progress(now);
        self.window.remove(packet_id).map_or(Receipt::Unknown, Receipt::Done)
    }
}
