//! PUBACK, PUBREC, PUBREL and PUBCOMP: one layout, two tables of reason codes.

use crate::protocol::properties::{self, id, of};
use crate::protocol::reader::Reader;
use crate::protocol::reason::ReasonContext;
use crate::protocol::{Ack, AckKind, DecodeError, Packet, ReasonCode, Version};

#[inline]
pub(super) fn packet(
    version: Version,
    kind: AckKind,
    body: &[u8],
) -> Result<Packet<'static>, DecodeError> {
    let ack = ack(version, kind, Reader::new(body))?;
    Ok(match kind {
        AckKind::PubAck => Packet::PubAck(ack),
        AckKind::PubRec => Packet::PubRec(ack),
        AckKind::PubRel => Packet::PubRel(ack),
        AckKind::PubComp => Packet::PubComp(ack),
    })
}

#[inline]
fn ack(version: Version, kind: AckKind, mut reader: Reader<'_>) -> Result<Ack, DecodeError> {
    let mut ack = Ack {
        packet_id: reader.packet_id()?,
        reason: ReasonCode::Success,
        reason_string: None,
        user_properties: Vec::new(),
    };
    // A remaining length of 2 means success in v5, and is the only valid one before v5.
    if version == Version::V5 && !reader.is_empty() {
        let context = match kind {
            AckKind::PubAck | AckKind::PubRec => ReasonContext::PubAckOrPubRec,
            _ => ReasonContext::PubRelOrPubComp,
        };
        ack.reason = reason(reader.u8()?, context)?;
        // A remaining length of 3 omits the property length too.
        if !reader.is_empty() {
            properties::walk(&mut reader, of::ACK, |property| {
                match property.id {
                    id::REASON_STRING => ack.reason_string = Some(property.value.text().into()),
                    _ => ack.user_properties.push(property.value.pair()),
                }
                Ok(())
            })?;
        }
    }
    reader.finish()?;
    Ok(ack)
}

/// A reason code that is valid in this packet.
pub(super) fn reason(byte: u8, context: ReasonContext) -> Result<ReasonCode, DecodeError> {
    ReasonCode::from_u8(byte)
        .filter(|reason| reason.is_valid_in(context))
        .ok_or(DecodeError::protocol("reason code that does not belong to this packet"))
}
