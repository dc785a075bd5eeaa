//! Encodes any packet, for tests, fuzzing and tools.

use bytes::BytesMut;

use super::{
    ack_full, auth, connack, connect, disconnect, pingreq, pingresp, publish, suback, subscribe,
    unsuback, unsubscribe,
};
use crate::protocol::{AckKind, Packet, PublishOut, Version};

/// Appends `packet` in `version`. A CONNECT is encoded in its own version.
pub fn packet(out: &mut BytesMut, version: Version, packet: &Packet<'_>) {
    match packet {
        Packet::Connect(packet) => connect(out, packet),
        Packet::ConnAck(packet) => connack(out, version, packet),
        Packet::Publish(from) => {
            let to = PublishOut {
                dup: from.dup,
                qos: from.qos,
                retain: from.retain,
                packet_id: from.packet_id,
                hops: None,
                topic_prefix: "",
                topic: from.topic,
                topic_alias: from.topic_alias,
                expiry: from.expiry,
                subscription_ids: &from.subscription_ids,
                properties: &from.properties,
                payload: from.payload,
            };
            publish(out, version, &to);
        }
        Packet::PubAck(packet) => ack_full(out, version, AckKind::PubAck, packet),
        Packet::PubRec(packet) => ack_full(out, version, AckKind::PubRec, packet),
        Packet::PubRel(packet) => ack_full(out, version, AckKind::PubRel, packet),
        Packet::PubComp(packet) => ack_full(out, version, AckKind::PubComp, packet),
        Packet::Subscribe(packet) => subscribe(out, version, packet),
        Packet::SubAck(packet) => suback(out, version, packet),
        Packet::Unsubscribe(packet) => unsubscribe(out, version, packet),
        Packet::UnsubAck(packet) => unsuback(out, version, packet),
        Packet::PingReq => pingreq(out),
        Packet::PingResp => pingresp(out),
        Packet::Disconnect(packet) => disconnect(out, version, packet),
        Packet::Auth(packet) => auth(out, packet),
    }
}
