//! Framing: the length of a packet, and whether the peer may send it.

use super::{Decoder, Role};
use crate::protocol::varint::{self, Varint};
use crate::protocol::{AckKind, DecodeError, ReasonCode, Version};

/// The result of looking for a frame in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The frame is incomplete.
    Incomplete {
        /// Length of the whole frame, once known.
        needed: Option<usize>,
    },
    /// One frame, at the front of the buffer.
    Complete {
        /// Its length.
        len: usize,
    },
}

/// Control packet types, section 2.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Publish,
    Ack(AckKind),
    Rare(Rare),
}

/// The types that are not sent with every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rare {
    Connect,
    ConnAck,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

#[inline]
pub(super) fn frame(decoder: &Decoder, buf: &[u8]) -> Result<Frame, DecodeError> {
    let Some((&first, rest)) = buf.split_first() else {
        return Ok(Frame::Incomplete { needed: None });
    };
    check_first_byte(decoder, first)?;
    let (remaining, used) = match varint::read(rest) {
        Varint::Value(value, used) => (value, used),
        Varint::Unfinished => return Ok(Frame::Incomplete { needed: None }),
        Varint::Overlong => {
            return Err(DecodeError::malformed(
                "remaining length is not the shortest [MQTT-1.5.5-1]",
            ));
        }
    };
    let len = 1 + used + remaining;
    if len > decoder.max_packet_size as usize {
        return Err(DecodeError::new(
            ReasonCode::PacketTooLarge,
            "packet is larger than the maximum (mqtt.max_packet_size)",
        ));
    }
    Ok(if buf.len() < len {
        Frame::Incomplete { needed: Some(len) }
    } else {
        Frame::Complete { len }
    })
}

/// Checks type and flags, and whether this peer may send the type now.
#[inline]
pub(super) fn check_first_byte(decoder: &Decoder, first: u8) -> Result<Kind, DecodeError> {
    // PUBLISH first: it is the most frequent packet, and only it has variable flags.
    if first >> 4 == 3 {
        return check_publish(decoder, first);
    }
    check_other(decoder, first)
}

#[inline]
fn check_publish(decoder: &Decoder, first: u8) -> Result<Kind, DecodeError> {
    if first & 0x06 == 0x06 {
        return Err(DecodeError::malformed("PUBLISH with QoS 3 [MQTT-3.3.1-4]"));
    }
    if first & 0x0E == 0x08 {
        return Err(DecodeError::malformed("PUBLISH with DUP at QoS 0 [MQTT-3.3.1-2]"));
    }
    if decoder.version.is_none() {
        return Err(FIRST_IS_CONNECT);
    }
    Ok(Kind::Publish)
}

const FIRST_IS_CONNECT: DecodeError =
    DecodeError::protocol("the first packet is no CONNECT [MQTT-3.1.0-1]");

/// Who may send a packet type.
#[derive(PartialEq)]
enum From {
    Client,
    Server,
    Both,
}

fn check_other(decoder: &Decoder, first: u8) -> Result<Kind, DecodeError> {
    let v5 = decoder.version == Some(Version::V5);
    let (kind, flags, from) = match first >> 4 {
        1 => (Kind::Rare(Rare::Connect), 0, From::Client),
        2 => (Kind::Rare(Rare::ConnAck), 0, From::Server),
        4 => (Kind::Ack(AckKind::PubAck), 0, From::Both),
        5 => (Kind::Ack(AckKind::PubRec), 0, From::Both),
        6 => (Kind::Ack(AckKind::PubRel), 2, From::Both),
        7 => (Kind::Ack(AckKind::PubComp), 0, From::Both),
        8 => (Kind::Rare(Rare::Subscribe), 2, From::Client),
        9 => (Kind::Rare(Rare::SubAck), 0, From::Server),
        10 => (Kind::Rare(Rare::Unsubscribe), 2, From::Client),
        11 => (Kind::Rare(Rare::UnsubAck), 0, From::Server),
        12 => (Kind::Rare(Rare::PingReq), 0, From::Client),
        13 => (Kind::Rare(Rare::PingResp), 0, From::Server),
        14 if v5 => (Kind::Rare(Rare::Disconnect), 0, From::Both),
        14 => (Kind::Rare(Rare::Disconnect), 0, From::Client),
        15 if v5 => (Kind::Rare(Rare::Auth), 0, From::Both),
        15 => {
            return Err(DecodeError::malformed(
                "packet type 15 is reserved before v5 [MQTT-2.2.2-1]",
            ));
        }
        _ => {
            return Err(DecodeError::malformed("packet type 0 is reserved [MQTT-2.2.2-1]"));
        }
    };
    // MQTT 3.1 sets DUP on repeated packets whose header has QoS 1.
    let ignored = if decoder.version == Some(Version::V31) && flags == 2 { 0x08 } else { 0 };
    // MQTT 3.1 also ignores the flags of CONNECT; they are checked once the version is known.
    let ignored = if decoder.version.is_none() && first >> 4 == 1 { 0x0F } else { ignored };
    if first & 0x0F & !ignored != flags {
        return Err(DecodeError::malformed("reserved flags of the fixed header [MQTT-2.1.3-1]"));
    }
    match decoder.role {
        Role::Server if from == From::Server => {
            return Err(DecodeError::protocol("packet that only a server sends"));
        }
        Role::Client if from == From::Client => {
            return Err(DecodeError::protocol("packet that only a client sends"));
        }
        _ => {}
    }
    if decoder.role == Role::Server {
        match (decoder.version, kind) {
            (None, Kind::Rare(Rare::Connect)) => {}
            (None, _) => return Err(FIRST_IS_CONNECT),
            (Some(_), Kind::Rare(Rare::Connect)) => {
                return Err(DecodeError::protocol("a second CONNECT [MQTT-3.1.0-2]"));
            }
            (Some(_), _) => {}
        }
    }
    Ok(kind)
}
