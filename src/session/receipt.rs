//! The client's acknowledgements of deliveries.

use std::time::Instant;

use super::{DeliveryState, Entry, Session};
use crate::protocol::{PacketId, QoS};

/// What an acknowledgement meant.
#[derive(Debug)]
pub enum Receipt {
    /// The delivery is complete.
    Done(Entry),
    /// PUBREC: the delivery is to be marked, then PUBREL goes.
    Release(Entry),
    /// No such packet id is in flight.
    Unknown,
    /// The id is in flight, and this is not what can come now: the client breaks the
    /// protocol [MQTT-4.8.0-1].
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

    /// PUBREC; `failed` is a reason code of 0x80 or more, which ends the delivery
    /// [MQTT-4.3.3-4].
    pub fn pubrec(&mut self, packet_id: PacketId, failed: bool, now: Instant) -> Receipt {
        match self.window.get_mut(packet_id) {
            Some(entry) if entry.qos == QoS::ExactlyOnce => {
                if failed && entry.state != DeliveryState::Received {
                    return self.complete(packet_id, now);
                }
                entry.state = DeliveryState::Received;
                let entry = entry.clone();
                self.life.progress(now);
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
