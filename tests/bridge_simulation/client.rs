//! A client of one broker, with a session that outlives its connections: a publisher, or a
//! subscriber to `#`. It follows the specification and acknowledges when the schedule says so.

use std::collections::{BTreeMap, VecDeque};

use ferrymq::protocol::{
    Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, SubscribeFilter,
    SubscriptionOptions, TopicFilter, Version,
};

use crate::common::rng::Rng;
use crate::model::{Message, Model};
use crate::paths::Arrival;
use crate::shape::Shape;
use crate::stream::ClientEnd;
use crate::wire::Wire;

/// One of its own publishes that is not complete.
#[derive(Debug, Clone)]
struct Outgoing {
    packet_id: u16,
    message: u32,
    released: bool,
    /// By this connection.
    sent: bool,
}

/// An acknowledgement that it has yet to send.
#[derive(Debug, Clone, Copy)]
enum Owed {
    Ack(u16),
    Rec(u16),
    Comp(u16),
}

#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own about the client.
pub struct Client {
    pub index: usize,
    /// The number of its broker.
    pub at: usize,
    version: Version,
    subscribes: bool,
    receive_maximum: Option<u16>,
    wire: Option<Wire>,
    connected: bool,
    has_session: bool,
    subscribed: bool,
    next_packet_id: u16,
    outgoing: VecDeque<Outgoing>,
    /// How many of them the broker takes at once [MQTT-3.3.4-7].
    at_once: usize,
    /// QoS 2 messages before their PUBREL, by packet identifier.
    open: BTreeMap<u16, u32>,
    owed: VecDeque<Owed>,
}

impl Client {
    pub fn new(index: usize, at: usize, subscribes: bool, rng: &mut Rng) -> Self {
        let version = *rng.pick(&[Version::V311, Version::V5, Version::V5]);
        let receive_maximum = rng.percent(40).then(|| *rng.pick(&[1, 2, 10]));
        Self {
            index,
            at,
            version,
            subscribes,
            receive_maximum: receive_maximum.filter(|_| version == Version::V5),
            wire: None,
            connected: false,
            has_session: false,
            subscribed: false,
            next_packet_id: 0,
            outgoing: VecDeque::new(),
            at_once: usize::MAX,
            open: BTreeMap::new(),
            owed: VecDeque::new(),
        }
    }

    pub fn has_connection(&self) -> bool {
        self.wire.is_some()
    }

    pub fn connect(&mut self, end: ClientEnd) {
        let mut wire = Wire::new(end, self.version);
        let v5 = self.version == Version::V5;
        wire.send(&Packet::Connect(Box::new(Connect {
            clean_start: false,
            keep_alive: 0,
            session_expiry: v5.then_some(u32::MAX),
            receive_maximum: self.receive_maximum,
            ..Connect::new(self.version, format!("client{}", self.index))
        })));
        self.wire = Some(wire);
        self.connected = false;
        self.owed.clear();
    }

    /// Its connection has ended.
    pub fn lost(&mut self) -> Option<ClientEnd> {
        self.connected = false;
        self.wire.take().map(|wire| wire.end)
    }

    fn send(&mut self, packet: &Packet<'_>) {
        self.wire.as_mut().expect("a connection").send(packet);
    }

    // Publishing.

    pub fn may_publish(&self) -> bool {
        self.connected && !self.subscribes && self.outgoing.len() < 20
    }

    pub fn publish(&mut self, model: &mut Model, topic: &str, qos: u8, size: usize) -> u32 {
        let message = model.sends(Message {
            from: self.at,
            publisher: self.index,
            topic: topic.to_owned(),
            qos,
            size,
            acknowledged: false,
        });
        if qos == 0 {
            self.send_publish(model, 0, message, false);
            return message;
        }
        let packet_id = self.packet_id();
        let (released, sent) = (false, false);
        self.outgoing.push_back(Outgoing { packet_id, message, released, sent });
        self.send_next(model, false);
        message
    }

