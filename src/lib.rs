//! FerryMQ: an MQTT broker that keeps its word.
//!
//! # Layout
//! Arrows run one way, from the top of this list to its bottom:
//! - [`http`], [`net`]: sockets and tasks.
//! - [`broker`]: ties everything together.
//! - [`session`], [`router`], [`store`], [`auth`]: one concern each, siblings that
//!   do not know each other. `session` and `router` are pure.
//! - [`message`]: the message that all of them share.
//! - [`protocol`]: bytes to packets and back. Pure.
//!
//! Beside the broker: [`maintenance`], an operator's work on the database, above
//! [`store`].
//!
//! On the side: [`config`] is read by all of them at the start, [`telemetry`] is
//! counted into by all of them. [`bench`] and [`drill`] try a broker in a [`sandbox`]
//! with the clients of [`load`]. [`peer`] is the other end of a connection as plain data.
//! [`untrusted_text`] knows what of a stranger's text is not for a terminal. [`cli`] is the way in from the shell. [`sync`] has the locks around the
//! broker's state, [`primitives`] the atomics in which threads meet. [`schedule`], the
//! points at which a simulation switches between threads, and [`sabotage`], for tests of the tests, do nothing in a release.

pub mod auth;
pub mod bench;
pub mod broker;
pub mod cli;
pub mod config;
pub mod drill;
pub mod http;
pub mod load;
pub mod maintenance;
pub mod memory;
pub mod message;
pub mod net;
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
pub mod untrusted_text;
