//! A subscriber with a durable session that counts every delivery and keeps the receiver's
//! state of QoS 2 over reconnects. Like a publisher, it can keep a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::journal::Journal;
use super::raw::{self, Packet, Publish, Raw};

/// What was received from one publisher.
#[derive(Default, Clone)]
pub struct Account {
    /// How often each sequence number was received.
    pub times: Vec<u32>,
    /// Sequence numbers first received after a later one.
    pub out_of_order: Vec<u64>,
    highest: Option<u64>,
}

impl Account {
    fn note(&mut self, sequence: u64) {
        let index = usize::try_from(sequence).unwrap();
        if self.times.len() <= index {
            self.times.resize(index + 1, 0);
        }
        self.times[index] += 1;
        if self.times[index] == 1 {
            if self.highest.is_some_and(|highest| sequence < highest) {
                self.out_of_order.push(sequence);
            }
            self.highest = self.highest.max(Some(sequence));
        }
    }

    /// Sequence numbers below `count` that were never received.
    pub fn missing(&self, count: u64) -> Vec<u64> {
        (0..count)
            .filter(|n| self.times.get(usize::try_from(*n).unwrap()).is_none_or(|t| *t == 0))
            .collect()
    }

    pub fn repeated(&self) -> u64 {
        self.times.iter().map(|times| u64::from(times.saturating_sub(1))).sum()
    }

    pub fn received(&self) -> u64 {
        self.times.iter().map(|times| u64::from(*times)).sum()
    }
}

/// A change of a subscriber's state, recorded before the answer is sent.
#[derive(Debug, Clone)]
enum Step {
    /// Topic, sequence number, and at QoS 2 the packet id.
    Received(String, u64, Option<u16>),
    Released(u16),
}

#[derive(Clone)]
pub struct Subscriber {
    pub name: String,
    pub accounts: BTreeMap<String, Account>,
    pub version: u8,
    /// QoS 2 packet ids that were received and not released: another PUBLISH with one of them
    /// is a repeat.
    open: BTreeSet<u16>,
    journal: Journal<Step>,
}

impl Subscriber {
    pub fn new(name: &str, version: u8) -> Self {
        Self {
            name: name.into(),
            accounts: BTreeMap::new(),
            version,
            open: BTreeSet::new(),
            journal: Journal::default(),
        }
    }

    /// Records a journal from here on.
    #[must_use]
    pub fn with_journal(mut self) -> Self {
        self.journal.begin();
        self
    }

    /// Its state at a moment of [`super::journal::now`].
    pub fn as_of(&self, moment: u64) -> Self {
        let mut past = Self::new(&self.name, self.version);
        self.journal.until(moment).for_each(|step| past.apply(step));
        past
    }

    fn step(&mut self, step: Step) {
        self.journal.note(step.clone());
        self.apply(step);
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Received(topic, sequence, held) => {
                self.open.extend(held);
                self.accounts.entry(topic).or_default().note(sequence);
            }
            Step::Released(pid) => {
                self.open.remove(&pid);
            }
        }
    }

    pub fn connect(&mut self, port: u16) -> io::Result<Raw> {
        let client = Raw::connect(port, self.version, &self.name, false)?;
        assert!(
            client.session_present || self.accounts.is_empty(),
            "{}: the session is gone",
            self.name
        );
        Ok(client)
    }

    pub fn subscribe(&mut self, port: u16, filter: &str, qos: u8) {
        self.connect(port).unwrap().subscribe(filter, qos).unwrap();
    }

    /// Receives and acknowledges until `done` or the connection breaks.
    pub fn run(&mut self, client: &mut Raw, mut done: impl FnMut(&Self) -> bool) -> io::Result<()> {
        let mut out = Vec::new();
        while !(done(self) && self.open.is_empty()) {
            let packet = client.recv()?;
            self.handle(packet, &mut out)?;
            if !client.has_packet() {
                client.send(&out)?;
                out.clear();
            }
        }
        client.send(&out)?;
        // PINGRESP arrives after the broker has handled everything sent before.
        for packet in client.until_ping()? {
            let mut out = Vec::new();
            self.handle(packet, &mut out)?;
            client.send(&out)?;
        }
        Ok(())
    }

    fn handle(&mut self, packet: Packet, out: &mut Vec<u8>) -> io::Result<()> {
        match packet {
            Packet::Publish(message) => {
                match message.qos {
                    1 => raw::ack(out, raw::PUBACK, message.pid),
                    2 => raw::ack(out, raw::PUBREC, message.pid),
                    _ => {}
                }
                let is_repeat = message.qos == 2 && self.open.contains(&message.pid);
                assert!(!is_repeat || message.dup, "{}: a repeat without DUP", self.name);
                if !is_repeat {
                    self.note(message);
                }
            }
            Packet::PubRel(pid) => {
                self.step(Step::Released(pid));
                raw::ack(out, raw::PUBCOMP, pid);
            }
            Packet::Disconnect(reason) => {
                return Err(io::Error::other(format!("DISCONNECT {reason:#x}")));
            }
            other => panic!("{}: unexpected {other:?}", self.name),
        }
        Ok(())
    }

    fn note(&mut self, message: Publish) {
        let sequence = u64::from_be_bytes(message.payload[..8].try_into().unwrap());
        let held = (message.qos == 2).then_some(message.pid);
        self.step(Step::Received(message.topic, sequence, held));
    }

    /// True if the last of `count` messages of the topic was received.
    pub fn has(&self, topic: &str, count: u64) -> bool {
        count == 0
            || self
                .accounts
                .get(topic)
                .is_some_and(|account| account.highest.is_some_and(|h| h + 1 >= count))
    }

    pub fn received(&self) -> u64 {
        self.accounts.values().map(Account::received).sum()
    }

    pub fn repeated(&self) -> u64 {
        self.accounts.values().map(Account::repeated).sum()
    }
}
