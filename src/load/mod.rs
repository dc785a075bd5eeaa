//! MQTT clients that generate load and account for every message, for `bench` and `drill`.
//!
//! They use the broker's codec ([`crate::protocol`]) in the client role. All of them run on
//! the caller's thread. [`Connection`]s do not block, [`wait`] returns those that are ready,
//! and many frames go into one write. [`Publisher`] and [`Subscriber`] are pure: packets in,
//! packets out, without socket and clock, so that they outlive their connections.
//! [`Generator`] combines both on persistent connections.
//!
//! Nothing here depends on the broker or interprets the figures.

mod account;
mod clock;
mod connection;
mod error;
mod generator;
mod latency;
mod pace;
mod poll;
mod publisher;
mod stamp;
mod stop;
mod subscriber;

pub use account::{Findings, Sequence};
pub use clock::Clock;
pub use connection::{Connection, Hello, Incoming};
pub use error::LoadError;
pub use generator::{Generator, Shape};
pub use latency::Latency;
pub use pace::Pace;
pub use poll::wait;
pub use publisher::{Publisher, Resumed};
pub use stamp::Stamp;
pub use stop::Stop;
pub use subscriber::Subscriber;
