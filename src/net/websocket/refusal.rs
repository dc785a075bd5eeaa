//! Why an opening handshake was refused: for the log, a counter, and the client, which is told
//! by HTTP.

use thiserror::Error;
use tokio_tungstenite::tungstenite::Error as HttpError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::write_response;
use tokio_tungstenite::tungstenite::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio_tungstenite::tungstenite::http::{Response, StatusCode};

use super::head::HeadError;
use crate::telemetry::WebSocketFailure;

/// The first byte of an MQTT CONNECT.
const MQTT_CONNECT: u8 = 0x10;
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Why an opening handshake was refused. Text of the peer is shortened and escaped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WebSocketRefusal {
    /// It closed without sending anything, as probes do. No failure, no log line.
    #[error("the connection closed before anything was received")]
    Probe,
    /// The connection ended within the handshake.
    #[error("the connection closed within the opening handshake")]
    Closed,
    /// The first byte is not HTTP's.
    #[error("no HTTP request: {}", first_byte(*.0))]
    NotHttp(u8),
    /// More than 8 KiB or 124 fields.
    #[error("the header of the request is too large: at most 8 KiB and 124 fields")]
    TooLarge,
    /// The limit for the memory of unfinished connections is reached.
    #[error("too many large requests and CONNECTs at once for limits.max_memory")]
    NoMemory,
    /// Not valid HTTP, or an invalid `Sec-WebSocket-Key`.
    #[error("a malformed request: {0}")]
    Malformed(Box<str>),
    /// Not GET.
    #[error("the method of the request is not GET: no WebSocket client")]
    Method,
    /// Below HTTP 1.1.
    #[error("an HTTP version below 1.1: a proxy in front has to use HTTP 1.1")]
    HttpVersion,
    /// Plain HTTP.
    #[error(
        "a request without an upgrade to WebSocket: no WebSocket client, or a proxy in front \
             does not pass Upgrade and Connection on"
    )]
    NoUpgrade,
    /// Not version 13.
    #[error("not version 13 of WebSocket")]
    Version,
    /// A path other than the listener's.
    #[error("the path is {0:?}: set the client's, or websocket.path")]
    Path(Box<str>),
    /// A page that may not connect.
    #[error("the origin is {0:?}, which is not in websocket.allowed_origins")]
    Origin(Box<str>),
    /// None of MQTT's sub-protocols [MQTT-6.0.0-3].
    #[error("the client offers the sub-protocols {0:?}, which do not include mqtt")]
    SubProtocol(Box<str>),
}

fn first_byte(byte: u8) -> String {
    match byte {
        MQTT_CONNECT => "an MQTT client without WebSocket; let it use ws:// or another listener, \
                         or set protocol = \"mqtt\""
            .to_owned(),
        TLS_HANDSHAKE => "a TLS client; let it use ws:// or another listener, or set protocol = \
                          \"wss\""
            .to_owned(),
        byte => format!("the first byte is {byte:#04x}"),
    }
}

impl WebSocketRefusal {
    /// The reason to count it by. `None`: nobody tried to connect, so that it is neither logged
    /// nor a failure.
    pub fn reason(&self) -> Option<WebSocketFailure> {
        use WebSocketFailure as Reason;
        Some(match self {
            Self::Probe => return None,
            Self::Closed => Reason::Closed,
            Self::NotHttp(_) => Reason::NotHttp,
            Self::Path(_) => Reason::Path,
            Self::Origin(_) => Reason::Origin,
            Self::SubProtocol(_) => Reason::SubProtocol,
            Self::NoUpgrade => Reason::NoUpgrade,
            Self::NoMemory => Reason::Busy,
            Self::TooLarge
            | Self::Malformed(_)
            | Self::Method
            | Self::HttpVersion
            | Self::Version => Reason::BadRequest,
        })
    }

    /// What the library found.
    pub(super) fn of(error: HttpError) -> Self {
        let HttpError::Protocol(error) = error else {
            return Self::Malformed(error.to_string().into());
        };
        match error {
            ProtocolError::WrongHttpMethod => Self::Method,
            ProtocolError::WrongHttpVersion => Self::HttpVersion,
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader => Self::NoUpgrade,
            ProtocolError::MissingSecWebSocketVersionHeader => Self::Version,
            error => Self::Malformed(error.to_string().into()),
        }
    }

    /// The HTTP response. `None` if there is nobody who would understand it.
    pub(super) fn response(&self) -> Option<Vec<u8>> {
        let (status, text) = match self {
            Self::Probe | Self::Closed | Self::NotHttp(_) => return None,
            Self::NoMemory => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The broker has no memory for the request now. Try again later.",
            ),
            Self::TooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The header of the request is larger than 8 KiB.",
            ),
            Self::Malformed(_) => {
                (StatusCode::BAD_REQUEST, "The request is no valid WebSocket handshake.")
            }
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "This port speaks MQTT over WebSocket, which begins with GET.",
            ),
            Self::HttpVersion => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "WebSocket needs HTTP 1.1. A proxy in front has to use it.",
            ),
            Self::NoUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                "This port speaks MQTT over WebSocket. Use an MQTT client with ws:// or wss://. A \
                 proxy in front has to pass the headers Upgrade and Connection on.",
            ),
            Self::Version => {
                (StatusCode::UPGRADE_REQUIRED, "Only version 13 of WebSocket is supported.")
            }
            Self::Path(_) => (
                StatusCode::NOT_FOUND,
                "There is no MQTT at this path. The broker's key websocket.path sets it.",
            ),
            Self::Origin(_) => (
                StatusCode::FORBIDDEN,
                "Pages of this origin may not connect. The broker's key \
                 websocket.allowed_origins names those that may.",
            ),
            Self::SubProtocol(_) => (
                StatusCode::BAD_REQUEST,
                "The client has to offer the WebSocket sub-protocol mqtt.",
            ),
        };
        let mut response = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(CONTENT_LENGTH, text.len() + 1)
            .header(CONNECTION, "close");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response = response.header(ALLOW, "GET");
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
            response = response
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "websocket")
                .header(SEC_WEBSOCKET_VERSION, "13");
        }
        let mut bytes = Vec::new();
        write_response(&mut bytes, &response.body(()).ok()?).ok()?;
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        Some(bytes)
    }
}

impl From<HeadError> for WebSocketRefusal {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Silent => Self::Probe,
            HeadError::Cut => Self::Closed,
            HeadError::NotHttp(byte) => Self::NotHttp(byte),
            HeadError::TooLarge => Self::TooLarge,
            HeadError::NoMemory => Self::NoMemory,
            HeadError::Http(error) => Self::of(error),
        }
    }
}
