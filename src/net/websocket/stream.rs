//! A WebSocket as a byte stream, of a server or a client.
//!
//! - Reading returns the payload of binary messages as it arrives. It reads into the caller's
//!   buffer and unmasks there. It answers pings, of several the last, and close frames.
//! - Writing puts each call's bytes, up to 64 KiB, into one frame, without a copy. Bytes count
//!   as written when the stream below has taken them.
//! - A pong and a close frame go between two frames: by whoever reads, writes or flushes next.
//!   While nobody reads, pings are not seen, as nothing is buffered here.
//! - A peer that breaks the protocol is told so by a close frame. Reading then fails with
//!   [`io::ErrorKind::InvalidData`] and a [`Violation`](super::Violation) inside; after that
//!   it discards what comes, until the stream below ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::incoming::{End, Incoming};
use super::outgoing::Outgoing;
use super::wakers::{Side, Wakers};
use crate::net::transport::ByteStream;

/// Reads in one call that return no payload. After as many, other tasks have their turn: a
/// peer that sends nothing but pings would hold them up.
const READS_AT_ONCE: usize = 16;
/// The status of a regular end (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

/// An open WebSocket over `S`.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    stream: S,
    /// Received together with the opening handshake.
    early: BytesMut,
    incoming: Incoming,
    outgoing: Outgoing,
    /// True after a violation has been returned.
    is_reported: bool,
    wakers: Wakers,
}

impl<S> WebSocketStream<S> {
    /// A WebSocket whose opening handshake is done. `early` was received behind it. A received
    /// message has at most `max_message` bytes.
    pub(super) fn new(stream: S, role: Role, early: BytesMut, max_message: u64) -> Self {
        Self {
            stream,
            early,
            incoming: Incoming::new(role, max_message),
            outgoing: Outgoing::new(role),
            is_reported: false,
            wakers: Wakers::default(),
        }
    }
}

impl<S: ByteStream> ByteStream for WebSocketStream<S> {
    fn client_connected(&mut self) {
        self.stream.client_connected();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// Sends, for a reader, the control frames that are due. Pending until they are sent; ready
    /// as well if they wait for a frame to be completed, after which the reader is woken.
    fn poll_controls(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, outgoing, wakers, .. } = self;
        if !outgoing.has_controls() {
            wakers.forget(Side::Reader);
            return Poll::Ready(Ok(()));
        }
        let sent = wakers.poll(Side::Reader, context, |context| {
            outgoing.poll_controls(Pin::new(stream), context)
        });
        if outgoing.is_in_frame() && outgoing.has_controls() {
            wakers.wait(Side::Reader, context);
        } else if sent.is_ready() {
            wakers.wake(Side::Writer);
        }
        sent
    }

    /// Polls for a writer.
    fn poll_output<T>(
        &mut self,
        context: &Context<'_>,
        poll: impl FnOnce(&mut Outgoing, Pin<&mut S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { stream, outgoing, wakers, .. } = self;
        let polled =
            wakers.poll(Side::Writer, context, |context| poll(outgoing, Pin::new(stream), context));
        if polled.is_ready() && !outgoing.is_in_frame() {
            wakers.wake(Side::Reader);
        }
        polled
    }

    /// Reads once; returns the number of payload bytes that were added to `buffer`, or `None`
    /// at the end of the stream below.
    fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        let start = buffer.filled().len();
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let len = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(len));
            if !self.early.has_remaining() {
                self.early = BytesMut::new();
            }
        }
        let received = buffer.filled_mut().get_mut(start..).unwrap_or_default();
        if received.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let payload = self.incoming.decode(received);
        buffer.set_filled(start + payload);
        if let Some(ping) = self.incoming.take_ping() {
            self.outgoing.pong(ping);
        }
        Poll::Ready(Ok(Some(payload)))
    }

    /// Answers the end of what the peer sends, and returns it: at once if the answer cannot be
    /// sent. The stream below may end meanwhile.
    fn poll_end(
        &mut self,
        end: End,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.outgoing.close(match end {
            End::Closed(status) => status,
            End::Violated(violation) => Some(violation.status()),
        });
        let answered = self.poll_controls(context);
        match end {
            End::Violated(_) if self.is_reported => self.poll_discard(context, buffer).map(Ok),
            _ if answered.is_pending() && self.poll_discard(context, buffer).is_pending() => {
                Poll::Pending
            }
            End::Violated(violation) => {
                self.is_reported = true;
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)))
            }
            End::Closed(_) => Poll::Ready(Ok(())),
        }
    }

    /// Reads and discards. Ready when the stream below ends.
    fn poll_discard(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<()> {
        let start = buffer.filled().len();
        for _ in 0..READS_AT_ONCE {
            match ready!(Pin::new(&mut self.stream).poll_read(context, buffer)) {
                Ok(()) if buffer.filled().len() > start => buffer.set_filled(start),
                _ => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..READS_AT_ONCE {
            if let Some(end) = self.incoming.end() {
                return self.poll_end(end, context, buffer);
            }
            let read = self.poll_payload(context, buffer);
            if self.incoming.end().is_none() {
                // If this fails, writing will tell. What was received is still read.
                let _ = self.poll_controls(context);
            }
            match ready!(read.map(Result::transpose)) {
                Some(Ok(0)) => {}
                Some(Ok(_)) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_output(context, |outgoing, stream, context| {
            outgoing.poll_payload(stream, context, bytes)
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_output(context, Outgoing::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close(Some(NORMAL));
        self.poll_output(context, |outgoing, mut stream, context| {
            ready!(outgoing.poll_controls(stream.as_mut(), context))?;
            stream.poll_shutdown(context)
        })
    }
}
