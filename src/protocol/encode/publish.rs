//! PUBLISH, the hot path. Its length is computed first, so that the buffer grows at most once
//! and nothing is written twice.

use bytes::{BufMut, BytesMut};

use crate::protocol::properties::id;
use crate::protocol::{PublishOut, QoS, Version, varint};

/// Lengths of the parts.
struct Layout {
    remaining: usize,
    /// Without the length field; `None` before v5.
    properties: Option<usize>,
}

#[inline]
fn topic_len(publish: &PublishOut<'_>) -> usize {
    publish.topic_prefix.len() + publish.topic.len()
}

#[inline]
fn layout(version: Version, publish: &PublishOut<'_>) -> Layout {
    let id = if publish.packet_id.is_some() { 2 } else { 0 };
    let rest = 2 + topic_len(publish) + id + publish.payload.len();
    if version != Version::V5 {
        return Layout { remaining: rest, properties: None };
    }
    let ids: usize = publish.subscription_ids.iter().map(|&id| 1 + varint::len(id as usize)).sum();
    let properties = ids
        + publish.properties.len()
        + publish.hops.map_or(0, |hops| hops.len())
        + if publish.topic_alias.is_some() { 3 } else { 0 }
        + if publish.expiry.is_some() { 5 } else { 0 };
    Layout { remaining: rest + varint::len(properties) + properties, properties: Some(properties) }
}

/// Bytes of a PUBLISH beside topic, properties and payload, at most: fixed header 5, length of
/// the topic 2, packet identifier 2, length of the properties 4, topic alias 3, expiry 5, and 5
/// for each Subscription Identifier. Cheaper than [`publish_len`] where there is room enough anyway.
#[inline]
pub fn publish_overhead(subscription_ids: usize) -> usize {
    21 + 5 * subscription_ids
}

/// Length of the whole frame, to be compared with the receiver's Maximum Packet Size
/// [MQTT-3.1.2-24].
#[inline]
pub fn publish_len(version: Version, publish: &PublishOut<'_>) -> usize {
    let remaining = layout(version, publish).remaining;
    1 + varint::len(remaining) + remaining
}

/// PUBLISH. Before v5, the v5 fields are omitted.
#[inline]
pub fn publish(out: &mut BytesMut, version: Version, publish: &PublishOut<'_>) {
    let head = publish_head(out, version, publish, publish.payload.len());
    debug_assert!(head, "no packet is larger");
    if head {
        out.put_slice(publish.payload);
    }
}

/// All of a PUBLISH before its payload; reserves room for `more` bytes after that. False: it
/// exceeds the largest packet of the protocol, and nothing is written.
#[inline]
pub fn publish_head(
    out: &mut BytesMut,
    version: Version,
    publish: &PublishOut<'_>,
    more: usize,
) -> bool {
    debug_assert_eq!(
        publish.packet_id.is_some(),
        publish.qos != QoS::AtMostOnce,
        "an identifier exactly if QoS > 0"
    );
    debug_assert!(topic_len(publish) <= 65_535, "no topic name is longer");
    let layout = layout(version, publish);
    let (Ok(topic_len), true) =
        (u16::try_from(topic_len(publish)), layout.remaining <= varint::MAX)
    else {
        return false;
    };
    out.reserve(5 + layout.remaining - publish.payload.len() + more);
    // Fixed header and topic length in one write.
    let (remaining, used) = varint::encode(layout.remaining);
    let [a, b, c, d] = remaining;
    let [high, low] = topic_len.to_be_bytes();
    let first = first_byte(publish);
    match used {
        1 => out.put_slice(&[first, a, high, low]),
        2 => out.put_slice(&[first, a, b, high, low]),
        3 => out.put_slice(&[first, a, b, c, high, low]),
        _ => out.put_slice(&[first, a, b, c, d, high, low]),
    }
    if !publish.topic_prefix.is_empty() {
        out.put_slice(publish.topic_prefix.as_bytes());
    }
    out.put_slice(publish.topic.as_bytes());
    if let Some(packet_id) = publish.packet_id {
        out.put_u16(packet_id.get());
    }
    if let Some(len) = layout.properties {
        put_properties(out, len, publish);
    }
    true
}

/// QoS 0 if and only if there is no packet identifier, so that the packet can be decoded even
/// if the fields contradict each other.
#[inline]
fn first_byte(publish: &PublishOut<'_>) -> u8 {
    let qos = match (publish.packet_id, publish.qos) {
        (None, _) => QoS::AtMostOnce,
        (Some(_), QoS::AtMostOnce) => QoS::AtLeastOnce,
        (Some(_), qos) => qos,
    };
    // DUP is 0 at QoS 0 [MQTT-3.3.1-2].
    let dup = publish.dup && qos != QoS::AtMostOnce;
    0x30 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(publish.retain)
}

#[inline]
fn put_properties(out: &mut BytesMut, len: usize, publish: &PublishOut<'_>) {
    varint::put(out, len);
    if len == 0 {
        return;
    }
    if let Some(alias) = publish.topic_alias {
        out.put_u8(id::TOPIC_ALIAS);
        out.put_u16(alias);
    }
    if let Some(seconds) = publish.expiry {
        out.put_u8(id::MESSAGE_EXPIRY);
        out.put_u32(seconds);
    }
    for &subscription in publish.subscription_ids {
        out.put_u8(id::SUBSCRIPTION_ID);
        varint::put(out, subscription as usize);
    }
    if let Some(hops) = publish.hops {
        hops.put(out);
    }
    out.put_slice(publish.properties);
}
