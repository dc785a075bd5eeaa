//! The task of one connection: reads what is there, hands it on, writes what there
//! is to write, and notices when the other end has gone quiet.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::scratch::{self, Consumed, Partial};
use crate::broker::client::{Client, Close};
use crate::protocol::{Decoder, Frame, ReasonCode};
use crate::telemetry::Metrics;

/// Deliveries are encoded as long as less than this waits to be written.
const WRITE_AHEAD: usize = 64 * 1024;
/// A write buffer larger than this is given back when it is empty.
const KEEP_BUFFER: usize = 8 * 1024;
/// The last words of a connection have this long to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// Generic over its byte stream, so that TCP, TLS and WebSocket share one task.
pub struct Connection<S> {
    stream: S,
    partial: Partial,
    out: BytesMut,
    decoder: Decoder,
    metrics: Arc<Metrics>,
    /// 1.5 times the keep alive [MQTT-3.1.2-22].
    patience: Option<Duration>,
    deadline: Pin<Box<Sleep>>,
    heard: Instant,
    /// Ends a connection whose publish was refused.
    parting: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes over a stream on which CONNECT has been read.
    pub fn new(
        stream: S,
        partial: Partial,
        decoder: Decoder,
        keep_alive: u16,
        metrics: Arc<Metrics>,
    ) -> Self {
        let patience =
            (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500));
        // Without patience the timer is never polled.
        let first = patience.unwrap_or(Duration::ZERO);
        Self {
            stream,
            partial,
            out: BytesMut::new(),
            decoder,
            metrics,
            patience,
            deadline: Box::pin(tokio::time::sleep(first)),
            heard: Instant::now(),
            parting: None,
        }
    }

    /// Runs until the connection ends, and says why.
    pub async fn run(mut self, mut client: Client) {
        let close = match self.begin(&mut client) {
            Ok(()) => poll_fn(|context| self.poll(&mut client, context)).await,
            Err(close) => self.close_after(&mut client, close),
        };

        let (client_id, remote) = (Arc::clone(client.client_id()), client.peer().address);
        if let Close::Error(reason, why) = &close {
            client.farewell(*reason, why, &mut self.out);
        }
        // Session and will do not wait for the last words to be written.
        client.closed(&close);
        // A client that left has no more to hear.
        if matches!(close, Close::Error(..)) {
            let _ = tokio::time::timeout(FAREWELL, self.flush_and_shut_down()).await;
        }
        self.count_close(&client_id, remote, &close);
    }

    /// What came together with CONNECT.
    fn begin(&mut self, client: &mut Client) -> Result<(), Close> {
        client.begin();
        let Self { partial, decoder, .. } = self;
        partial.revisit(|bytes| take_frames(decoder, client, bytes))?;
        client.finish()
    }

    fn count_close(&self, client_id: &str, remote: SocketAddr, close: &Close) {
        let connections = &self.metrics.connections;
        if let Close::Error(reason, why) = close {
            match reason {
                ReasonCode::KeepAliveTimeout => connections.keep_alive_timeouts.inc(),
                ReasonCode::ServerShuttingDown
                | ReasonCode::SessionTakenOver
                | ReasonCode::AdministrativeAction => {}
                _ => connections.protocol_errors.inc((*reason).into()),
            }
            tracing::info!(client_id, %remote, ?reason, detail = *why, "disconnected");
        } else {
            // Like the names of MQTT's reasons, which have none for these.
            let (reason, detail) = match close {
                Close::Lost(why) => ("ConnectionLost", Some(*why)),
                _ => ("ByClient", None),
            };
            tracing::info!(client_id, %remote, %reason, detail, "disconnected");
        }
    }

    async fn flush_and_shut_down(&mut self) -> std::io::Result<()> {
        use tokio::io::AsyncWriteExt as _;
        self.stream.write_all_buf(&mut self.out).await?;
        super::linger::close(&mut self.stream).await
    }

    /// One pass over everything that may have happened, again and again until
    /// nothing more does. Ready when the connection ends.
    fn poll(&mut self, client: &mut Client, context: &mut Context<'_>) -> Poll<Close> {
        loop {
            if client.wake().poll(context) {
                client.woken();
                if client.is_shutting_down() {
                    return Poll::Ready(Close::Error(
                        ReasonCode::ServerShuttingDown,
                        "the broker shuts down",
                    ));
                }
            }
            if client.is_holding() || client.is_saturated() {
                // The silence is ours.
                self.heard = Instant::now();
            }
            if self.poll_deadline(context) {
                return Poll::Ready(Close::Error(
                    ReasonCode::KeepAliveTimeout,
                    "nothing was heard for 1.5 times the keep alive",
                ));
            }
            self.poll_parting(client, context);
            client.begin();
            let read = match self.poll_read(client, context) {
                Ok(read) => read,
                Err(close) => return Poll::Ready(self.close_after(client, close)),
            };
            match self.pump_and_write(client, context) {
                // Something was read, or something more can be written: go on.
                Ok(more) if read || more => {}
                Ok(_) => return Poll::Pending,
                Err(close) => return Poll::Ready(close),
            }
        }
    }

    /// What came before the packet that ends the connection still counts.
    fn close_after(&mut self, client: &mut Client, close: Close) -> Close {
        if let Err(failed) = client.finish() {
            return failed;
        }
        let _ = client.pump(&mut self.out, WRITE_AHEAD);
        close
    }

    /// True if something was read.
    fn poll_read(&mut self, client: &mut Client, context: &mut Context<'_>) -> Result<bool, Close> {
        // Reading on would only pile up what cannot be answered.
        if self.out.len() >= WRITE_AHEAD {
            return Ok(false);
        }
        if client.is_saturated() {
            // A stalled client is rung when there is room.
            if !client.is_stalled() {
                client.wake_when_unsaturated()?;
            }
            return Ok(false);
        }
        if client.is_holding() {
            let taken = self.take_held(client)?;
            if taken || client.is_holding() {
                return Ok(taken);
            }
        }
        let Self { stream, partial, decoder, .. } = self;
        let consume = |bytes: &[u8]| take_frames(decoder, client, bytes);
        match scratch::poll_read(stream, partial, context, consume) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(_)) => Err(Close::Lost("the connection was reset")),
            Poll::Ready(Ok(Err(close))) => Err(close),
            Poll::Ready(Ok(Ok(0))) => Err(Close::Lost("the client closed without DISCONNECT")),
            Poll::Ready(Ok(Ok(_))) => {
                self.heard = Instant::now();
                client.finish()?;
                Ok(true)
            }
        }
    }

    /// Looks again at a packet that could not be taken. True if it was, or another
    /// one.
    fn take_held(&mut self, client: &mut Client) -> Result<bool, Close> {
        // What has been answered makes room.
        client.pump(&mut self.out, WRITE_AHEAD)?;
        let Self { partial, decoder, .. } = self;
        let before = partial.len();
        partial.revisit(|bytes| take_frames(decoder, client, bytes))?;
        client.finish()?;
        Ok(self.partial.len() < before)
    }

    /// True if there is more to be pumped than was written.
    fn pump_and_write(
        &mut self,
        client: &mut Client,
        context: &mut Context<'_>,
    ) -> Result<bool, Close> {
        loop {
            let more = client.pump(&mut self.out, WRITE_AHEAD)?;
            if self.out.is_empty() {
                return Ok(false);
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.out) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(Close::Lost("the connection was reset")),
                Poll::Ready(Ok(0)) => return Err(Close::Lost("the client takes no more bytes")),
                Poll::Ready(Ok(written)) => {
                    self.out.advance(written);
                }
            }
            if self.out.is_empty() {
                if self.out.capacity() > KEEP_BUFFER && !more {
                    self.out = BytesMut::new();
                } else {
                    // Start again at the front of the allocation.
                    self.out.clear();
                }
                if !more {
                    return Ok(false);
                }
            }
        }
    }

    /// Has the task woken when the client parts, which then shows at the pump.
    fn poll_parting(&mut self, client: &Client, context: &mut Context<'_>) {
        if let Some(at) = client.parts_at() {
            let parting = self
                .parting
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::from_std(at))));
            let _ = parting.as_mut().poll(context);
        }
    }

    /// True if the client's time is over. The timer is not moved at every packet:
    /// when it fires, it is set to what is left.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> bool {
        let Some(patience) = self.patience else { return false };
        while self.deadline.as_mut().poll(context).is_ready() {
            let until = self.heard + patience;
            if until <= Instant::now() {
                return true;
            }
            self.deadline.as_mut().reset(until);
        }
        false
    }
}

/// Takes every whole frame.
fn take_frames(decoder: &Decoder, client: &mut Client, bytes: &[u8]) -> Result<Consumed, Close> {
    let mut consumed = 0;
    loop {
        let rest = bytes.get(consumed..).unwrap_or_default();
        let malformed =
            |error: crate::protocol::DecodeError| Close::Error(error.reason, error.what);
        match decoder.frame(rest).map_err(malformed)? {
            Frame::Incomplete { needed } => return Ok(Consumed { bytes: consumed, needed }),
            Frame::Complete { len } => {
                let frame = rest.get(..len).unwrap_or_default();
                let packet = decoder.decode(frame).map_err(malformed)?;
                client.handle(packet, len)?;
                if client.is_holding() {
                    // Nothing is read until it has been taken: no length is needed.
                    return Ok(Consumed { bytes: consumed, needed: None });
                }
                consumed += len;
            }
        }
    }
}
