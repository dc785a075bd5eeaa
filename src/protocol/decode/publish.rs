//! PUBLISH, the hot path. Borrows from the frame, and allocates only if a property has to be
//! removed from the middle.

use std::borrow::Cow;

use super::{Decoder, Role};
use crate::protocol::hops;
use crate::protocol::properties::{self, id, of};
use crate::protocol::reader::Reader;
use crate::protocol::{DecodeError, Packet, PacketId, Publish, QoS, ReasonCode, Version};

/// The parts of a PUBLISH, with undecoded properties.
struct Parts<'a> {
    qos: QoS,
    packet_id: Option<PacketId>,
    topic: &'a str,
    block: &'a [u8],
    payload: &'a [u8],
}

#[inline]
fn parts(version: Version, first: u8, body: &[u8]) -> Result<Parts<'_>, DecodeError> {
    let qos = QoS::from_bits((first >> 1) & 3)
        .ok_or(DecodeError::malformed("PUBLISH with QoS 3 [MQTT-3.3.1-4]"))?;
    let mut reader = Reader::new(body);
    let topic = topic(reader.binary()?)?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
    let block = if version == Version::V5 {
        let len = reader.varint()?;
        reader.take(len)?
    } else {
        &[]
    };
    Ok(Parts { qos, packet_id, topic, block, payload: reader.rest() })
}

/// Moving a packet of this size costs as much as decoding it. It is therefore built once, at
/// its destination, and only small values are passed until then.
#[inline]
pub(super) fn publish<'a>(
    decoder: &Decoder,
    version: Version,
    first: u8,
    body: &'a [u8],
) -> Result<Packet<'a>, DecodeError> {
    let parts = match parts(version, first, body) {
        Ok(parts) => parts,
        Err(error) => return Err(decoder.with_reply(error)),
    };
    let build = |extras: Extras<'a>| {
        Packet::Publish(Publish {
            dup: first & 0x08 != 0,
            qos: parts.qos,
            retain: first & 0x01 != 0,
            packet_id: parts.packet_id,
            topic: parts.topic,
            topic_alias: extras.topic_alias,
            expiry: extras.expiry,
            properties: extras.properties,
            subscription_ids: extras.subscription_ids,
            payload: parts.payload,
        })
    };
    if parts.block.is_empty() && !parts.topic.is_empty() {
        return Ok(build(Extras::default()));
    }
    match read_extras(version, decoder.role, &parts) {
        Ok(extras) => Ok(build(extras)),
        Err(error) => Err(decoder.with_reply(error)),
    }
}

fn read_extras<'a>(
    version: Version,
    role: Role,
    parts: &Parts<'a>,
) -> Result<Extras<'a>, DecodeError> {
    let extras = read_properties(role, parts.block)?;
    if parts.topic.is_empty() {
        check_empty_topic(version, extras.topic_alias)?;
    }
    Ok(extras)
}

/// Checks a PUBLISH without a topic name: only an alias can replace it.
#[cold]
fn check_empty_topic(version: Version, alias: Option<u16>) -> Result<(), DecodeError> {
    match (version, alias) {
        (Version::V5, Some(_)) => Ok(()),
        (Version::V5, None) => Err(DecodeError::protocol("PUBLISH with neither topic nor alias")),
        _ => Err(DecodeError::new(
            ReasonCode::TopicNameInvalid,
            "topic name is empty [MQTT-4.7.3-1]",
        )),
    }
}

/// The decoded properties.
#[derive(Default)]
struct Extras<'a> {
    topic_alias: Option<u16>,
    expiry: Option<u32>,
    properties: Cow<'a, [u8]>,
    subscription_ids: Vec<u32>,
}

