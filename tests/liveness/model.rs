//! The messages that each client is owed: accepted at QoS 1 or 2 after a subscription of a
//! durable session was acknowledged, and not received since.

use std::collections::{BTreeMap, BTreeSet};

use ferrymq::protocol::{TopicFilter, matches};

pub type Step = u64;

#[derive(Debug, Clone)]
pub struct Message {
    pub topic: String,
    pub qos: u8,
    pub size: usize,
    pub sent: Step,
}

#[derive(Debug, Default)]
struct Receiver {
    /// The step from which each subscription certainly exists.
    subscriptions: BTreeMap<String, Step>,
    received: BTreeSet<u32>,
    owed: BTreeSet<u32>,
    /// Larger packets are not sent to it [MQTT-3.1.2-24].
    max_packet: usize,
}

#[derive(Debug, Default)]
pub struct Model {
    pub step: Step,
    /// Print what happens.
    pub trace: bool,
    messages: Vec<Message>,
    receivers: Vec<Receiver>,
    pub accepted: u64,
    pub received: u64,
}

/// More than the size of a PUBLISH without its payload.
const HEAD: usize = 64;

impl Receiver {
    /// True if a subscription that exists now existed when the message was sent.
    fn is_subscribed_to(&self, message: &Message) -> bool {
        self.subscriptions.iter().any(|(filter, since)| {
            let filter = TopicFilter::new(filter).unwrap();
            *since < message.sent && matches(filter.matched(), &message.topic)
        })
    }
}

impl Model {
    pub fn add_receiver(&mut self, max_packet: Option<u32>) {
        let max_packet = max_packet.map_or(usize::MAX, |max| usize::try_from(max).unwrap());
        self.receivers.push(Receiver { max_packet, ..Receiver::default() });
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:5}   {}", self.step, what());
        }
    }

    pub fn sends(&mut self, topic: &str, qos: u8, size: usize) -> u32 {
        self.messages.push(Message { topic: topic.to_owned(), qos, size, sent: self.step });
        u32::try_from(self.messages.len() - 1).unwrap()
    }

    pub fn message(&self, id: u32) -> &Message {
        &self.messages[id as usize]
    }

    /// The message was acknowledged to its publisher.
    pub fn accepts(&mut self, id: u32) {
        self.accepted += 1;
        let message = &self.messages[id as usize];
        for receiver in &mut self.receivers {
            let fits = message.size + HEAD <= receiver.max_packet;
            if receiver.is_subscribed_to(message) && fits && !receiver.received.contains(&id) {
                receiver.owed.insert(id);
            }
        }
    }

    pub fn receives(&mut self, client: usize, id: u32) {
        self.received += 1;
        self.receivers[client].received.insert(id);
        self.receivers[client].owed.remove(&id);
    }

    /// SUBACK was received for a subscription at QoS 1 or more, not shared, of a durable
    /// session.
    pub fn subscribed(&mut self, client: usize, filter: &str) {
        let step = self.step;
        self.receivers[client].subscriptions.entry(filter.to_owned()).or_insert(step);
    }

    /// UNSUBSCRIBE was sent, or a SUBSCRIBE with a lower QoS: from now on, messages that
    /// matched only this filter may arrive or not.
    pub fn unsubscribes(&mut self, client: usize, filter: &str) {
        let receiver = &mut self.receivers[client];
        receiver.subscriptions.remove(filter);
        let mut owed = std::mem::take(&mut receiver.owed);
        owed.retain(|id| receiver.is_subscribed_to(&self.messages[*id as usize]));
        receiver.owed = owed;
    }

    pub fn session_ends(&mut self, client: usize) {
        self.receivers[client].subscriptions.clear();
        self.receivers[client].owed.clear();
    }

    pub fn owed(&self, client: usize) -> &BTreeSet<u32> {
        &self.receivers[client].owed
    }
}
