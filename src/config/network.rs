//! `[listeners.NAME]`, `[limits]`.

use serde::{Deserialize, Serialize};

use super::{AutoCount, AutoSize, Bind};

/// What is spoken on a listener.
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
    /// Connections at once on this listener, 1 to 10,000,000.
    #[serde(default = "default_connections")]
    pub max_connections: usize,
}

const fn default_connections() -> usize {
    100_000
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            protocol: Protocol::Mqtt,
            bind: Bind::loopback(1883),
            max_connections: default_connections(),
        }
    }
}

/// `[limits]`: bounds over all clients together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections at once on all listeners, 1 to 10,000,000. `auto`: one for each 32KiB
    /// of the memory, at most 100,000. The system's limit of open files may be lower.
    pub max_connections: AutoCount,
    /// Bytes of message payloads, topics and properties held in memory over all
    /// queues, at least 1MiB. `auto`: a quarter of the memory, at most 512MiB.
    pub max_memory: AutoSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: AutoCount::Auto, max_memory: AutoSize::Auto }
    }
}
