//! The client's side of the opening handshake (RFC 6455, section 4.1).

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Error as HttpError;
use tokio_tungstenite::tungstenite::handshake::client::{
    Request, Response, generate_key, generate_request,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::header::{
    CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::WebSocketStream;
use super::head::{HeadError, read_head};
use super::request::SubProtocol;

/// Why a server did not accept a WebSocket.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The host or the path cannot be sent.
    #[error("cannot ask for a WebSocket: {0}; check host and path")]
    Request(HttpError),
    /// Writing the request failed.
    #[error("cannot send the WebSocket handshake: {0}")]
    Write(#[from] std::io::Error),
    /// No response, or not one of HTTP.
    #[error("no response to the WebSocket handshake: {0}")]
    Head(#[from] HeadError),
    /// It was refused.
    #[error("the server answered the WebSocket handshake with {0}; check path and proxies")]
    Status(StatusCode),
    /// The response does not fit the request.
    #[error("the response to the WebSocket handshake has no valid {0}; is it an MQTT broker?")]
    Header(&'static str),
}

/// Opens a WebSocket for MQTT on `stream`. `host` is the server's name, with the port unless it
/// is the scheme's. A received message has at most `max_message` bytes. It takes as long as
/// the server does: the caller has to limit the time.
///
/// # Errors
/// The server did not accept.
pub async fn connect<S>(
    mut stream: S,
    host: &str,
    path: &str,
    max_message: u64,
) -> Result<WebSocketStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = Request::builder()
        .uri(path)
        .header(HOST, host)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, generate_key())
        .header(SEC_WEBSOCKET_PROTOCOL, SubProtocol::Mqtt.as_str())
        .body(())
        .map_err(|error| ConnectError::Request(error.into()))?;
    let (request, key) = generate_request(request).map_err(ConnectError::Request)?;
    stream.write_all(&request).await?;
    stream.flush().await?;
    let (response, early) = read_head::<_, Response>(&mut stream, |_| true).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectError::Status(response.status()));
    }
    let headers = response.headers();
    let is_valid = |name: HeaderName, expected: &str| has(headers, name, expected);
    if !is_valid(UPGRADE, "websocket") {
        return Err(ConnectError::Header("Upgrade"));
    }
    if !is_valid(CONNECTION, "upgrade") {
        return Err(ConnectError::Header("Connection"));
    }
    let accept = derive_accept_key(key.as_bytes());
    if headers.get(SEC_WEBSOCKET_ACCEPT).is_none_or(|value| value.as_bytes() != accept.as_bytes()) {
        return Err(ConnectError::Header("Sec-WebSocket-Accept"));
    }
    if !is_valid(SEC_WEBSOCKET_PROTOCOL, SubProtocol::Mqtt.as_str()) {
        return Err(ConnectError::Header("Sec-WebSocket-Protocol"));
    }
    Ok(WebSocketStream::new(stream, Role::Client, early, max_message))
}

/// True if a header's list has this token.
fn has(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut tokens = value.as_bytes().split(|byte| *byte == b',');
        tokens.any(|other| other.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}
