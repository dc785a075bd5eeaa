//! The configuration, in the units of the broker.

use std::sync::Arc;
use std::time::Duration;

use super::ReloadableSettings;
use crate::config::{self, Config};
use crate::session::{Limits, Overflow};

/// See the configuration keys of the same names.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits of each session.
    pub session: Arc<Limits>,
    /// Seconds; also the lifetime of a 3.1.1 session without Clean Session.
    pub max_session_expiry: u32,
    /// Bytes.
    pub max_packet_size: u32,
    /// Levels of a topic name or topic filter.
    pub max_topic_levels: usize,
    /// Unacknowledged QoS 1 and 2 publishes of one v5 client.
    pub receive_maximum: u16,
    /// Publishers that cannot be told of a refusal wait for room. False: they are
    /// disconnected.
    pub back_pressure: bool,
    /// What happens to publishers that cannot be told that they may not publish.
    pub on_denied: config::OnDenied,
    /// In both directions.
    pub topic_alias_maximum: u16,
    /// Whether clients may retain messages.
    pub retain_available: bool,
    /// Whether wills of sessions that end with their connection are on disk as well.
    pub store_wills: bool,
    /// Retained messages over all topics.
    pub max_retained_messages: usize,
    /// What they cost in memory, in bytes.
    pub max_retained_bytes: u64,
    /// The interval of `$SYS`; `None` is off.
    pub sys_interval: Option<Duration>,
    /// Bytes that may be held in memory on behalf of clients.
    pub max_memory: i64,
    /// Replies that may wait on one connection before its publishes are held.
    pub max_unanswered: usize,
    /// Writes that may be pending before publishes are held.
    pub max_pending_writes: usize,
    /// Bytes of incomplete or unauthenticated CONNECTs of all clients together.
    pub connect_memory: u64,
    /// Turns of each kind that may be runnable at once.
    pub turns: usize,
    /// The most receivers of a message that are woken at once. If it has more, they take turns.
    pub receivers_at_once: usize,
    /// Settings that may change: their values at the start.
    pub reloadable: ReloadableSettings,
}

/// Replies of one connection that may wait for the disk: two seconds of a publisher at 5,000
/// messages/s. Above this its publishes are held.
const MAX_UNANSWERED: usize = 10_000;

/// The fraction of `limits.max_memory` for CONNECTs, and the least number of the largest ones.
const CONNECT_PART: u64 = 16;
const LARGE_CONNECTS: u64 = 4;

/// One that runs and one that is next, so that no thread waits for work, and a task with
/// little work waits behind two polls of each kind at most.
const TURNS_A_THREAD: usize = 2;

/// So many short polls delay others by a few milliseconds at most.
const RECEIVERS_AT_ONCE: usize = 32;

/// Runtime threads, with tokio's default if the configuration sets none.
fn worker_threads(config: &Config) -> usize {
    match config.runtime.worker_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        set => set,
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let Config { mqtt, session, persistence, .. } = config;
        let sizes = config.sizes(None);
        Self {
            session: Arc::new(session_limits(session)),
            max_session_expiry: session.max_expiry.as_mqtt_seconds(),
            max_packet_size: u32::try_from(mqtt.max_packet_size.bytes()).unwrap_or(u32::MAX),
            max_topic_levels: mqtt.max_topic_levels,
            receive_maximum: mqtt.receive_maximum,
            back_pressure: mqtt.on_full == config::OnFull::Stall,
            on_denied: mqtt.on_denied,
            topic_alias_maximum: mqtt.topic_alias_maximum,
            retain_available: mqtt.retain_available,
            store_wills: session.store_wills,
            max_retained_messages: mqtt.max_retained_messages,
            max_retained_bytes: sizes.max_retained_bytes.bytes(),
            sys_interval: mqtt.sys_interval.finite().filter(|interval| !interval.is_zero()),
            max_memory: i64::try_from(sizes.max_memory.bytes()).unwrap_or(i64::MAX),
            max_unanswered: MAX_UNANSWERED,
            max_pending_writes: persistence.max_pending,
            connect_memory: (sizes.max_memory.bytes() / CONNECT_PART)
                .max(LARGE_CONNECTS * mqtt.max_packet_size.bytes()),
            turns: TURNS_A_THREAD * worker_threads(config),
            receivers_at_once: RECEIVERS_AT_ONCE,
            reloadable: config.into(),
        }
    }
}

fn session_limits(session: &config::Session) -> Limits {
    Limits {
        inflight_window: usize::from(session.inflight_window),
        max_queued_messages: session.max_queued_messages,
        max_queued_bytes: session.max_queued_bytes.bytes(),
        overflow: match session.overflow {
            config::Overflow::Refuse => Overflow::Refuse,
            config::Overflow::DropOldest => Overflow::DropOldest,
            config::Overflow::DropNewest => Overflow::DropNewest,
        },
        memory_window: session.memory_window,
        queue_qos0: session.queue_qos0,
    }
}
