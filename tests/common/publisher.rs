//! A publisher with a durable session that it resumes as the specification requires:
//! unacknowledged PUBLISH again with DUP, in order, and PUBREL after PUBREC. It can record its
//! steps and their times in a journal, and reconstruct its state at an earlier moment.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::journal::Journal;
use super::raw::{self, Packet, Publish, Raw};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sent,
    Released,
}

/// A change of a publisher's state. An acknowledgement counts when it was read, a message
/// before it is sent.
#[derive(Debug, Clone, Copy)]
enum Step {
    Sent,
    /// PUBACK or PUBREC.
    Received(u16),
    /// PUBCOMP.
    Finished(u16),
}

#[derive(Clone)]
pub struct Publisher {
    pub name: String,
    pub qos: u8,
    /// Sequence numbers below this have been used.
    pub next: u64,
    /// Number of messages with PUBACK or PUBREC.
    pub acknowledged: u64,
    /// The highest sequence number among these.
    pub highest: Option<u64>,
    pub retain: bool,
    pub version: u8,
    window: usize,
    size: usize,
    free: VecDeque<u16>,
    order: BTreeMap<u64, u16>,
    states: BTreeMap<u16, (u64, State)>,
    journal: Journal<Step>,
}

impl Publisher {
    pub fn new(name: &str, version: u8, qos: u8, window: u16) -> Self {
        Self {
            name: name.into(),
            qos,
            next: 0,
            acknowledged: 0,
            highest: None,
            retain: false,
            version,
            window: window.into(),
            size: 64,
            free: (1..=window).collect(),
            order: BTreeMap::new(),
            states: BTreeMap::new(),
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
        let window = u16::try_from(self.window).unwrap();
        let mut past = Self::new(&self.name, self.version, self.qos, window);
        (past.size, past.retain) = (self.size, self.retain);
        self.journal.until(moment).for_each(|step| past.apply(step));
        past
    }

    /// Moments at which it read an acknowledgement.
    pub fn moments(&self) -> impl Iterator<Item = u64> + '_ {
        self.journal.moments(|step| matches!(step, Step::Received(_)))
    }

    #[must_use]
    pub fn with_payload(mut self, size: usize) -> Self {
        self.size = size.max(8);
        self
    }

    pub fn topic(&self) -> String {
        format!("crash/{}", self.name)
    }

    fn step(&mut self, step: Step) {
        self.journal.note(step);
        self.apply(step);
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Sent => {
                let pid = self.free.pop_front().unwrap();
                self.order.insert(self.next, pid);
                self.states.insert(pid, (self.next, State::Sent));
                self.next += 1;
            }
            Step::Received(pid) => {
                let (sequence, state) =
                    self.states.get_mut(&pid).expect("an acknowledgement for an id under way");
                if *state == State::Sent {
                    self.acknowledged += 1;
                    self.highest = self.highest.max(Some(*sequence));
                    *state = State::Released;
                }
                if self.qos == 1 {
                    self.finish(pid);
                }
            }
            Step::Finished(pid) => self.finish(pid),
        }
    }

    fn finish(&mut self, pid: u16) {
        let (sequence, _) =
            self.states.remove(&pid).expect("an acknowledgement for an id under way");
        self.order.remove(&sequence);
        self.free.push_back(pid);
    }

    fn put(&self, out: &mut Vec<u8>, pid: u16, sequence: u64, dup: bool) {
        let start = out.len();
        raw::publish(out, self.version, &self.message(pid, sequence, dup));
        out[start] |= u8::from(self.retain);
    }

    fn message(&self, pid: u16, sequence: u64, dup: bool) -> Publish {
        let mut payload = vec![0; self.size];
        payload[..8].copy_from_slice(&sequence.to_be_bytes());
        Publish { dup, qos: self.qos, pid, topic: self.topic(), payload }
    }

    /// Publishes until `limit` sequence numbers have been used and all exchanges are complete,
    /// or the connection breaks.
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
                let (pid, sequence) = (self.free[0], self.next);
                self.step(Step::Sent);
                self.put(&mut out, pid, sequence, false);
            }
            client.send(&out)?;
            out.clear();
            if self.states.is_empty() {
                return Ok(());
            }
            self.handle(client.recv()?, &mut out)?;
            while client.has_packet() {
                let packet = client.recv()?;
                self.handle(packet, &mut out)?;
            }
        }
    }

    fn resume(&self, out: &mut Vec<u8>) {
        for (sequence, pid) in &self.order {
            match self.states[pid].1 {
                State::Sent => self.put(out, *pid, *sequence, true),
                State::Released => raw::ack(out, raw::PUBREL, *pid),
            }
        }
    }

    fn handle(&mut self, packet: Packet, out: &mut Vec<u8>) -> io::Result<()> {
        match packet {
            Packet::PubAck(pid, reason) => {
                assert!(self.qos == 1 && reason < 0x80, "{}: PUBACK {reason:#x}", self.name);
                self.step(Step::Received(pid));
            }
            Packet::PubRec(pid, reason) => {
                assert!(self.qos == 2 && reason < 0x80, "{}: PUBREC {reason:#x}", self.name);
                self.step(Step::Received(pid));
                raw::ack(out, raw::PUBREL, pid);
            }
            Packet::PubComp(pid) => self.step(Step::Finished(pid)),
            Packet::Disconnect(reason) => {
                return Err(io::Error::other(format!("DISCONNECT {reason:#x}")));
            }
            other => panic!("{}: unexpected {other:?}", self.name),
        }
        Ok(())
    }
}
