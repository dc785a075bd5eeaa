//! Short memory: which histories have it, how much there is, and how often clients gave way
//! for lack of it (`docs/limits.md`, "Memory").
//!
//! The model allows the following, and nothing more:
//! - A QoS 0 message may be lost.
//! - A QoS 1 or 2 message may be lost to a session that ends with its connection, if the
//!   connection is closed, which ends the session that was owed it. Nothing else may close a
//!   connection with 0x97.
//! - Nothing of a durable session is lost, and no publisher is refused for it.
//! - Without persistence, publishers are refused for sessions that outlive their connections.
//!   A will has no publisher to refuse, and retained messages are published again.
//! - A CONNECT is refused for its will only if the will is larger than the least share.

use std::ops::AddAssign;

use ferrymq::broker::{Broker, Way};

use crate::common::rng::Rng;
use crate::run::Run;
use crate::scheduler::{What, drive};
use crate::world::Shape;

/// Seeds with short memory in every history, and a small disk in most.
pub const SHORT: std::ops::Range<u64> = 1_000_000_000..2_000_000_000;

/// Memory limits in bytes; the largest message takes about 72 KiB.
const LIMITS: [i64; 4] = [64 << 10, 128 << 10, 256 << 10, 1 << 20];
const VOLATILE: [i64; 3] = [300 << 10, 300 << 10, 1 << 20];

/// Bytes of a will up to which it is never refused.
pub const LEAST_SHARE: usize = 16 << 10;

/// How often each way of giving way was used.
#[derive(Debug, Default, Clone, Copy)]
pub struct GaveWay {
    /// Number of histories in which a client gave way.
    histories: u64,
    /// QoS 0 messages that were not queued.
    dropped: u64,
    /// QoS 0 messages that were removed from a queue.
    shed: u64,
    /// QoS 1 and 2 messages that were lost.
    lost: u64,
    /// Connections that were closed for them.
    pub deprived: u64,
    spilled: u64,
    /// Publishes that were refused without persistence.
    refused: u64,
    /// Packets that had to wait for the disk.
    held: u64,
    pub wills: u64,
    pub subscriptions: u64,
}

impl AddAssign<&Self> for GaveWay {
    fn add_assign(&mut self, other: &Self) {
        self.histories += other.histories;
        self.dropped += other.dropped;
        self.shed += other.shed;
        self.lost += other.lost;
        self.deprived += other.deprived;
        self.spilled += other.spilled;
        self.refused += other.refused;
        self.held += other.held;
        self.wills += other.wills;
        self.subscriptions += other.subscriptions;
    }
}

impl GaveWay {
    /// Adds the counts of a broker.
    pub fn count(&mut self, broker: &Broker) {
        self.dropped += broker.gave_way(Way::Dropped);
        self.shed += broker.gave_way(Way::Shed);
        self.lost += broker.gave_way(Way::Lost);
        self.spilled += broker.gave_way(Way::Spilled);
        self.refused += broker.gave_way(Way::Refused);
        self.held += broker.gave_way(Way::Held);
    }

    /// Ends the counts of a history.
    pub fn end(&mut self) {
        let any = self.dropped + self.lost + self.spilled + self.refused + self.held;
        self.histories = u64::from(any > 0);
    }

    /// The ways that were never used.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = [
            ("QoS 0 messages on their way into a queue", self.dropped),
            ("QoS 0 messages in a queue", self.shed),
            ("QoS 1 and 2 messages", self.lost),
            ("connections", self.deprived),
            ("messages that wait on the disk alone", self.spilled),
            ("publishers", self.refused),
            ("packets that wait for the disk", self.held),
            ("wills", self.wills),
            ("subscriptions", self.subscriptions),
        ];
        all.iter().filter(|(_, count)| *count == 0).map(|(what, _)| *what).collect()
    }
}

impl Shape {
    /// Gives short memory to a quarter of all seeds. The older ones among them had never found
    /// a fault, and their random numbers are not used for it, so that kept seeds play the same
    /// histories.
    pub fn with_memory_of(mut self, seed: u64) -> Self {
        if !SHORT.contains(&seed) && !(12..17).contains(&(seed % 20)) {
            return self;
        }
        let mut rng = Rng::from_seed(!seed);
        self.volatile = rng.percent(20);
        // Without persistence, a message for which there is never room is refused for ever,
        // and an MQTT 3 publisher repeats it for ever. So, as the configuration demands, there
        // is memory for four of the largest.
        let limits = if self.volatile { &VOLATILE[..] } else { &LIMITS[..] };
        self.max_memory = Some(*rng.pick(limits));
        if SHORT.contains(&seed) {
            self.max_size = *rng.pick(&[0, 1 << 20, 1 << 20, 1 << 20]);
        }
        self
    }
}

impl Run {
    /// Computes the shares, as the broker does 20 times a second.
    pub(super) fn balance(&mut self) {
        let task = [What::Background, What::Balance];
        self.run_background(What::Balance, &task, |broker| drive(broker.balance_memory()));
    }
}
