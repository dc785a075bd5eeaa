//! A publisher that keeps its window full and measures the time to each acknowledgement.

use std::io;

use super::frames::{self, PUBACK, PUBCOMP, PUBREC, PUBREL, Stamp, Template};
use super::{Clock, Histogram, Shape, client::Client, socket::Socket, topics};

/// Messages that a QoS 0 publisher writes to its socket at once.
const BURST: u64 = 50;

/// Size of the read buffer: acknowledgements are short.
pub const READ_BUFFER: usize = 4096;

/// Packet ids wrap around over all values but 0, as a real client's do.
const IDS: u64 = 65_535;

pub struct Publisher {
    pub socket: Socket,
    number: u32,
    qos: u8,
    window: u64,
    /// One for each topic.
    templates: Box<[Template]>,
    /// The template of the next message.
    template: usize,
    /// The next sequence number to send.
    next: u64,
    /// All below this are acknowledged (with QoS 0: written).
    acknowledged: u64,
    /// Send times of the messages of the window, by their place in the ring; 0 after the
    /// acknowledgement.
    sent_at: Box<[u64]>,
    pub stopped: bool,
}

impl Publisher {
    pub fn new(client: Client, number: u32, shape: Shape) -> Self {
        let Shape { window, qos, .. } = shape;
        let topics = topics(shape.topics);
        Self {
            socket: client.into_socket(),
            number,
            qos,
            window: if qos == 0 { BURST } else { window },
            templates: topics.iter().map(|topic| Template::new(topic, qos)).collect(),
            template: 0,
            next: 0,
            acknowledged: 0,
            sent_at: vec![0; usize::try_from(window).unwrap()].into(),
            stopped: false,
        }
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// True if no message waits for its acknowledgement.
    pub fn is_idle(&self) -> bool {
        self.next == self.acknowledged && self.socket.is_flushed()
    }

    /// True if there is more to send without waiting for the broker.
    pub fn is_eager(&self) -> bool {
        self.qos == 0 && !self.stopped && self.socket.is_flushed()
    }

    /// Handles acknowledgements, sends as many messages, writes once.
    pub fn turn(&mut self, clock: Clock, latency: &mut Histogram) -> io::Result<()> {
        let mut more = true;
        while more {
            more = self.socket.fill()?;
            self.take_in(clock.now(), latency);
        }
        if !self.stopped {
            self.top_up(clock.now());
        }
        self.socket.flush()?;
        if self.qos == 0 && self.socket.is_flushed() {
            self.acknowledged = self.next;
        }
        Ok(())
    }

    fn take_in(&mut self, now: u64, latency: &mut Histogram) {
        while let Some(frame) = self.socket.input.next() {
            let (kind, id) = (frame.kind, frame.id());
            match kind {
                PUBACK | PUBCOMP => {
                    // The id's distance from that of the oldest unacknowledged message.
                    let distance = (u64::from(id) + IDS - 1 - self.acknowledged % IDS) % IDS;
                    let sent = place(&mut self.sent_at, self.acknowledged + distance);
                    assert!(
                        distance < self.window && *sent > 0,
                        "{id} was acknowledged but not sent"
                    );
                    latency.record(now - *sent);
                    *sent = 0;
                }
                PUBREC => self.socket.output.buffer.extend_from_slice(&frames::answer(PUBREL, id)),
                other => panic!("a publisher was sent a packet of type {other:#x}"),
            }
        }
        while self.acknowledged < self.next && *place(&mut self.sent_at, self.acknowledged) == 0 {
            self.acknowledged += 1;
        }
    }

    fn top_up(&mut self, now: u64) {
        while self.next - self.acknowledged < self.window {
            let id = u16::try_from(self.next % IDS + 1).unwrap();
            let stamp = Stamp { publisher: self.number, sequence: self.next, sent_at: now };
            let template = self.templates.get(self.template).expect("there is a topic");
            template.write(&mut self.socket.output.buffer, id, stamp);
            self.template += 1;
            if self.template == self.templates.len() {
                self.template = 0;
            }
            if self.qos > 0 {
                *place(&mut self.sent_at, self.next) = now;
            }
            self.next += 1;
        }
    }
}

/// A message's place in the ring of its window.
fn place(ring: &mut [u64], sequence: u64) -> &mut u64 {
    let index = sequence % ring.len() as u64;
    ring.get_mut(index as usize).expect("a window has at least one place")
}
