//! The gauge of deliveries in flight, which is updated by differences, equals the sum over
//! sessions. The simulation compares them at each step; these tests cover single events.

use super::world::{User, World, ack};
use crate::broker::Budget;
use crate::protocol::{Packet, QoS};

fn gauge(world: &World) -> i64 {
    let counted = world.broker.metrics.messages.in_flight.get();
    assert_eq!(counted, i64::try_from(world.broker.in_flight()).unwrap(), "the sum over sessions");
    counted
}

/// A durable receiver to which `count` messages were sent.
fn with_in_flight(world: &World, count: u16) -> User {
    let mut receiver = world.durable("sub");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    let mut publisher = world.passing("pub");
    for packet in 1..=count {
        publisher.publish(QoS::AtLeastOnce, packet, "x");
    }
    world.commit();
    assert_eq!(gauge(world), 0, "not sent yet");
    assert_eq!(receiver.received().len(), usize::from(count) + 1, "SUBACK");
    assert_eq!(gauge(world), i64::from(count));
    publisher.leave();
    receiver
}

#[test]
fn what_is_acknowledged_is_in_flight_no_longer() {
    let world = World::new();
    let mut receiver = with_in_flight(&world, 3);
    receiver.send(Packet::PubAck(ack(2)));
    assert_eq!(gauge(&world), 2);
    receiver.leave();
    assert_eq!(gauge(&world), 0, "it is queued again");
}

#[test]
fn a_take_over_sends_anew_and_counts_anew() {
    let world = World::new();
    let old = with_in_flight(&world, 3);
    let mut new = world.connect("sub", false);
    assert_eq!(gauge(&world), 0);
    world.commit();
    assert_eq!(new.received().len(), 4, "CONNACK and three messages");
    assert_eq!(gauge(&world), 3);
    old.leave();
    assert_eq!(gauge(&world), 3, "the older connection had lost it");
}

#[test]
fn the_end_of_a_session_ends_what_it_had_in_flight() {
    let world = World::new();
    let _old = with_in_flight(&world, 3);
    let _new = world.connect("sub", true);
    assert_eq!(gauge(&world), 0);
}

#[test]
fn after_a_restart_nothing_is_in_flight_until_it_is_sent() {
    let world = World::new();
    let receiver = with_in_flight(&world, 3);
    world.commit();
    let world = world.crash([receiver]);
    assert_eq!(gauge(&world), 0);
    let mut again = world.connect("sub", false);
    world.commit();
    assert_eq!(again.received(), ["CONNACK true"], "the queue is being read back");
    assert_eq!(again.received().len(), 3);
    assert_eq!(gauge(&world), 3);
}

#[test]
fn a_connection_that_ends_with_a_full_buffer_leaves_nothing_counted() {
    let world = World::new();
    let mut receiver = world.durable("sub");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    receiver.received();
    let mut publisher = world.passing("pub");
    for packet in 1..=200 {
        publisher.publish(QoS::AtLeastOnce, packet, "x");
    }
    world.commit();
    // There is room for some of them only. Then the connection is lost.
    let mut out = bytes::BytesMut::new();
    assert!(receiver.client.begin(Budget::of_long_poll()).unwrap());
    receiver.client.woken();
    receiver.client.pump(&mut out, 10).unwrap();
    assert!(gauge(&world) > 0);
    receiver.leave();
    assert_eq!(gauge(&world), 0);
}
