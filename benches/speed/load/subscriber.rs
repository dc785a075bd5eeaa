//! The subscriber: answers everything of one read in one write, and counts messages.

use std::io;

use super::frames::{self, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL};
use super::order::{Findings, Sequence};
use super::{Clock, Endpoint, Histogram, Shape, client::Client, filter, socket::Socket};

/// The only client id: the session is durable and outlives a connection.
const CLIENT_ID: &str = "speed-subscriber";

/// Size of the read buffer: small enough for the cache, large enough for few reads.
const READ_BUFFER: usize = 128 * 1024;

pub struct Subscriber {
    pub socket: Socket,
    sequences: Vec<Sequence>,
    /// Messages received for the first time.
    received: u64,
    pub ponged: bool,
}

impl Subscriber {
    /// Creates a durable session that is subscribed and offline.
    pub fn leave_session(broker: &Endpoint, shape: Shape) -> io::Result<()> {
        let mut client = Client::connect(broker, CLIENT_ID, false, READ_BUFFER)?;
        client.subscribe(&filter(shape.topics), shape.qos)?;
        client.disconnect()
    }

    /// Connects with a durable session; subscribes if there was none.
    pub fn attach(broker: &Endpoint, shape: Shape) -> io::Result<Self> {
        let mut client = Client::connect(broker, CLIENT_ID, false, READ_BUFFER)?;
        if !client.session_present {
            client.subscribe(&filter(shape.topics), shape.qos)?;
        }
        Ok(Self {
            socket: client.into_socket(),
            sequences: (0..shape.publishers).map(|_| Sequence::default()).collect(),
            received: 0,
            ponged: false,
        })
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    /// Sends PINGREQ: at its PINGRESP, the broker has read everything sent before.
    pub fn ping(&mut self) -> io::Result<()> {
        self.ponged = false;
        self.socket.output.buffer.extend_from_slice(&[PINGREQ, 0]);
        self.socket.flush()
    }

    pub fn turn(&mut self, clock: Clock, latency: &mut Histogram) -> io::Result<()> {
        let mut more = true;
        while more {
            more = self.socket.fill()?;
            self.take_in(clock.now(), latency);
            self.socket.flush()?;
        }
        Ok(())
    }

    fn take_in(&mut self, now: u64, latency: &mut Histogram) {
        let answers = &mut self.socket.output.buffer;
        while let Some(frame) = self.socket.input.next() {
            match frame.kind {
                PINGRESP => self.ponged = true,
                PUBREL => answers.extend_from_slice(&frames::answer(PUBCOMP, frame.id())),
                kind if kind & 0xF0 == PUBLISH => {
                    let (qos, id, stamp) = frame.message().expect("a PUBLISH that is not ours");
                    match qos {
                        1 => answers.extend_from_slice(&frames::answer(PUBACK, id)),
                        2 => answers.extend_from_slice(&frames::answer(PUBREC, id)),
                        _ => {}
                    }
                    let sequence = self.sequences.get_mut(stamp.publisher as usize);
                    if sequence.expect("a publisher that is not ours").see(stamp.sequence) {
                        self.received += 1;
                    }
                    latency.record(now.saturating_sub(stamp.sent_at));
                }
                other => panic!("the subscriber was sent a packet of type {other:#x}"),
            }
        }
    }

    /// The findings, given how many messages of each publisher were acknowledged.
    pub fn findings(&self, acknowledged: impl Iterator<Item = u64>) -> Findings {
        let mut findings = Findings::default();
        for (sequence, acknowledged) in self.sequences.iter().zip(acknowledged) {
            findings.add(sequence.findings(acknowledged));
        }
        findings
    }
}
