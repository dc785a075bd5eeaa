//! A client that follows the specification: it keeps its half of the session over connections,
//! sends unacknowledged messages again, and acknowledges at random moments.

use std::collections::{BTreeMap, VecDeque};

use ferrymq::protocol::{
    Ack, Connect, Disconnect, LastWill, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe,
    SubscribeFilter, SubscriptionOptions, TopicFilter, TopicName, Unsubscribe, Version,
};

use crate::common::rng::Rng;
use crate::habits::Habits;
use crate::memory::LEAST_SHARE;
use crate::model::{Model, Step};
use crate::wire::{Got, Link, Received};

/// The state of one of its own publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flight {
    Sent,
    Released,
}

#[derive(Debug, Clone)]
struct Outgoing {
    packet_id: u16,
    message: u32,
    flight: Flight,
}

/// A request without an answer yet.
#[derive(Debug, Clone)]
enum Asked {
    Subscribe(Vec<(String, u8)>, Step),
    Unsubscribe(String, Step),
}

/// A packet that it has yet to send.
#[derive(Debug, Clone, Copy)]
enum Owed {
    Ack(u16),
    Rec(u16),
    Comp(u16),
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // The bools are independent.
pub struct Client {
    pub index: usize,
    pub version: Version,
    /// Seconds; 0 is a session that ends with its connection.
    pub expiry: u32,
    receive_maximum: Option<u16>,
    aliases: u16,
    will: bool,
    /// Number of the link that it uses.
    pub link: Option<u64>,
    pub connected: bool,
    /// True if CONNECT asks for a new session, until one has been answered.
    wants_clean: bool,
    /// True if the server may have its session.
    has_session: bool,
    /// True if an operator may have removed the session that it expects.
    removed: bool,
    /// True if an operator may still remove it.
    removing: bool,
    /// When such a removal last began or ended.
    removed_at: Step,
    /// The earliest time at which the connection may have been lost, in milliseconds.
    pub lost_at: u64,
    /// Number of CONNECTs since then.
    attempts: u32,
    asked_clean: bool,
    /// True if this connection has resumed a durable session that is to end with it.
    briefly: bool,
    connect_at: Step,
    current_will: Option<u32>,
    /// Bytes of the will in the last CONNECT.
    will_size: usize,
    /// The will of a lost connection; the broker may not have noticed the loss yet.
    lost_will: Option<u32>,
    outgoing: VecDeque<Outgoing>,
    next_packet_id: u16,
    asked: BTreeMap<u16, Asked>,
    /// QoS 2 packet ids that it has received and that PUBREL has not released, with their
    /// messages.
    open: BTreeMap<u16, u32>,
    /// Packet ids in flight to it on this connection, which must not be reused [MQTT-2.2.1-4].
    in_flight: BTreeMap<u16, u32>,
    owed: VecDeque<Owed>,
    habits: Habits,
}

impl Client {
    pub fn new(index: usize, habits: Habits, rng: &mut Rng) -> Self {
        let all = [Version::V31, Version::V311, Version::V5, Version::V5];
        // Only MQTT 5.0 has will delays and message expiry.
        let only = habits.delayed > 50 || habits.brief > 0;
        let version = *rng.pick(if only { &all[2..] } else { &all[..] });
        let expiry = match (version, rng.between(0, 10)) {
            (_, 0 | 1) => 0,
            (Version::V5, 2) => 30,
            (Version::V5, _) => 100_000,
            _ => u32::MAX,
        };
        Self {
            index,
            version,
            expiry,
            receive_maximum: rng.percent(30).then(|| *rng.pick(&[1, 2, 5])),
            aliases: *rng.pick(&[0, 0, 4]),
            will: rng.percent(habits.wills),
            link: None,
            connected: false,
            wants_clean: false,
            has_session: false,
            removed: false,
            removing: false,
            removed_at: 0,
            lost_at: 0,
            attempts: 0,
            asked_clean: false,
            briefly: false,
            connect_at: 0,
            current_will: None,
            will_size: 0,
            lost_will: None,
            outgoing: VecDeque::new(),
            next_packet_id: 0,
            asked: BTreeMap::new(),
            open: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            owed: VecDeque::new(),
            habits,
        }
    }

    /// A client that reads retained messages and leaves no session.
    pub fn observer(index: usize, habits: Habits, rng: &mut Rng) -> Self {
        let receive_maximum = None;
        let (version, expiry) = (Version::V5, 0);
        Self { version, expiry, receive_maximum, will: false, ..Self::new(index, habits, rng) }
    }

