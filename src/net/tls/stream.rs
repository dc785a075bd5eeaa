//! The encrypted stream after a handshake.
//!
//! # Memory
//! An idle stream takes 7.4 KiB above what carries it: 4 KiB of rustls's read buffer, 1.2 KiB
//! of its state, and keys; with a client certificate 8.6 KiB, of which the certificate's 0.5
//! KiB are there twice. Counted by the allocator (x86-64), TLS 1.2 and 1.3 alike, with a read
//! pending. Buffers for writing are freed once they are written, and a larger read buffer, as
//! one record needs up to 16 KiB, shrinks with the next read. A client's certificates have 16
//! KiB at most.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream as RustlsStream;

use super::charged::Charged;
use super::identity::ClientIdentity;
use crate::net::transport::ByteStream;

/// Encrypted bytes that wait for a slow peer. Two records of the largest size (RFC 8446,
/// 5.1), so that one is made while the other is written; rustls's default is 64 KiB.
pub const WRITE_BUFFER: usize = 32 * 1024;

/// A TLS stream. `poll_shutdown` sends `close_notify`. A client that closes the connection
/// without `close_notify` has ended its stream, as over TCP: MQTT has an end of its own
/// (DISCONNECT), so nothing is missed by a cut (RFC 8446, 6.1).
#[derive(Debug)]
pub struct TlsStream<S> {
    /// Boxed: futures that hand it on would hold its 1.2 KiB several times.
    inner: Box<RustlsStream<Charged<S>>>,
    client: Option<ClientIdentity>,
}

impl<S> TlsStream<S> {
    pub(super) fn new(mut inner: RustlsStream<Charged<S>>, client: Option<ClientIdentity>) -> Self {
        let (carrier, connection) = inner.get_mut();
        connection.set_buffer_limit(Some(WRITE_BUFFER));
        carrier.delivered();
        Self { inner: Box::new(inner), client }
    }

    /// The client's verified certificate; None if it showed none.
    pub fn client(&self) -> Option<&ClientIdentity> {
        self.client.as_ref()
    }

    /// What carries the encrypted bytes.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().0.get_ref()
    }

    /// The TLS version, for metrics: `1.2` or `1.3`.
    pub fn version(&self) -> &'static str {
        match self.inner.get_ref().1.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        }
    }

    /// True if the client resumed a session, which saves both ends the signatures.
    pub fn is_resumed(&self) -> bool {
        self.inner.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

impl<S: ByteStream> ByteStream for TlsStream<S> {
    fn client_connected(&mut self) {
        let carrier = self.inner.get_mut().0;
        carrier.release();
        carrier.get_mut().client_connected();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut *self.inner).poll_read(context, buffer));
        self.inner.get_mut().0.delivered();
        Poll::Ready(match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            result => result,
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(context)
    }
}
