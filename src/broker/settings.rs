//! The configuration in the broker's own units.

use std::time::Duration;

use crate::session::Limits;

/// See the configuration keys of the same names.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bounds of each session.
    pub session: Limits,
    /// Seconds; also the life of a 3.1.1 session without clean session.
    pub max_session_expiry: u32,
    /// Per session.
    pub max_subscriptions: usize,
    /// Keep QoS 0 messages for clients that are away.
    pub queue_qos0: bool,
    /// Bytes.
    pub max_packet_size: u32,
    /// Levels of a topic name or filter.
    pub max_topic_levels: usize,
    /// Seconds; 0 leaves it to the client.
    pub max_keep_alive: u16,
    /// Unacknowledged publishes of one v5 client.
    pub receive_maximum: u16,
    /// Both ways.
    pub topic_alias_maximum: u16,
    /// Whether clients may retain.
    pub retain_available: bool,
    /// Over all topics.
    pub max_retained_messages: usize,
    /// Interval of `$SYS`; `None` is off.
    pub sys_interval: Option<Duration>,
    /// Bytes of queued messages in memory.
    pub max_memory: i64,
    /// Replies that may wait for one connection before it is read no further.
    pub max_unanswered: usize,
    /// Writes that may wait for the disk before publishers are read no further.
    pub max_pending_writes: usize,
    /// Time for CONNECT to come and be answered.
    pub connect_timeout: Duration,
}
