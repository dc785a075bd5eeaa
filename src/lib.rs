//! FerryMQ, an MQTT broker with durable sessions.
//!
//! # Layout
//! A module uses only modules below it in this list:
//! - [`http`], [`net`]: sockets and tasks.
//! - [`broker`]: ties everything together.
//! - [`bridge`]: decisions about connections to other brokers. Pure.
//! - [`session`], [`router`], [`store`], [`auth`]: one concern each. They do not know each
//!   other. `session` and `router` are pure.
//! - [`message`]: the message that all of them share.
//! - [`protocol`]: bytes to packets and back. Pure.
//!
//! Beside the broker: [`maintenance`], an operator's work on the database, above [`store`].
//!
//! [`config`] is read by all of them at the start, and [`telemetry`] is used by all of them.
//! [`bench`] and [`drill`] test a broker in a [`sandbox`] with the clients of [`load`].
//! [`outbound`] connects to servers for [`net`] and [`fetch`], which makes small HTTP requests.
//! [`peer`] is the other end of a connection as plain data. [`memory`] counts the bytes that
//! clients hold, and [`counter`] has the numbers in which threads count. [`token_bucket`] limits
//! rates. [`untrusted_text`] finds characters that must not reach a terminal. [`cli`]
//! is the command line, [`server`] runs a broker. [`sync`] has the locks around the broker's
//! state, [`primitives`] the atomics in which threads synchronize. [`schedule`] (points at
//! which a simulation switches threads) and [`sabotage`] (faults for tests of the tests) do
//! nothing in a release.

pub mod auth;
pub mod bench;
pub mod bridge;
pub mod broker;
pub mod cli;
pub mod config;
pub mod counter;
pub mod drill;
pub mod fetch;
pub mod file_watch;
pub mod http;
pub mod load;
pub mod maintenance;
pub mod memory;
pub mod message;
pub mod net;
pub mod outbound;
pub mod peer;
pub mod primitives;
pub mod protocol;
pub mod router;
pub mod sabotage;
pub mod sandbox;
pub mod schedule;
pub mod server;
pub mod session;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod token_bucket;
pub mod untrusted_text;
