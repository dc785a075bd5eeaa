//! The task of one connection: reads, passes packets to the client's state, writes, and
//! detects a silent peer.
//!
//! Input and output never wait for each other: input is read while output drains, and vice
//! versa. A poll does what its budget allows and then yields.
//!
//! - Read: one buffer of 64 KiB for each runtime thread, shared by its connections. A
//!   connection keeps incomplete frames and packets that could not be handled yet.
//! - Write: one buffer for each connection, freed when it is empty and larger than 8 KiB.
//!   Deliveries are encoded while it has less than 64 KiB.
//! - A packet that is held (`BlockReason`) stays at the front of what was read. Up to 64 KiB
//!   behind it are read, to detect the end of the connection. A pause in reading that the
//!   broker causes does not count against the keep alive.
//! - After output has failed, what has been received is read to its end.
//!
//! How it ends is in `close.rs`.

mod close;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::dial::End;
use super::other_end::{CLOSED, OtherEnd};
use super::pace::Pace;
use super::scratch::{self, Consumed, Partial};
use super::timers::{Due, Timers};
use super::transport::Transport;
use crate::broker::Budget;
use crate::broker::client::{Client, Close, Handled};
use crate::protocol::{Decoder, Frame, ReasonCode};
use crate::sabotage::Sabotage;
use crate::telemetry::Metrics;
use bytes::{Buf, BytesMut};

/// Deliveries are encoded while less than this is in the write buffer.
const WRITE_AHEAD: usize = 64 * 1024;
/// A write buffer larger than this is freed when it is empty.
const KEEP_BUFFER: usize = 8 * 1024;
/// A smaller one is freed as well: most connections are idle, and have only written a CONNACK
/// or a PINGRESP lately.
const TINY_BUFFER: usize = 512;

/// How a dialled connection ends that is to end. A server sends its will, if there is one: the
/// state that others know of it has changed.
const STOPPED: Close = Close::Error(ReasonCode::DisconnectWithWill, "the connection was to end");

/// The state of the receiving side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// More bytes may come.
    Open,
    /// No more bytes will come, for this reason.
    Ended(&'static str),
}

/// The state of the sending side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// Bytes can be written.
    Open,
    /// Bytes cannot be written. What was received is still handled: [`Client::close_output`].
    Failed,
}

/// Generic over its byte stream, so that TCP, TLS and WebSocket share one task.
pub struct Connection<S> {
    stream: S,
    other_end: OtherEnd,
    input: Input,
    output: Output,
    partial: Partial,
    /// True if `partial` may begin with complete packets that have not been handled.
    unhandled: bool,
    out: BytesMut,
    /// Bytes that `out` takes in memory. Its capacity excludes the part that was written.
    out_memory: usize,
    /// True if written bytes have not been flushed yet.
    unflushed: bool,
    decoder: Decoder,
    metrics: Arc<Metrics>,
    timers: Timers,
    pace: Pace,
}

