//! The receiver's half of QoS 0, 1 and 2, over any number of connections.

use std::collections::BTreeSet;

use bytes::BytesMut;

use super::{LoadError, Resumed, Stamp};
use crate::protocol::{AckKind, Packet, PacketId, Publish, QoS, ReasonCode, Version, encode};

/// Acknowledges messages. The owner counts them.
#[derive(Debug)]
pub struct Subscriber {
    version: Version,
    /// QoS 2 packet identifiers that were received and not released: another PUBLISH with one
    /// of them is a repeat [MQTT-4.3.3-10].
    open: BTreeSet<PacketId>,
    known: bool,
    /// PINGRESPs received.
    pub pongs: u64,
}

impl Subscriber {
    /// Creates a subscriber without a session.
    pub fn new(version: Version) -> Self {
        Self { version, open: BTreeSet::new(), known: false, pongs: 0 }
    }

    /// Updates the state for a new connection.
    pub fn connected(&mut self, session_present: bool) -> Resumed {
        let known = std::mem::replace(&mut self.known, true);
        if !session_present {
            // The client must discard its session state as well [MQTT-3.2.2-5].
            self.open.clear();
        }
        match (known, session_present) {
            (false, _) => Resumed::New,
            (true, true) => Resumed::Yes,
            (true, false) => Resumed::Lost,
        }
    }

    /// True if no QoS 2 exchange is unfinished.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Handles a packet. Returns the stamp of a message for the application.
    ///
    /// # Errors
    /// The packet is not one for a subscriber, or the message has no stamp.
    pub fn handle(
        &mut self,
        packet: &Packet<'_>,
        out: &mut BytesMut,
    ) -> Result<Option<Stamp>, LoadError> {
        match packet {
            Packet::Publish(message) => self.message(message, out),
            Packet::PubRel(ack) => {
                self.open.remove(&ack.packet_id);
                self.answer(AckKind::PubComp, ack.packet_id, out);
                Ok(None)
            }
            Packet::PingResp => {
                self.pongs += 1;
                Ok(None)
            }
            Packet::Disconnect(packet) => {
                Err(LoadError::Refused { what: "the connection", reason: packet.reason })
            }
            _ => Err(LoadError::Unexpected("an unexpected packet type for a subscriber")),
        }
    }

    fn message(
        &mut self,
        message: &Publish<'_>,
        out: &mut BytesMut,
    ) -> Result<Option<Stamp>, LoadError> {
        let stamp = Stamp::read(message.payload);
        let stamp = stamp.ok_or(LoadError::Unexpected("a message without a stamp"))?;
        match (message.qos, message.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => self.answer(AckKind::PubAck, id, out),
            (QoS::ExactlyOnce, Some(id)) => {
                self.answer(AckKind::PubRec, id, out);
                if !self.open.insert(id) {
                    return Ok(None);
                }
            }
            _ => {}
        }
        Ok(Some(stamp))
    }

    fn answer(&self, kind: AckKind, id: PacketId, out: &mut BytesMut) {
        encode::ack(out, self.version, kind, id, ReasonCode::Success);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::protocol::Ack;

    fn message(id: u16, sequence: u64, qos: QoS, subscriber: &mut Subscriber) -> Option<Stamp> {
        let mut payload = [0; Stamp::SIZE];
        Stamp { publisher: 0, sequence, sent_at: 0 }.write(&mut payload);
        let publish = Publish {
            dup: false,
            qos,
            retain: false,
            packet_id: PacketId::new(id),
            topic: "a",
            topic_alias: None,
            expiry: None,
            properties: Cow::Borrowed(&[]),
            subscription_ids: Vec::new(),
            payload: &payload,
        };
        subscriber.handle(&Packet::Publish(publish), &mut BytesMut::new()).unwrap()
    }

    #[test]
    fn a_qos_2_id_is_a_repeat_until_it_is_released() {
        let mut subscriber = Subscriber::new(Version::V311);
        assert_eq!(subscriber.connected(false), Resumed::New);
        assert!(message(7, 1, QoS::ExactlyOnce, &mut subscriber).is_some());
        assert!(!subscriber.is_idle());
        assert_eq!(subscriber.connected(true), Resumed::Yes);
        assert!(message(7, 1, QoS::ExactlyOnce, &mut subscriber).is_none());
        let ack = Ack {
            packet_id: PacketId::new(7).unwrap(),
            reason: ReasonCode::Success,
            reason_string: None,
            user_properties: Vec::new(),
        };
        subscriber.handle(&Packet::PubRel(ack), &mut BytesMut::new()).unwrap();
        assert!(subscriber.is_idle());
        assert!(message(7, 2, QoS::ExactlyOnce, &mut subscriber).is_some());
    }

    #[test]
    fn a_session_that_the_broker_has_lost_is_begun_anew() {
        let mut subscriber = Subscriber::new(Version::V5);
        subscriber.connected(false);
        message(7, 1, QoS::ExactlyOnce, &mut subscriber);
        assert_eq!(subscriber.connected(false), Resumed::Lost);
        assert!(message(7, 9, QoS::ExactlyOnce, &mut subscriber).is_some());
        // QoS 1 receivers do not remember identifiers [MQTT-4.3.2-4].
        for _ in 0..2 {
            assert!(message(3, 1, QoS::AtLeastOnce, &mut subscriber).is_some());
        }
    }
}