    /// Sends what the broker takes now, in order.
    fn send_next(&mut self, model: &Model, dup: bool) {
        let sent = self.outgoing.iter().filter(|publish| publish.sent).count();
        let room = self.at_once.saturating_sub(sent);
        let waiting = self.outgoing.iter_mut().filter(|publish| !publish.sent).take(room);
        let next: Vec<Outgoing> = waiting
            .map(|publish| {
                publish.sent = true;
                publish.clone()
            })
            .collect();
        for Outgoing { packet_id, message, released, .. } in next {
            if released {
                self.send(&Packet::PubRel(ack(packet_id)));
            } else {
                self.send_publish(model, packet_id, message, dup);
            }
        }
    }

    fn packet_id(&mut self) -> u16 {
        loop {
            self.next_packet_id = self.next_packet_id % 40 + 1;
            let id = self.next_packet_id;
            if self.outgoing.iter().all(|publish| publish.packet_id != id) {
                return id;
            }
        }
    }

    fn send_publish(&mut self, model: &Model, packet_id: u16, id: u32, dup: bool) {
        let message = model.message(id);
        let mut payload = vec![0; message.size];
        payload[..4].copy_from_slice(&id.to_be_bytes());
        self.send(&Packet::Publish(Publish {
            dup,
            qos: QoS::from_bits(message.qos).unwrap(),
            retain: false,
            packet_id: PacketId::new(packet_id),
            topic: &message.topic,
            topic_alias: None,
            expiry: None,
            properties: std::borrow::Cow::Borrowed(&[]),
            subscription_ids: Vec::new(),
            payload: &payload,
        }));
    }

    // Receiving.

    /// Sends and receives what it can. True if there was progress.
    pub fn exchange(&mut self, model: &mut Model, shape: &Shape, trace: bool) -> bool {
        let Some(wire) = &mut self.wire else { return false };
        let any = wire.exchange();
        while let Some(frame) = self.wire.as_mut().and_then(Wire::next_frame) {
            let decoder = &self.wire.as_ref().expect("just used").decoder;
            let packet = decoder.decode(&frame).unwrap_or_else(|e| panic!("{e:?}: {frame:?}"));
            if trace {
                println!("{:5}   client {} got {}", model.step, self.index, short(&packet));
            }
            self.on(&packet, model, shape);
        }
        any
    }

