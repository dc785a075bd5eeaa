//! Frames out: puts what the caller writes into binary frames, and control frames between
//! them. It holds no payload: a frame that the stream below takes in parts is continued from
//! what the caller writes next.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::AsyncWrite;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::mask::Mask;

/// The largest frame that is begun: as much as a connection encodes at once, and not more, as
/// a pong waits for the end of the frame.
const LARGEST_FRAME: usize = 64 * 1024;
/// A client masks this much at once, in a copy on the stack.
const MASKED_AT_ONCE: usize = 8 * 1024;
/// The longest header: two bytes, eight of length, four of masking key.
const LONGEST_HEADER: usize = 14;

/// Whether a close frame was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CloseFrame {
    /// No, and payload may be.
    NotDue,
    /// It is the next frame, with this status or none.
    Due(Option<u16>),
    /// It was, or it cannot be any more. Nothing follows it (RFC 6455, section 5.5.1).
    Sent,
}

/// The sending side of a WebSocket.
#[derive(Debug)]
pub struct Outgoing {
    role: Role,
    /// The rest of a header or of a control frame that was taken in part.
    unsent: BytesMut,
    /// Payload that the frame which was begun still lacks.
    frame_left: usize,
    mask: Option<Mask>,
    /// The payload of the ping to answer.
    pong: Option<Vec<u8>>,
    close: CloseFrame,
    /// True if a control frame was written and not flushed: nobody else would.
    unflushed: bool,
}

