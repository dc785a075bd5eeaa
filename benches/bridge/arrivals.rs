//! A durable subscriber at the remote broker, which notes when messages arrive and whether they
//! are in order.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use crate::common::raw::{self, Packet, Raw};

const CLIENT_ID: &str = "arrivals";

/// A topic's messages.
#[derive(Default)]
pub struct Topic {
    /// Messages that came for the first time.
    pub count: u64,
    pub repeated: u64,
    pub disordered: u64,
    pub first: Option<Instant>,
    pub last: Option<Instant>,
}

#[derive(Default)]
pub struct Arrivals {
    pub topics: BTreeMap<String, Topic>,
}

/// Creates the session.
pub fn subscribe(port: u16, filter: &str) {
    let mut client = Raw::connect(port, 4, CLIENT_ID, false).unwrap();
    client.subscribe(filter, 1).unwrap();
}

impl Arrivals {
    /// Receives until `done`, which is asked after each message.
    pub fn receive(
        &mut self,
        port: u16,
        patience: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> io::Result<()> {
        let mut client = Raw::connect(port, 4, CLIENT_ID, false)?;
        client.patience(patience);
        let mut out = Vec::new();
        while !done(self) {
            let Packet::Publish(message) = client.recv()? else { panic!("no PUBLISH") };
            raw::ack(&mut out, raw::PUBACK, message.pid);
            self.note(&message.topic, &message.payload);
            if !client.has_packet() {
                client.send(&out)?;
                out.clear();
            }
        }
        client.send(&out)?;
        client.until_ping().map(drop)
    }

    fn note(&mut self, topic: &str, payload: &[u8]) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), Topic::default());
        }
        let topic = self.topics.get_mut(topic).unwrap();
        let sequence = u64::from_be_bytes(payload[..8].try_into().unwrap());
        if sequence < topic.count {
            topic.repeated += 1;
            return;
        }
        topic.disordered += u64::from(sequence > topic.count);
        topic.count = sequence + 1;
        let now = Instant::now();
        topic.first.get_or_insert(now);
        topic.last = Some(now);
    }

    pub fn count(&self, topic: &str) -> u64 {
        self.topics.get(topic).map_or(0, |topic| topic.count)
    }

    /// Begins to measure anew.
    pub fn forget_times(&mut self) {
        for topic in self.topics.values_mut() {
            (topic.first, topic.last) = (None, None);
        }
    }
}
