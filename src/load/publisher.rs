//! The sender's half of QoS 0, 1 and 2, over any number of connections.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::{Connection, Latency, LoadError, Stamp};
use crate::protocol::{
    Ack, AckKind, Packet, PacketId, PublishOut, QoS, ReasonCode, Version, encode,
};

/// Packet ids go round over all but 0 [MQTT-2.2.1-3].
const IDS: u64 = 65_535;

/// What a connection found of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// There was none and there should be none.
    New,
    /// There was one, as there should be.
    Yes,
    /// There should have been one.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// PUBLISH is out.
    Sent,
    /// QoS 2: PUBREC came, PUBREL is out.
    Released,
    /// Nothing is left to do.
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    sent_at: u64,
    state: State,
}

/// A publisher with one sequence of messages. Its packet ids follow from the sequence
/// numbers, so the window is at most half of them.
#[derive(Debug)]
pub struct Publisher {
    number: u32,
    version: Version,
    qos: QoS,
    retain: bool,
    topics: Vec<String>,
    payload: Vec<u8>,
    window: u64,
    /// All below this are done.
    base: u64,
    /// From `base` on, in order. Empty at QoS 0.
    flights: VecDeque<Flight>,
    /// The next sequence number.
    next: u64,
    acknowledged: u64,
    known: bool,
    /// From sending (or being due) to PUBACK or PUBCOMP, in nanoseconds.
    pub latency: Latency,
}

impl Publisher {
    /// `number` goes into its stamps. `window` messages may be under way, at most
    /// 32,767; payloads have at least the stamp's 20 bytes.
    pub fn new(number: u32, version: Version, qos: QoS, topic: String, window: u16) -> Self {
        Self {
            number,
            version,
            qos,
            retain: false,
            topics: vec![topic],
            payload: vec![b'.'; Stamp::SIZE],
            window: u64::from(window).clamp(1, IDS / 2),
            base: 0,
            flights: VecDeque::new(),
            next: 0,
            acknowledged: 0,
            known: false,
            latency: Latency::default(),
        }
    }

    /// With payloads of `size` bytes.
    #[must_use]
    pub fn with_payload(mut self, size: usize) -> Self {
        self.payload.resize(size.max(Stamp::SIZE), b'.');
        self
    }

    /// With retained messages, to these topics in turn: message `n` to the `n`th,
    /// modulo their number.
    #[must_use]
    pub fn with_retained(mut self, topics: Vec<String>) -> Self {
        self.retain = true;
        self.topics = topics;
        self
    }

    /// Its QoS.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// Messages given out so far: sequence numbers below this.
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// All messages below this are acknowledged to their end.
    pub fn settled(&self) -> u64 {
        self.base
    }

