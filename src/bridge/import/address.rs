//! `address` and `addresses`: `HOST[:PORT]`, any number of them.

use crate::config::{BridgeAddress, BridgeScheme};

/// Mosquitto's port if there is none, with TLS as well.
const PORT: &str = "1883";

/// The address as a URL; `None` if it is none.
pub(super) fn parse(text: &str, scheme: BridgeScheme) -> Option<BridgeAddress> {
    // The last colon, as in Mosquitto: an IPv6 address stands without brackets and needs a port.
    let (host, port) = text.rsplit_once(':').unwrap_or((text, PORT));
    let is_bare = host.contains(':') && !host.starts_with('[');
    let host = if is_bare { format!("[{host}]") } else { host.to_owned() };
    format!("{}://{host}:{port}", scheme.as_str()).parse().ok()
}

/// True if the text has a port.
pub(super) fn has_port(text: &str) -> bool {
    text.contains(':')
}
