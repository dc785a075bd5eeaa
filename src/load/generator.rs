//! The load generator: many publishers and one subscriber on persistent connections.

use std::net::SocketAddr;
use std::time::Duration;

use super::clock::nanos;
use super::{
    Clock, Connection, Findings, Hello, Latency, LoadError, Pace, Publisher, Sequence, Stop,
    Subscriber, wait,
};
use crate::protocol::{QoS, Version};

/// Longest wait before the clock and the stop request are checked again.
const TURN: Duration = Duration::from_millis(20);

/// The MQTT version of all clients here: 3.1.1 has no receive maximum, so the caller decides
/// the windows.
const VERSION: Version = Version::V311;

/// The shape of a load.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Number of publishers.
    pub publishers: u32,
    /// Messages that each publisher may have unacknowledged (at QoS 0: not yet received).
    pub window: u16,
    /// QoS of messages and subscription.
    pub qos: QoS,
    /// Bytes of each payload, at least 20.
    pub payload: usize,
    /// The topic of all publishers.
    pub topic: &'static str,
}

#[derive(Debug)]
struct Receiver {
    subscriber: Subscriber,
    connection: Connection,
    accounts: Vec<Sequence>,
    received: u64,
}

/// The clients, one connection each.
#[derive(Debug)]
pub struct Generator {
    clock: Clock,
    stop: Stop,
    shape: Shape,
    publishers: Vec<(Publisher, Connection)>,
    receiver: Option<Receiver>,
    ready: Vec<usize>,
    next_sender: usize,
    /// Time from sending (or from when it was due) to arrival, in nanoseconds.
    pub arrival: Latency,
}

impl Generator {
    /// Connects the publishers, with clean sessions.
    ///
    /// # Errors
    /// The broker cannot be reached or refuses.
    pub fn connect(address: SocketAddr, shape: &Shape, stop: &Stop) -> Result<Self, LoadError> {
        let mut publishers = Vec::new();
        for number in 0..shape.publishers {
            let client_id = format!("load-{number}");
            let hello = Hello { version: VERSION, client_id: &client_id, clean: true };
            let mut connection = Connection::open(address, &hello)?;
            let topic = shape.topic.to_owned();
            let mut publisher = Publisher::new(number, VERSION, shape.qos, topic, shape.window)
                .with_payload(shape.payload);
            publisher.connected(&mut connection);
            publishers.push((publisher, connection));
        }
        Ok(Self {
            clock: Clock::start(),
            stop: stop.clone(),
            shape: shape.clone(),
            publishers,
            receiver: None,
            ready: Vec::new(),
            next_sender: 0,
            arrival: Latency::default(),
        })
    }

    /// Creates a durable session that is subscribed and offline.
    ///
    /// # Errors
    /// The broker cannot be reached or refuses.
    pub fn leave_session(address: SocketAddr, shape: &Shape) -> Result<(), LoadError> {
        let mut connection = Connection::open(address, &RECEIVER)?;
        connection.subscribe(shape.topic, shape.qos)?;
        connection.leave()
    }

    /// Connects the durable subscriber; it subscribes if it has no session.
    ///
    /// # Errors
    /// The broker cannot be reached or refuses.
    pub fn attach(&mut self, address: SocketAddr) -> Result<(), LoadError> {
        let mut connection = Connection::open(address, &RECEIVER)?;
        let mut subscriber = Subscriber::new(VERSION);
        subscriber.connected(connection.session_present);
        if !connection.session_present {
            connection.subscribe(self.shape.topic, self.shape.qos)?;
        }
        let accounts = vec![Sequence::default(); self.publishers.len()];
        self.receiver = Some(Receiver { subscriber, connection, accounts, received: 0 });
        Ok(())
    }

    /// Number of messages acknowledged to their publishers (at QoS 0: received).
    pub fn acknowledged(&self) -> u64 {
        self.publishers.iter().map(|(publisher, _)| publisher.acknowledged()).sum()
    }

    /// Number of different messages that the subscriber received.
    pub fn received(&self) -> u64 {
        self.receiver.as_ref().map_or(0, |receiver| receiver.received)
    }

    /// Time from sending (or from when it was due) to PUBACK or PUBCOMP, over all publishers.
    pub fn acknowledgement(&self) -> Latency {
        let mut all = Latency::default();
        for (publisher, _) in &self.publishers {
            all.add(&publisher.latency);
        }
        all
    }

    /// Clears the latencies.
    pub fn forget_times(&mut self) {
        self.arrival = Latency::default();
        for (publisher, _) in &mut self.publishers {
            publisher.latency = Latency::default();
        }
    }

    /// Keeps the windows full for `time`, or until `limit` messages are acknowledged.
    ///
    /// # Errors
    /// A connection broke, the broker refused a message, or a stop was requested.
    pub fn run_full(&mut self, time: Duration, limit: u64) -> Result<(), LoadError> {
        let end = self.clock.now() + nanos(time);
        while self.clock.now() < end && self.acknowledged() < limit {
            let now = self.clock.now();
            for (publisher, connection) in &mut self.publishers {
                while publisher.can_send() {
                    publisher.publish(now, connection.output());
                }
                connection.flush()?;
            }
            self.turn(TURN)?;
        }
        Ok(())
    }