    pub fn is_durable(&self) -> bool {
        self.expiry > 0
    }

    /// True if an operator may remove its session: it has one, and CONNACK will tell it.
    pub fn is_removable(&self) -> bool {
        self.has_session && self.outlives() && !self.wants_clean && self.version > Version::V31
    }

    /// True if the session outlives this connection. Older versions have one flag for a new
    /// session and for one that ends with its connection.
    fn outlives(&self) -> bool {
        self.is_durable() && !self.briefly && (self.version == Version::V5 || !self.asked_clean)
    }

    /// Discards its session state: the next CONNECT asks for a new session.
    pub fn wants_new_session(&mut self, model: &mut Model) {
        debug_assert!(self.link.is_none(), "between two connections");
        self.wants_clean = true;
        self.forget(model, false);
    }

    /// An operator is about to remove its session, or has done so: the client learns this only
    /// when it reconnects.
    pub fn is_removed(&mut self, over: bool, model: &mut Model) {
        model.new_session(self.index, false);
        self.has_session = false;
        self.removed = true;
        // The operator decides whether the will is published.
        self.current_will = None;
        if let Some(will) = self.lost_will.take() {
            model.message_mut(will).due = false;
        }
        self.removing = !over;
        self.removed_at = model.step;
    }

    fn forget(&mut self, model: &mut Model, certainly: bool) {
        model.new_session(self.index, certainly);
        self.outgoing.clear();
        self.open.clear();
        self.has_session = false;
        self.removed = self.removing;
    }

    pub fn connect(&mut self, number: u64, model: &mut Model, rng: &mut Rng, now: u64) -> Link {
        // The client could not tell whether the broker has made a new session for a CONNACK
        // that was lost, so it starts a new one itself.
        let expired = now.saturating_sub(self.lost_at) >= u64::from(self.expiry) * 1000;
        if (self.has_session && expired || self.removed) && self.attempts > 0 {
            self.wants_new_session(model);
        }
        self.attempts += 1;
        self.link = Some(number);
        self.connected = false;
        self.asked_clean = self.wants_clean || !self.is_durable();
        self.briefly = self.habits.resumes_briefly
            && self.version == Version::V5
            && self.has_session
            && self.is_durable()
            && !self.asked_clean
            && number.is_multiple_of(4);
        model.passes(self.index, !self.outlives());
        self.connect_at = model.step;
        self.asked.clear();
        self.in_flight.clear();
        self.owed.clear();
        self.will_size = 0;
        let will = (self.will && rng.percent(60)).then(|| {
            let qos = rng.between(0, 3);
            let topic = format!("w/{}", self.index);
            let id = model.leaves_will(self.index, &topic, u8::try_from(qos).unwrap(), now);
            let delayed = self.version == Version::V5 && rng.percent(self.habits.delayed);
            let delay = if delayed { 5 } else { 0 };
            self.current_will = (delay == 0).then_some(id);
            let large = model.short_memory && id.is_multiple_of(3);
            self.will_size = if large { LEAST_SHARE + 4_000 } else { 4 };
            LastWill {
                topic: TopicName::new(&topic).unwrap(),
                payload: payload(id, self.will_size),
                qos: qos_of(u8::try_from(qos).unwrap()),
                retain: false,
                delay,
                expiry: None,
                properties: Vec::new(),
            }
        });
        if will.is_none() {
            self.current_will = None;
        }
        let v5 = self.version == Version::V5;
        let connect = Connect {
            clean_start: self.asked_clean,
            will,
            session_expiry: (v5 && self.expiry > 0 && !self.briefly).then_some(self.expiry),
            receive_maximum: self.receive_maximum.filter(|_| v5),
            topic_alias_maximum: if v5 { self.aliases } else { 0 },
            ..Connect::new(self.version, format!("client{}", self.index))
        };
        let mut frame = bytes::BytesMut::new();
        ferrymq::protocol::encode::connect(&mut frame, &connect);
        Link::new(self.index, number, self.version, frame.to_vec())
    }

    fn packet_id(&mut self) -> u16 {
        if self.habits.smallest_id {
            self.next_packet_id = 0;
        }
        loop {
            self.next_packet_id = self.next_packet_id % self.habits.packet_ids + 1;
            let id = self.next_packet_id;
            let used =
                self.outgoing.iter().any(|o| o.packet_id == id) || self.asked.contains_key(&id);
            if !used {
                return id;
            }
        }
    }