    /// True if the broker has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.end.is_finished())
    }

    fn on(&mut self, packet: &Packet<'_>, model: &mut Model, shape: &Shape) {
        match packet {
            Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => {
                self.at_once = connack.receive_maximum.map_or(usize::MAX, usize::from);
                self.opened(connack.session_present, model);
            }
            Packet::ConnAck(_) | Packet::Disconnect(_) => {}
            Packet::SubAck(suback) => {
                assert_eq!(suback.reasons, [ReasonCode::GrantedQoS2]);
                if !std::mem::replace(&mut self.subscribed, true) {
                    model.subscribed(self.index, self.at);
                }
            }
            Packet::Publish(publish) => self.on_publish(publish, model, shape),
            Packet::PubAck(ack) | Packet::PubRec(ack) => self.answered(ack, model),
            Packet::PubRel(ack) => {
                self.open.remove(&ack.packet_id.get());
                self.owed.push_back(Owed::Comp(ack.packet_id.get()));
            }
            Packet::PubComp(ack) => {
                self.outgoing.retain(|publish| publish.packet_id != ack.packet_id.get());
                self.send_next(model, false);
            }
            other => panic!("a broker does not send {other:?}"),
        }
    }

    fn opened(&mut self, present: bool, model: &Model) {
        self.connected = true;
        assert_eq!(present, self.has_session, "the session of client {}", self.index);
        self.has_session = true;
        // Sends everything unacknowledged again, in order [MQTT-4.4.0-1].
        self.outgoing.iter_mut().for_each(|publish| publish.sent = false);
        self.send_next(model, true);
        if self.subscribes && !self.subscribed {
            let options =
                SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() };
            self.send(&Packet::Subscribe(Box::new(Subscribe {
                packet_id: PacketId::FIRST,
                subscription_id: None,
                filters: vec![SubscribeFilter { filter: TopicFilter::new("#").unwrap(), options }],
                user_properties: Vec::new(),
            })));
        }
    }

    fn on_publish(&mut self, publish: &Publish<'_>, model: &mut Model, shape: &Shape) {
        let message = u32::from_be_bytes(publish.payload[..4].try_into().unwrap());
        let id = publish.packet_id.map_or(0, PacketId::get);
        let arrival = Arrival { topic: publish.topic.to_owned(), qos: publish.qos as u8 };
        let known = self.open.get(&id).copied().filter(|_| publish.qos == QoS::ExactlyOnce);
        assert!(
            known.is_none_or(|known| known == message),
            "message {message} came under packet id {id}, which {known:?} has until PUBREL"
        );
        if known.is_none() {
            model.receives(shape, self.index, message, &arrival);
        }
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.owed.push_back(Owed::Ack(id)),
            QoS::ExactlyOnce => {
                self.open.insert(id, message);
                self.owed.push_back(Owed::Rec(id));
            }
        }
    }

    /// Handles PUBACK or PUBREC.
    fn answered(&mut self, answer: &Ack, model: &mut Model) {
        let id = answer.packet_id.get();
        let known = |publish: &Outgoing| publish.packet_id == id;
        let position = self.outgoing.iter().position(known).expect("it is under way");
        let publish = &mut self.outgoing[position];
        let message = publish.message;
        let is_complete = model.message(message).qos == 1 || answer.reason.is_failure();
        publish.released = true;
        if answer.reason.is_failure() {
            model.refused += 1;
        } else {
            model.acknowledged(message);
        }
        if is_complete {
            self.outgoing.remove(position);
            self.send_next(model, false);
        } else {
            self.send(&Packet::PubRel(ack(id)));
        }
    }

    /// Sends the first acknowledgement that is due.
    pub fn acknowledge(&mut self) -> bool {
        if !self.connected {
            return false;
        }
        let Some(owed) = self.owed.pop_front() else { return false };
        match owed {
            Owed::Ack(id) => self.send(&Packet::PubAck(ack(id))),
            Owed::Rec(id) => self.send(&Packet::PubRec(ack(id))),
            Owed::Comp(id) => self.send(&Packet::PubComp(ack(id))),
        }
        true
    }

    /// What it waits for as text; empty if nothing.
    pub fn waits_for(&self) -> String {
        let mut waits = Vec::new();
        if !self.connected {
            waits.push("CONNACK".to_owned());
        }
        if self.subscribes && !self.subscribed {
            waits.push("SUBACK".to_owned());
        }
        if !self.open.is_empty() {
            waits.push(format!("PUBREL for {:?}", self.open));
        }
        if !self.outgoing.is_empty() {
            waits.push(format!("answers to {:?}", self.outgoing));
        }
        if waits.is_empty() {
            return String::new();
        }
        format!("client {} of broker {} waits for {}", self.index, self.at, waits.join(", "))
    }

    /// The state as text, for debugging.
    pub fn describe(&self) -> String {
        let end = self.wire.as_ref().map_or("no connection".into(), |wire| wire.end.describe());
        let Self { index, at, version, subscribes, receive_maximum, .. } = self;
        format!(
            "client {index} of broker {at}: {version:?}, subscribes {subscribes}, receive \
             maximum {receive_maximum:?}, {end}; {}",
            self.waits_for()
        )
    }
}

fn ack(id: u16) -> Ack {
    Ack {
        packet_id: PacketId::new(id).unwrap(),
        reason: ReasonCode::Success,
        reason_string: None,
        user_properties: Vec::new(),
    }
}

/// A short text for a packet.
fn short(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => {
            let id = u32::from_be_bytes(publish.payload[..4].try_into().unwrap());
            let (qos, dup, topic) = (publish.qos, publish.dup, publish.topic);
            let packet_id = publish.packet_id.map_or(0, PacketId::get);
            format!("message {id} to {topic}, {qos:?}, id {packet_id}, dup {dup}")
        }
        Packet::PubAck(ack) => format!("PUBACK {} {:?}", ack.packet_id.get(), ack.reason),
        Packet::PubRec(ack) => format!("PUBREC {} {:?}", ack.packet_id.get(), ack.reason),
        Packet::PubRel(ack) => format!("PUBREL {} {:?}", ack.packet_id.get(), ack.reason),
        Packet::PubComp(ack) => format!("PUBCOMP {} {:?}", ack.packet_id.get(), ack.reason),
        other => format!("{other:?}"),
    }
}
