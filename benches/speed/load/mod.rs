//! The load generator: one thread, one poll loop, frames encoded beforehand.
//!
//! It uses MQTT 3.1.1 and does not depend on the broker. `socket` has what lies between MQTT and
//! TCP: `wire` for TLS, `websocket` for frames.

mod client;
mod endpoint;
mod frames;
mod generator;
mod histogram;
mod order;
mod publisher;
pub mod sink;
mod socket;
mod subscriber;
mod websocket;
mod wire;

pub use endpoint::{Endpoint, SERVER_NAME};
pub use generator::{Generator, Shape};
pub use histogram::Histogram;
pub use order::Findings;
pub use subscriber::Subscriber;

use std::time::Duration;

/// The topic that everything is published to, or the level above the topics.
const TOPIC: &str = "speed/load";

/// A filter of all topics of the load.
pub const ALL_TOPICS: &str = "speed/#";

/// How long a broker may take for each step of a new connection.
const START: Duration = Duration::from_secs(30);

/// Bytes of payload in each message.
pub const PAYLOAD: usize = 256;

/// The topics that each publisher takes in turn.
fn topics(count: u32) -> Vec<String> {
    match count {
        1 => vec![TOPIC.to_owned()],
        _ => (0..count).map(|number| format!("{TOPIC}/{number}")).collect(),
    }
}

/// The subscriber's filter for these topics.
fn filter(count: u32) -> String {
    if count == 1 { TOPIC.to_owned() } else { format!("{TOPIC}/#") }
}

/// Nanoseconds since the start of the run; never 0, which stands for "none".
#[derive(Clone, Copy)]
pub struct Clock(std::time::Instant);

impl Clock {
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap() + 1
    }
}
