//! Messages larger than the client's Maximum Packet Size, and those behind them.

use super::world::{World, ack, request};
use crate::protocol::{Connect, Packet, QoS, Version};
use crate::telemetry::DropReason;

#[test]
fn mqtt_3_1_2_25_what_is_behind_a_message_that_is_too_large_comes_at_once() {
    let world = World::new();
    let connect = Connect {
        maximum_packet_size: Some(100),
        receive_maximum: Some(1),
        ..request(Version::V5, "sub", false)
    };
    let mut receiver = world.connect_by(&connect);
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    receiver.received();
    let mut publisher = world.passing("pub");
    let large = "x".repeat(200);
    for (packet, payload) in [(1, &*large), (2, "a"), (3, &*large), (4, "b")] {
        publisher.publish(QoS::AtLeastOnce, packet, payload);
    }
    assert_eq!(receiver.received(), ["PUBLISH 2 a"]);
    receiver.send(Packet::PubAck(ack(2)));
    assert_eq!(receiver.received(), ["PUBLISH 4 b"]);
    receiver.send(Packet::PubAck(ack(4)));
    world.commit();
    assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::TooLarge), 2);
    assert_eq!(world.broker.queued(), 0);
    assert_eq!(publisher.received().len(), 4, "all are settled");
    assert_eq!(world.rows("message"), 0);
}
