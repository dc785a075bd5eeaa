//! `[mqtt]`.

use serde::{Deserialize, Serialize};

use super::{AutoSize, ByteSize, Span};

/// What happens to a publisher of MQTT 3.1 or 3.1.1 when there is no room for its message:
/// these versions cannot refuse a message, and an acknowledgement would promise what is not
/// true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFull {
    /// The connection is closed; the client may send the message again after it reconnects.
    #[default]
    Disconnect,
    /// The acknowledgement is delayed, and nothing more is read from the client, until there
    /// is room.
    Stall,
}

/// What happens to a publisher of MQTT 3.1 or 3.1.1 that may not publish to a topic. These
/// versions cannot refuse a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDenied {
    /// The message is acknowledged and not published.
    #[default]
    Acknowledge,
    /// The connection is closed.
    Disconnect,
}

/// `[mqtt]`: what a single connection may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Largest packet that is accepted, 64 bytes to 268,435,455 (the protocol's
    /// limit). Announced to v5 clients.
    pub max_packet_size: ByteSize,
    /// Levels of a topic name or filter, 1 to 65,535.
    pub max_topic_levels: usize,
    /// From the accepted socket to the end of the CONNECT exchange, including the wait for
    /// password verification; 100ms to 1h.
    pub connect_timeout: Span,
    /// The longest keep alive, 1s to 65535s. A v5 client that asks for more, or for none, is
    /// given this. `never`: no limit.
    pub max_keep_alive: Span,
    /// The receive maximum announced to a v5 publisher: QoS 1 and 2 messages that it may have
    /// unacknowledged, 1 to 65,535.
    pub receive_maximum: u16,
    /// `disconnect` or `stall`: for MQTT 3.1 and 3.1.1 publishers when the disk or a queue is
    /// full.
    pub on_full: OnFull,
    /// `acknowledge` or `disconnect`: for MQTT 3.1 and 3.1.1 publishers that may not publish
    /// what they sent.
    pub on_denied: OnDenied,
    /// Topic aliases of a v5 connection in each direction, 0 to 65,535.
    pub topic_alias_maximum: u16,
    /// False: a publish with RETAIN is refused.
    pub retain_available: bool,
    /// Topics with a retained message, 0 to 1,000,000,000.
    pub max_retained_messages: usize,
    /// Bytes of all retained messages. `auto`: an eighth of the memory, at most 256MiB and at
    /// most half of `limits.max_memory`.
    pub max_retained_bytes: AutoSize,
    /// How often `$SYS` topics are published, 1s to 365d, or `never`.
    pub sys_interval: Span,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            max_packet_size: ByteSize::mib(1),
            max_topic_levels: 128,
            connect_timeout: Span::seconds(10),
            max_keep_alive: Span::NEVER,
            receive_maximum: 1024,
            on_full: OnFull::Disconnect,
            on_denied: OnDenied::Acknowledge,
            topic_alias_maximum: 32,
            retain_available: true,
            max_retained_messages: 100_000,
            max_retained_bytes: AutoSize::Auto,
            sys_interval: Span::seconds(10),
        }
    }
}
