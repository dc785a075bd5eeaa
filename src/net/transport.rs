//! A byte stream that knows its peer and its security. The connection's task is generic
//! over it: it does not know whether the stream was accepted or dialled, nor what carries
//! it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::peer::{PeerAddr, Security};

/// What a connection's task needs of its byte stream. Written bytes may stay in the stream
/// until it is flushed; `poll_shutdown` says the stream's own goodbye (a TLS
/// `close_notify`, a WebSocket close) and ends the sending side.
pub trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// The other end.
    fn peer(&self) -> PeerAddr;

    /// Who can read along.
    fn security(&self) -> Security;
}

/// TCP, as it is.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    peer: PeerAddr,
}

impl Tcp {
    /// A connected stream, and its other end.
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
