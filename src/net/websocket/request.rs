//! Judges the request of an opening handshake (RFC 6455, section 4.2). Pure.

use std::fmt;
use std::net::IpAddr;

use tokio_tungstenite::tungstenite::handshake::server::{Request, Response, create_response};
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

use super::WebSocketSettings;
use super::forwarded::forwarded_for;
use super::refusal::WebSocketRefusal;
use crate::peer::PeerAddr;

/// Characters of a path, an origin or sub-protocols in a log line.
const SHOWN: usize = 100;

/// The sub-protocols of MQTT (RFC 6455's registry at IANA).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubProtocol {
    /// `mqtt`: any version [MQTT-6.0.0-3].
    Mqtt,
    /// `mqttv3.1`, which clients of MQTT 3.1 used, and some newer ones still offer.
    MqttV31,
}

impl SubProtocol {
    /// As it is written in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::MqttV31 => "mqttv3.1",
        }
    }

    fn of(name: &[u8]) -> Option<Self> {
        [Self::Mqtt, Self::MqttV31].into_iter().find(|known| known.as_str().as_bytes() == name)
    }
}

impl fmt::Display for SubProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an opening handshake has agreed upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The sub-protocol.
    pub sub_protocol: SubProtocol,
    /// The client's address, if a trusted proxy has named it.
    pub forwarded_for: Option<IpAddr>,
}

/// Accepts or refuses a request.
pub fn judge(
    request: &Request,
    peer: PeerAddr,
    settings: &WebSocketSettings,
) -> Result<(Response, Upgrade), WebSocketRefusal> {
    let mut response = create_response(request).map_err(WebSocketRefusal::of)?;
    let (path, headers) = (request.uri().path(), request.headers());
    if path != settings.path {
        return Err(WebSocketRefusal::Path(shown(path.as_bytes())));
    }
    check_origin(headers, &settings.allowed_origins)?;
    let sub_protocol = sub_protocol(headers)?;
    let name = HeaderValue::from_static(sub_protocol.as_str());
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    let forwarded_for = match peer {
        PeerAddr::Inet(peer) => {
            let values = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
            forwarded_for(values, peer.ip(), &settings.trusted_proxies)
        }
        PeerAddr::Local => None,
    };
    Ok((response, Upgrade { sub_protocol, forwarded_for }))
}

/// A page may connect whose origin is allowed. Who names none is no browser: it could name any
/// as well.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), WebSocketRefusal> {
    let is_allowed = |origin: &HeaderValue| {
        let origin = origin.as_bytes();
        // People copy them from a browser's address bar.
        let mut allowed = allowed.iter().map(|allowed| allowed.trim_end_matches('/').as_bytes());
        allowed.any(|allowed| allowed.eq_ignore_ascii_case(origin))
    };
    if allowed.is_empty() {
        return Ok(());
    }
    match headers.get_all(ORIGIN).iter().find(|origin| !is_allowed(origin)) {
        None => Ok(()),
        Some(origin) => Err(WebSocketRefusal::Origin(shown(origin.as_bytes()))),
    }
}

/// The first one of MQTT that the client offers [MQTT-6.0.0-3].
fn sub_protocol(headers: &HeaderMap) -> Result<SubProtocol, WebSocketRefusal> {
    let offered = || headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(HeaderValue::as_bytes);
    let mut names = offered().flat_map(|value| value.split(|byte| *byte == b','));
    let first = names.find_map(|name| SubProtocol::of(name.trim_ascii()));
    first.ok_or_else(|| {
        WebSocketRefusal::SubProtocol(shown(&offered().collect::<Vec<_>>().join(&b", "[..])))
    })
}

/// The beginning of a text from the peer, for a log line.
fn shown(text: &[u8]) -> Box<str> {
    String::from_utf8_lossy(text).chars().take(SHOWN).collect()
}
