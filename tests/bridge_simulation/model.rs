//! What may and must arrive, and in which order.
//!
//! - A message arrives only as one of the forms that the rules of the bridges give it.
//! - What a publisher was acknowledged arrives at every durable subscriber of both brokers that
//!   a rule brings it to, or is a dead letter.
//! - What is at QoS 2 on the whole way arrives once, what is at QoS 0 once at most: on each way
//!   that leads there.
//! - Messages of one publisher, topic and QoS arrive in order: their first occurrences do.

use std::collections::BTreeMap;

use ferrymq::protocol::ReasonCode;

use crate::node::DeadLetter;
use crate::paths::{Arrival, arrivals};
use crate::shape::{Plan, Shape};

#[derive(Debug, Clone)]
pub struct Message {
    /// The broker at which it is published.
    pub from: usize,
    pub publisher: usize,
    pub topic: String,
    pub qos: u8,
    pub size: usize,
    pub acknowledged: bool,
}

#[derive(Debug, Default)]
struct Subscriber {
    /// The broker where it is.
    at: usize,
    /// How often each message has arrived.
    copies: BTreeMap<u32, u64>,
    /// The last message by publisher, topic and QoS.
    last: BTreeMap<(usize, String, u8), u32>,
}

#[derive(Debug, Default)]
pub struct Model {
    pub step: u64,
    messages: Vec<Message>,
    /// By the number of the client.
    subscribers: BTreeMap<usize, Subscriber>,
    /// Both brokers together.
    pub crashes: u64,
    pub cuts: u64,
    pub acknowledged: u64,
    pub received: u64,
    pub repeated: u64,
    pub refused: u64,
}

/// Bytes of a PUBLISH beside its payload, at most.
const HEAD: usize = 160;

impl Model {
    pub fn sends(&mut self, message: Message) -> u32 {
        self.messages.push(message);
        u32::try_from(self.messages.len() - 1).unwrap()
    }

    pub fn message(&self, id: u32) -> &Message {
        &self.messages[id as usize]
    }

    pub fn acknowledged(&mut self, id: u32) {
        let message = &mut self.messages[id as usize];
        if !std::mem::replace(&mut message.acknowledged, true) {
            self.acknowledged += 1;
        }
    }

    /// From now on the client receives what its broker has.
    pub fn subscribed(&mut self, client: usize, at: usize) {
        self.subscribers.insert(client, Subscriber { at, ..Subscriber::default() });
    }

    /// A message has arrived that is no repetition within its QoS 2 exchange.
    pub fn receives(&mut self, shape: &Shape, client: usize, id: u32, arrival: &Arrival) {
        self.received += 1;
        let message = self.messages.get(id as usize).expect("NOBODY has published it");
        let subscriber = self.subscribers.get_mut(&client).expect("a subscriber");
        let Message { from, topic, qos, .. } = message;
        let possible = arrivals(shape, *from, subscriber.at, topic, *qos);
        assert!(
            possible.contains(arrival),
            "WRONG: message {id}, {message:?}, arrived at client {client} as {arrival:?}, and \
             may arrive as {possible:?}"
        );
        let copies = subscriber.copies.entry(id).or_default();
        *copies += 1;
        self.repeated += u64::from(*copies > 1);
        let most = most_copies(shape, self.crashes, message, subscriber.at);
        // A publisher sends QoS 1 again that was not acknowledged to it, and so does a broker.
        let may_repeat = arrival.qos == 1 || *qos == 1;
        assert!(
            may_repeat || *copies <= most,
            "REPEATED: message {id}, {message:?}, is at client {client} {copies} times at QoS {}, \
             {most} allowed",
            arrival.qos
        );
        assert!(*copies <= 1_000, "ENDLESS: message {id}, {message:?}, at client {client}");
        if *copies == 1 && keeps_order(shape) {
            let line = (message.publisher, message.topic.clone(), message.qos);
            let before = subscriber.last.insert(line, id);
            assert!(
                before.is_none_or(|before| before < id),
                "ORDER: message {id}, {message:?}, at client {client} after {before:?}"
            );
        }
    }

    /// Everything is at rest.
    pub fn check_end(&self, shape: &Shape, dead: &[DeadLetter]) {
        for letter in dead {
            self.check_dead_letter(shape, letter);
        }
        let dead = |id: u32| dead.iter().any(|letter| letter.message == id);
        for (client, subscriber) in &self.subscribers {
            for (id, message) in (0..).zip(&self.messages) {
                let Message { from, topic, qos, .. } = message;
                let possible = arrivals(shape, *from, subscriber.at, topic, *qos);
                let is_owed = possible.iter().any(|arrival| arrival.qos > 0);
                if !message.acknowledged || !is_owed {
                    continue;
                }
                let is_here = subscriber.copies.contains_key(&id);
                let may_be_dead = *from != subscriber.at && dead(id);
                assert!(
                    is_here || may_be_dead,
                    "LOST: message {id}, {message:?}, never came to client {client} of broker {}",
                    subscriber.at
                );
            }
        }
    }

    fn check_dead_letter(&self, shape: &Shape, letter: &DeadLetter) {
        let message = self.message(letter.message);
        let is = |reason: ReasonCode| letter.reason == Some(reason as u8);
        let allowed = if is(ReasonCode::PacketTooLarge) {
            message.size + HEAD > shape.max_packet as usize
        } else if is(ReasonCode::QuotaExceeded) {
            shape.other_queue < 100
        } else {
            // The other end closed its connections after it, as far as the bridge could know:
            // links broke, or it is too large for a broker that cannot say so.
            // Before 5.0, that is how it says that its queues are full.
            let too_large = message.size + HEAD > shape.max_packet as usize;
            let closed = self.cuts + self.crashes >= 6 || shape.other_queue < 100 || too_large;
            letter.reason.is_none() && closed
        };
        assert!(allowed, "DEAD for nothing: {letter:?}, {message:?}");
    }
}

/// How often a message of QoS 0 or 2 may arrive at a subscriber.
fn most_copies(shape: &Shape, crashes: u64, message: &Message, at: usize) -> u64 {
    let is_back = message.from == at;
    match shape.plan {
        // A broker has another identifier after a restart, so that it does not know what it
        // has seen before.
        Plan::Circle => 2 * (crashes + 1) - u64::from(is_back && crashes == 0),
        _ => 1 + u64::from(is_back && shape.echoes()),
    }
}

/// Where two ways lead to a subscriber, or a message that was refused is sent again, the order
/// is not kept.
fn keeps_order(shape: &Shape) -> bool {
    shape.plan != Plan::Circle && shape.other_queue > 100
}
