//! The server's side of the opening handshake (RFC 6455, section 4.2).

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::server::{Request, write_response};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::head::read_head;
use super::refusal::WebSocketRefusal;
use super::request::{Upgrade, judge};
use super::{WebSocketSettings, WebSocketStream};
use crate::broker::ConnectShare;
use crate::net::graceful_close;
use crate::peer::PeerAddr;

/// Accepts a WebSocket on `stream`, whose other end is `peer`: a proxy's address if one stands
/// in front. It takes as long as the peer does: the caller has to limit the time. What is held of the request is charged to `memory`.
///
/// # Errors
/// The handshake was refused. That has been answered, and the stream closed.
pub async fn accept<S>(
    mut stream: S,
    peer: PeerAddr,
    settings: &WebSocketSettings,
    mut memory: ConnectShare,
) -> Result<(WebSocketStream<S>, Upgrade), WebSocketRefusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match negotiate(&mut stream, peer, settings, &mut memory).await {
        Ok((upgrade, early)) => {
            let limit = settings.max_message_size;
            Ok((WebSocketStream::new(stream, Role::Server, early, limit), upgrade))
        }
        Err(refusal) => {
            if let Some(response) = refusal.response() {
                // The peer's loss if it does not take the answer.
                let _ = stream.write_all(&response).await;
                let _ = stream.flush().await;
                let _ = graceful_close::close(&mut stream).await;
            }
            Err(refusal)
        }
    }
}

async fn negotiate<S>(
    stream: &mut S,
    peer: PeerAddr,
    settings: &WebSocketSettings,
    memory: &mut ConnectShare,
) -> Result<(Upgrade, BytesMut), WebSocketRefusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A client has to await the response before it sends frames, but some do not.
    let (request, early) = read_head::<_, Request>(stream, |bytes| memory.hold(bytes)).await?;
    let (response, upgrade) = judge(&request, peer, settings)?;
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(WebSocketRefusal::of)?;
    let closed = |_| WebSocketRefusal::Closed;
    stream.write_all(&bytes).await.map_err(closed)?;
    stream.flush().await.map_err(closed)?;
    Ok((upgrade, early))
}
