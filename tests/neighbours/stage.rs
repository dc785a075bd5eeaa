//! The phases of a scenario: a broker, the preparation of the attack, neighbours without the
//! attack, with it, and after all attackers have left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attack::{self, Attack};
use super::common::broker::{self, Broker};
use super::common::files;
use super::common::pair::{self, Kind, Pair};
use super::common::raw::Raw;
use super::common::tls;
use super::common::waits::Span;
use super::outcome::{MIB, Outcome};
use super::watch::{Watch, resident};

const CALM: Duration = Duration::from_millis(1500);
/// The effects of the disconnects belong to the attack.
const LEAVING: Duration = Duration::from_secs(1);
/// How long the broker may take to give memory back.
const GIVEN_BACK: Duration = Duration::from_secs(20);
const MEMORY: &str = "ferrymq_message_memory_bytes";

pub struct Stage {
    name: &'static str,
    limit: u64,
    kept: u64,
    kinds: Vec<Kind>,
    broker: Arc<Broker>,
    attack: Attack,
}

/// Parameters of a scenario.
pub struct Scene<'a> {
    pub name: &'static str,
    /// `limits.max_memory` in MiB.
    pub limit: u64,
    /// Memory that may remain above the base after the attack, in MiB: for allocators and for
    /// what the attack has stored.
    pub kept: u64,
    pub settings: &'a [(&'a str, &'a str)],
    /// The protocol of a further listener, which is attacked.
    pub target: Option<&'a str>,
    /// Further pairs beside that of every scenario.
    pub neighbours: &'a [Kind],
}

impl Scene<'_> {
    pub fn new(name: &'static str) -> Self {
        Self { name, limit: 64, kept: 24, settings: &[], target: None, neighbours: &[] }
    }

    pub fn start(self) -> Stage {
        files::raise_limit();
        let mut broker = Broker::stopped(broker::binary(), self.settings);
        broker.set("FERRYMQ_LIMITS__MAX_MEMORY", &format!("{}MiB", self.limit));
        let target = self.target.map(|protocol| target(&mut broker, protocol));
        broker.up();
        let mut kinds = vec![pair::DURABLE];
        kinds.extend(self.neighbours);
        Stage {
            name: self.name,
            limit: self.limit * MIB,
            kept: self.kept * MIB,
            kinds,
            attack: Attack::new(broker.port, target.unwrap_or(broker.port)),
            broker: Arc::new(broker),
        }
    }
}

/// Adds a listener of this protocol. Returns its port.
fn target(broker: &mut Broker, protocol: &str) -> u16 {
    for (key, file) in ["CERTIFICATE_FILE", "KEY_FILE"].into_iter().zip(tls::rsa_files()) {
        if ["mqtts", "wss"].contains(&protocol) {
            broker.set(&format!("FERRYMQ_LISTENERS__TARGET__TLS__{key}"), file.to_str().unwrap());
        }
    }
    broker.listen("target", protocol)
}

impl Stage {
    /// For preparations before the neighbours connect.
    pub fn before(&self) -> &Attack {
        &self.attack
    }

    pub fn broker(&self) -> Arc<Broker> {
        Arc::clone(&self.broker)
    }

    /// Runs the scenario: the neighbours without the attack, with it, and after it. All
    /// connections of the attack are closed on return.
    pub fn play(self, attack: impl FnOnce(&Attack) + Send) -> Outcome {
        let clock = Instant::now();
        let pairs: Vec<Pair> =
            self.kinds.iter().map(|kind| Pair::start(self.broker.port, *kind, clock)).collect();
        let watch = Watch::start(&self.broker, clock);
        std::thread::sleep(CALM); // Measure the neighbours alone.
        let messages = self.broker.metric(MEMORY);
        let took = [self.counted("received"), self.counted("sent")];
        let base = resident(&self.broker).unwrap_or(0);

        let begun = clock.elapsed();
        self.attack.begin();
        std::thread::scope(|scope| {
            let play = || {
                attack::make_way();
                attack(&self.attack);
            };
            scope.spawn(play).join().unwrap();
        });
        let left = clock.elapsed();
        std::thread::sleep(LEAVING); // As above.
        let ended = clock.elapsed();

        let (back, left_over, messages) = self.given_back(base, messages);
        let answered = self.newcomer();
        let took = [self.counted("received") - took[0], self.counted("sent") - took[1]];
        let seen = pairs.into_iter().map(Pair::stop).collect();
        let watched = watch.stop();
        let (calm, during) =
            (Span { from: Duration::ZERO, to: begun }, Span { from: begun, to: ended });
        Outcome {
            name: self.name,
            bytes: self.attack.bytes(),
            connections: self.attack.connections(),
            took,
            lasted: left.saturating_sub(begun),
            limit: self.limit,
            base,
            peak: watched.memory.peak(Span { from: begun, to: Duration::MAX }),
            left_over,
            messages,
            back,
            calm,
            during,
            seen,
            watched,
            notes: self.attack.notes(),
            complaints: answered.err().into_iter().collect(),
            _broker: self.broker,
        }
    }

    /// Waits until memory is near what it was. Returns how long that took, if it happened, the
    /// last resident bytes, and the last bytes counted as messages.
    fn given_back(&self, base: u64, messages: f64) -> (Option<Duration>, u64, f64) {
        let started = Instant::now();
        loop {
            let bytes = resident(&self.broker).unwrap_or(u64::MAX);
            let counted = self.broker.metric(MEMORY);
            if bytes <= base + self.kept && counted <= messages + MIB as f64 {
                return (Some(started.elapsed()), bytes, counted);
            }
            if started.elapsed() > GIVEN_BACK {
                return (None, bytes, counted);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Checks that a new client is served as well.
    fn newcomer(&self) -> Result<(), String> {
        let answer = Raw::connect(self.broker.port, 4, "newcomer", true).and_then(|mut client| {
            client.patience(Duration::from_secs(10));
            client.subscribe("newcomer", 1)?;
            client.until_ping()
        });
        answer.map(drop).map_err(|error| format!("a newcomer is not served: {error}"))
    }

    /// Packets that the broker received or sent.
    fn counted(&self, way: &str) -> f64 {
        self.broker.metric(&format!("ferrymq_packets_{way}_total"))
    }
}
