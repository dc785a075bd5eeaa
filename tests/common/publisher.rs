//! A publisher with a durable session that resumes it as the specification asks:
//! unacknowledged PUBLISH again with DUP, in their order, and PUBREL where PUBREC
//! had come.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::raw::{self, Packet, Publish, Raw};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sent,
    Released,
}

pub struct Publisher {
    pub name: String,
    pub qos: u8,
    /// Sequence numbers below this have been given out.
    pub next: u64,
    /// What the broker has taken responsibility for: PUBACK or PUBREC.
    pub acknowledged: u64,
    version: u8,
    window: usize,
    size: usize,
    free: VecDeque<u16>,
    order: BTreeMap<u64, u16>,
    states: BTreeMap<u16, (u64, State)>,
}

impl Publisher {
    pub fn new(name: &str, version: u8, qos: u8, window: u16) -> Self {
        Self {
            name: name.into(),
            qos,
            next: 0,
            acknowledged: 0,
            version,
            window: window.into(),
            size: 64,
            free: (1..=window).collect(),
            order: BTreeMap::new(),
            states: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn with_payload(mut self, size: usize) -> Self {
        self.size = size.max(8);
        self
    }

    pub fn topic(&self) -> String {
        format!("crash/{}", self.name)
    }

    fn message(&self, pid: u16, sequence: u64, dup: bool) -> Publish {
        let mut payload = vec![0; self.size];
        payload[..8].copy_from_slice(&sequence.to_be_bytes());
        Publish { dup, qos: self.qos, pid, topic: self.topic(), payload }
    }

    /// Publishes until `limit` sequence numbers have been given out and all are
    /// acknowledged to their end, or the connection breaks.
    pub fn run(&mut self, port: u16, limit: u64) -> io::Result<()> {
        let mut client = Raw::connect(port, self.version, &self.name, false)?;
        let mut out = Vec::new();
        if client.session_present {
            self.resume(&mut out);
        } else {
            assert!(self.next == 0, "{}: the session is gone", self.name);
        }
        loop {
            while self.next < limit && self.states.len() < self.window {
                let pid = self.free.pop_front().unwrap();
                raw::publish(&mut out, self.version, &self.message(pid, self.next, false));
                self.order.insert(self.next, pid);
                self.states.insert(pid, (self.next, State::Sent));
                self.next += 1;
            }
            client.send(&out)?;
            out.clear();
            if self.states.is_empty() {
                return Ok(());
            }
            self.handle(client.recv()?, &mut out);
            while client.has_packet() {
                let packet = client.recv()?;
                self.handle(packet, &mut out);
            }
        }
    }

    fn resume(&self, out: &mut Vec<u8>) {
        for (sequence, pid) in &self.order {
            match self.states[pid].1 {
                State::Sent => {
                    raw::publish(out, self.version, &self.message(*pid, *sequence, true));
                }
                State::Released => raw::ack(out, raw::PUBREL, *pid),
            }
        }
    }

    fn handle(&mut self, packet: Packet, out: &mut Vec<u8>) {
        match packet {
            Packet::PubAck(pid, reason) => {
                assert!(self.qos == 1 && reason < 0x80, "{}: PUBACK {reason:#x}", self.name);
                self.acknowledged += 1;
                self.finish(pid);
            }
            Packet::PubRec(pid, reason) => {
                assert!(self.qos == 2 && reason < 0x80, "{}: PUBREC {reason:#x}", self.name);
                let (_, state) = self.states.get_mut(&pid).expect("PUBREC for an id under way");
                if *state == State::Sent {
                    self.acknowledged += 1;
                    *state = State::Released;
                }
                raw::ack(out, raw::PUBREL, pid);
            }
            Packet::PubComp(pid) => self.finish(pid),
            other => panic!("{}: unexpected {other:?}", self.name),
        }
    }

    fn finish(&mut self, pid: u16) {
        let (sequence, _) =
            self.states.remove(&pid).expect("an acknowledgement for an id under way");
        self.order.remove(&sequence);
        self.free.push_back(pid);
    }
}
