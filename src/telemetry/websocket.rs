//! Labels of WebSocket handshakes.

use super::Label;
use super::labels::label;

label! {
    /// Why an opening handshake of WebSocket failed.
    WebSocketFailure("reason") {
        /// The connection ended within the handshake.
        Closed => "closed",
        /// The client does not speak HTTP.
        NotHttp => "not_http",
        /// Its path is not the listener's.
        Path => "path",
        /// Its page may not connect: `allowed_origins`.
        Origin => "origin",
        /// It offers no sub-protocol of MQTT.
        SubProtocol => "sub_protocol",
        /// A request of HTTP without an upgrade.
        NoUpgrade => "no_upgrade",
        /// Any other request that cannot be accepted.
        BadRequest => "bad_request",
        /// The limit for the memory of unfinished connections was reached.
        Busy => "busy",
    }
}
