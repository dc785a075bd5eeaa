//! How a client handles the packets that it receives.

use ferrymq::protocol::{Packet, PacketId, QoS, ReasonCode};

use super::{Acknowledging, Asked, Client, Outgoing, Owed, Reading, ack};
use crate::model::Model;
use crate::shape::Shape;
use crate::wire::Wire;

impl Client {
    /// Handles what has arrived by its connection. True if there was anything.
    pub fn take_arrived(&mut self, model: &mut Model, shape: &Shape) -> bool {
        let most = match self.reading {
            Reading::Everything => usize::MAX,
            Reading::Slowly(bytes) => bytes,
            Reading::Nothing => return false,
        };
        let Some(mut wire) = self.wire.take() else { return false };
        let any = wire.receive(most);
        self.wire = Some(wire);
        while let Some(frame) = self.wire.as_mut().and_then(Wire::next_frame) {
            let decoder = self.wire.as_ref().expect("just used").decoder();
            let packet = decoder.decode(&frame).unwrap_or_else(|e| panic!("{e:?}: {frame:?}"));
            self.on(&packet, model, shape);
        }
        if self.acknowledging == Acknowledging::AtOnce && self.connected {
            while self.acknowledge() {}
        }
        any
    }

    fn on(&mut self, packet: &Packet<'_>, model: &mut Model, shape: &Shape) {
        model.say(|| format!("client {} got {}", self.index, short(packet)));
        match packet {
            Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => {
                self.opened(connack.session_present, model);
            }
            Packet::ConnAck(_) | Packet::Disconnect(_) => {}
            Packet::Publish(publish) => {
                let id = u32::from_be_bytes(publish.payload[..4].try_into().unwrap());
                model.receives(self.index, id);
                let packet_id = publish.packet_id.map_or(0, PacketId::get);
                match publish.qos {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => self.owed.push_back(Owed::Ack(packet_id)),
                    QoS::ExactlyOnce => self.owed.push_back(Owed::Rec(packet_id)),
                }
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) => {
                self.answered(ack.packet_id.get(), ack.reason, model);
            }
            Packet::PubRel(ack) => self.owed.push_back(Owed::Comp(ack.packet_id.get())),
            Packet::PubComp(ack) => {
                self.outgoing.retain(|publish| publish.packet_id != ack.packet_id.get());
            }
            Packet::SubAck(suback) => {
                let asked = self.asked.remove(&suback.packet_id.get());
                let Some(Asked::Subscribe(filter, qos)) = asked else {
                    panic!("SUBACK for {asked:?}")
                };
                // A session that ends with its connection may lose messages when its queue is
                // full.
                let lasts = self.durable || shape.max_queued > 1_000;
                let granted = suback.reasons.iter().all(|reason| !reason.is_failure());
                if qos > 0 && granted && lasts && !filter.starts_with('$') {
                    model.subscribed(self.index, &filter);
                }
            }
            Packet::UnsubAck(unsuback) => {
                self.asked.remove(&unsuback.packet_id.get()).expect("an UNSUBSCRIBE");
            }
            Packet::PingResp => {
                self.pings = self.pings.checked_sub(1).expect("a PINGREQ");
            }
            other if self.is_server() => self.on_client_packet(other, model),
            other => panic!("a server does not send {other:?}"),
        }
    }

    pub(super) fn opened(&mut self, present: bool, model: &mut Model) {
        self.connected = true;
        assert!(
            present || !self.has_session || !self.durable,
            "the session of client {} is gone",
            self.index
        );
        if !present {
            self.forget(model);
        }
        self.has_session = true;
        // Sends everything unacknowledged again, in order [MQTT-4.4.0-1].
        for publish in self.outgoing.clone() {
            if publish.released {
                self.send(&Packet::PubRel(ack(publish.packet_id)));
            } else {
                self.send_publish(model, publish.packet_id, publish.message, true);
            }
        }
    }

    /// Handles PUBACK or PUBREC.
    fn answered(&mut self, packet_id: u16, reason: ReasonCode, model: &mut Model) {
        let known = |publish: &Outgoing| publish.packet_id == packet_id;
        let Some(position) = self.outgoing.iter().position(known) else { return };
        let publish = &mut self.outgoing[position];
        let (message, was_released) = (publish.message, publish.released);
        let twice_safe = model.message(message).qos == 2;
        publish.released = true;
        if !twice_safe || reason.is_failure() {
            self.outgoing.remove(position);
        } else {
            self.send(&Packet::PubRel(ack(packet_id)));
        }
        if !reason.is_failure() && !was_released {
            model.accepts(message);
        }
    }
}

/// A short text for a packet.
fn short(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => {
            let id = u32::from_be_bytes(publish.payload[..4].try_into().unwrap());
            let (qos, dup) = (publish.qos, publish.dup);
            format!("message {id}, {qos:?}, {:?}, dup {dup}", publish.packet_id)
        }
        Packet::PubAck(ack) => format!("PUBACK {} {:?}", ack.packet_id.get(), ack.reason),
        Packet::PubRec(ack) => format!("PUBREC {} {:?}", ack.packet_id.get(), ack.reason),
        Packet::PubRel(ack) => format!("PUBREL {} {:?}", ack.packet_id.get(), ack.reason),
        Packet::PubComp(ack) => format!("PUBCOMP {} {:?}", ack.packet_id.get(), ack.reason),
        other => format!("{other:?}"),
    }
}
