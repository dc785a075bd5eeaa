//! MQTT clients that generate load and keep exact account of it, for `bench` and `drill`.
//!
//! Built on [`crate::protocol`]: the same codec as the broker's, in the client role.
//! Everything runs on the caller's thread. [`Connection`]s do not block, [`wait`]
//! says which of them have something to say, and many frames go into one write.
//! [`Publisher`] and [`Subscriber`] are pure: packets in, packets out, no socket and
//! no clock, so that they outlive any number of connections. [`Generator`] is the two of
//! them on connections that stay.
//!
//! Nothing here knows which broker is at the other end, or what the figures mean.

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
