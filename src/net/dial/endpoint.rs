//! Opens a stream to a server: look-up, TCP, TLS, WebSocket.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::error::{OpenError, Step};
use super::tls::{ClientTls, TlsFault};
use crate::broker::{Broker, Load};
use crate::config;
use crate::net::listener::line_watch::LineWatch;
use crate::net::tls::handshake::in_turns;
use crate::net::tls::stream::WRITE_BUFFER;
use crate::net::transport::{AnyStream, Established};
use crate::net::websocket::{self, message_limit};
use crate::outbound::{self, ConnectError};
use crate::peer::{PeerAddr, Security};

/// Where a server is, and what carries MQTT to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A DNS name or an IP address, the latter without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// `None`: plain.
    pub tls: Option<Arc<ClientTls>>,
    /// The path of a WebSocket, with its query. `None`: MQTT is in the bytes.
    pub websocket_path: Option<String>,
}

impl Endpoint {
    fn scheme(&self) -> &'static str {
        match (&self.tls, &self.websocket_path) {
            (None, None) => "mqtt",
            (Some(_), None) => "mqtts",
            (None, Some(_)) => "ws",
            (Some(_), Some(_)) => "wss",
        }
    }

    /// The header `Host` of the WebSocket request (RFC 6455, 4.1): the port is left out if it
    /// is the scheme's.
    fn host_header(&self) -> String {
        let host = self.shown_host();
        match (self.port, &self.tls) {
            (80, None) | (443, Some(_)) => host.into_owned(),
            (port, _) => format!("{host}:{port}"),
        }
    }

    fn shown_host(&self) -> Cow<'_, str> {
        let host = &self.host;
        if host.contains(':') { format!("[{host}]").into() } else { host.into() }
    }
}

/// As an address of the configuration, without the query of its path.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme(), self.shown_host(), self.port)?;
        let path = self.websocket_path.as_deref().unwrap_or_default();
        f.write_str(path.split('?').next().unwrap_or_default())
    }
}

/// Opens a stream to the server on which CONNECT can be sent. It ends with `deadline`, and can
/// be cancelled by dropping it.
///
/// # Errors
/// One of the layers could not be established; see [`OpenError`].
pub async fn open(
    broker: &Broker,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<Established<AnyStream>, OpenError> {
    // Files that cannot be used are told without a connection.
    let tls = match &endpoint.tls {
        Some(tls) => Some((connector(tls).await?, tls.name(&endpoint.host)?)),
        None => None,
    };
    let stream = outbound::connect(&endpoint.host, endpoint.port, deadline).await?;
    LineWatch::of(&config::Listener::default()).over(&stream);
    let peer = stream.peer_addr().map_err(ConnectError::Socket)?.into();
    let Some((connector, name)) = tls else {
        return over(broker, endpoint, Box::new(stream), (peer, Security::Plain), deadline).await;
    };
    let handshake = connector.connect(name, stream);
    let handshake = in_turns(handshake, || broker.turns.wait(Load::Handshake));
    let mut stream = timeout_at(deadline, handshake)
        .await
        .map_err(|_| OpenError::TimedOut(Step::Tls))?
        .map_err(|error| TlsFault::of_handshake(&error))?;
    stream.get_mut().1.set_buffer_limit(Some(WRITE_BUFFER));
    over(broker, endpoint, Box::new(stream), (peer, Security::Tls), deadline).await
}

/// Reads the files of TLS on a thread that may block.
async fn connector(tls: &Arc<ClientTls>) -> Result<TlsConnector, OpenError> {
    let tls = Arc::clone(tls);
    let loaded = tokio::task::spawn_blocking(move || tls.load()).await;
    let loaded = loaded.map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(TlsConnector::from(Arc::new(loaded?)))
}

/// What is above TLS, or above TCP without TLS.
async fn over(
    broker: &Broker,
    endpoint: &Endpoint,
    stream: AnyStream,
    (peer, security): (PeerAddr, Security),
    deadline: Instant,
) -> Result<Established<AnyStream>, OpenError> {
    let stream: AnyStream = match &endpoint.websocket_path {
        None => stream,
        Some(path) => {
            let host = endpoint.host_header();
            let most = message_limit(broker.settings.max_packet_size);
            let opened = timeout_at(deadline, websocket::connect(stream, &host, path, most)).await;
            Box::new(opened.map_err(|_| OpenError::TimedOut(Step::WebSocket))??)
        }
    };
    let established = Established::new(stream, peer, security);
    let is_bare = endpoint.websocket_path.is_none() && security == Security::Plain;
    Ok(if is_bare { established } else { established.with_close() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str, port: u16, tls: bool, path: Option<&str>) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            port,
            tls: tls.then(Arc::default),
            websocket_path: path.map(str::to_owned),
        }
    }

    #[test]
    fn an_endpoint_is_shown_as_its_address_without_a_query_which_may_be_a_secret() {
        for (endpoint, shown, header) in [
            (endpoint("a.example", 1883, false, None), "mqtt://a.example:1883", "a.example:1883"),
            (endpoint("::1", 8883, true, None), "mqtts://[::1]:8883", "[::1]:8883"),
            (endpoint("a", 80, false, Some("/mqtt?key=1")), "ws://a:80/mqtt", "a"),
            (endpoint("::1", 443, true, Some("/")), "wss://[::1]:443/", "[::1]"),
            (endpoint("a", 80, true, Some("/")), "wss://a:80/", "a:80"),
        ] {
            assert_eq!((endpoint.to_string().as_str(), &*endpoint.host_header()), (shown, header));
        }
    }
}
