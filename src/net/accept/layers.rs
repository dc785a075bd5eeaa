//! What is between TCP and MQTT on a listener.

use std::sync::Arc;

use crate::config::{self, ListenerTls};
use crate::net::tls::{TlsContext, TlsError};
use crate::net::websocket::WebSocketSettings;

/// What is between TCP and MQTT.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// TLS, with its certificates.
    pub tls: Option<Arc<TlsContext>>,
    /// WebSocket, inside TLS if there is both.
    pub websocket: Option<Arc<WebSocketSettings>>,
}

impl Layers {
    /// Those of the protocol of the listener of this name. Reads its certificates.
    /// `max_packet_size` is `mqtt.max_packet_size`.
    ///
    /// # Errors
    /// Its certificates cannot be used.
    pub fn load(
        name: &str,
        listener: &config::Listener,
        max_packet_size: u32,
    ) -> Result<Self, TlsError> {
        let mut layers = Self::default();
        if listener.protocol.is_tls() {
            let none = ListenerTls::default();
            let files = listener.tls.as_ref().unwrap_or(&none);
            let context = TlsContext::load(name, listener.protocol.is_websocket(), files)?;
            layers.tls = Some(Arc::new(context));
        }
        if listener.protocol.is_websocket() {
            let settings = listener.websocket.clone().unwrap_or_default();
            layers.websocket = Some(Arc::new(WebSocketSettings::new(
                &settings.path,
                &settings.allowed_origins,
                &listener.trusted_proxies,
                max_packet_size,
            )));
        }
        Ok(layers)
    }

    /// True if MQTT is in the bytes of the connection.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && self.websocket.is_none()
    }
}
