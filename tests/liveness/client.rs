//! A client that follows the specification, with habits: it may read slowly or not at all, and
//! acknowledge late or not at all.

mod receive;
mod server;

use std::collections::{BTreeMap, VecDeque};

use ferrymq::protocol::{
    Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, SubscribeFilter,
    SubscriptionOptions, TopicFilter, Unsubscribe, Version,
};

use crate::common::rng::Rng;
use crate::model::Model;
use crate::wire::Wire;

/// One of its own publishes that is not complete.
#[derive(Debug, Clone)]
struct Outgoing {
    packet_id: u16,
    message: u32,
    released: bool,
}

/// A request without an answer yet.
#[derive(Debug, Clone)]
enum Asked {
    Subscribe(String, u8),
    Unsubscribe,
}

/// An acknowledgement that it has yet to send.
#[derive(Debug, Clone, Copy)]
enum Owed {
    Ack(u16),
    Rec(u16),
    Comp(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Everything,
    /// This many bytes at a time.
    Slowly(usize),
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledging {
    AtOnce,
    Late,
    Never,
}

#[derive(Debug)]
pub struct Client {
    pub index: usize,
    pub version: Version,
    pub durable: bool,
    pub max_packet: Option<u32>,
    pub receive_maximum: Option<u16>,
    pub keep_alive: u16,
    /// Its connection, if it has one.
    pub wire: Option<Wire>,
    /// True after CONNACK.
    pub connected: bool,
    pub reading: Reading,
    pub acknowledging: Acknowledging,
    /// Set if it is a server that the broker dials.
    server: Option<server::Server>,
    has_session: bool,
    next_packet_id: u16,
    outgoing: VecDeque<Outgoing>,
    asked: BTreeMap<u16, Asked>,
    pings: usize,
    owed: VecDeque<Owed>,
}

impl Client {
    pub fn new(index: usize, rng: &mut Rng) -> Self {
        let version = *rng.pick(&[Version::V311, Version::V5, Version::V5]);
        let v5 = version == Version::V5;
        Self {
            index,
            version,
            durable: rng.percent(70),
            max_packet: (v5 && rng.percent(30)).then(|| *rng.pick(&[60, 500, 20_000])),
            receive_maximum: (v5 && rng.percent(40)).then(|| *rng.pick(&[1, 2, 10])),
            keep_alive: *rng.pick(&[0, 0, 5, 60]),
            wire: None,
            connected: false,
            reading: Reading::Everything,
            acknowledging: Acknowledging::AtOnce,
            server: None,
            has_session: false,
            next_packet_id: 0,
            outgoing: VecDeque::new(),
            asked: BTreeMap::new(),
            pings: 0,
            owed: VecDeque::new(),
        }
    }

    /// Opens a new connection; the old one is returned and not closed.
    pub fn connect(&mut self, mut wire: Wire) -> Option<Wire> {
        // It may send PINGREQ before it receives CONNACK.
        let pings_early = !self.is_server() && wire.number.is_multiple_of(3);
        if !self.is_server() {
            wire.send(&Packet::Connect(Box::new(self.connect_packet())));
        }
        if pings_early {
            wire.send(&Packet::PingReq);
        }
        self.connected = false;
        self.asked.clear();
        self.owed.clear();
        self.pings = usize::from(pings_early);
        self.wire.replace(wire)
    }

    /// The CONNECT of its connections, or of those that the broker dials to it.
    pub fn connect_packet(&self) -> Connect {
        let v5 = self.version == Version::V5;
        Connect {
            clean_start: !self.durable,
            keep_alive: self.keep_alive,
            session_expiry: (v5 && self.durable).then_some(1_000_000),
            // A server sends this in its CONNACK.
            receive_maximum: self.receive_maximum.filter(|_| !self.is_server()),
            maximum_packet_size: self.max_packet.filter(|_| !self.is_server()),
            ..Connect::new(self.version, format!("client{}", self.index))
        }
    }

    /// Handles the end of the connection.
    pub fn lost(&mut self, model: &mut Model) -> Option<Wire> {
        self.connected = false;
        if !self.durable {
            self.forget(model);
        }
        self.wire.take()
    }

    fn forget(&mut self, model: &mut Model) {
        self.has_session = false;
        self.outgoing.clear();
        model.session_ends(self.index);
    }

    fn send(&mut self, packet: &Packet<'_>) {
        self.wire.as_mut().expect("a connection").send(packet);
    }

    fn packet_id(&mut self) -> u16 {
        loop {
            self.next_packet_id = self.next_packet_id % 50 + 1;
            let id = self.next_packet_id;
            let taken = self.outgoing.iter().any(|publish| publish.packet_id == id);
            if !taken && !self.asked.contains_key(&id) {
                return id;
            }
        }
    }

    pub fn may_ask(&self) -> bool {
        self.connected && self.outgoing.len() < 25 && self.asked.len() < 10
    }

    pub fn has_unanswered_publishes(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub fn ping(&mut self) {
        self.pings += 1;
        self.send(&Packet::PingReq);
    }

    pub fn publish(&mut self, model: &mut Model, topic: &str, qos: u8, size: usize) {
        let message = model.sends(topic, qos, size);
        let packet_id = if qos > 0 { self.packet_id() } else { 0 };
        let index = self.index;
        model.say(|| {
            format!("client {index} publishes message {message}: {topic}, QoS {qos}, id {packet_id}, {size} bytes")
        });
        if qos > 0 {
            self.outgoing.push_back(Outgoing { packet_id, message, released: false });
        }
        self.send_publish(model, packet_id, message, false);
    }

    fn send_publish(&mut self, model: &Model, packet_id: u16, id: u32, dup: bool) {
        let message = model.message(id);
        let mut payload = vec![0; message.size];
        payload[..4].copy_from_slice(&id.to_be_bytes());
        self.send(&Packet::Publish(Publish {
            dup,
            qos: qos_of(message.qos),
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

    pub fn subscribe(&mut self, model: &mut Model, filter: &str, qos: u8) {
        if qos == 0 {
            self.expects_no_longer(model, filter);
        }
        let packet_id = self.packet_id();
        model.say(|| format!("client {} subscribes to {filter} at QoS {qos}", self.index));
        self.asked.insert(packet_id, Asked::Subscribe(filter.to_owned(), qos));
        self.send(&Packet::Subscribe(Box::new(Subscribe {
            packet_id: PacketId::new(packet_id).unwrap(),
            subscription_id: None,
            filters: vec![SubscribeFilter {
                filter: TopicFilter::new(filter).unwrap(),
                options: SubscriptionOptions { qos: qos_of(qos), ..SubscriptionOptions::default() },
            }],
            user_properties: Vec::new(),
        })));
    }

    pub fn unsubscribe(&mut self, model: &mut Model, filter: &str) {
        self.expects_no_longer(model, filter);
        let packet_id = self.packet_id();
        model.say(|| format!("client {} unsubscribes from {filter}", self.index));
        self.asked.insert(packet_id, Asked::Unsubscribe);
        self.send(&Packet::Unsubscribe(Box::new(Unsubscribe {
            packet_id: PacketId::new(packet_id).unwrap(),
            filters: vec![TopicFilter::new(filter).unwrap()],
            user_properties: Vec::new(),
        })));
    }

    /// Also drops expectations from requests that are not answered yet.
    fn expects_no_longer(&mut self, model: &mut Model, filter: &str) {
        model.unsubscribes(self.index, filter);
        for asked in self.asked.values_mut() {
            if let Asked::Subscribe(of, qos) = asked
                && of == filter
            {
                *qos = 0;
            }
        }
    }

    /// Sends the first acknowledgement that is due.
    pub fn acknowledge(&mut self) -> bool {
        let Some(owed) = self.owed.pop_front() else { return false };
        match owed {
            Owed::Ack(id) => self.send(&Packet::PubAck(ack(id))),
            Owed::Rec(id) => self.send(&Packet::PubRec(ack(id))),
            Owed::Comp(id) => self.send(&Packet::PubComp(ack(id))),
        }
        true
    }

    pub fn disconnect(&mut self) {
        self.send(&Packet::Disconnect(Box::default()));
    }

    /// Its unanswered requests as text; empty if there are none.
    pub fn waits_for(&self) -> String {
        let mut waits = Vec::new();
        if self.pings > 0 {
            waits.push(format!("{} PINGRESP", self.pings));
        }
        for (id, asked) in &self.asked {
            waits.push(format!("an answer to {asked:?} with packet id {id}"));
        }
        for Outgoing { packet_id, message, released } in &self.outgoing {
            let answer = if *released { "PUBCOMP" } else { "PUBACK or PUBREC" };
            waits.push(format!("{answer} {packet_id} for message {message}"));
        }
        waits.join(", ")
    }
}

pub(crate) fn ack(id: u16) -> Ack {
    Ack {
        packet_id: PacketId::new(id).unwrap(),
        reason: ReasonCode::Success,
        reason_string: None,
        user_properties: Vec::new(),
    }
}

fn qos_of(qos: u8) -> QoS {
    QoS::from_bits(qos).unwrap()
}