impl Outgoing {
    /// Sends as `role`.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            unsent: BytesMut::new(),
            frame_left: 0,
            mask: None,
            pong: None,
            close: CloseFrame::NotDue,
            unflushed: false,
        }
    }

    /// Answers a ping with the next frame, instead of any ping before it.
    pub fn pong(&mut self, payload: Vec<u8>) {
        if self.close == CloseFrame::NotDue {
            self.pong = Some(payload);
        }
    }

    /// Closes with the next frame, unless a frame is incomplete: only the caller could
    /// complete it, and nobody waits for that. Payload is refused from now on.
    pub fn close(&mut self, status: Option<u16>) {
        if self.close == CloseFrame::NotDue {
            self.pong = None;
            let is_possible = self.frame_left == 0;
            self.close = if is_possible { CloseFrame::Due(status) } else { CloseFrame::Sent };
        }
    }

    /// True if a control frame is to be sent, perhaps behind a frame that is incomplete.
    pub fn has_controls(&self) -> bool {
        let is_begun = self.frame_left == 0 && !self.unsent.is_empty();
        let is_due = self.pong.is_some() || matches!(self.close, CloseFrame::Due(_));
        self.unflushed || is_begun || is_due
    }

    /// True while a frame lacks payload, so that control frames wait for the caller.
    pub fn is_in_frame(&self) -> bool {
        self.frame_left > 0
    }

    /// Writes payload, as part of the frame that was begun or as a new one.
    pub fn poll_payload<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.frame_left == 0 {
            ready!(self.poll_write_controls(stream.as_mut(), context))?;
        }
        if self.close != CloseFrame::NotDue {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut taken = 0;
        if self.frame_left == 0 {
            taken = ready!(self.poll_begin_frame(stream.as_mut(), context, bytes))?;
        }
        if taken == 0 {
            ready!(self.poll_unsent(stream.as_mut(), context))?;
            let part = bytes.get(..self.frame_left).unwrap_or(bytes);
            let written = masked(self.mask, part, |part| stream.poll_write(context, part));
            taken = nonzero(ready!(written)?)?;
            self.payload_taken(taken);
        }
        Poll::Ready(Ok(taken))
    }

    /// Writes and flushes the control frames that are due. Ready as well while they wait for
    /// the caller to complete a frame.
    pub fn poll_controls<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.frame_left == 0 {
            ready!(self.poll_write_controls(stream.as_mut(), context))?;
        }
        if self.unflushed {
            ready!(stream.poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Flushes, control frames that are due included.
    pub fn poll_flush<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write_controls(stream.as_mut(), context))?;
        ready!(stream.poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Begins a frame. Nothing has happened if that is pending, so that the next call may begin
    /// another one. Returns how much payload was taken with the header.
    fn poll_begin_frame<S: AsyncWrite>(
        &mut self,
        stream: Pin<&mut S>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let payload = bytes.get(..LARGEST_FRAME).unwrap_or(bytes);
        let key = self.new_key()?;
        let mut head = [0; LONGEST_HEADER];
        let head = header(&mut head, OpCode::Data(Data::Binary), key, payload.len())?;
        let mask = key.map(Mask::new);
        let written = masked(mask, payload, |part| {
            stream.poll_write_vectored(context, &[IoSlice::new(head), IoSlice::new(part)])
        });
        let written = nonzero(ready!(written)?)?;
        (self.frame_left, self.mask) = (payload.len(), mask);
        self.unsent.extend_from_slice(head.get(written..).unwrap_or_default());
        let taken = written.saturating_sub(head.len());
        self.payload_taken(taken);
        Poll::Ready(Ok(taken))
    }

    /// Writes the rest of a header, or the control frames that are due.
    fn poll_write_controls<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_unsent(stream.as_mut(), context))?;
            if self.frame_left > 0 {
                return Poll::Ready(Ok(()));
            }
            if let CloseFrame::Due(status) = self.close {
                self.close = CloseFrame::Sent;
                let status = status.map(u16::to_be_bytes);
                self.queue(Control::Close, status.as_ref().map_or(&[], |status| status))?;
            } else if let Some(payload) = self.pong.take() {
                self.queue(Control::Pong, &payload)?;
            } else {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn queue(&mut self, kind: Control, payload: &[u8]) -> io::Result<()> {
        let key = self.new_key()?;
        let mut head = [0; LONGEST_HEADER];
        let head = header(&mut head, OpCode::Control(kind), key, payload.len())?;
        self.unsent.reserve(head.len() + payload.len());
        self.unsent.extend_from_slice(head);
        self.unsent.extend_from_slice(payload);
        if let (Some(key), Some(payload)) = (key, self.unsent.get_mut(head.len()..)) {
            Mask::new(key).apply(payload);
        }
        self.unflushed = true;
        Ok(())
    }

    fn poll_unsent<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let written = ready!(stream.as_mut().poll_write(context, &self.unsent))?;
            self.unsent.advance(nonzero(written)?);
            if self.unsent.is_empty() {
                self.unsent = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn payload_taken(&mut self, bytes: usize) {
        self.frame_left = self.frame_left.saturating_sub(bytes);
        if let Some(mask) = &mut self.mask {
            mask.advance(bytes);
        }
    }

    /// A client's masking key, from a strong source (RFC 6455, section 5.3).
    fn new_key(&self) -> io::Result<Option<[u8; 4]>> {
        if self.role == Role::Server {
            return Ok(None);
        }
        let mut key = [0; 4];
        let filled = SystemRandom::new().fill(&mut key);
        filled.map_err(|_| io::Error::other("the system has no random numbers"))?;
        Ok(Some(key))
    }
}

/// Writes the beginning of payload: itself, or a masked copy.
fn masked<T>(mask: Option<Mask>, payload: &[u8], write: impl FnOnce(&[u8]) -> T) -> T {
    let Some(mask) = mask else { return write(payload) };
    let part = payload.get(..MASKED_AT_ONCE).unwrap_or(payload);
    let mut copy = [0; MASKED_AT_ONCE];
    let copy = copy.get_mut(..part.len()).unwrap_or_default();
    copy.copy_from_slice(part);
    mask.apply(copy);
    write(copy)
}

fn header(
    free: &mut [u8; LONGEST_HEADER],
    opcode: OpCode,
    mask: Option<[u8; 4]>,
    length: usize,
) -> io::Result<&[u8]> {
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    let mut left = &mut free[..];
    header.format(length as u64, &mut left).map_err(io::Error::other)?;
    let used = LONGEST_HEADER - left.len();
    Ok(free.get(..used).unwrap_or_default())
}

fn nonzero(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}
