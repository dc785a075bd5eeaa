//! Subscriptions, shared groups and the index of retained topics.
//!
//! Pure: no I/O, no clock, no randomness but the hash seed. The router knows topic
//! filters, session ids and an opaque handle of type `S` that it hands back with
//! each receiver, so that the caller needs no look-up of its own on the hot path.
//! What a session is, whether it is online and what is done with a message is the
//! caller's business; no lock lives here either.
//!
//! From the bottom up:
//! - `level`, `slab`, `edges`, `trie`: a trie of topic levels in one arena.
//! - `list`, `members`, `groups`: who subscribed at one node of it.
//! - [`Router`] (`table`, `route`, `routes`): filters to sessions.
//! - [`Retained`]: topics to values, searched by filter.
//!
//! Nothing here recurses: a topic of 65,535 slashes is as deep as MQTT allows, and
//! must cost time and memory only.

mod edges;
mod groups;
mod level;
mod list;
mod members;
mod retained;
mod route;
mod routes;
mod slab;
mod table;
mod trie;
mod unlinked;
mod walk;

#[cfg(test)]
mod tests;

pub use groups::Availability;
pub use retained::Retained;
pub use routes::{Receiver, Routes};
pub use table::Router;
pub use walk::Walk;

use crate::protocol::SubscriptionOptions;

/// What the router has to know about a subscription besides its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscription {
    /// As asked for in the SUBSCRIBE.
    pub options: SubscriptionOptions,
    /// v5 Subscription Identifier, never 0.
    pub identifier: Option<u32>,
}