    pub fn may_publish(&self) -> bool {
        let used = self.outgoing.len() + self.asked.len();
        self.connected && used < usize::from(self.habits.packet_ids) - 8 && self.asked.len() < 5
    }

    pub fn publish(&mut self, link: &mut Link, model: &mut Model, rng: &mut Rng, now: u64) {
        let drawn = *rng.pick(&[0, 1, 1, 2, 2]);
        let qos = if rng.percent(self.habits.qos2) { 2 } else { drawn };
        if rng.percent(self.habits.retained_topics) {
            let topic = *rng.pick(&RETAINED);
            let brief = self.version == Version::V5 && rng.percent(self.habits.brief);
            let expiry = brief.then(|| *rng.pick(&[1, 2]));
            let message = model.sends(self.index, topic, qos, true, expiry, now);
            self.send(link, model, message);
            return;
        }
        let topic = *rng.pick(&["t/0", "t/0", "t/1", "u/a/b", "s/0", "s/1", "nobody"]);
        let expiry = (self.version == Version::V5 && rng.percent(8)).then(|| *rng.pick(&[1, 10]));
        let retain = expiry.is_none() && topic != "s/0" && topic != "s/1" && rng.percent(15);
        let message = model.sends(self.index, topic, qos, retain, expiry, now);
        self.send(link, model, message);
    }

    /// Publishes a message at QoS 1 that must reach all subscribers.
    pub fn probe(&mut self, link: &mut Link, model: &mut Model, topic: &str, now: u64) {
        let message = model.sends(self.index, topic, 1, false, None, now);
        self.send(link, model, message);
    }

    fn send(&mut self, link: &mut Link, model: &mut Model, message: u32) {
        let qos = model.message(message).qos;
        let packet_id = if qos > 0 { self.packet_id() } else { 0 };
        if qos > 0 {
            self.outgoing.push_back(Outgoing { packet_id, message, flight: Flight::Sent });
        }
        Self::send_publish(link, model, packet_id, message, false);
    }

    fn send_publish(link: &mut Link, model: &mut Model, packet_id: u16, id: u32, dup: bool) {
        model.message_mut(id).connection = link.number;
        let message = model.message(id);
        let large = if id.is_multiple_of(29) { 6_000 } else { 0 };
        let size = 4 + ((id as usize * 37) % 700 + large) * model.scale;
        link.send(&Packet::Publish(Publish {
            dup,
            qos: qos_of(message.qos),
            retain: message.retain,
            packet_id: PacketId::new(packet_id),
            topic: &message.topic,
            topic_alias: None,
            expiry: message.expiry,
            properties: std::borrow::Cow::Borrowed(&[]),
            subscription_ids: Vec::new(),
            payload: &payload(id, size),
        }));
    }

    /// Only MQTT 5.0 has shared subscriptions.
    fn filters(&self) -> &'static [&'static str] {
        let all = &["t/#", "u/a/+", "t/0", "t/+", "w/#", "r/+", "$share/g/s/#"];
        let shared = if self.version == Version::V5 { all.len() } else { all.len() - 1 };
        &all[..shared.min(self.habits.filters)]
    }

    pub fn subscribe(&mut self, link: &mut Link, model: &mut Model, rng: &mut Rng) {
        let known = self.filters();
        let count = rng.between(1, 3);
        let mut filters: Vec<(String, u8)> = Vec::new();
        for _ in 0..count {
            let filter = (*rng.pick(known)).to_owned();
            if filters.iter().all(|(known, _)| *known != filter) {
                filters.push((filter, u8::try_from(*rng.pick(&[0, 1, 1, 2, 2, 2])).unwrap()));
            }
        }
        for (filter, qos) in &filters {
            model.subscribes(self.index, filter, *qos);
        }
        let lines = filters.iter().map(|(filter, qos)| SubscribeFilter {
            filter: TopicFilter::new(filter).unwrap(),
            options: SubscriptionOptions { qos: qos_of(*qos), ..SubscriptionOptions::default() },
        });
        let packet_id = self.packet_id();
        link.send(&Packet::Subscribe(Box::new(Subscribe {
            packet_id: PacketId::new(packet_id).unwrap(),
            subscription_id: None,
            filters: lines.collect(),
            user_properties: Vec::new(),
        })));
        self.asked.insert(packet_id, Asked::Subscribe(filters, model.step));
    }

