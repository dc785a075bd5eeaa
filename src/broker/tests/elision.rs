//! Write elision: a message that all durable receivers have acknowledged in time is never
//! written, and every other message is.

use super::world::{World, ack};
use crate::protocol::{Packet, QoS};

fn receivers(world: &World, names: &[&str]) -> Vec<super::world::User> {
    names
        .iter()
        .map(|name| {
            let mut user = world.durable(name);
            user.subscribe("t", QoS::AtLeastOnce);
            world.commit();
            assert_eq!(user.received(), ["SUBACK"]);
            user
        })
        .collect()
}

#[test]
fn a_message_that_its_only_receiver_acknowledges_in_time_is_never_written() {
    let world = World::new();
    let mut users = receivers(&world, &["sub"]);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    assert_eq!(users[0].received(), ["PUBLISH 1 x"]);
    assert!(publisher.received().is_empty(), "the receiver has it, but has not said so");
    users[0].send(Packet::PubAck(ack(1)));
    assert_eq!(publisher.received(), ["PUBACK 1"], "without any commit");
    world.commit();
    assert_eq!(world.rows("message"), 0);
}

#[test]
fn one_of_two_receivers_is_not_enough() {
    let world = World::new();
    let mut users = receivers(&world, &["quick", "slow"]);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    assert_eq!(users[0].received(), ["PUBLISH 1 x"]);
    users[0].send(Packet::PubAck(ack(1)));
    assert!(publisher.received().is_empty(), "the slow one has not acknowledged");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1"]);
    assert_eq!(world.rows("delivery"), 1, "only the slow one's");
    users.push(publisher);
    let world = world.crash(users);
    let mut slow = world.connect("slow", false);
    world.commit();
    assert_eq!(slow.received()[0], "CONNACK true");
    assert_eq!(slow.received(), ["PUBLISH 1 x again"]);
    let mut quick = world.connect("quick", false);
    world.commit();
    assert_eq!(quick.received(), ["CONNACK true"]);
}

#[test]
fn the_last_of_two_receivers_releases_the_publisher_and_the_row() {
    let world = World::new();
    let mut users = receivers(&world, &["a", "b"]);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    for user in &mut users {
        assert_eq!(user.received(), ["PUBLISH 1 x"]);
    }
    world.commit();
    assert_eq!((world.rows("message"), world.rows("delivery")), (1, 2));
    users[1].send(Packet::PubAck(ack(1)));
    world.commit();
    assert_eq!((world.rows("message"), world.rows("delivery")), (1, 1));
    users[0].send(Packet::PubAck(ack(1)));
    world.commit();
    assert_eq!((world.rows("message"), world.rows("delivery")), (0, 0));
}