impl<S: Transport> Connection<S> {
    /// Takes over a stream on which CONNECT has been read.
    pub fn new(
        stream: S,
        partial: Partial,
        decoder: Decoder,
        keep_alive: u16,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            stream,
            other_end: OtherEnd::Client,
            input: Input::Open,
            output: Output::Open,
            // Bytes that were received together with CONNECT.
            unhandled: partial.len() > 0,
            partial,
            out: BytesMut::new(),
            out_memory: 0,
            unflushed: false,
            decoder,
            metrics,
            timers: Timers::new(keep_alive),
            pace: Pace::default(),
        }
    }

    /// Makes this the dialling end, which keeps the connection alive.
    #[must_use]
    pub fn dialled(mut self) -> Self {
        self.other_end = OtherEnd::Server(None);
        self.timers.dialled();
        self
    }

    /// Runs until the connection ends. Boxed, since a task keeps what it was given beside what
    /// it works with.
    pub async fn run(mut self: Box<Self>, mut client: Box<Client>) {
        client.begin_close();
        let close = poll_fn(|context| self.poll(&mut client, context)).await;
        // Boxed, so that it takes no room in the task while the connection lives.
        Box::pin(self.close(client, close)).await;
    }

    /// Runs a dialled connection until it ends, or until `stop` is ready, and then ends it.
    pub async fn run_until(
        mut self: Box<Self>,
        mut client: Box<Client>,
        stop: impl Future<Output = ()>,
    ) -> End {
        client.begin_close();
        let mut is_stopped = false;
        let mut stop = pin!(stop);
        let close = poll_fn(|context| {
            if stop.as_mut().poll(context).is_ready() {
                is_stopped = true;
                return Poll::Ready(STOPPED);
            }
            self.poll(&mut client, context)
        });
        let close = close.await;
        let end = match self.other_end.take_farewell() {
            _ if is_stopped => End::Stopped,
            farewell => End::of(&close, farewell),
        };
        Box::pin(self.close(client, close)).await;
        end
    }

    /// Runs one step. Ready when the connection ends.
    fn poll(&mut self, client: &mut Client, context: &mut Context<'_>) -> Poll<Close> {
        let cause = client.wake().poll(context);
        if cause.is_some() {
            client.woken();
        }
        let budget = if client.is_awaited() {
            Budget::of_short_poll()
        } else {
            ready!(self.pace.begin(cause, client.turns(), context))
        };
        // Only now, so that more messages do not wake it while it waits for its turn.
        if client.wake().begin() {
            client.woken();
        }
        match client.begin(budget) {
            Ok(true) => {}
            // The wake-up is rung when the permit is free.
            Ok(false) => {
                self.pace.rests();
                return Poll::Pending;
            }
            Err(close) => return Poll::Ready(close),
        }
        let stepped = self.step(client, context);
        match stepped.and_then(|()| client.end()) {
            Ok(()) => {}
            Err(close) => return Poll::Ready(self.close_after(client, close)),
        }
        if client.is_awaited() {
            self.pace.rests();
            context.waker().wake_by_ref();
        } else if client.has_more() {
            self.pace.goes_on(client.turns(), client.load(), context);
        } else {
            self.pace.rests();
        }
        let used = self.partial.len() + self.out.len();
        if let Err(close) = client.hold_buffers(self.partial.capacity() + self.out_memory, used) {
            return Poll::Ready(close);
        }
        self.timers.set_graceful_disconnect(client.disconnects_at());
        self.timers.set_resume(client.resumes_at());
        self.timers.poll(context);
        Poll::Pending
    }

    /// Reads and writes until neither makes progress, or the budget is spent.
    fn step(&mut self, client: &mut Client, context: &mut Context<'_>) -> Result<(), Close> {
        if self.timers.pings() {
            client.ping();
        }
        client.go_on();
        loop {
            let read = self.read(client, context)?;
            client.submit()?;
            let lets_read = self.write(client, context)?;
            let forgets = lets_read && Sabotage::ForgetReadInterest.is_on();
            if client.has_more() || !(read || lets_read) || forgets {
                break;
            }
        }
        self.check_input(client)
    }

    /// What was handled before the packet that ends the connection is still submitted.
    fn close_after(&mut self, client: &mut Client, close: Close) -> Close {
        if let Err(failed) = client.submit() {
            return failed;
        }
        if self.output == Output::Open {
            let _ = client.pump(&mut self.out, WRITE_AHEAD);
        }
        close
    }

    /// True if a packet was handled or bytes were read.
    fn read(&mut self, client: &mut Client, context: &mut Context<'_>) -> Result<bool, Close> {
        let mut handled = self.unhandled && client.may_take() && self.handle_again(client)?;
        if client.block().is_some() && self.input == Input::Open {
            self.read_ahead(client, context);
            handled |= self.input != Input::Open;
        }
        if !client.may_go_on() || self.unhandled || self.input != Input::Open {
            return Ok(handled);
        }
        if Sabotage::ForgetReadInterest.is_on() && !self.out.is_empty() {
            return Ok(handled);
        }
        let Self { stream, partial, decoder, unhandled, other_end, .. } = self;
        let before = partial.len();
        let consume = |bytes: &[u8]| take_frames(decoder, client, bytes, unhandled, other_end);
        match scratch::poll_read(stream, partial, context, consume) {
            Poll::Pending => return Ok(handled),
            Poll::Ready(Err(error)) => {
                self.input = Input::Ended(self.other_end.failed(client, &error));
            }
            Poll::Ready(Ok(Err(close))) => return Err(close),
            Poll::Ready(Ok(Ok(0))) => {
                self.input = Input::Ended(CLOSED);
            }
            Poll::Ready(Ok(Ok(read))) => {
                self.timers.heard();
                let ended = self.partial.len() < before + read;
                self.timers.packet(self.partial.missing(), ended);
                if self.partial.is_large() {
                    client.spend_read(read);
                }
            }
        }
        Ok(true)
    }

    /// Detects the end of the connection while a packet is held.
    fn read_ahead(&mut self, client: &mut Client, context: &mut Context<'_>) {
        loop {
            match scratch::poll_read_ahead(&mut self.stream, &mut self.partial, context) {
                Poll::Pending => return,
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => {
                    self.input = Input::Ended(CLOSED);
                    client.close_output();
                    return;
                }
            }
        }
    }

    /// Handles packets that were left unhandled. True if at least one was taken.
    fn handle_again(&mut self, client: &mut Client) -> Result<bool, Close> {
        let Self { partial, decoder, unhandled, other_end, .. } = self;
        let before = partial.len();
        *unhandled = false;
        partial.revisit(|bytes| take_frames(decoder, client, bytes, unhandled, other_end))?;
        let ended = self.partial.len() < before;
        self.timers.packet(self.partial.missing(), ended);
        Ok(ended)
    }

    /// Checks whether the other end is still there, after all input has been read.
    fn check_input(&mut self, client: &mut Client) -> Result<(), Close> {
        if client.has_more_input() || self.unhandled {
            // The broker is the cause of the pause.
            self.timers.suspend();
            return Ok(());
        }
        if let Input::Ended(why) = self.input {
            return Err(Close::Lost(why));
        }
        match self.timers.due() {
            // tokio's own budget may have ended the read; the next poll reads the rest.
            Some(_) if !tokio::task::coop::has_budget_remaining() => Ok(()),
            Some(Due::KeepAlive) => Err(Close::Error(
                ReasonCode::KeepAliveTimeout,
                "nothing was heard for 1.5 times the keep alive",
            )),
            Some(Due::Packet) => Err(Close::Error(
                ReasonCode::KeepAliveTimeout,
                "a packet began and was not complete within 1.5 times the keep alive",
            )),
            // A socket may report a reset before its last bytes are read.
            Some(Due::Output) => Err(Close::Lost("the connection was reset")),
            None => Ok(()),
        }
    }

    /// True if reading may make progress by it: a held packet waited for a reply to be sent,
    /// or output has failed, so that nothing is held any more.
    fn write(&mut self, client: &mut Client, context: &mut Context<'_>) -> Result<bool, Close> {
        if self.output == Output::Failed {
            return Ok(false);
        }
        let mut any = false;
        loop {
            let more = client.pump(&mut self.out, WRITE_AHEAD)?;
            self.out_memory = self.out_memory.max(self.out.capacity());
            any |= client.has_replied();
            let is_buffered = !self.out.is_empty();
            let next = if is_buffered { &self.out[..] } else { client.payload() };
            if next.is_empty() {
                return Ok(self.flush(client, context) || any);
            }
            match Pin::new(&mut self.stream).poll_write(context, next) {
                Poll::Pending => return Ok(any),
                Poll::Ready(Ok(written)) if written > 0 => {
                    if is_buffered {
                        self.out.advance(written);
                    } else {
                        client.payload_written(written);
                    }
                    self.unflushed = true;
                    self.timers.sent();
                }
                Poll::Ready(_) => {
                    self.output_failed(client);
                    return Ok(true);
                }
            }
            if self.out.is_empty() {
                let is_kept = (TINY_BUFFER..=KEEP_BUFFER).contains(&self.out_memory);
                if !is_kept && !more {
                    self.out = BytesMut::new();
                    self.out_memory = 0;
                } else {
                    // Start again at the front of the allocation.
                    self.out.clear();
                }
                if !more {
                    return Ok(self.flush(client, context) || any);
                }
            }
        }
    }

    /// Flushes the stream. True if the output has failed.
    fn flush(&mut self, client: &mut Client, context: &mut Context<'_>) -> bool {
        if !self.unflushed {
            return false;
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                false
            }
            Poll::Ready(Err(_)) => {
                self.output_failed(client);
                true
            }
        }
    }

    /// Ends output. What was received may include acknowledgements and a DISCONNECT.
    fn output_failed(&mut self, client: &mut Client) {
        self.output = Output::Failed;
        self.unflushed = false;
        self.out = BytesMut::new();
        self.out_memory = 0;
        self.timers.output_failed();
        client.close_output();
    }
}

/// Handles complete frames while the client may go on. Sets `unhandled` if complete frames may
/// be left.
fn take_frames(
    decoder: &Decoder,
    client: &mut Client,
    bytes: &[u8],
    unhandled: &mut bool,
    other_end: &mut OtherEnd,
) -> Result<Consumed, Close> {
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
                match client.handle(packet, len) {
                    Ok(Handled::Taken) => consumed += len,
                    Ok(_) => {}
                    Err(close) => {
                        other_end.keep_farewell(decoder, frame);
                        return Err(close);
                    }
                }
                if !client.may_go_on() {
                    *unhandled = consumed < bytes.len();
                    return Ok(Consumed { bytes: consumed, needed: None });
                }
            }
        }
    }
}