    /// Sends `rate` messages per second for `time`, independently of answers. Latencies count
    /// from when a message was due.
    ///
    /// # Errors
    /// As [`Self::run_full`].
    pub fn run_paced(&mut self, rate: f64, time: Duration) -> Result<(), LoadError> {
        let mut pace = Pace::new(self.clock.now(), rate);
        let end = self.clock.now() + nanos(time);
        loop {
            let now = self.clock.now();
            if now >= end {
                return Ok(());
            }
            while let Some(due) = pace.take(now) {
                if !self.send_one(due) {
                    pace.put_back();
                    break;
                }
            }
            for (_, connection) in &mut self.publishers {
                connection.flush()?;
            }
            let wait = Duration::from_nanos(pace.due().saturating_sub(now));
            self.turn(wait.clamp(Duration::from_micros(20), TURN))?;
        }
    }

    /// Sends a message by the next publisher with room in its window. Returns false if there
    /// is none.
    fn send_one(&mut self, due: u64) -> bool {
        for _ in 0..self.publishers.len() {
            self.next_sender = (self.next_sender + 1) % self.publishers.len();
            if let Some((publisher, connection)) = self.publishers.get_mut(self.next_sender)
                && publisher.can_send()
            {
                publisher.publish(due, connection.output());
                return true;
            }
        }
        false
    }

    /// Waits until all messages are acknowledged and, with a subscriber, received. Returns
    /// false if there was no progress for `patience`.
    ///
    /// # Errors
    /// As [`Self::run_full`].
    pub fn quiesce(&mut self, patience: Duration) -> Result<bool, LoadError> {
        let (mut seen, mut since) = ((0, 0), self.clock.now());
        loop {
            let idle = self.publishers.iter().all(|(publisher, _)| publisher.is_idle());
            let now = (self.acknowledged(), self.received());
            if idle && (self.receiver.is_none() || now.1 >= now.0) {
                return Ok(true);
            }
            if now != seen {
                (seen, since) = (now, self.clock.now());
            } else if self.clock.now() > since + nanos(patience) {
                return Ok(false);
            }
            for (_, connection) in &mut self.publishers {
                connection.flush()?;
            }
            self.turn(TURN)?;
        }
    }

    /// Messages lost, repeated or reordered on the way to the subscriber.
    pub fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        let accounts = self.receiver.iter().flat_map(|receiver| &receiver.accounts);
        for (account, (publisher, _)) in accounts.zip(&self.publishers) {
            findings.add(account.findings(publisher.settled()));
        }
        findings
    }

    /// Waits for packets, handles and answers them.
    fn turn(&mut self, timeout: Duration) -> Result<(), LoadError> {
        self.stop.check()?;
        let senders = self.publishers.iter().map(|(_, connection)| connection);
        let all = senders.chain(self.receiver.iter().map(|receiver| &receiver.connection));
        wait(all.enumerate(), timeout, &mut self.ready)?;
        let ready = std::mem::take(&mut self.ready);
        for &index in &ready {
            if let Some((publisher, connection)) = self.publishers.get_mut(index) {
                acknowledge(publisher, connection, self.clock)?;
            } else if let Some(receiver) = &mut self.receiver {
                receiver.turn(self.clock, &mut self.arrival)?;
            }
        }
        self.ready = ready;
        if self.shape.qos == QoS::AtMostOnce
            && let Some(receiver) = &self.receiver
        {
            for (account, (publisher, _)) in receiver.accounts.iter().zip(&mut self.publishers) {
                publisher.arrived(account.end());
            }
        }
        Ok(())
    }
}

const RECEIVER: Hello<'static> =
    Hello { version: VERSION, client_id: "load-subscriber", clean: false };

fn acknowledge(
    publisher: &mut Publisher,
    connection: &mut Connection,
    clock: Clock,
) -> Result<(), LoadError> {
    connection.fill()?;
    let now = clock.now();
    let (input, output) = connection.split();
    while let Some(packet) = input.take()? {
        publisher.handle(&packet, now, output)?;
    }
    connection.flush()
}

impl Receiver {
    fn turn(&mut self, clock: Clock, arrival: &mut Latency) -> Result<(), LoadError> {
        self.connection.fill()?;
        let now = clock.now();
        let (input, output) = self.connection.split();
        while let Some(packet) = input.take()? {
            let Some(stamp) = self.subscriber.handle(&packet, output)? else { continue };
            let account = usize::try_from(stamp.publisher).ok();
            let account = account.and_then(|number| self.accounts.get_mut(number));
            let account =
                account.ok_or(LoadError::Unexpected("a message from an unknown publisher"))?;
            self.received += u64::from(account.see(stamp.sequence));
            arrival.record(now.saturating_sub(stamp.sent_at));
        }
        self.connection.flush()
    }
}