/// Checks a topic name, which may be empty. One pass without branches detects all forbidden
/// bytes; the cause is determined only after that.
#[inline]
fn topic(bytes: &[u8]) -> Result<&str, DecodeError> {
    let forbidden = bytes.iter().fold(0, |found, &byte| {
        found | u8::from(byte == 0) | u8::from(byte == b'+') | u8::from(byte == b'#')
    });
    if forbidden != 0 {
        return Err(if bytes.contains(&0) {
            DecodeError::malformed("topic name holds U+0000 [MQTT-1.5.4-2]")
        } else {
            DecodeError::new(
                ReasonCode::TopicNameInvalid,
                "topic name with a wildcard [MQTT-3.3.2-2]",
            )
        });
    }
    std::str::from_utf8(bytes)
        .map_err(|_| DecodeError::malformed("topic name is not UTF-8 [MQTT-3.3.2-1]"))
}

/// Removes the properties that end at this hop. Receivers get the rest unchanged
/// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-17] [MQTT-3.3.2-18].
fn read_properties(role: Role, block: &[u8]) -> Result<Extras<'_>, DecodeError> {
    let mut extras = Extras::default();
    let mut kept = Kept { block, range: 0..0, copy: None };
    let mut at = 0;
    let mut hops = None;
    properties::walk_block(block, of::PUBLISH, |property| {
        let end = at + property.raw.len();
        match property.id {
            id::TOPIC_ALIAS => extras.topic_alias = Some(property.value.short()),
            id::MESSAGE_EXPIRY => extras.expiry = Some(property.value.int()),
            id::SUBSCRIPTION_ID if role == Role::Server => {
                return Err(DecodeError::protocol(
                    "subscription identifier from a client [MQTT-3.3.4-6]",
                ));
            }
            id::SUBSCRIPTION_ID => extras.subscription_ids.push(property.value.int()),
            id::USER_PROPERTY if is_hops(property.raw) => {
                hops.get_or_insert(property.raw);
            }
            _ => kept.add(at..end, property.raw),
        }
        at = end;
        Ok(())
    })?;
    extras.properties = match hops {
        None => kept.finish(),
        Some(hops) => [hops, &*kept.finish()].concat().into(),
    };
    Ok(extras)
}

/// True for the property of [`hops`](crate::protocol::hops), which stands first in a block.
fn is_hops(raw: &[u8]) -> bool {
    hops::split(raw).0.is_some()
}

/// The kept part of a property block, borrowed if it is contiguous.
struct Kept<'a> {
    block: &'a [u8],
    range: std::ops::Range<usize>,
    copy: Option<Vec<u8>>,
}

impl<'a> Kept<'a> {
    fn add(&mut self, range: std::ops::Range<usize>, raw: &[u8]) {
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(raw);
        } else if self.range.is_empty() {
            self.range = range;
        } else if self.range.end == range.start {
            self.range.end = range.end;
        } else {
            let mut copy = Vec::with_capacity(self.block.len());
            copy.extend_from_slice(self.block.get(self.range.clone()).unwrap_or_default());
            copy.extend_from_slice(raw);
            self.copy = Some(copy);
        }
    }

    fn finish(self) -> Cow<'a, [u8]> {
        match self.copy {
            Some(copy) => Cow::Owned(copy),
            None => Cow::Borrowed(self.block.get(self.range).unwrap_or_default()),
        }
    }
}

impl Publish<'_> {
    /// Checks the payload against the Payload Format Indicator. Not part of decoding: a
    /// receiver may check this, at the cost of reading the payload (section 3.3.2.3.2).
    ///
    /// # Errors
    /// 0x99 if the indicator is 1 and the payload is not UTF-8.
    pub fn check_payload_format(&self) -> Result<(), DecodeError> {
        let mut is_text = false;
        properties::walk_block(&self.properties, of::PUBLISH, |property| {
            is_text |= property.id == id::PAYLOAD_FORMAT && property.value.flag();
            Ok(())
        })?;
        if is_text && std::str::from_utf8(self.payload).is_err() {
            return Err(DecodeError::new(
                ReasonCode::PayloadFormatInvalid,
                "payload is not the UTF-8 it claims to be",
            ));
        }
        Ok(())
    }
}
