//! A byte stream that knows its peer and its security. The connection's task is generic over
//! it, independent of how the stream was established and what carries it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::peer::{PeerAddr, Security};

/// What a connection's task needs of its byte stream. Written bytes may stay in the stream
/// until it is flushed. `poll_shutdown` sends the stream's own close (a TLS `close_notify`, a
/// WebSocket close) and ends the sending side.
pub trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// The address of the other end.
    fn peer(&self) -> PeerAddr;

    /// Who can read the bytes.
    fn security(&self) -> Security;
}

/// TCP without encryption.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    peer: PeerAddr,
}

impl Tcp {
    /// Wraps a connected stream.
    pub fn new(stream: TcpStream, peer: PeerAddr) -> Self {
        Self { stream, peer }
    }
}

impl Transport for Tcp {
    fn peer(&self) -> PeerAddr {
        self.peer
    }

    fn security(&self) -> Security {
        Security::Plain
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tcp {
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
