//! `[listeners.NAME]`, `[limits]`.

use serde::{Deserialize, Serialize};

use super::{AutoCount, AutoSize, Bind, Span};

/// The protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// MQTT over TCP.
    #[default]
    Mqtt,
}

/// `[listeners.NAME]`: a socket for MQTT clients. The one named `tcp` always
/// exists; `bind = "off"` turns it off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `mqtt`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Address and port, or `off`. One that other machines can reach needs
    /// `auth.password_file` or `auth.allow_anonymous = true`.
    pub bind: Bind,
    /// Most connections at the same time on this listener, 1 to 10,000,000.
    #[serde(default = "default_connections")]
    pub max_connections: usize,
    /// After how long without data TCP begins to probe a client: 1s to 9h, or never. It sends
    /// four probes within a third of that time and closes the connection if none is answered.
    /// MQTT's own keep alive is independent of it.
    #[serde(default = "default_keep_alive")]
    pub tcp_keep_alive: Span,
    /// How long sent data may stay without TCP's acknowledgement, or a client's receive window
    /// closed, before the connection is closed: 1s to 9h. `never` leaves it to the system,
    /// about a quarter of an hour for a dead connection.
    #[serde(default = "default_user_timeout")]
    pub tcp_user_timeout: Span,
}

const fn default_connections() -> usize {
    100_000
}

const fn default_keep_alive() -> Span {
    Span::seconds(60)
}

const fn default_user_timeout() -> Span {
    Span::NEVER
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            protocol: Protocol::Mqtt,
            bind: Bind::loopback(1883),
            max_connections: default_connections(),
            tcp_keep_alive: default_keep_alive(),
            tcp_user_timeout: default_user_timeout(),
        }
    }
}

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
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: AutoCount::Auto, max_memory: AutoSize::Auto }
    }
}
