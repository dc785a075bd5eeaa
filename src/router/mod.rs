//! Subscriptions, shared groups and the index of retained topics.
//!
//! Pure: no I/O, no clock, and no randomness except hash seeds. The router knows topic
//! filters, session ids and an opaque handle of type `S`, which it returns with each receiver,
//! so that the caller needs no look-up on the hot path. Sessions, their connections and
//! messages are unknown here. It has no locks.
//!
//! From the bottom up:
//! - `level`, `slab`, `edges`, `trie`: a trie of topic levels in one arena.
//! - `list`, `members`, `groups`: the subscribers at one node of it.
//! - [`Router`] (`table`, `route`, `routes`): filters to sessions.
//! - [`Retained`]: topics to values, searched by filter.
//!
//! Nothing here is recursive: MQTT permits a topic of 65,535 slashes, which must cost only
//! time and memory.

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
mod topic_map;
mod trie;
mod unlinked;
mod walk;

#[cfg(test)]
mod tests;

pub use groups::Availability;
pub use retained::Retained;
pub use routes::{Receiver, Routes};
pub use table::Router;
pub use topic_map::{MapError, Mapped, RuleError, TopicMap};
pub use walk::Walk;

use crate::protocol::SubscriptionOptions;

/// The properties of a subscription besides its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscription {
    /// As requested in the SUBSCRIBE.
    pub options: SubscriptionOptions,
    /// v5 Subscription Identifier, never 0.
    pub identifier: Option<u32>,
}
