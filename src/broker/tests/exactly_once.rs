//! Promise 2: each row of the QoS 2 table in `ARCHITECTURE.md`.

use super::world::{World, ack, publish};
use crate::protocol::{Packet, QoS};

fn subscribed(world: &World) -> super::world::User {
    let mut user = world.durable("sub");
    user.subscribe("t", QoS::ExactlyOnce);
    world.commit();
    assert_eq!(user.received(), ["SUBACK"]);
    user
}

#[test]
fn neither_pubrec_nor_publish_leaves_before_the_commit() {
    let world = World::new();
    let mut receiver = subscribed(&world);
    let mut publisher = world.durable("pub");
    publisher.publish(QoS::ExactlyOnce, 9, "x");
    assert!(publisher.received().is_empty());
    assert!(receiver.received().is_empty());
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 9"]);
    assert_eq!(receiver.received(), ["PUBLISH 1 x"]);
}

#[test]
fn pubrel_leaves_after_received_is_committed() {
    let world = World::new();
    let mut receiver = subscribed(&world);
    let mut publisher = world.durable("pub");
    publisher.publish(QoS::ExactlyOnce, 9, "x");
    world.commit();
    assert_eq!(receiver.received(), ["PUBLISH 1 x"]);
    receiver.send(Packet::PubRec(ack(1)));
    assert!(receiver.received().is_empty());
    world.commit();
    assert_eq!(receiver.received(), ["PUBREL 1"]);
    // After a crash only PUBREL is repeated.
    let world = world.crash([receiver, publisher]);
    let mut receiver = world.connect("sub", false);
    world.commit();
    assert_eq!(receiver.received()[0], "CONNACK true");
    assert_eq!(receiver.received(), ["PUBREL 1"]);
}

#[test]
fn pubcomp_leaves_after_the_packet_id_is_removed() {
    let world = World::new();
    let mut publisher = world.durable("pub");
    publisher.publish(QoS::ExactlyOnce, 9, "x");
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 9"]);
    assert_eq!(world.rows("incoming"), 1);
    publisher.send(Packet::PubRel(ack(9)));
    assert!(publisher.received().is_empty());
    world.commit();
    assert_eq!(publisher.received(), ["PUBCOMP 9"]);
    assert_eq!(world.rows("incoming"), 0);
}

#[test]
fn mqtt_4_3_3_10_a_repeat_is_known_as_one_after_a_take_over_and_after_a_crash() {
    let world = World::new();
    let mut receiver = subscribed(&world);
    let mut publisher = world.durable("pub");
    publisher.publish(QoS::ExactlyOnce, 9, "once");

    // A take-over before the broker has seen the end of the old connection.
    let gone = std::mem::replace(&mut publisher, world.connect("pub", false));
    let mut repeat = publish(QoS::ExactlyOnce, 9, "once");
    repeat.dup = true;
    publisher.send(Packet::Publish(repeat.clone()));
    assert!(publisher.received().is_empty(), "its PUBREC waits for the commit of the first");
    world.commit();
    assert_eq!(publisher.received(), ["CONNACK true", "PUBREC 9"]);
    assert_eq!(receiver.received(), ["PUBLISH 1 once"]);

    let world = world.crash([receiver, publisher, gone]);
    let mut publisher = world.connect("pub", false);
    world.commit();
    publisher.send(Packet::Publish(repeat));
    assert_eq!(publisher.received(), ["CONNACK true", "PUBREC 9"]);
    world.commit();
    assert_eq!(world.rows("message"), 1);
}

#[test]
fn receivers_of_any_qos_see_a_durable_publishers_message_after_its_commit() {
    let world = World::new();
    let mut users = Vec::new();
    for (name, qos) in [("zero", QoS::AtMostOnce), ("one", QoS::AtLeastOnce)] {
        let mut user = world.passing(name);
        user.subscribe("t", qos);
        assert_eq!(user.received(), ["SUBACK"]);
        users.push(user);
    }
    let mut publisher = world.durable("pub");
    publisher.publish(QoS::ExactlyOnce, 9, "x");
    for user in &mut users {
        assert!(user.received().is_empty(), "a crash now would repeat it to them");
    }
    world.commit();
    assert_eq!(users[0].received(), ["PUBLISH 0 x"]);
    assert_eq!(users[1].received(), ["PUBLISH 1 x"]);
}

#[test]
fn a_durable_receiver_sees_it_after_the_commit_whoever_published() {
    let world = World::new();
    let mut receiver = subscribed(&world);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::ExactlyOnce, 9, "x");
    assert!(receiver.received().is_empty(), "it would see it under two ids after a crash");
    assert!(publisher.received().is_empty());
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 9"]);
    assert_eq!(receiver.received(), ["PUBLISH 1 x"]);
}
