//! WebSocket as a byte stream (RFC 6455; MQTT 5.0 and 3.1.1, section 6): the opening handshake
//! and the frames that carry MQTT. MQTT itself is unknown here, and so are listeners.
//!
//! - `accept.rs`, `request.rs`, `refusal.rs`, `forwarded.rs`: the server's side of the opening
//!   handshake; `connect.rs` the client's. `head.rs` reads an HTTP header within bounds.
//! - `incoming.rs`: frames in, pure. `outgoing.rs`: frames out. `stream.rs`: both, as
//!   [`tokio::io::AsyncRead`] and [`tokio::io::AsyncWrite`].
//!
//! `tungstenite` parses and formats headers of frames and of HTTP. Its own stream is not used:
//! it hands out whole messages, which a slow sender of a large one would hold in memory, and
//! copies what it sends. Here payload is unmasked where the caller reads it and sent from where
//! the caller holds it, so that a connection has no buffer of its own.

mod accept;
mod connect;
mod forwarded;
mod head;
mod incoming;
mod mask;
mod outgoing;
mod refusal;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod violation;
mod wakers;

pub use accept::accept;
pub use connect::{ConnectError, connect};
pub use forwarded::forwarded_for;
pub use refusal::WebSocketRefusal;
pub use request::{SubProtocol, Upgrade};
pub use stream::WebSocketStream;
pub use violation::Violation;

use ipnet::IpNet;

/// The lowest limit of a message's size. A message may hold many packets [MQTT-6.0.0-2], and
/// clients collect them: a limit of few bytes for one packet must not refuse these. 64 KiB is
/// what most collect at once, and costs nothing: messages are not held in memory.
const LEAST_MESSAGE_LIMIT: u64 = 64 * 1024;

/// What a listener's opening handshake goes by.
#[derive(Debug, Clone)]
pub struct WebSocketSettings {
    /// The path of the request, without its query.
    pub path: String,
    /// Origins whose pages may connect. Empty: all.
    pub allowed_origins: Vec<String>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The largest message and frame, in bytes.
    pub max_message_size: u64,
}

impl WebSocketSettings {
    /// The settings of a listener; `max_packet_size` is `mqtt.max_packet_size`.
    pub fn new(
        path: &str,
        allowed_origins: &[String],
        trusted_proxies: &[IpNet],
        max_packet_size: u32,
    ) -> Self {
        Self {
            path: path.to_owned(),
            allowed_origins: allowed_origins.to_vec(),
            trusted_proxies: trusted_proxies.to_vec(),
            max_message_size: message_limit(max_packet_size),
        }
    }
}

/// The largest message and frame, in bytes; `max_packet_size` is `mqtt.max_packet_size`.
pub fn message_limit(max_packet_size: u32) -> u64 {
    u64::from(max_packet_size).max(LEAST_MESSAGE_LIMIT)
}
