//! Passes each packet to what handles it, or holds it.

use super::{BlockReason, Client, Close, Handled, packets};
use crate::broker::budget::PACKET;
use crate::protocol::{Packet, ReasonCode};
use crate::telemetry::PacketType;

impl Client {
    /// Handles one packet, which was received in a frame of `len` bytes.
    ///
    /// # Errors
    /// The connection has to end, for the reason given.
    pub fn handle(&mut self, packet: Packet<'_>, len: usize) -> Result<Handled, Close> {
        let kind = PacketType::from(&packet);
        // A held packet is handled again, but logged once.
        if self.held.take().is_none() {
            packets::received(&self.handle.client_id, &packet, len);
        }
        self.budget.spend(PACKET);
        self.budget.spend_bytes(len.saturating_sub(std::mem::take(&mut self.charged)));
        // The rate first: what it holds is woken by a timer, whatever else it would wait for.
        if !self.output_closed && self.exceeds_publish_rate(&packet, len) {
            self.hold(BlockReason::PublishRate);
            return Ok(Handled::Held);
        }
        if let Some(reason) = self.must_wait(&packet).filter(|_| !self.output_closed) {
            self.hold(reason);
            return Ok(Handled::Held);
        }
        let taken = self.take(packet);
        if self.held.is_some() {
            return taken.map(|()| Handled::Held);
        }
        if kind == PacketType::Publish {
            self.count_publish(len);
        }
        self.statistics.received(kind, len);
        taken.map(|()| Handled::Taken)
    }

    /// True if a packet is held and a reply was sent since the last call, so that the packet
    /// may be handled now.
    pub fn has_replied(&mut self) -> bool {
        std::mem::take(&mut self.has_replied) && self.held.is_some()
    }

    fn take(&mut self, packet: Packet<'_>) -> Result<(), Close> {
        match packet {
            Packet::Publish(publish) => self.on_publish(&publish),
            Packet::PubAck(ack) => self.on_puback(ack.packet_id, ack.reason),
            Packet::PubRec(ack) => self.on_pubrec(ack.packet_id, ack.reason),
            Packet::PubRel(ack) => {
                self.on_pubrel(ack.packet_id);
                Ok(())
            }
            Packet::PubComp(ack) => self.on_pubcomp(ack.packet_id),
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
                if self.role.is_dialled() =>
            {
                Err(Close::Error(ReasonCode::ProtocolError, "a packet that only clients send"))
            }
            Packet::Subscribe(subscribe) => {
                self.on_subscribe(*subscribe);
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.on_unsubscribe(*unsubscribe);
                Ok(())
            }
            Packet::PingReq => {
                // Not in the queue of replies, so that a slow disk does not delay PINGRESP.
                self.pings = self.pings.saturating_add(1);
                Ok(())
            }
            Packet::Disconnect(disconnect) if self.role.is_dialled() => {
                Err(self.on_server_disconnect(&disconnect))
            }
            Packet::Disconnect(disconnect) => Err(self.on_disconnect(&disconnect)),
            Packet::SubAck(suback) if self.role.is_dialled() => self.on_suback(&suback),
            // Resets the keep alive, and has no other effect.
            Packet::PingResp if self.role.is_dialled() => Ok(()),
            Packet::Auth(auth) => self.on_auth(&auth),
            Packet::Connect(_) => {
                Err(Close::Error(ReasonCode::ProtocolError, "a second CONNECT [MQTT-3.1.0-2]"))
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(Close::Error(ReasonCode::ProtocolError, "a packet that only servers send"))
            }
        }
    }
}
