//! A byte stream between a client and the broker that uses all freedom that [`AsyncRead`] and
//! [`AsyncWrite`] allow: small buffers in both directions, partial reads and writes, a flush
//! that may be pending, half-close, reset, and a waker that is kept for one wake-up only and
//! registered only by a poll that returns `Pending`.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use ferrymq::net::{ByteStream, Transport};
use ferrymq::peer::{PeerAddr, Security};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::common::rng::Rng;

/// How one stream behaves.
#[derive(Debug, Clone, Copy)]
pub struct Nature {
    /// Most bytes in transit to the broker.
    pub to_server: usize,
    /// Most bytes in transit to the client.
    pub to_client: usize,
    /// Most bytes of one read or write.
    pub at_once: usize,
    /// Percentage of reads and writes that are shorter than necessary.
    pub partial: u64,
    /// Percentage of polls that return `Pending` because the task's budget is used up; the
    /// task is woken at once.
    pub out_of_budget: u64,
    /// Size of the transport's buffer, as with TLS: written bytes are sent at a flush or when
    /// it is full. 0: sent at once.
    pub staged: usize,
}

#[derive(Debug, Default)]
struct Lane {
    bytes: VecDeque<u8>,
    /// True if nothing more will be written.
    finished: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

/// What the broker's end of a stream has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    pub read: u64,
    pub written: u64,
    /// Reads that found the end of the stream or an error.
    pub ends_seen: u64,
    /// True if its half is closed.
    pub closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientState {
    Open,
    /// Both halves are closed: writes fail, reads return the end after all data was read.
    Closed,
    /// The same, but reads fail.
    Reset,
}

#[derive(Debug)]
struct Both {
    nature: Nature,
    rng: Rng,
    to_server: Lane,
    to_client: Lane,
    staged: VecDeque<u8>,
    client: ClientState,
    /// True if the broker has dropped its end.
    dropped: bool,
    moved: Moved,
}

/// The broker's end.
#[derive(Debug)]
pub struct ServerEnd(Arc<Mutex<Both>>);

/// The client's end, driven by the schedule.
#[derive(Debug, Clone)]
pub struct ClientEnd(Arc<Mutex<Both>>);

/// A new connection.
pub fn pair(nature: Nature, rng: Rng) -> (ClientEnd, ServerEnd) {
    let both = Arc::new(Mutex::new(Both {
        nature,
        rng,
        to_server: Lane::default(),
        to_client: Lane::default(),
        staged: VecDeque::new(),
        client: ClientState::Open,
        dropped: false,
        moved: Moved::default(),
    }));
    (ClientEnd(Arc::clone(&both)), ServerEnd(both))
}

impl Both {
    fn is_out_of_budget(&mut self, context: &Context<'_>) -> bool {
        let out = self.nature.out_of_budget > 0 && self.rng.percent(self.nature.out_of_budget);
        if out {
            context.waker().wake_by_ref();
        }
        out
    }

    fn portion(&mut self, most: usize) -> usize {
        let most = most.min(self.nature.at_once);
        if self.rng.percent(self.nature.partial) { self.rng.index(most) + 1 } else { most }
    }

    /// Sends staged bytes as far as there is room. True if any were sent.
    fn let_go(&mut self) -> bool {
        let room = self.nature.to_client.saturating_sub(self.to_client.bytes.len());
        let count = room.min(self.staged.len());
        self.to_client.bytes.extend(self.staged.drain(..count));
        count > 0
    }
}

fn lock(both: &Mutex<Both>) -> MutexGuard<'_, Both> {
    both.lock().unwrap()
}

