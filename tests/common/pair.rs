//! A publisher and a subscriber that run beside a test's load and record the latency and fate of
//! each message.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::raw::{self, Message, Packet, Raw};
use super::waits::Times;

/// How long one of them waits for the broker before it counts as not served.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of the last message.
const END: u64 = u64::MAX;

#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub qos: u8,
    /// True if the subscriber's session ends with its connection.
    pub clean: bool,
    /// Messages a second.
    pub rate: u32,
}

/// At QoS 1 to a durable session.
pub const DURABLE: Kind = Kind { name: "durable", qos: 1, clean: false, rate: 100 };
/// At QoS 1 to a session that ends with its connection.
pub const CLEAN: Kind = Kind { name: "clean", qos: 1, clean: true, rate: 100 };
/// At QoS 0.
pub const QOS0: Kind = Kind { name: "qos0", qos: 0, clean: true, rate: 100 };

impl Kind {
    /// The topic name.
    pub fn topic(&self) -> String {
        format!("pair/{}", self.name)
    }
}

pub struct Pair {
    kind: Kind,
    stop: Arc<AtomicBool>,
    writer: JoinHandle<io::Result<u64>>,
    publisher: JoinHandle<(Times, io::Result<()>)>,
    subscriber: JoinHandle<(Times, Vec<u64>, io::Result<()>)>,
}

/// The result of a pair.
#[derive(Debug)]
pub struct Seen {
    pub kind: Kind,
    pub sent: u64,
    /// Latency from when a PUBLISH was due to its PUBACK.
    pub acknowledged: Times,
    /// Latency from when a PUBLISH was due to its arrival at the subscriber.
    pub delivered: Times,
    /// Messages acknowledged, or sent at QoS 0, and not received.
    pub lost: usize,
    pub duplicated: usize,
    /// Connections that ended early, with the cause.
    pub broken: Vec<String>,
}

impl Pair {
    /// With one more subscriber, whose durable session is offline: each message is stored
    /// before it is acknowledged.
    pub fn start_stored(port: u16, kind: Kind, clock: Instant) -> Self {
        let mut offline = connect(port, &format!("{}-offline", kind.name), false);
        offline.subscribe(&kind.topic(), kind.qos).unwrap();
        drop(offline);
        Self::start(port, kind, clock)
    }

    pub fn start(port: u16, kind: Kind, clock: Instant) -> Self {
        let (stop, topic) = (Arc::new(AtomicBool::new(false)), kind.topic());
        let mut client = connect(port, &format!("{}-subscriber", kind.name), kind.clean);
        client.subscribe(&topic, kind.qos).unwrap();
        let subscriber = std::thread::spawn(move || receive(&mut client, clock));
        let mut client = connect(port, &format!("{}-publisher", kind.name), true);
        let (told, socket) = (Arc::clone(&stop), client.writer().unwrap());
        let (sent, due) = channel();
        let writer = std::thread::spawn(move || publish(socket, kind, clock, &told, &sent));
        let publisher =
            std::thread::spawn(move || acknowledged(&mut client, kind.qos, clock, &due));
        Self { kind, stop, writer, publisher, subscriber }
    }

    /// Sends the last message, and waits until all messages have arrived or a timeout passed.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let written = self.writer.join().unwrap();
        let (acknowledged, answered) = self.publisher.join().unwrap();
        let (delivered, counts, received) = self.subscriber.join().unwrap();
        let (sent, answers) = (written.as_ref().copied().unwrap_or(0), acknowledged.len());
        let must = if self.kind.qos > 0 { answers } else { usize::try_from(sent).unwrap() };
        let came = |number: usize| counts.get(number).is_some_and(|count| *count > 0);
        Seen {
            kind: self.kind,
            sent,
            acknowledged,
            delivered,
            lost: (0..must).filter(|number| !came(*number)).count(),
            duplicated: counts.iter().filter(|count| **count > 1).count(),
            broken: [
                complaint("writing", written.map(drop)),
                complaint("waiting for PUBACK", answered),
                complaint("receiving", received),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }
}

fn complaint(what: &str, outcome: io::Result<()>) -> Option<String> {
    outcome.err().map(|error| format!("{what}: {error}"))
}

fn connect(port: u16, id: &str, clean: bool) -> Raw {
    let client = Raw::connect(port, 4, id, clean).unwrap();
    client.patience(PATIENCE);
    client.writer().unwrap().set_write_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Sends at a fixed rate, independently of acknowledgements. Returns the number of messages
/// before the last.
fn publish(
    mut socket: TcpStream,
    kind: Kind,
    clock: Instant,
    stop: &AtomicBool,
    sent: &Sender<Duration>,
) -> io::Result<u64> {
    let (topic, period) = (kind.topic(), Duration::from_secs(1) / kind.rate);
    let (mut due, mut out) = (clock.elapsed(), Vec::new());
    for (number, pid) in (0..).zip((1..=u16::MAX).cycle()) {
        let end = stop.load(Ordering::Relaxed);
        due += period;
        std::thread::sleep(due.saturating_sub(clock.elapsed()));
        let mut payload = if end { END } else { number }.to_be_bytes().to_vec();
        payload.extend(u64::try_from(due.as_nanos()).unwrap().to_be_bytes());
        out.clear();
        let (topic, payload) = (topic.as_str(), payload.as_slice());
        let message = Message { topic, payload, qos: kind.qos, pid, ..Message::default() };
        raw::message(&mut out, 4, &message);
        if !end {
            sent.send(due).ok(); // The receiver of PUBACKs may have given up.
        }
        socket.write_all(&out)?;
        if end {
            return Ok(number);
        }
    }
    unreachable!("numbers do not end")
}

/// Acknowledgements arrive in the order of the messages; that of the last one is not awaited.
fn acknowledged(
    client: &mut Raw,
    qos: u8,
    clock: Instant,
    sent: &Receiver<Duration>,
) -> (Times, io::Result<()>) {
    let mut times = Times::default();
    for due in sent {
        if qos == 0 {
            continue;
        }
        match client.recv() {
            Ok(Packet::PubAck(_, 0)) => times.push(due, clock.elapsed().saturating_sub(due)),
            Ok(other) => return (times, Err(io::Error::other(format!("{other:?}")))),
            Err(error) => return (times, Err(error)),
        }
    }
    (times, Ok(()))
}

/// Receives until the last message: latencies, and how often each message arrived.
fn receive(client: &mut Raw, clock: Instant) -> (Times, Vec<u64>, io::Result<()>) {
    let (mut times, mut counts, mut out) = (Times::default(), Vec::new(), Vec::new());
    loop {
        let message = match client.recv() {
            Ok(Packet::Publish(message)) => message,
            Ok(other) => return (times, counts, Err(io::Error::other(format!("{other:?}")))),
            Err(error) => return (times, counts, Err(error)),
        };
        let now = clock.elapsed();
        if message.qos > 0 {
            out.clear();
            raw::ack(&mut out, raw::PUBACK, message.pid);
            if let Err(error) = client.send(&out) {
                return (times, counts, Err(error));
            }
        }
        let number = u64::from_be_bytes(message.payload[..8].try_into().unwrap());
        if number == END {
            return (times, counts, Ok(()));
        }
        let due = u64::from_be_bytes(message.payload[8..].try_into().unwrap());
        let due = Duration::from_nanos(due);
        times.push(due, now.saturating_sub(due));
        let index = usize::try_from(number).unwrap();
        counts.resize(counts.len().max(index + 1), 0);
        counts[index] += 1;
    }
}
