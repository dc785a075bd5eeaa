//! `[limits]`.

use serde::{Deserialize, Serialize};

use super::{AutoCount, AutoSize, ByteSize};

/// `[limits]`: bounds over all clients together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most connections at the same time on all listeners, 1 to 10,000,000. `auto`: one for
    /// each 32KiB of the memory, at most 100,000. The system's limit of open files may be
    /// lower.
    pub max_connections: AutoCount,
    /// Bytes held in memory on behalf of all clients: messages, queues, subscriptions, wills,
    /// packets. At least 1MiB and four times `mqtt.max_packet_size`. `auto`: a quarter of the
    /// memory, at most 512MiB.
    pub max_memory: AutoSize,
    /// Most connections at the same time from one address (of IPv6, one network of 64 bits), 0
    /// to 10,000,000; 0: no limit.
    pub max_connections_per_address: usize,
    /// New connections in a second from one address, 0 to 1,000,000; 0: no limit. As many are
    /// accepted at once after a second without any.
    pub connection_rate_per_address: u32,
    /// Publishes in a second of one client, 0 for no limit. Above it the broker reads more
    /// slowly; nothing is dropped.
    pub publish_rate: u32,
    /// Bytes in a second that one client publishes, 0B for no limit, likewise.
    pub publish_bytes_rate: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: AutoCount::Auto,
            max_memory: AutoSize::Auto,
            max_connections_per_address: 0,
            connection_rate_per_address: 0,
            publish_rate: 0,
            publish_bytes_rate: ByteSize(0),
        }
    }
}
