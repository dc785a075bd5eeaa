//! Logs each packet at `debug`, without its payload. Costs nothing at other levels.

use tracing::{Level, debug, enabled};

use crate::protocol::{Ack, Packet, PacketId, PublishOut, QoS, ReasonCode, TopicFilter};
use crate::telemetry::{Label, PacketType};

/// Logs a received packet, in a frame of `bytes`.
pub(super) fn received(client_id: &str, packet: &Packet<'_>, bytes: usize) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    let kind = PacketType::from(packet).as_str();
    match packet {
        Packet::Publish(publish) => debug!(
            client_id,
            packet = kind,
            packet_id = publish.packet_id.map(PacketId::get),
            qos = number(publish.qos),
            retain = publish.retain,
            dup = publish.dup,
            topic = publish.topic,
            topic_alias = publish.topic_alias,
            bytes,
            "received"
        ),
        Packet::PubAck(Ack { packet_id, reason, .. })
        | Packet::PubRec(Ack { packet_id, reason, .. })
        | Packet::PubRel(Ack { packet_id, reason, .. })
        | Packet::PubComp(Ack { packet_id, reason, .. }) => {
            let (packet_id, reason) = (packet_id.get(), *reason);
            debug!(client_id, packet = kind, packet_id, ?reason, bytes, "received");
        }
        Packet::Subscribe(subscribe) => {
            let (packet_id, filters) = (subscribe.packet_id.get(), &subscribe.filters);
            let filters: Vec<_> =
                filters.iter().map(|it| (it.filter.as_str(), number(it.options.qos))).collect();
            debug!(client_id, packet = kind, packet_id, ?filters, bytes, "received");
        }
        Packet::Unsubscribe(unsubscribe) => {
            let (packet_id, filters) = (unsubscribe.packet_id.get(), &unsubscribe.filters);
            let filters: Vec<_> = filters.iter().map(TopicFilter::as_str).collect();
            debug!(client_id, packet = kind, packet_id, ?filters, bytes, "received");
        }
        Packet::Disconnect(disconnect) => {
            debug!(client_id, packet = kind, reason = ?disconnect.reason, bytes, "received");
        }
        _ => debug!(client_id, packet = kind, bytes, "received"),
    }
}

/// Logs a reply that is sent.
pub(super) fn answered(
    client_id: &str,
    kind: PacketType,
    packet_id: Option<PacketId>,
    reason: ReasonCode,
    bytes: usize,
) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    let packet_id = packet_id.map(PacketId::get);
    debug!(client_id, packet = kind.as_str(), packet_id, ?reason, bytes, "sent");
}

/// Logs a delivery that is sent.
pub(super) fn delivered(client_id: &str, publish: &PublishOut<'_>, topic: &str, bytes: usize) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    debug!(
        client_id,
        packet = PacketType::Publish.as_str(),
        packet_id = publish.packet_id.map(PacketId::get),
        qos = number(publish.qos),
        retain = publish.retain,
        dup = publish.dup,
        topic,
        topic_alias = publish.topic_alias,
        bytes,
        "sent"
    );
}

fn number(qos: QoS) -> u8 {
    qos as u8
}
