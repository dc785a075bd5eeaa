//! `[session]`.

use serde::{Deserialize, Serialize};

use super::{ByteSize, Span};

/// What happens to a message that finds a session's queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The publisher is told so (v5: Quota exceeded) and nothing that was
    /// acknowledged is lost.
    #[default]
    Refuse,
    /// The message that has waited longest makes room.
    DropOldest,
    /// The new message is acknowledged and not queued.
    DropNewest,
}

/// `[session]`: what is kept for a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The longest that a session is kept for a client that is away; also how long
    /// one of MQTT 3.1.1 with Clean Session 0 lives. 0s or more, or `never`.
    pub max_expiry: Span,
    /// Sessions at once, connected or not, 1 to 100,000,000.
    pub max_sessions: usize,
    /// QoS 1 and 2 messages under way to a receiver, 1 to 65,535; its own Receive
    /// Maximum may be lower.
    pub inflight_window: u16,
    /// Messages waiting in one session's queue, 1 to 4,000,000,000.
    pub max_queued_messages: usize,
    /// Bytes waiting in one session's queue, at least 1KiB.
    pub max_queued_bytes: ByteSize,
    /// `refuse`, `drop-oldest` or `drop-newest`.
    pub overflow: Overflow,
    /// Subscriptions of one session, 1 to 10,000,000.
    pub max_subscriptions: usize,
    /// Messages of one queue that stay in memory, 1 to 1,000,000; those behind
    /// them are read back from the database.
    pub memory_window: usize,
    /// True: QoS 0 messages also wait (in memory) for a client that is away.
    pub queue_qos0: bool,
    /// True: wills of sessions that end with their connection are on disk as well, and
    /// are published after a crash.
    pub store_wills: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            max_expiry: Span::days(7),
            max_sessions: 100_000,
            inflight_window: 1024,
            max_queued_messages: 1_000_000,
            max_queued_bytes: ByteSize::gib(1),
            overflow: Overflow::Refuse,
            max_subscriptions: 1000,
            memory_window: 1000,
            queue_qos0: false,
            store_wills: true,
        }
    }
}
