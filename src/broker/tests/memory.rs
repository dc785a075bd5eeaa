//! What is charged, to which client, and which clients give way at `limits.max_memory`.

use super::world::{User, World, ack, at_once, publish, request};
use crate::broker::client::Close;
use crate::broker::{Budget, Publication, Step};
use crate::config::{ByteSize, Config};
use crate::protocol::{Connect, LastWill, Packet, Publish, QoS, ReasonCode, TopicName, Version};
use crate::router::Routes;
use crate::telemetry::DropReason;

const LARGE: usize = 10_000;

fn small() -> World {
    let mut config = Config::default();
    config.limits.max_memory = crate::config::AutoSize::Set(ByteSize::kib(1024));
    World::with(config)
}

fn subscriber(world: &World, client_id: &str, filter: &str, qos: QoS) -> User {
    let mut user = world.passing(client_id);
    user.subscribe(filter, qos);
    assert_eq!(user.received(), ["SUBACK"]);
    user
}

fn send(publisher: &mut User, topic: &str, qos: QoS, packet: u16, payload: &str) {
    publisher.send(Packet::Publish(Publish { topic, ..publish(qos, packet, payload) }));
}

fn charged(world: &World) -> u64 {
    world.broker.memory()
}

/// Publishes to a client that reads nothing until memory is short.
fn fill(world: &World, publisher: &mut User, qos: QoS) {
    let payload = "x".repeat(LARGE);
    for packet in 1..300 {
        send(publisher, "hoard", qos, packet, &payload);
        publisher.received();
    }
    assert!(charged(world) > 900 * 1024, "{}", charged(world));
    assert!(charged(world) < 1200 * 1024, "{}", charged(world));
}

#[test]
fn a_message_counts_once_however_many_receive_it() {
    let world = World::new();
    let users: Vec<_> =
        (0..100).map(|no| subscriber(&world, &format!("s{no}"), "t", QoS::AtMostOnce)).collect();
    let before = charged(&world);
    let mut publisher = world.passing("pub");
    send(&mut publisher, "t", QoS::AtMostOnce, 0, &"x".repeat(100_000));
    let grown = charged(&world) - before;
    // Each queue has an entry in addition, with capacity for more.
    assert!((100_000..200_000).contains(&grown), "{grown}");
    users.into_iter().for_each(User::leave);
    publisher.leave();
    assert_eq!(charged(&world), 0);
}

#[test]
fn who_holds_little_gets_its_qos_0_messages_when_memory_is_short() {
    let world = small();
    let hoarder = subscriber(&world, "hoarder", "hoard", QoS::AtMostOnce);
    let mut neighbour = subscriber(&world, "neighbour", "t", QoS::AtMostOnce);
    let mut publisher = world.passing("pub");
    fill(&world, &mut publisher, QoS::AtMostOnce);
    at_once(world.broker.balance_memory());
    for _ in 0..100 {
        send(&mut publisher, "t", QoS::AtMostOnce, 0, "small");
        assert_eq!(neighbour.received(), ["PUBLISH 0 small"]);
    }
    assert!(world.broker.metrics.messages.dropped.get(DropReason::MemoryLimit) > 100);
    drop(hoarder);
}

/// How many messages a publisher can publish to this topic in one poll.
fn in_one_poll(world: &World, topic: &str) -> usize {
    let mut budget = Budget::of_long_poll();
    let mut routes = Routes::new();
    world.broker.route(topic, None, &mut routes);
    assert_eq!(routes.receivers.len(), 1);
    let payload = "x".repeat(LARGE);
    let publication = Publication {
        topic,
        properties: &[],
        payload: payload.as_bytes(),
        qos: QoS::AtMostOnce,
        retain: false,
        expires_at: None,
        is_copy: false,
    };
    let mut step = Step::new(&world.broker);
    let mut count = 0;
    while !budget.is_spent() {
        let message = world.broker.message_of(&publication, &routes, None, &step);
        let mut fanout = world.broker.begin_fanout(message, false);
        world.broker.fan_out(&mut fanout, &routes, &mut step, &mut budget);
        count += 1;
    }
    count
}

#[test]
fn a_publisher_to_a_slow_reader_without_room_is_held_back() {
    let world = small();
    let _hoarder = subscriber(&world, "hoarder", "hoard", QoS::AtMostOnce);
    let mut publisher = world.passing("pub");
    fill(&world, &mut publisher, QoS::AtMostOnce);
    assert!(in_one_poll(&world, "hoard") < 300);
    let roomy = World::new();
    let _reader = subscriber(&roomy, "reader", "t", QoS::AtMostOnce);
    assert!(in_one_poll(&roomy, "t") > 3000);
}