    pub fn unsubscribe(&mut self, link: &mut Link, model: &mut Model, rng: &mut Rng) {
        let filter = *rng.pick(self.filters());
        model.unsubscribes(self.index, filter);
        let packet_id = self.packet_id();
        link.send(&Packet::Unsubscribe(Box::new(Unsubscribe {
            packet_id: PacketId::new(packet_id).unwrap(),
            filters: vec![TopicFilter::new(filter).unwrap()],
            user_properties: Vec::new(),
        })));
        self.asked.insert(packet_id, Asked::Unsubscribe(filter.to_owned(), model.step));
    }

    /// Sends the first acknowledgement that is due.
    pub fn acknowledge(&mut self, link: &mut Link) -> bool {
        let Some(owed) = self.owed.pop_front() else { return false };
        match owed {
            Owed::Ack(id) => {
                self.in_flight.remove(&id);
                link.send(&Packet::PubAck(ack(id)));
            }
            Owed::Rec(id) => link.send(&Packet::PubRec(ack(id))),
            Owed::Comp(id) => {
                self.in_flight.remove(&id);
                link.send(&Packet::PubComp(ack(id)));
            }
        }
        true
    }

    pub fn disconnect(&mut self, link: &mut Link, rng: &mut Rng, now: u64) {
        let v5 = self.version == Version::V5;
        let reason = if v5 && rng.percent(20) {
            ReasonCode::DisconnectWithWill
        } else {
            ReasonCode::Success
        };
        link.send(&Packet::Disconnect(Box::new(Disconnect { reason, ..Disconnect::default() })));
        // The broker may or may not read it.
        self.current_will = None;
        self.connected = false;
        self.lost_at = now;
    }

    /// Handles the loss of the connection on the client's side.
    pub fn lost(&mut self, model: &mut Model, since: u64) {
        if let Some(will) = self.current_will.take()
            && self.connected
            && (self.outlives() || model.store_wills)
        {
            model.will_is_due(will);
            self.lost_will = Some(will);
        }
        self.link = None;
        if self.connected {
            self.lost_at = since;
        }
        self.connected = false;
        if !self.outlives() && (self.has_session || self.removed) {
            self.forget(model, false);
        }
        // The client cannot know whether the broker has seen its CONNECT.
        self.wants_clean |= self.briefly;
    }

    pub fn on(&mut self, got: &Got, link: &mut Link, model: &mut Model, now: u64) {
        match got {
            Got::ConnAck { present, reason } => {
                self.on_connack(*present, *reason, link, model, now);
            }
            Got::Publish(received) => self.on_publish(received, model, link.number),
            Got::PubAck(id, reason) => self.on_puback(*id, *reason, model),
            Got::PubRec(id, reason) => self.on_pubrec(*id, *reason, link, model),
            Got::PubRel(id) => {
                self.open.remove(id);
                self.owed.push_back(Owed::Comp(*id));
            }
            Got::PubComp(id) => {
                self.outgoing.retain(|o| o.packet_id != *id || o.flight != Flight::Released);
            }
            Got::SubAck(id, reasons) => self.on_suback(*id, reasons, model),
            Got::UnsubAck(id) => match self.asked.remove(id) {
                Some(Asked::Unsubscribe(filter, asked)) => {
                    model.unsubscribed(self.index, &filter, asked);
                }
                other => panic!("UNSUBACK for {other:?}"),
            },
            Got::Disconnect(ReasonCode::QuotaExceeded) => {
                let index = self.index;
                assert!(model.may_lose_to(index), "client {index} has lost nothing: 0x97");
            }
            Got::Disconnect(_) | Got::Pong => {}
        }
    }

    fn on_connack(
        &mut self,
        present: bool,
        reason: ReasonCode,
        link: &mut Link,
        model: &mut Model,
        now: u64,
    ) {
        if reason == ReasonCode::ServerBusy {
            let large = model.short_memory && self.will_size > LEAST_SHARE;
            assert!(large, "client {} was refused for a small will", self.index);
            model.gave_way.wills += 1;
        }
        if reason != ReasonCode::Success {
            return;
        }
        self.connected = true;
        let certain = self.has_session;
        // MQTT 3.1 has no Session Present flag; operators do not remove its sessions here.
        let present = if self.version == Version::V31 { certain } else { present };
        let lived = u64::from(self.expiry) * 1000;
        if self.asked_clean {
            assert!(!present, "a clean start finds no session [MQTT-3.2.2-2]");
            model.no_session_before(self.index, self.connect_at);
        } else if certain && !present {
            assert!(
                now.saturating_sub(self.lost_at) >= lived,
                "LOST: the session of client {} after {} ms",
                self.index,
                now.saturating_sub(self.lost_at)
            );
        }
        if !present && !self.asked_clean {
            self.forget(model, false);
            model.no_session_before(self.index, self.connect_at);
        }
        self.wants_clean = false;
        // The answer may be older than the removal.
        self.removed = self.removing || self.removed_at >= self.connect_at.max(1);
        self.has_session = !self.removed;
        self.attempts = 0;
        if present {
            self.resume(link, model);
        }
    }

