//! A byte stream that knows its peer and its security. The connection's task is generic over
//! it, independent of how the stream was established and what carries it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::peer::{PeerAddr, Security};

/// What a connection's task needs of its byte stream. Written bytes may stay in the stream
/// until it is flushed. `poll_shutdown` sends the stream's own close (a TLS `close_notify`, a
/// WebSocket close) and ends the sending side.
pub trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// The address of the other end.
    fn peer(&self) -> PeerAddr;

    /// Who can read the bytes.
    fn security(&self) -> Security;

    /// True if the end of the stream has a form of its own above TCP, without which the other
    /// end takes the connection for broken (a WebSocket's status 1006).
    fn has_close(&self) -> bool {
        false
    }

    /// As [`ByteStream::client_connected`].
    fn client_connected(&mut self) {}
}

/// A stream on which MQTT can begin: what its layers need to say to each other was said.
#[derive(Debug)]
pub struct Established<S> {
    stream: S,
    peer: PeerAddr,
    security: Security,
    has_close: bool,
}

/// Any stream but plain TCP. They share one connection task, which is large: its code for TLS,
/// WebSocket, both and Unix sockets would be four times that of plain TCP. A call through a
/// pointer for each read or write is little beside their work.
pub type AnyStream = Box<dyn ByteStream>;

/// Bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {
    /// A client has connected by it. What a layer holds of a stranger, before that, is charged
    /// to the limit for unfinished connections.
    fn client_connected(&mut self) {}
}

impl ByteStream for TcpStream {}

impl ByteStream for UnixStream {}

/// The dialling end of TLS. Its server was named by the configuration.
impl ByteStream for tokio_rustls::client::TlsStream<TcpStream> {}

#[cfg(test)]
impl ByteStream for tokio::io::DuplexStream {}

impl ByteStream for AnyStream {
    fn client_connected(&mut self) {
        (**self).client_connected();
    }
}

impl<S> Established<S> {
    /// A stream whose other end is at `peer`, behind all proxies that are believed.
    pub fn new(stream: S, peer: PeerAddr, security: Security) -> Self {
        Self { stream, peer, security, has_close: false }
    }

    /// See [`Transport::has_close`].
    #[must_use]
    pub fn with_close(mut self) -> Self {
        self.has_close = true;
        self
    }
}

impl<S: ByteStream> Transport for Established<S> {
    fn peer(&self) -> PeerAddr {
        self.peer
    }

    fn security(&self) -> Security {
        self.security
    }

    fn has_close(&self) -> bool {
        self.has_close
    }

    fn client_connected(&mut self) {
        self.stream.client_connected();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Established<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Established<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
