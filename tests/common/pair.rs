//! A publisher and a subscriber that are not part of the load under test, and the latency of
//! their messages.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::raw::{self, Packet, Publish, Raw};

const TOPIC: &str = "pair/topic";
/// The payload of the last message.
const END: u64 = u64::MAX;

/// When each message was due, and its latency from then.
type Times = Vec<(Duration, Duration)>;

pub struct Pair {
    started: Instant,
    stop: Arc<AtomicBool>,
    publisher: JoinHandle<Times>,
    subscriber: JoinHandle<Times>,
}

/// Milliseconds: p50, p99, longest.
pub type Percentiles = [f64; 3];

/// The latencies of a pair.
pub struct Seen {
    /// From PUBLISH to PUBACK, which includes a commit.
    acknowledged: Times,
    /// From PUBLISH to its arrival at the subscriber.
    delivered: Times,
}

impl Pair {
    /// Publishes `rate` messages per second at QoS 1 to an online and an offline durable
    /// session: each message is written before it is acknowledged.
    pub fn start(port: u16, rate: u32) -> Self {
        Raw::connect(port, 4, "pair-away", false).unwrap().subscribe(TOPIC, 1).unwrap();
        let (started, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let mut client = Raw::connect(port, 4, "pair-subscriber", false).unwrap();
        client.subscribe(TOPIC, 1).unwrap();
        let subscriber = std::thread::spawn(move || receive(&mut client, started));
        let mut client = Raw::connect(port, 4, "pair-publisher", true).unwrap();
        let (told, socket) = (Arc::clone(&stop), client.writer().unwrap());
        let period = Duration::from_secs(1) / rate;
        let (sent, due) = channel();
        std::thread::spawn(move || publish(socket, started, period, &told, &sent));
        let publisher = std::thread::spawn(move || acknowledged(&mut client, started, &due));
        Self { started, stop, publisher, subscriber }
    }

    /// The current time on the clock of the latencies.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        Seen {
            acknowledged: self.publisher.join().unwrap(),
            delivered: self.subscriber.join().unwrap(),
        }
    }
}

impl Seen {
    /// Latencies of the messages that were due between two moments.
    pub fn acknowledged(&self, from: Duration, to: Duration) -> Percentiles {
        percentiles(&self.acknowledged, from, to)
    }

    pub fn delivered(&self, from: Duration, to: Duration) -> Percentiles {
        percentiles(&self.delivered, from, to)
    }
}

/// Sends at a fixed rate, independently of acknowledgements.
fn publish(
    mut socket: TcpStream,
    clock: Instant,
    period: Duration,
    stop: &AtomicBool,
    sent: &Sender<Duration>,
) {
    let mut due = clock.elapsed();
    for pid in (1..=u16::MAX).cycle() {
        let end = stop.load(Ordering::Relaxed);
        due += period;
        std::thread::sleep(due.saturating_sub(clock.elapsed()));
        let payload = if end { END } else { u64::try_from(due.as_nanos()).unwrap() };
        let payload = payload.to_be_bytes().to_vec();
        let message = Publish { dup: false, qos: 1, pid, topic: TOPIC.into(), payload };
        let mut out = Vec::new();
        raw::publish(&mut out, 4, &message);
        sent.send(due).unwrap();
        socket.write_all(&out).unwrap();
        if end {
            return;
        }
    }
}

/// Acknowledgements arrive in the order of the messages.
fn acknowledged(client: &mut Raw, clock: Instant, sent: &Receiver<Duration>) -> Times {
    let mut times = Vec::new();
    for due in sent {
        let Packet::PubAck(_, 0) = client.recv().unwrap() else { panic!("no PUBACK") };
        times.push((due, clock.elapsed().saturating_sub(due)));
    }
    times
}

fn receive(client: &mut Raw, started: Instant) -> Times {
    let mut times = Vec::new();
    loop {
        let Packet::Publish(message) = client.recv().unwrap() else { panic!("no PUBLISH") };
        let mut out = Vec::new();
        raw::ack(&mut out, raw::PUBACK, message.pid);
        client.send(&out).unwrap();
        match u64::from_be_bytes(message.payload[..8].try_into().unwrap()) {
            END => return times,
            due => {
                let due = Duration::from_nanos(due);
                times.push((due, started.elapsed().saturating_sub(due)));
            }
        }
    }
}

fn percentiles(times: &Times, from: Duration, to: Duration) -> Percentiles {
    let within = times.iter().filter(|(due, _)| (from..to).contains(due));
    let mut waits: Vec<Duration> = within.map(|(_, wait)| *wait).collect();
    waits.sort_unstable();
    [50, 99, 100].map(|share| {
        let at = (waits.len() * share / 100).min(waits.len().saturating_sub(1));
        waits.get(at).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    })
}
