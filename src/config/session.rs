//! `[session]`.

use serde::{Deserialize, Serialize};

use super::{ByteSize, Span};

/// What happens to a message when a session's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The publisher is refused (v5: Quota exceeded), and no acknowledged message is lost.
    #[default]
    Refuse,
    /// The oldest message of the queue is dropped.
    DropOldest,
    /// The new message is acknowledged and not queued.
    DropNewest,
}

/// `[session]`: what is kept for a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The longest time that a session is kept for a disconnected client, 0s or more, or
    /// `never`; also the expiry of an MQTT 3.1.1 session with Clean Session 0.
    pub max_expiry: Span,
    /// Most sessions at the same time, connected or not, 1 to 100,000,000.
    pub max_sessions: usize,
    /// QoS 1 and 2 messages in flight to a receiver, 1 to 65,535. The client's Receive Maximum
    /// may be lower.
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
    /// True: QoS 0 messages are also queued, in memory, for a disconnected client.
    pub queue_qos0: bool,
    /// True: wills of sessions that end with their connection are stored on disk as well, and
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
