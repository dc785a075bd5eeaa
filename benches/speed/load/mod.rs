//! The load generator: one thread, one poll loop, frames encoded beforehand.
//!
//! It uses MQTT 3.1.1 over a socket and does not depend on the broker.

mod client;
mod frames;
mod generator;
mod histogram;
mod order;
mod publisher;
pub mod sink;
mod socket;
mod subscriber;

pub use generator::{Generator, Shape};
pub use histogram::Histogram;
pub use order::Findings;
pub use subscriber::Subscriber;

/// The topic that everything is published to.
pub const TOPIC: &str = "speed/load";

/// Bytes of payload in each message.
pub const PAYLOAD: usize = 256;

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
