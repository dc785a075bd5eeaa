//! A listener with few connections, none of them idle for long: a client that can reach the
//! port must use up neither the open files of the process nor the slots of others.
//!
//! A new connection is always accepted: it replaces the connection that has not sent a
//! response for longest. A client that holds connections, silent, a byte at a time, or without
//! reading responses, loses them to the next probe instead of blocking it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

use super::connection_slots::{ConnectionSlots, Slot};

const CONNECTIONS: usize = 64;
/// Longer than the usual scrape interval, so that scrapers keep their connection.
const SILENCE: Duration = Duration::from_secs(75);

/// See the module.
pub(super) struct Bounded {
    listener: TcpListener,
    slots: ConnectionSlots,
    silence: Duration,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with(listener, CONNECTIONS, SILENCE)
    }

    pub(super) fn with(listener: TcpListener, connections: usize, silence: Duration) -> Self {
        Self { listener, slots: ConnectionSlots::new(connections), silence }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Connection, Self::Addr) {
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        let (silence, deadline) = (self.silence, Box::pin(sleep(self.silence)));
        (Connection { stream, deadline, silence, slot: self.slots.take() }, addr)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// The remote address of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote(pub(super) std::net::SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Remote {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A stream that ends when it has been idle for `silence`, or when its slot is taken.
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    silence: Duration,
    slot: Slot,
}

impl Connection {
    /// For a pending stream: ready if it has to end.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.slot.poll_lost(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn moved(&mut self) {
        self.deadline.as_mut().reset(Instant::now() + self.silence);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_pending() {
            return this.wait(context);
        }
        this.moved();
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        if written.is_pending() {
            return this.wait(context);
        }
        this.moved();
        this.slot.used();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
