//! What differs from seed to seed: the rules of the bridges, the version that they speak, and
//! how much everybody takes.

use ferrymq::config::{Bridge, BridgeRule, OnRefused};
use ferrymq::protocol::Version;

use crate::common::rng::Rng;
use crate::stream::Nature;

/// The broker that dials, and its remote broker.
pub const EDGE: usize = 0;
pub const REMOTE: usize = 1;

/// What the bridges bring where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// `s/#` to the remote broker, below `edge/`.
    Forward,
    /// Both ways, with prefixes and limits of QoS.
    Both,
    /// Two rules match the same topic.
    Overlapping,
    /// `#` both ways.
    Everything,
    /// `#` both ways, by two bridges: each broker dials the other.
    Circle,
}

#[derive(Debug, Clone)]
pub struct Shape {
    pub plan: Plan,
    pub version: Version,
    /// The bit of bridges, before 5.0.
    pub is_bridge: bool,
    pub memory_window: usize,
    pub inflight_window: usize,
    pub back_pressure: bool,
    pub topic_aliases: u16,
    /// The receive maximum of the bridges, and that of the brokers.
    pub receive_maximum: u16,
    pub remote_receive_maximum: u16,
    /// What a bridge's queue and that of any other session hold.
    pub bridge_queue: usize,
    pub other_queue: usize,
    /// The largest packet that the remote broker takes.
    pub max_packet: u32,
    pub on_refused: OnRefused,
    pub receivers_at_once: usize,
    /// How the link carries bytes.
    pub link: Nature,
    /// In 1,000 steps.
    pub crashes: u64,
    pub cuts: u64,
}

/// Larger than any packet of a history.
pub const LARGE: u32 = 1 << 20;
const MANY: usize = 1_000_000;

impl Shape {
    pub fn of(rng: &mut Rng) -> Self {
        use Plan::{Both, Circle, Everything, Forward, Overlapping};
        let plan = *rng.pick(&[Forward, Forward, Both, Both, Overlapping, Everything, Circle]);
        // Only 5.0 keeps messages from going in circles.
        let old = plan != Circle && rng.percent(40);
        // Two full queues would each wait for room in the other.
        let is_circle = plan == Circle;
        let short = |few| if is_circle { MANY } else { few };
        let buffer = *rng.pick(&[3, 40, 400, 20_000]);
        Self {
            plan,
            version: if old { Version::V311 } else { Version::V5 },
            is_bridge: old && rng.percent(50),
            memory_window: *rng.pick(&[1, 2, 5, 1000]),
            inflight_window: *rng.pick(&[1, 2, 5, 100]),
            back_pressure: rng.percent(40),
            topic_aliases: *rng.pick(&[0, 2, 8]),
            receive_maximum: *rng.pick(&[1, 2, 10, 1024]),
            remote_receive_maximum: *rng.pick(&[1, 2, 10, 1024]),
            bridge_queue: *rng.pick(&[short(6), MANY, MANY, MANY]),
            other_queue: *rng.pick(&[short(8), MANY, MANY, MANY]),
            max_packet: *rng.pick(&[350, LARGE, LARGE]),
            on_refused: *rng.pick(&[OnRefused::DeadLetter, OnRefused::DeadLetter, OnRefused::Stop]),
            receivers_at_once: *rng.pick(&[0, 1000]),
            link: Nature {
                to_server: buffer,
                to_client: buffer,
                at_once: *rng.pick(&[7, 1_000_000]),
                partial: *rng.pick(&[0, 50]),
                out_of_budget: *rng.pick(&[0, 0, 5]),
                staged: *rng.pick(&[0, 0, 60]),
            },
            crashes: *rng.pick(&[0, 3, 8, 20]),
            cuts: *rng.pick(&[0, 10, 30]),
        }
    }

    /// The bridge of a broker, if it has one.
    pub fn bridge(&self, at: usize) -> Option<Bridge> {
        if at == REMOTE && self.plan != Plan::Circle {
            return None;
        }
        let (forward, subscribe) = match self.plan {
            Plan::Forward => (vec![rule("s/#", 2, "", "edge/")], vec![]),
            Plan::Both => (
                vec![rule("s/#", 2, "", "edge/"), rule("t/0", 1, "", ""), rule("x/#", 0, "", "")],
                vec![rule("c/#", 2, "in/", "edge/"), rule("d/#", 1, "", "")],
            ),
            Plan::Overlapping => (
                vec![rule("s/0", 1, "", "hot/"), rule("#", 2, "", "edge/")],
                vec![rule("#", 1, "hot/", "c/"), rule("c/#", 2, "", "")],
            ),
            Plan::Everything | Plan::Circle => {
                (vec![rule("#", 2, "", "")], vec![rule("#", 2, "", "")])
            }
        };
        Some(Bridge {
            receive_maximum: self.receive_maximum,
            max_queued_messages: self.bridge_queue,
            on_refused: self.on_refused,
            forward,
            subscribe,
            ..Bridge::default()
        })
    }

    /// True if the remote broker sends the bridge what the bridge has published there.
    pub fn echoes(&self) -> bool {
        self.plan == Plan::Everything && self.version == Version::V311 && !self.is_bridge
    }
}

fn rule(filter: &str, qos: u8, local_prefix: &str, remote_prefix: &str) -> BridgeRule {
    BridgeRule {
        filter: filter.into(),
        qos,
        local_prefix: local_prefix.into(),
        remote_prefix: remote_prefix.into(),
        ..BridgeRule::default()
    }
}

/// A connection of a client, on which nothing is small.
pub const NEAR: Nature = Nature {
    to_server: 1 << 16,
    to_client: 1 << 16,
    at_once: 1 << 16,
    partial: 0,
    out_of_budget: 0,
    staged: 0,
};
