//! `[mqtt]`.

use serde::{Deserialize, Serialize};

use super::{AutoSize, ByteSize, Span};

/// What happens to a publisher of MQTT 3.1 or 3.1.1 whose message finds no room:
/// these versions have no refusal, and an acknowledgement would be a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFull {
    /// Its connection is closed; it may send the message again when it is back.
    #[default]
    Disconnect,
    /// It waits for the acknowledgement, and is read no further, until there is room.
    Stall,
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
    /// From the accepted socket to the end of the CONNECT exchange, waiting for
    /// the password to be verified included; 100ms to 1h.
    pub connect_timeout: Span,
    /// The longest keep alive, 1s to 65535s; a v5 client that asks for more or for
    /// none is given this. `never`: as the client chooses.
    pub max_keep_alive: Span,
    /// Unacknowledged QoS 1 and 2 messages a v5 publisher may have under way, 1 to
    /// 65,535.
    pub receive_maximum: u16,
    /// `disconnect` or `stall`: MQTT 3.1 and 3.1.1 publishers when disk or queue is
    /// full.
    pub on_full: OnFull,
    /// Topic aliases of a v5 connection, each way, 0 to 65,535.
    pub topic_alias_maximum: u16,
    /// False: a publish with RETAIN is refused.
    pub retain_available: bool,
    /// Topics with a retained message, 0 to 1,000,000,000.
    pub max_retained_messages: usize,
    /// Bytes of all retained messages. `auto`: an eighth of the memory, at most 256MiB.
    pub max_retained_bytes: AutoSize,
    /// How often `$SYS` topics are published, 1s or more, or `never`.
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
            topic_alias_maximum: 32,
            retain_available: true,
            max_retained_messages: 100_000,
            max_retained_bytes: AutoSize::Auto,
            sys_interval: Span::seconds(10),
        }
    }
}
