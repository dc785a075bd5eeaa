//! The sender's half of QoS 0, 1 and 2, over any number of connections.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::{Connection, Latency, LoadError, Stamp};
use crate::protocol::{
    Ack, AckKind, Packet, PacketId, PublishOut, QoS, ReasonCode, Version, encode,
};

/// Packet identifiers wrap around over all values but 0 [MQTT-2.2.1-3].
const IDS: u64 = 65_535;

/// The state of the session that a new connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// A new session, as expected.
    New,
    /// The session was resumed, as expected.
    Yes,
    /// The broker has lost the session.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// PUBLISH was sent.
    Sent,
    /// QoS 2: PUBREC was received and PUBREL sent.
    Released,
    /// The exchange is complete.
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    sent_at: u64,
    state: State,
}

/// A publisher with one sequence of messages. Packet identifiers follow from the sequence
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
    /// All messages below this are complete.
    base: u64,
    /// Messages in flight from `base` on, in order. Empty at QoS 0.
    flights: VecDeque<Flight>,
    /// The next sequence number.
    next: u64,
    acknowledged: u64,
    known: bool,
    /// Time from sending (or from when it was due) to PUBACK or PUBCOMP, in nanoseconds.
    pub latency: Latency,
}

impl Publisher {
    /// `number` goes into the stamps. `window` is the inflight window, at most 32,767.
    /// Payloads have at least the 20 bytes of the stamp.
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

    /// Sets the size of payloads in bytes.
    #[must_use]
    pub fn with_payload(mut self, size: usize) -> Self {
        self.payload.resize(size.max(Stamp::SIZE), b'.');
        self
    }

    /// Makes messages retained, to these topics in turn: message `n` goes to topic `n` modulo
    /// their number.
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

    /// Number of messages sent; all sequence numbers are below this.
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// All messages below this are completely acknowledged.
    pub fn settled(&self) -> u64 {
        self.base
    }

    /// Number of messages that the broker has accepted with PUBACK or PUBREC.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// True if no message is in flight.
    pub fn is_idle(&self) -> bool {
        self.base == self.next
    }

    /// True if the window has room.
    pub fn can_send(&self) -> bool {
        self.next - self.base < self.window
    }

    /// Resumes on a new connection: sends what is in flight again, in order, PUBLISH with DUP,
    /// and PUBREL after PUBREC [MQTT-4.4.0-1].
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
                // The broker has lost the identifier, so a PUBREL has no meaning.
                (State::Released, Resumed::Lost) => flight.state = State::Done,
                (State::Released, _) => self.release(packet_id(sequence), connection.output()),
                (State::Done, _) => {}
            }
        }
        self.advance();
        resumed
    }

    /// Sends the next message. Latencies count from `sent_at`. The caller must have checked
    /// [`Self::can_send`].
    pub fn publish(&mut self, sent_at: u64, out: &mut BytesMut) {
        self.encode(self.next, sent_at, false, out);
        self.next += 1;
        if self.qos != QoS::AtMostOnce {
            self.flights.push_back(Flight { sent_at, state: State::Sent });
        }
    }

    /// For QoS 0, which has no acknowledgement: all messages below `sequence` have arrived.
    pub fn arrived(&mut self, sequence: u64) {
        if self.qos == QoS::AtMostOnce {
            self.base = self.base.max(sequence.min(self.next));
            self.acknowledged = self.base;
        }
    }

    /// Handles an acknowledgement.
    ///
    /// # Errors
    /// The broker refused the message, or the acknowledged message is not in flight.
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
            // v5 brokers answer 0x92 to a PUBREL whose PUBCOMP was lost with a connection.
            Packet::PubComp(ack) if self.qos == QoS::ExactlyOnce => self.finish(ack.packet_id, now),
            Packet::Disconnect(packet) => {
                Err(LoadError::Refused { what: "the connection", reason: packet.reason })
            }
            Packet::PingResp => Ok(()),
            _ => Err(LoadError::Unexpected("an unexpected packet type for a publisher")),
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

    /// Finds a message by its identifier's distance from that of the oldest message.
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
            hops: None,
            topic_prefix: "",
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
