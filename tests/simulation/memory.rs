//! Short memory: which histories have it, how much there is, and how often somebody gave
//! way for want of it (`docs/limits.md`, "Memory").
//!
//! What is allowed then, and nothing more, stands where the model judges:
//! - A QoS 0 message may be lost: nobody is owed one.
//! - A QoS 1 or 2 message may be lost to a session that ends with its connection, if the
//!   connection ends: the session that was owed it is gone then. Nothing else may end a
//!   connection with 0x97.
//! - Nothing of a durable session is lost, and no publisher is refused for it.
//! - Where nothing is persistent, publishers are refused for sessions that outlive their
//!   connections. A will has nobody to refuse, and what is retained comes again.
//! - A CONNECT is refused for its will only if that is larger than the least share.

use std::ops::AddAssign;

use ferrymq::broker::{Broker, Way};

use crate::common::rng::Rng;
use crate::run::Run;
use crate::scheduler::{What, drive};
use crate::world::Shape;

/// For these seeds memory is short in every history, and the disk is small in most.
pub const SHORT: std::ops::Range<u64> = 1_000_000_000..2_000_000_000;

/// Bytes of memory; the largest message takes some 72 KiB.
const LIMITS: [i64; 4] = [64 << 10, 128 << 10, 256 << 10, 1 << 20];
const VOLATILE: [i64; 3] = [300 << 10, 300 << 10, 1 << 20];

/// A will that is no larger is never refused.
pub const LEAST_SHARE: usize = 16 << 10;

/// How often each way of giving way was gone.
#[derive(Debug, Default, Clone, Copy)]
pub struct GaveWay {
    /// Histories in which anybody did.
    histories: u64,
    /// QoS 0 messages that did not get into a queue.
    dropped: u64,
    /// And those that were taken out of one.
    shed: u64,
    /// QoS 1 and 2 messages.
    lost: u64,
    /// Connections that were ended for them.
    pub deprived: u64,
    spilled: u64,
    /// Publishers where nothing is persistent.
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
    /// Adds what a broker has counted.
    pub fn count(&mut self, broker: &Broker) {
        self.dropped += broker.gave_way(Way::Dropped);
        self.shed += broker.gave_way(Way::Shed);
        self.lost += broker.gave_way(Way::Lost);
        self.spilled += broker.gave_way(Way::Spilled);
        self.refused += broker.gave_way(Way::Refused);
        self.held += broker.gave_way(Way::Held);
    }

    /// The history has ended.
    pub fn end(&mut self) {
        let any = self.dropped + self.lost + self.spilled + self.refused + self.held;
        self.histories = u64::from(any > 0);
    }

    /// The ways that nobody has gone.
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
    /// A quarter of all seeds has short memory. Of the older ones these were chosen that had
    /// never found anything, and none of their rng is drawn for it: kept seeds stay what
    /// they were.
    pub fn with_memory_of(mut self, seed: u64) -> Self {
        if !SHORT.contains(&seed) && !(12..17).contains(&(seed % 20)) {
            return self;
        }
        let mut rng = Rng::from_seed(!seed);
        self.volatile = rng.percent(20);
        // Where nothing is persistent, a message for which there is never room is refused for
        // ever, and an MQTT 3 publisher repeats it for ever: as the configuration demands,
        // there is memory for four of the largest.
        let limits = if self.volatile { &VOLATILE[..] } else { &LIMITS[..] };
        self.max_memory = Some(*rng.pick(limits));
        if SHORT.contains(&seed) {
            self.max_size = *rng.pick(&[0, 1 << 20, 1 << 20, 1 << 20]);
        }
        self
    }
}

impl Run {
    /// The shares are computed anew, as they are 20 times a second.
    pub(super) fn balance(&mut self) {
        let task = [What::Upkeep, What::Balance];
        self.upkeep(What::Balance, &task, |broker| drive(broker.balance_memory()));
    }
}
