//! One read buffer for each runtime thread instead of each connection. Idle connections need
//! none, and a busy one reads 64 KiB at once.

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

/// Bytes that were read and not consumed, such as an incomplete frame.
#[derive(Debug, Default)]
pub struct Partial {
    bytes: BytesMut,
    /// The length of the first frame, once known.
    needed: usize,
    /// Bytes that were read while a packet was held.
    ahead: usize,
}

/// The result of consuming bytes.
#[derive(Debug, Clone, Copy)]
pub struct Consumed {
    /// Bytes of complete frames that were consumed.
    pub bytes: usize,
    /// The length of the next frame, if known.
    pub needed: Option<usize>,
}

/// Reads once and passes all unconsumed bytes to `consume`. `Ready(Ok(0))` is the end of the
/// stream.
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

/// Reads once and discards the bytes. 0 is the end of the stream.
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

/// Reads once without consuming, to detect the end of the stream while a packet is held. Also
/// pending after as many bytes as one read returns.
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

/// Reads a frame that is larger than the shared buffer into a buffer of its own.
fn poll_read_large<S: AsyncRead + Unpin, E>(
    stream: &mut S,
    partial: &mut Partial,
    context: &mut Context<'_>,
    consume: impl FnOnce(&[u8]) -> Result<Consumed, E>,
) -> Poll<std::io::Result<Result<usize, E>>> {
    use tokio::io::AsyncReadExt as _;

    // The buffer grows as bytes arrive, so announcing a large frame costs no memory.
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
    /// The number of unconsumed bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if it begins with an incomplete frame that is larger than the shared buffer.
    pub fn is_large(&self) -> bool {
        self.needed > SIZE
    }

    /// Bytes that it takes in memory.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes that the first frame lacks. `None` if there are no unconsumed bytes.
    pub fn missing(&self) -> Option<usize> {
        (!self.bytes.is_empty()).then(|| self.needed.saturating_sub(self.bytes.len()))
    }

    /// Consumes bytes that were left over, such as those behind a CONNECT.
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
