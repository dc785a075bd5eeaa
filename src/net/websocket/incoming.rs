//! Frames in: takes the payload of binary messages out of received bytes, wherever these were
//! split. Pure; it holds no payload, at most one control frame of 125 bytes.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::mask::Mask;
use super::violation::Violation;

/// The longest header: two bytes, eight of length, four of masking key.
const LONGEST_HEADER: usize = 14;
/// The longest payload of a control frame (RFC 6455, section 5.5).
pub const LONGEST_CONTROL: u64 = 125;

/// Why nothing more is taken from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It sent a close frame, with this status or none.
    Closed(Option<u16>),
    /// It broke the protocol.
    Violated(Violation),
}

/// Where in the sequence of frames the next byte is.
#[derive(Debug)]
enum Stage {
    /// In a header.
    Header,
    /// In the payload of a binary message.
    Payload { left: u64, is_final: bool, mask: Option<Mask> },
    /// In the payload of a control frame.
    Control { kind: Control, left: usize, mask: Option<Mask>, payload: Vec<u8> },
    /// Behind the last byte that counts.
    Ended(End),
}

/// The receiving side of a WebSocket.
#[derive(Debug)]
pub struct Incoming {
    role: Role,
    max_message: u64,
    stage: Stage,
    /// The part of a header that has arrived.
    head: [u8; LONGEST_HEADER],
    head_len: usize,
    /// Bytes of the message whose frames arrive, while it is incomplete.
    message: Option<u64>,
    ping: Option<Vec<u8>>,
}

impl Incoming {
    /// Receives as `role` from the opposite one. A message has at most `max_message` bytes.
    pub fn new(role: Role, max_message: u64) -> Self {
        Self {
            role,
            max_message,
            stage: Stage::Header,
            head: [0; LONGEST_HEADER],
            head_len: 0,
            message: None,
            ping: None,
        }
    }

    /// Takes received bytes. Their payload is unmasked and moved to the front, and its length
    /// returned; the bytes behind it are of no use any more.
    pub fn decode(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut out) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.stage {
                Stage::Header => at += self.take_header(rest),
                Stage::Payload { left, mask, .. } => {
                    let len = at_most(rest.len(), *left);
                    if at != out {
                        bytes.copy_within(at..at + len, out);
                    }
                    if let (Some(mask), Some(payload)) = (mask, bytes.get_mut(out..out + len)) {
                        mask.apply(payload);
                        mask.advance(len);
                    }
                    *left -= len as u64;
                    at += len;
                    out += len;
                }
                Stage::Control { left, payload, .. } => {
                    let part = rest.get(..*left).unwrap_or(rest);
                    payload.extend_from_slice(part);
                    *left -= part.len();
                    at += part.len();
                }
                Stage::Ended(_) => return out,
            }
            self.end_frame();
        }
        out
    }

    /// Why nothing more is taken, once that is so.
    pub fn end(&self) -> Option<End> {
        match self.stage {
            Stage::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// The payload of the last ping since the last call. Earlier ones need no answer
    /// (RFC 6455, section 5.5.3).
    pub fn take_ping(&mut self) -> Option<Vec<u8>> {
        self.ping.take()
    }

    /// Takes bytes of a header; returns how many.
    fn take_header(&mut self, bytes: &[u8]) -> usize {
        if self.head_len == 0 {
            let mut cursor = Cursor::new(bytes);
            if self.parse_header(&mut cursor) {
                return usize::try_from(cursor.position()).unwrap_or(bytes.len());
            }
        }
        // It is split: byte by byte, as what follows it is not part of it.
        if let (Some(free), Some(byte)) = (self.head.get_mut(self.head_len), bytes.first()) {
            *free = *byte;
            self.head_len += 1;
        }
        let head = self.head;
        if self.parse_header(&mut Cursor::new(head.get(..self.head_len).unwrap_or(&head))) {
            self.head_len = 0;
        }
        1
    }

    /// True if the header was complete.
    fn parse_header(&mut self, bytes: &mut Cursor<&[u8]>) -> bool {
        self.stage = match FrameHeader::parse(bytes) {
            Ok(None) => return false,
            Ok(Some((header, length))) => {
                self.begin_frame(&header, length).unwrap_or_else(Stage::violated)
            }
            Err(_) => Stage::violated(Violation::Opcode),
        };
        true
    }

    fn begin_frame(&mut self, header: &FrameHeader, length: u64) -> Result<Stage, Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::ReservedBits);
        }
        let mask = match (self.role, header.mask) {
            (Role::Server, None) => return Err(Violation::Unmasked),
            (Role::Client, Some(_)) => return Err(Violation::Masked),
            (_, key) => key.map(Mask::new),
        };
        match (header.opcode, self.message) {
            (OpCode::Control(kind), _) => {
                if !header.is_final || length > LONGEST_CONTROL {
                    return Err(Violation::ControlFrame);
                }
                let left = at_most(usize::MAX, length);
                return Ok(Stage::Control { kind, left, mask, payload: Vec::with_capacity(left) });
            }
            (OpCode::Data(Data::Continue), None) => return Err(Violation::Continuation),
            (OpCode::Data(Data::Continue), Some(_)) | (OpCode::Data(Data::Binary), None) => {}
            (OpCode::Data(_), Some(_)) => return Err(Violation::Interleaved),
            (OpCode::Data(Data::Text), None) => return Err(Violation::Text),
            (OpCode::Data(Data::Reserved(_)), None) => return Err(Violation::Opcode),
        }
        let message = self.message.unwrap_or(0).saturating_add(length);
        if message > self.max_message {
            return Err(Violation::TooLarge { max: self.max_message });
        }
        self.message = Some(message);
        Ok(Stage::Payload { left: length, is_final: header.is_final, mask })
    }

    /// Goes on to the next header if the frame is complete.
    fn end_frame(&mut self) {
        match &mut self.stage {
            Stage::Payload { left: 0, is_final, .. } => {
                if *is_final {
                    self.message = None;
                }
                self.stage = Stage::Header;
            }
            Stage::Control { kind, left: 0, mask, payload } => {
                let (kind, mut payload) = (*kind, std::mem::take(payload));
                if let Some(mask) = mask {
                    mask.apply(&mut payload);
                }
                self.stage = Stage::Header;
                match kind {
                    Control::Close => self.stage = Stage::Ended(close_of(&payload)),
                    Control::Ping => self.ping = Some(payload),
                    Control::Pong | Control::Reserved(_) => {}
                }
            }
            _ => {}
        }
    }
}

impl Stage {
    fn violated(violation: Violation) -> Self {
        Self::Ended(End::Violated(violation))
    }
}

/// The lower of the two.
fn at_most(most: usize, length: u64) -> usize {
    usize::try_from(length).map_or(most, |length| length.min(most))
}

fn close_of(payload: &[u8]) -> End {
    match payload {
        [] => End::Closed(None),
        [high, low, reason @ ..] => {
            let status = u16::from_be_bytes([*high, *low]);
            if !CloseCode::from(status).is_allowed() {
                End::Violated(Violation::CloseStatus)
            } else if std::str::from_utf8(reason).is_err() {
                End::Violated(Violation::CloseReason)
            } else {
                End::Closed(Some(status))
            }
        }
        [_] => End::Violated(Violation::CloseStatus),
    }
}
