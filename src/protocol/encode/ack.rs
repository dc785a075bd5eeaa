//! PUBACK, PUBREC, PUBREL and PUBCOMP.

use bytes::{BufMut, BytesMut};

use super::writer::{self, Properties};
use crate::protocol::properties::id;
use crate::protocol::{Ack, AckKind, PacketId, ReasonCode, Version};

/// The short form, without reason string. Before v5 the reason code is omitted.
#[inline]
pub fn ack(
    out: &mut BytesMut,
    version: Version,
    kind: AckKind,
    packet_id: PacketId,
    reason: ReasonCode,
) {
    let first = first_byte(kind);
    let [high, low] = packet_id.get().to_be_bytes();
    if version == Version::V5 && reason != ReasonCode::Success {
        out.put_slice(&[first, 3, high, low, reason.as_u8()]);
    } else {
        out.put_slice(&[first, 2, high, low]);
    }
}

/// The full form, with reason string and user properties if there are any.
pub fn ack_full(out: &mut BytesMut, version: Version, kind: AckKind, packet: &Ack) {
    let mut properties = Properties::default();
    properties.text(id::REASON_STRING, packet.reason_string.as_deref());
    properties.user(&packet.user_properties);
    if version != Version::V5 || properties.is_empty() {
        return ack(out, version, kind, packet.packet_id, packet.reason);
    }
    let mut body = BytesMut::new();
    body.put_u16(packet.packet_id.get());
    body.put_u8(packet.reason.as_u8());
    properties.finish(&mut body);
    writer::frame(out, first_byte(kind), &body);
}

#[inline]
fn first_byte(kind: AckKind) -> u8 {
    match kind {
        AckKind::PubAck => 0x40,
        AckKind::PubRec => 0x50,
        AckKind::PubRel => 0x62,
        AckKind::PubComp => 0x70,
    }
}