    /// Messages that the broker has taken responsibility for: PUBACK or PUBREC came.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.base == self.next
    }

    /// Whether the window has room.
    pub fn can_send(&self) -> bool {
        self.next - self.base < self.window
    }

    /// Takes up a new connection: what is under way goes out again, in order, PUBLISH
    /// with DUP, and PUBREL where PUBREC had come [MQTT-4.4.0-1].
    pub fn connected(&mut self, connection: &mut Connection) -> Resumed {
        if self.version == Version::V5 {
            self.window = self.window.min(connection.receive_maximum.into());
        }
        let resumed = match (self.known, connection.session_present) {
            (false, _) => Resumed::New,
            (true, true) => Resumed::Yes,
            (true, false) => Resumed::Lost,
        };
        self.known = true;
        for index in 0..self.flights.len() {
            let sequence = self.base + index as u64;
            let Some(flight) = self.flights.get_mut(index) else { continue };
            match (flight.state, resumed) {
                (State::Sent, _) => {
                    let sent_at = flight.sent_at;
                    let dup = resumed == Resumed::Yes;
                    self.encode(sequence, sent_at, dup, connection.output());
                }
                // The broker has forgotten the id: to release it means nothing.
                (State::Released, Resumed::Lost) => flight.state = State::Done,
                (State::Released, _) => self.release(packet_id(sequence), connection.output()),
                (State::Done, _) => {}
            }
        }
        self.advance();
        resumed
    }

    /// Sends the next message. `sent_at` is what latencies are counted from. The
    /// caller has asked [`Self::can_send`].
    pub fn publish(&mut self, sent_at: u64, out: &mut BytesMut) {
        self.encode(self.next, sent_at, false, out);
        self.next += 1;
        if self.qos != QoS::AtMostOnce {
            self.flights.push_back(Flight { sent_at, state: State::Sent });
        }
    }

    /// At QoS 0 nobody acknowledges: all messages below `sequence` have arrived.
    pub fn arrived(&mut self, sequence: u64) {
        if self.qos == QoS::AtMostOnce {
            self.base = self.base.max(sequence.min(self.next));
            self.acknowledged = self.base;
        }
    }

    /// Takes in an acknowledgement.
    ///
    /// # Errors
    /// It is a refusal, or about nothing that is under way.
    pub fn handle(
        &mut self,
        packet: &Packet<'_>,
        now: u64,
        out: &mut BytesMut,
    ) -> Result<(), LoadError> {
        match packet {
            Packet::PubAck(ack) if self.qos == QoS::AtLeastOnce => {
                accepted("PUBLISH", ack)?;
                self.acknowledged += 1;
                self.finish(ack.packet_id, now)
            }
            Packet::PubRec(ack) if self.qos == QoS::ExactlyOnce => {
                accepted("PUBLISH", ack)?;
                let flight = self.flight(ack.packet_id)?;
                if flight.state == State::Sent {
                    flight.state = State::Released;
                    self.acknowledged += 1;
                }
                self.release(ack.packet_id, out);
                Ok(())
            }
            // v5 answers 0x92 to a PUBREL whose PUBCOMP was lost with a connection.
            Packet::PubComp(ack) if self.qos == QoS::ExactlyOnce => self.finish(ack.packet_id, now),
            Packet::Disconnect(packet) => {
                Err(LoadError::Refused { what: "the connection", reason: packet.reason })
            }
            Packet::PingResp => Ok(()),
            _ => Err(LoadError::Unexpected("a publisher a packet of another kind")),
        }
    }

    fn finish(&mut self, id: PacketId, now: u64) -> Result<(), LoadError> {
        let flight = self.flight(id)?;
        if flight.state == State::Done {
            return Err(LoadError::Unexpected("a second acknowledgement"));
        }
        flight.state = State::Done;
        let sent_at = flight.sent_at;
        self.latency.record(now.saturating_sub(sent_at));
        self.advance();
        Ok(())
    }

    fn advance(&mut self) {
        while self.flights.front().is_some_and(|flight| flight.state == State::Done) {
            self.flights.pop_front();
            self.base += 1;
        }
    }

    /// The id's distance from the oldest message says which one it is about.
    fn flight(&mut self, id: PacketId) -> Result<&mut Flight, LoadError> {
        let distance = (u64::from(id.get()) + IDS - 1 - self.base % IDS) % IDS;
        let flight = usize::try_from(distance).ok().and_then(|index| self.flights.get_mut(index));
        flight.ok_or(LoadError::Unexpected("an acknowledgement of an unknown id"))
    }

    fn release(&self, id: PacketId, out: &mut BytesMut) {
        encode::ack(out, self.version, AckKind::PubRel, id, ReasonCode::Success);
    }

    fn encode(&mut self, sequence: u64, sent_at: u64, dup: bool, out: &mut BytesMut) {
        Stamp { publisher: self.number, sequence, sent_at }.write(&mut self.payload);
        let place = sequence % (self.topics.len() as u64).max(1);
        let topic = usize::try_from(place).ok().and_then(|place| self.topics.get(place));
        let publish = PublishOut {
            dup,
            qos: self.qos,
            retain: self.retain,
            packet_id: (self.qos != QoS::AtMostOnce).then(|| packet_id(sequence)),
            topic: topic.map_or("", String::as_str),
            topic_alias: None,
            expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload: &self.payload,
        };
        encode::publish(out, self.version, &publish);
    }
}

fn packet_id(sequence: u64) -> PacketId {
    let id = u16::try_from(sequence % IDS + 1).ok().and_then(PacketId::new);
    id.unwrap_or(PacketId::FIRST)
}

fn accepted(what: &'static str, ack: &Ack) -> Result<(), LoadError> {
    if ack.reason.is_failure() {
        return Err(LoadError::Refused { what, reason: ack.reason });
    }
    Ok(())
}
