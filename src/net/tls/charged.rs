//! Charges what a TLS stream may hold of a client that is not connected yet. The library holds
//! what it has received of a message that is incomplete: up to 64 KiB of a handshake message, and
//! 16 KiB of a record behind the handshake. Strangers could have it hold that for each of their
//! connections.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::broker::ConnectShare;

/// The most that is charged: the library holds no more, whatever was received.
const MOST: usize = (64 + 16) * 1024;

/// What carries a TLS stream. Reading fails with [`io::ErrorKind::OutOfMemory`] when the limit
/// is reached.
#[derive(Debug)]
pub struct Charged<S> {
    stream: S,
    /// `None` once a client has connected.
    charge: Option<Charge>,
}

#[derive(Debug)]
struct Charge {
    memory: ConnectShare,
    /// Bytes that were received and that nothing has come of.
    received: usize,
}

impl<S> Charged<S> {
    pub fn new(stream: S, memory: ConnectShare) -> Self {
        Self { stream, charge: Some(Charge { memory, received: 0 }) }
    }

    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What was received has been handed on, but for the beginning of a record.
    pub fn delivered(&mut self) {
        if let Some(Charge { memory, received }) = self.charge.as_mut().filter(|it| it.received > 0)
        {
            *received = 0;
            memory.hold(0);
        }
    }

    /// From now on nothing is charged.
    pub fn release(&mut self) {
        self.charge = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Charged<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, charge } = &mut *self;
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        if let Some(Charge { memory, received }) = charge {
            *received = (*received + buffer.filled().len() - before).min(MOST);
            if !memory.hold(*received) {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Charged<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
