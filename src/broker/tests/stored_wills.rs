//! `session.store_wills`: the will of a session that ends with its connection is published
//! after a crash, and otherwise only at the end of the connection.

use super::world::{User, World, at_once, request};
use crate::config::{ByteSize, Config};
use crate::protocol::{Connect, LastWill, Packet, Publish, QoS, TopicName, Version};

fn world() -> World {
    World::with(config(true))
}

fn config(stores: bool) -> Config {
    let mut config = Config::default();
    config.session.store_wills = stores;
    config
}

/// Connects a client whose session ends with its connection. Its will has this payload.
fn device(world: &World, client_id: &str, payload: &str) -> User {
    let will = LastWill {
        topic: TopicName::new("t").unwrap(),
        payload: payload.into(),
        qos: QoS::AtLeastOnce,
        retain: true,
        delay: 30,
        expiry: None,
        properties: Vec::new(),
    };
    let mut user = world.connect_with_will(Version::V5, client_id, true, Some(will));
    world.commit();
    assert_eq!(user.received(), ["CONNACK false"]);
    user
}

fn online(world: &World, user: &mut User) {
    let publish = super::world::publish(QoS::AtLeastOnce, 1, "online");
    user.send(Packet::Publish(Publish { retain: true, ..publish }));
    world.commit();
    assert_eq!(user.received(), ["PUBACK 1"]);
}

/// What the server does after a crash, before it listens.
fn restart(world: World, users: impl IntoIterator<Item = User>) -> World {
    let world = world.crash(users);
    at_once(world.broker.run_due());
    world.commit();
    world
}

/// The retained messages of `t`.
fn retained(world: &World) -> Vec<String> {
    let mut subscriber = world.passing("observer");
    subscriber.subscribe("t", QoS::AtMostOnce);
    world.commit();
    let found = subscriber.received().split_off(1);
    subscriber.leave();
    found
}

/// An offline session with a queue for `t`.
fn away(world: &World) {
    let mut receiver = world.durable("away");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    receiver.leave();
    world.commit();
}

#[test]
fn a_crash_publishes_the_wills_of_connections_that_were_open() {
    let world = world();
    away(&world);
    let mut user = device(&world, "device", "offline");
    online(&world, &mut user);
    let world = restart(world, [user]);
    assert_eq!(retained(&world), ["PUBLISH 0 offline"], "whatever its delay");
    assert_eq!(world.rows("session"), 1, "of the receiver alone");
    let mut receiver = world.connect("away", false);
    world.commit();
    let mut packets = receiver.received();
    // The queue is read back from disk.
    packets.append(&mut receiver.received());
    assert_eq!(packets[1..], ["PUBLISH 1 online", "PUBLISH 2 offline"]);
    // It is published only once.
    let world = restart(world, [receiver]);
    assert_eq!(world.rows("message"), 2, "neither acknowledged nor published again");
}

#[test]
fn connack_waits_until_the_will_is_stored_and_not_without_the_key() {
    let world = world();
    let will = |payload: &str| LastWill {
        topic: TopicName::new("t").unwrap(),
        payload: payload.into(),
        qos: QoS::AtMostOnce,
        retain: false,
        delay: 0,
        expiry: None,
        properties: Vec::new(),
    };
    let mut user = world.connect_with_will(Version::V311, "device", true, Some(will("gone")));
    assert!(user.received().is_empty(), "not promised yet");
    assert_eq!(world.passing("without a will").received(), [""; 0]);
    world.commit();
    assert_eq!(user.received(), ["CONNACK false"]);
    let other = World::with(config(false));
    let mut user = other.connect_with_will(Version::V311, "device", true, Some(will("gone")));
    assert_eq!(user.received(), ["CONNACK false"]);
    other.commit();
    assert_eq!(other.rows("session"), 0);
}

#[test]
fn a_client_that_says_goodbye_leaves_no_will() {
    let world = world();
    let mut user = device(&world, "device", "offline");
    online(&world, &mut user);
    user.leave();
    world.commit();
    assert_eq!(world.rows("session"), 0);
    let world = restart(world, []);
    assert_eq!(retained(&world), ["PUBLISH 0 online"]);
}

#[test]
fn a_will_that_was_published_when_the_connection_broke_is_not_published_again() {
    let world = world();
    away(&world);
    let user = device(&world, "device", "offline");
    user.vanish();
    world.commit();
    assert_eq!((world.rows("session"), world.rows("message")), (1, 1));
    let world = restart(world, []);
    assert_eq!(world.rows("message"), 1);
}

#[test]
fn a_connection_that_takes_over_has_its_own_will() {
    let world = world();
    away(&world);
    let old = device(&world, "device", "old");
    let new = device(&world, "device", "new");
    assert_eq!((world.rows("session"), world.rows("message")), (2, 1), "the old one is due");
    let world = restart(world, [old, new]);
    assert_eq!(retained(&world), ["PUBLISH 0 new"]);
    assert_eq!(world.rows("message"), 2);
}

#[test]
fn a_durable_session_that_becomes_a_passing_one_leaves_its_will_alone() {
    let world = world();
    let mut user = world.durable("device");
    user.subscribe("u", QoS::AtLeastOnce);
    world.commit();
    user.leave();
    let will = LastWill {
        topic: TopicName::new("t").unwrap(),
        payload: b"offline".to_vec(),
        qos: QoS::AtLeastOnce,
        retain: true,
        delay: 0,
        expiry: None,
        properties: Vec::new(),
    };
    let passing =
        Connect { clean_start: false, will: Some(will), ..request(Version::V5, "device", true) };
    let mut user = world.connect_by(&passing);
    world.commit();
    assert_eq!(user.received(), ["CONNACK true"]);
    assert_eq!((world.rows("session"), world.rows("subscription")), (1, 0));
    let world = restart(world, [user]);
    assert_eq!(retained(&world), ["PUBLISH 0 offline"]);
    assert_eq!(world.rows("session"), 0);
}

#[test]
fn a_full_disk_takes_small_wills_until_half_of_the_room_for_sessions_is_used() {
    let mut config = config(true);
    config.persistence.max_size = ByteSize::mib(1);
    let world = World::with(config);
    away(&world);
    let payload = "x".repeat(50_000);
    let mut publisher = world.passing("filler");
    for packet in 1..1000 {
        publisher.publish(QoS::AtLeastOnce, packet, &payload);
        world.commit();
        if publisher.received() == [format!("PUBACK {packet} refused")] {
            break;
        }
    }
    let accepted: Vec<_> =
        (0..10).map(|no| device(&world, &format!("device{no}"), "offline")).collect();
    assert_eq!(world.rows("session"), 11);
    let mut known = world.connect("away", false);
    world.commit();
    assert!(known.received().len() > 1, "its queue comes");
    accepted.into_iter().for_each(User::leave);
    world.commit();
    assert_eq!(world.rows("session"), 1);
}