impl AsyncRead for ServerEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let mut both = lock(&self.0);
        if both.is_out_of_budget(context) {
            return Poll::Pending;
        }
        if both.to_server.bytes.is_empty() {
            if both.client == ClientState::Reset {
                both.moved.ends_seen += 1;
                return Poll::Ready(Err(Error::from(ErrorKind::ConnectionReset)));
            }
            if both.to_server.finished {
                both.moved.ends_seen += 1;
                return Poll::Ready(Ok(()));
            }
            both.to_server.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let most = both.to_server.bytes.len().min(buffer.remaining());
        let count = both.portion(most);
        let bytes: Vec<u8> = both.to_server.bytes.drain(..count).collect();
        buffer.put_slice(&bytes);
        both.moved.read += count as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let mut both = lock(&self.0);
        if both.is_out_of_budget(context) {
            return Poll::Pending;
        }
        if both.client != ClientState::Open || both.to_client.finished {
            return Poll::Ready(Err(Error::from(ErrorKind::BrokenPipe)));
        }
        let room = if both.nature.staged > 0 {
            if both.staged.len() >= both.nature.staged {
                both.let_go();
            }
            both.nature.staged.saturating_sub(both.staged.len())
        } else {
            both.nature.to_client.saturating_sub(both.to_client.bytes.len())
        };
        if room == 0 {
            both.to_client.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = both.portion(room.min(bytes.len()));
        if both.nature.staged > 0 {
            both.staged.extend(&bytes[..count]);
        } else {
            both.to_client.bytes.extend(&bytes[..count]);
        }
        both.moved.written += count as u64;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut both = lock(&self.0);
        if both.client != ClientState::Open {
            return Poll::Ready(Err(Error::from(ErrorKind::BrokenPipe)));
        }
        both.let_go();
        if both.staged.is_empty() {
            return Poll::Ready(Ok(()));
        }
        both.to_client.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut both = lock(&self.0);
        if both.client != ClientState::Open {
            return Poll::Ready(Err(Error::from(ErrorKind::BrokenPipe)));
        }
        both.let_go();
        if !both.staged.is_empty() {
            both.to_client.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        both.to_client.finished = true;
        both.moved.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        let mut both = lock(&self.0);
        both.dropped = true;
        both.moved.closed = true;
        both.to_client.finished = true;
    }
}

impl ClientEnd {
    /// Sends as many bytes as there is room for, and returns their number.
    pub fn send(&self, bytes: &[u8]) -> usize {
        let mut both = lock(&self.0);
        if both.dropped || both.client != ClientState::Open || both.to_server.finished {
            // The broker will not read these bytes.
            return bytes.len();
        }
        let room = both.nature.to_server.saturating_sub(both.to_server.bytes.len());
        let count = room.min(bytes.len());
        if count > 0 {
            both.to_server.bytes.extend(&bytes[..count]);
            both.to_server.wake_reader();
        }
        count
    }

    /// Takes up to `most` of what has arrived.
    pub fn receive(&self, most: usize) -> Vec<u8> {
        let mut both = lock(&self.0);
        let count = most.min(both.to_client.bytes.len());
        let bytes = both.to_client.bytes.drain(..count).collect();
        if count > 0 {
            both.to_client.wake_writer();
        }
        bytes
    }

    /// True if nothing more will arrive.
    pub fn is_finished(&self) -> bool {
        let both = lock(&self.0);
        both.to_client.finished && both.to_client.bytes.is_empty()
    }

    /// True if the broker has dropped the connection.
    pub fn is_dropped(&self) -> bool {
        lock(&self.0).dropped
    }

    /// Closes the sending half; reads continue.
    pub fn half_close(&self) {
        let mut both = lock(&self.0);
        both.to_server.finished = true;
        both.to_server.wake_reader();
    }

    /// Closes both halves.
    pub fn close(&self) {
        self.end(ClientState::Closed);
    }

    /// Resets the connection. What has arrived at the broker can still be read there.
    pub fn reset(&self) {
        self.end(ClientState::Reset);
    }

    fn end(&self, state: ClientState) {
        let mut both = lock(&self.0);
        both.client = state;
        both.to_server.finished = true;
        both.to_client.bytes.clear();
        both.to_server.wake_reader();
        both.to_client.wake_writer();
    }

    /// Bytes that the stream itself takes in memory.
    #[allow(dead_code)] // For the test of accounting.
    pub fn memory(&self) -> usize {
        let both = lock(&self.0);
        both.to_server.bytes.capacity() + both.to_client.bytes.capacity() + both.staged.capacity()
    }

    /// What the broker has done so far.
    pub fn moved(&self) -> Moved {
        lock(&self.0).moved
    }

    /// The state as text, for debugging.
    pub fn describe(&self) -> String {
        let both = lock(&self.0);
        let (unread, unsent) = (both.to_server.bytes.len(), both.to_client.bytes.len());
        format!(
            "{unread} bytes unread by the broker (read interest: {}), {unsent} unread by the \
             client (write interest: {}), {:?}, {:?}",
            both.to_server.reader.is_some(),
            both.to_client.writer.is_some(),
            both.moved,
            both.nature,
        )
    }
}

pub const PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

impl ByteStream for ServerEnd {}

impl Transport for ServerEnd {
    fn peer(&self) -> PeerAddr {
        PEER.into()
    }

    fn security(&self) -> Security {
        Security::Plain
    }
}