/// Buffers of a normal size must not end a connection whose queue is long.
#[test]
fn a_slow_reader_of_qos_0_messages_loses_them_and_not_its_connection() {
    let world = small();
    let mut hoarder = subscriber(&world, "hoarder", "hoard", QoS::AtMostOnce);
    let mut publisher = world.passing("pub");
    fill(&world, &mut publisher, QoS::AtMostOnce);
    let handle = world.broker.session_of("hoarder").unwrap();
    assert!(hoarder.client.hold_buffers(512 << 10, 80 << 10).is_ok());
    assert!(!world.broker.may_hold(&handle, 0), "memory is short, and it holds most of it");
    assert!(hoarder.client.hold_buffers(512 << 10, 80 << 10).is_ok());
    assert!(hoarder.client.hold_buffers(512 << 10, 144 << 10).is_err(), "a large packet, unread");
}

#[test]
fn who_cannot_be_given_a_qos_1_message_is_disconnected_and_a_neighbour_is_not() {
    let world = small();
    let mut hoarder = subscriber(&world, "hoarder", "hoard", QoS::AtLeastOnce);
    let mut neighbour = subscriber(&world, "neighbour", "t", QoS::AtLeastOnce);
    let mut publisher = world.passing("pub");
    fill(&world, &mut publisher, QoS::AtLeastOnce);
    at_once(world.broker.balance_memory());
    send(&mut publisher, "t", QoS::AtLeastOnce, 999, "small");
    assert_eq!(neighbour.received(), ["PUBLISH 1 small"]);
    let ended = hoarder.try_received();
    assert!(matches!(ended, Err(Close::Error(ReasonCode::QuotaExceeded, _))), "{ended:?}");
}

/// Without a store, a session that outlives its connection is the only kind that a later
/// connection resumes.
#[test]
fn what_one_connection_lost_does_not_end_the_next_one() {
    let world = World::new();
    let user = world.durable("a");
    let handle = world.broker.session_of("a").unwrap();
    handle.note_lost_message();
    user.vanish();
    let mut again = world.connect("a", false);
    world.commit();
    assert_eq!(again.received(), ["CONNACK true"]);
}

#[test]
fn the_body_of_a_qos_2_message_is_let_go_when_it_is_committed() {
    let world = World::new();
    let mut publisher = world.durable("pub");
    for packet in 1..=50 {
        publisher.publish(QoS::ExactlyOnce, packet, &"x".repeat(LARGE));
        world.commit();
        assert_eq!(publisher.received(), [format!("PUBREC {packet}")]);
    }
    assert!(charged(&world) < 50_000, "{}: ids without bodies", charged(&world));
    // Repeats are still detected.
    publisher.publish(QoS::ExactlyOnce, 7, "again");
    assert_eq!(publisher.received(), ["PUBREC 7"]);
    (1..=50).for_each(|packet| publisher.send(Packet::PubRel(ack(packet))));
    assert_eq!(publisher.received().len(), 0, "not before the ids are released on disk");
    world.commit();
    assert_eq!(publisher.received().len(), 50);
}

#[test]
fn a_large_will_is_refused_while_memory_is_short_and_a_small_one_is_not() {
    let world = small();
    let _hoarder = subscriber(&world, "hoarder", "hoard", QoS::AtMostOnce);
    let mut publisher = world.passing("pub");
    fill(&world, &mut publisher, QoS::AtMostOnce);
    let will = |bytes: usize| LastWill {
        topic: TopicName::new("t").unwrap(),
        payload: vec![0; bytes],
        qos: QoS::AtMostOnce,
        retain: false,
        delay: 0,
        expiry: None,
        properties: Vec::new(),
    };
    let connect = |client_id: &str, bytes| {
        let will = Some(will(bytes));
        world.try_connect(&Connect { will, ..request(Version::V5, client_id, true) })
    };
    assert_eq!(connect("large", 500_000).map(drop), Err(ReasonCode::ServerBusy));
    assert!(connect("small", 100).is_ok());
}

#[test]
fn nothing_stays_charged_when_everybody_has_left() {
    let world = World::new();
    let mut publisher = world.passing("pub");
    for round in 0..3 {
        let mut users = Vec::new();
        for number in 0..20 {
            let client_id = format!("client/{round}/{number}");
            let mut user =
                if number % 2 == 0 { world.passing(&client_id) } else { world.durable(&client_id) };
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number % 3];
            for filter in ["t", "a/+/b", "$share/g/t", "deep/".repeat(20).as_str()] {
                user.subscribe(filter, qos);
            }
            user.publish(QoS::ExactlyOnce, 9, "never released");
            users.push(user);
        }
        for packet in 1..100 {
            let qos =
                [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(packet) % 3];
            publisher.publish(qos, packet, &"x".repeat(usize::from(packet) * 10));
            if qos == QoS::ExactlyOnce {
                publisher.send(Packet::PubRel(ack(packet)));
            }
            world.commit();
            publisher.received();
        }
        assert!(charged(&world) > 0);
        for (number, user) in users.into_iter().enumerate() {
            user.vanish();
            // The queues of those that reconnect end with their sessions.
            if number % 2 == 1 {
                let again = world.connect(&format!("client/{round}/{number}"), true);
                world.commit();
                again.leave();
            }
        }
        while world.broker.has_cleanup() {
            at_once(world.broker.background_once());
            world.commit();
        }
    }
    publisher.leave();
    world.commit();
    at_once(world.broker.background_once());
    assert_eq!(charged(&world), 0);
}
