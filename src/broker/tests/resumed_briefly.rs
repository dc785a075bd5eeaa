//! A durable session that is resumed with a Session Expiry Interval of 0. It ends with this
//! connection, but its queue is on disk.

use super::world::{User, World, ack, request};
use crate::config::Config;
use crate::protocol::{Connect, Packet, QoS, Version};

/// An offline session whose messages are on disk only.
fn with_backlog(filter: &str, clients: &[&str], payloads: &[&str]) -> World {
    let mut config = Config::default();
    config.session.memory_window = 2;
    let world = World::with(config);
    for client_id in clients {
        let mut user = world.durable(client_id);
        user.subscribe(filter, QoS::AtLeastOnce);
        world.commit();
        assert_eq!(user.received(), ["SUBACK"]);
        user.vanish();
        world.commit();
    }
    let mut publisher = world.passing("pub");
    for (packet, payload) in (1..).zip(payloads) {
        publisher.publish(QoS::AtLeastOnce, packet, payload);
    }
    world.commit();
    assert_eq!(publisher.received().len(), payloads.len());
    world.broker.evict_offline();
    world
}

fn resume_briefly(world: &World, client_id: &str) -> User {
    let connect = Connect { session_expiry: Some(0), ..request(Version::V5, client_id, false) };
    let user = world.connect_by(&connect);
    world.commit();
    user
}

/// What a client receives and acknowledges, until there is no more.
fn drain(world: &World, user: &mut User) -> Vec<String> {
    let mut payloads = Vec::new();
    loop {
        world.commit();
        let received = user.received();
        if received.is_empty() {
            return payloads;
        }
        for packet in received.iter().filter_map(|packet| packet.strip_prefix("PUBLISH ")) {
            let (id, payload) = packet.split_once(' ').unwrap();
            payloads.push(payload.to_owned());
            user.send(Packet::PubAck(ack(id.parse().unwrap())));
        }
    }
}

#[test]
fn mqtt_4_8_2_what_is_left_of_it_goes_to_another_member() {
    let all = ["a", "b", "c", "d", "e", "f"];
    let world = with_backlog("$share/g/t", &["one", "two"], &all);
    resume_briefly(&world, "one").leave();
    while world.broker.has_cleanup() {
        world.commit();
        super::world::at_once(world.broker.background_once());
    }
    world.commit();
    let mut two = world.connect("two", false);
    let mut payloads = drain(&world, &mut two);
    payloads.sort();
    assert_eq!(payloads, all);
}

#[test]
fn mqtt_4_6_0_6_new_messages_come_behind_those_that_wait_on_disk() {
    let old = ["1", "2", "3", "4", "5", "6", "7"];
    let world = with_backlog("t", &["sub"], &old);
    let mut user = resume_briefly(&world, "sub");
    let mut publisher = world.passing("other");
    publisher.publish(QoS::AtLeastOnce, 1, "8");
    publisher.publish(QoS::AtLeastOnce, 2, "9");
    assert_eq!(drain(&world, &mut user), ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}
