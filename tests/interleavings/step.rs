//! A connection whose step takes a part of a second: it sends a few packets and, in the same
//! write, thousands of publishes with many receivers each. The few packets take effect at the
//! beginning of the step.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::common::broker::Broker;
use super::common::raw::{self, Connect, Publish, Raw};

/// Receivers of each of the many publishes: offline sessions subscribed at QoS 0, so that the
/// publishes cause only work.
const RECEIVERS: usize = 1000;
const PUBLISHES: u32 = 6000;
/// Most rounds of a scenario; and the number of rounds that suffice in which the second
/// connection arrived before the end of the first one's step ([`Step::take_over`]).
pub const ROUNDS: usize = 12;
pub const BETWEEN: usize = 3;
/// Counts the publishes that make a step long.
const HANDLED: &str = "ferrymq_messages_received_total{qos=\"0\"}";

/// A broker with the receivers. It has more workers than cores: the second connection must not
/// wait for the worker that handles the first.
pub fn broker() -> Broker {
    let broker = Broker::with(&[("FERRYMQ_RUNTIME__WORKER_THREADS", "8")]);
    prepare(&broker);
    broker
}

fn prepare(broker: &Broker) {
    std::thread::scope(|scope| {
        for part in 0..10 {
            scope.spawn(move || {
                for n in 0..RECEIVERS / 10 {
                    let id = format!("away-{part}-{n}");
                    let mut client = Raw::connect(broker.port, 4, &id, false).unwrap();
                    client.subscribe("many", 0).unwrap();
                }
            });
        }
    });
}

/// A step that has begun.
pub struct Step {
    /// Value of [`HANDLED`] before the step.
    before: f64,
}

/// Sends `first`, followed by the many publishes. Returns when the broker has handled `first`,
/// as its count of publishes shows. This is not visible earlier, since a poll reports its
/// counts at its end.
pub fn begin(broker: &Broker, client: &mut Raw, first: &[u8]) -> Step {
    keep_awake(broker);
    let step = Step { before: broker.metric(HANDLED) };
    let mut out = first.to_vec();
    let topic = String::from("many");
    let message = Publish { dup: false, qos: 0, pid: 0, topic, payload: Vec::new() };
    let mut one = Vec::new();
    raw::publish(&mut one, client.version, &message);
    for _ in 0..PUBLISHES {
        out.extend_from_slice(&one);
    }
    client.send(&out).unwrap();
    let sent = Instant::now();
    while step.handled(broker) < 1.0 {
        assert!(sent.elapsed() < Duration::from_secs(30), "the turn does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    step
}

impl Step {
    fn handled(&self, broker: &Broker) -> f64 {
        broker.metric(HANDLED) - self.before
    }

    /// Opens a second connection with the same client id. True: CONNECT arrived before the end
    /// of the step, whether or not the broker let it wait.
    pub fn take_over(&self, broker: &Broker, version: u8, id: &str) -> (Raw, bool) {
        let mut new = Raw::begin(broker.port, id, &Connect::new(version, false)).unwrap();
        let is_between = self.handled(broker) < f64::from(PUBLISHES);
        new.accepted().unwrap();
        assert!(new.session_present);
        (new, is_between)
    }
}

/// Commits continuously until the broker is killed. Each commit wakes a worker from outside:
/// otherwise the only worker that polls the sockets may be the busy one.
fn keep_awake(broker: &Broker) {
    for n in 0..2 {
        let mut pulse = Raw::connect(broker.port, 5, &format!("pulse-{n}"), true).unwrap();
        let mut beat = move || {
            let mut out = Vec::new();
            raw::retain(&mut out, 1, &format!("pulse/{n}"), b"awake", None);
            pulse.send(&out).and_then(|()| pulse.recv())
        };
        beat().unwrap();
        std::thread::spawn(move || while beat().is_ok() {});
    }
}

/// Waits until the broker has closed a connection that was taken over, and then until
/// everything that it submitted before is committed.
pub fn end(broker: &Broker, mut client: Raw) {
    client.patience(Duration::from_secs(30));
    loop {
        match client.recv_frame() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("a connection that was taken over is still there")
            }
            Err(_) => break,
        }
    }
    fence(broker);
}

/// Waits for a commit: a durable CONNECT is acknowledged after the commit that contains it.
pub fn fence(broker: &Broker) {
    for version in [4, 5] {
        Raw::connect(broker.port, version, "fence", false).unwrap();
    }
}
