//! One read buffer per runtime thread instead of one per connection: a hundred
//! thousand idle connections cost nothing, a busy one reads 64 KiB at once.

use std::cell::RefCell;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

const SIZE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into_boxed_slice());
}

/// What was read but is not a whole frame yet.
#[derive(Debug, Default)]
pub struct Partial {
    bytes: BytesMut,
    /// Length of the frame that it belongs to, as soon as that is known.
    needed: usize,
    /// Bytes that were read while a packet had to wait.
    ahead: usize,
}

/// What became of the bytes that were read.
#[derive(Debug, Clone, Copy)]
pub struct Consumed {
    /// How many were whole frames.
    pub bytes: usize,
    /// Length of the frame that follows, if known.
    pub needed: Option<usize>,
}

/// Reads once and lets `consume` look at everything that is there. `Ready(Ok(0))` is
/// the end of the stream.
pub fn poll_read<S: AsyncRead + Unpin, E>(
    stream: &mut S,
    partial: &mut Partial,
    context: &mut Context<'_>,
    consume: impl FnOnce(&[u8]) -> Result<Consumed, E>,
) -> Poll<std::io::Result<Result<usize, E>>> {
    if partial.needed > SIZE {
        return poll_read_large(stream, partial, context, consume);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let kept = partial.bytes.len();
        let Some(free) = scratch.get_mut(kept..) else {
            return Poll::Ready(Err(std::io::Error::other("a partial frame outgrew the buffer")));
        };
        let mut buffer = ReadBuf::new(free);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            return Poll::Ready(Ok(Ok(0)));
        }
        if let Some(front) = scratch.get_mut(..kept) {
            front.copy_from_slice(&partial.bytes);
        }
        let all = scratch.get(..kept + read).unwrap_or_default();
        let consumed = match consume(all) {
            Ok(consumed) => consumed,
            Err(error) => return Poll::Ready(Ok(Err(error))),
        };
        partial.keep(all.get(consumed.bytes..).unwrap_or_default(), consumed.needed);
        Poll::Ready(Ok(Ok(read)))
    })
}

/// Reads once and forgets what was read. 0 is the end of the stream.
pub fn poll_discard<S: AsyncRead + Unpin>(
    stream: &mut S,
    context: &mut Context<'_>,
) -> Poll<std::io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

/// Reads once behind what is kept, without looking at it: how the end of a stream is seen
/// while a packet has to wait. Pending as well when as much was read so as one read brings.
pub fn poll_read_ahead<S: AsyncRead + Unpin>(
    stream: &mut S,
    partial: &mut Partial,
    context: &mut Context<'_>,
) -> Poll<std::io::Result<usize>> {
    let room = SIZE.saturating_sub(partial.ahead);
    if room == 0 {
        return Poll::Pending;
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let free = scratch.get_mut(..room).unwrap_or_default();
        let mut buffer = ReadBuf::new(free);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        partial.bytes.extend_from_slice(buffer.filled());
        partial.ahead += buffer.filled().len();
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

/// A frame larger than the scratch buffer is read into a buffer of its own size.
fn poll_read_large<S: AsyncRead + Unpin, E>(
    stream: &mut S,
    partial: &mut Partial,
    context: &mut Context<'_>,
    consume: impl FnOnce(&[u8]) -> Result<Consumed, E>,
) -> Poll<std::io::Result<Result<usize, E>>> {
    use tokio::io::AsyncReadExt as _;

    // Grown as bytes arrive, so that announcing a large frame costs the client
    // those bytes and us nothing.
    let missing = partial.needed.saturating_sub(partial.bytes.len());
    partial.bytes.reserve(missing.min(SIZE.max(partial.bytes.len())));
    let read = {
        let future = std::pin::pin!(stream.read_buf(&mut partial.bytes));
        ready!(future.poll(context))?
    };
    if read == 0 || partial.bytes.len() < partial.needed {
        return Poll::Ready(Ok(Ok(read)));
    }
    let consumed = match consume(&partial.bytes) {
        Ok(consumed) => consumed,
        Err(error) => return Poll::Ready(Ok(Err(error))),
    };
    partial.bytes.advance(consumed.bytes);
    let rest = std::mem::take(&mut partial.bytes);
    partial.keep(&rest, consumed.needed);
    Poll::Ready(Ok(Ok(read)))
}

impl Partial {
    /// Bytes that are kept.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that it takes in memory.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes that the frame at its front lacks, if it has one that has begun.
    pub fn missing(&self) -> Option<usize> {
        (!self.bytes.is_empty()).then(|| self.needed.saturating_sub(self.bytes.len()))
    }

    /// Looks again at what was left over, for instance behind a CONNECT.
    pub fn revisit<E>(
        &mut self,
        consume: impl FnOnce(&[u8]) -> Result<Consumed, E>,
    ) -> Result<(), E> {
        let bytes = std::mem::take(&mut self.bytes);
        let consumed = consume(&bytes)?;
        if consumed.bytes == 0 {
            self.bytes = bytes;
            self.needed = consumed.needed.unwrap_or(0);
            return Ok(());
        }
        self.keep(bytes.get(consumed.bytes..).unwrap_or_default(), consumed.needed);
        Ok(())
    }

    fn keep(&mut self, rest: &[u8], needed: Option<usize>) {
        self.needed = needed.unwrap_or(0);
        self.ahead = self.ahead.min(rest.len());
        if rest.is_empty() {
            self.bytes = BytesMut::new();
        } else {
            self.bytes.clear();
            self.bytes.extend_from_slice(rest);
        }
    }
}