    /// Sends everything unacknowledged again, in order [MQTT-4.4.0-1].
    fn resume(&self, link: &mut Link, model: &mut Model) {
        for outgoing in &self.outgoing {
            match outgoing.flight {
                Flight::Sent => {
                    model.sends_again(outgoing.message);
                    Self::send_publish(link, model, outgoing.packet_id, outgoing.message, true);
                }
                Flight::Released => link.send(&Packet::PubRel(ack(outgoing.packet_id))),
            }
        }
    }

    fn on_publish(&mut self, received: &Received, model: &mut Model, connection: u64) {
        let id = received.packet_id;
        let known = self.open.get(&id).copied().filter(|_| received.qos == 2);
        assert!(
            known.is_none_or(|known| known == received.message),
            "message {} came under packet id {id}, which message {known:?} has until PUBREL",
            received.message
        );
        let open = known.is_some();
        model.receives(self.index, connection, received, open);
        if received.qos == 0 {
            return;
        }
        let before = self.in_flight.insert(id, received.message);
        assert!(before.is_none(), "packet id {id} is in flight already [MQTT-2.2.1-4]");
        if let Some(maximum) = self.receive_maximum.filter(|_| self.version == Version::V5) {
            assert!(
                self.in_flight.len() <= usize::from(maximum),
                "more in flight than the receive maximum [MQTT-3.3.4-9]"
            );
        }
        if received.qos == 1 {
            self.owed.push_back(Owed::Ack(id));
        } else {
            self.open.insert(id, received.message);
            self.owed.push_back(Owed::Rec(id));
        }
    }

    fn on_puback(&mut self, id: u16, reason: ReasonCode, model: &mut Model) {
        let at = self.outgoing.iter().position(|o| o.packet_id == id);
        let Some(outgoing) = at.and_then(|at| self.outgoing.remove(at)) else {
            panic!("PUBACK for {id}, which is not under way");
        };
        assert_eq!(model.message(outgoing.message).qos, 1, "PUBACK for QoS 2");
        if reason.is_failure() {
            model.refused(outgoing.message);
        } else {
            model.acknowledged(outgoing.message);
        }
    }

    fn on_pubrec(&mut self, id: u16, reason: ReasonCode, link: &mut Link, model: &mut Model) {
        let Some(at) = self.outgoing.iter().position(|o| o.packet_id == id) else {
            panic!("PUBREC for {id}, which is not under way");
        };
        if reason.is_failure() {
            model.refused(self.outgoing[at].message);
            self.outgoing.remove(at);
            return;
        }
        let outgoing = &mut self.outgoing[at];
        assert_eq!(model.message(outgoing.message).qos, 2, "PUBREC for QoS 1");
        outgoing.flight = Flight::Released;
        model.acknowledged(outgoing.message);
        link.send(&Packet::PubRel(ack(id)));
    }

    fn on_suback(&mut self, id: u16, reasons: &[ReasonCode], model: &mut Model) {
        let Some(Asked::Subscribe(filters, asked)) = self.asked.remove(&id) else {
            panic!("SUBACK for {id}, which was not asked for");
        };
        assert_eq!(filters.len(), reasons.len(), "[MQTT-3.8.4-5]");
        for ((filter, _), reason) in filters.iter().zip(reasons) {
            if reason.is_failure() {
                model.may_refuse_subscription();
            }
            model.subscribed(self.index, filter, asked, !reason.is_failure());
        }
    }
}

/// Topics used only for retained messages.
pub const RETAINED: [&str; 6] = ["r/0", "r/1", "r/2", "r/3", "r/4", "r/5"];

fn ack(id: u16) -> Ack {
    Ack {
        packet_id: PacketId::new(id).unwrap(),
        reason: ReasonCode::Success,
        reason_string: None,
        user_properties: Vec::new(),
    }
}

fn payload(id: u32, size: usize) -> Vec<u8> {
    let mut payload = vec![0; size.max(4)];
    payload[..4].copy_from_slice(&id.to_be_bytes());
    payload
}

fn qos_of(qos: u8) -> QoS {
    QoS::from_bits(qos).unwrap()
}
