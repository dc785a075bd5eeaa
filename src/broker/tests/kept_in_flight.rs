//! Deliveries that are sent and not acknowledged keep their place and packet identifier, and
//! do not block other deliveries.

use super::world::{World, ack};
use crate::config::{Config, Overflow};
use crate::protocol::{Packet, QoS};
use crate::telemetry::DropReason;

/// The number of packet identifiers.
const CYCLE: u16 = 65_535;

#[test]
fn a_packet_id_that_is_never_acknowledged_stops_nothing_behind_it() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let world = World::new();
        let mut receiver = world.durable("sub");
        receiver.subscribe("t", qos);
        world.commit();
        receiver.received();
        let mut publisher = world.passing("pub");
        publisher.publish(qos, 1, "stuck");
        // All other packet identifiers are drawn in between.
        let session = world.broker.session_of("sub").unwrap();
        for _ in 1..CYCLE {
            session.lock().draw_packet_id();
        }
        publisher.publish(qos, 2, "second");
        publisher.publish(qos, 3, "third");
        world.commit();
        assert_eq!(receiver.received(), ["PUBLISH 1 stuck"]);
        assert!(receiver.received().is_empty(), "a crash would send it under another id");
        world.commit();
        assert_eq!(receiver.received(), ["PUBLISH 3 second", "PUBLISH 2 third"]);
        let world = world.crash([receiver, publisher]);
        let mut receiver = world.connect("sub", false);
        world.commit();
        assert_eq!(receiver.received(), ["CONNACK true"]);
        let again = ["PUBLISH 1 stuck again", "PUBLISH 3 second again", "PUBLISH 2 third again"];
        assert_eq!(receiver.received(), again);
    }
}

#[test]
fn a_take_over_before_a_new_packet_id_is_committed_waits_for_it_too() {
    let world = World::new();
    let mut old = world.durable("sub");
    old.subscribe("t", QoS::ExactlyOnce);
    world.commit();
    old.received();
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::ExactlyOnce, 1, "stuck");
    let session = world.broker.session_of("sub").unwrap();
    for _ in 1..CYCLE {
        session.lock().draw_packet_id();
    }
    publisher.publish(QoS::ExactlyOnce, 2, "second");
    world.commit();
    assert_eq!(old.received(), ["PUBLISH 1 stuck"]);
    let mut new = world.connect("sub", false);
    assert!(new.received().is_empty());
    world.commit();
    assert_eq!(new.received(), ["CONNACK true", "PUBLISH 1 stuck again", "PUBLISH 2 second"]);
}

/// An offline session with drop-oldest overflow, of whose messages two have been sent at QoS
/// 2.
fn drops_oldest() -> World {
    let mut config = Config::default();
    config.session.overflow = Overflow::DropOldest;
    config.session.max_queued_messages = 2;
    let world = World::with(config);
    let mut receiver = world.durable("sub");
    receiver.subscribe("t", QoS::ExactlyOnce);
    world.commit();
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::ExactlyOnce, 1, "a");
    publisher.publish(QoS::ExactlyOnce, 2, "b");
    world.commit();
    assert_eq!(receiver.received(), ["SUBACK", "PUBLISH 1 a", "PUBLISH 2 b"]);
    receiver.send(Packet::PubRec(ack(1)));
    world.commit();
    receiver.vanish();
    super::world::at_once(world.broker.background_once());
    world.commit();
    world
}

#[test]
fn drop_oldest_drops_the_new_message_if_the_receiver_may_hold_all_others() {
    let world = drops_oldest();
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::ExactlyOnce, 3, "c");
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 3"]);
    assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::QueueFull), 1);
    let mut receiver = world.connect("sub", false);
    world.commit();
    assert_eq!(receiver.received(), ["CONNACK true"]);
    assert_eq!(receiver.received(), ["PUBREL 1", "PUBLISH 2 b again"]);
}

#[test]
fn drop_oldest_drops_nothing_that_was_sent_before_a_restart() {
    let world = drops_oldest().crash([]);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::ExactlyOnce, 3, "c");
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 3"]);
    let mut receiver = world.connect("sub", false);
    world.commit();
    assert_eq!(receiver.received(), ["CONNACK true"]);
    assert_eq!(receiver.received(), ["PUBREL 1", "PUBLISH 2 b again"]);
}
