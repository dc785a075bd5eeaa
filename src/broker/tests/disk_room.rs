//! Memory and timers are bounded by the current state, however many clients have come and
//! gone.

use std::time::Duration;

use super::world::{User, World, ack, publish, request, subscribe};
use crate::broker::Budget;
use crate::broker::client::Handled;
use crate::broker::spare::KEPT;
use crate::config::{AutoSize, ByteSize, Config, OnFull};
use crate::protocol::{Connect, LastWill, Packet, Publish, QoS, TopicName, Version};

/// A durable subscriber of `t`.
fn subscriber(world: &World, client_id: &str) -> User {
    let mut user = world.durable(client_id);
    user.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    assert_eq!(user.received(), ["SUBACK"]);
    user
}

/// A client with a session expiry of an hour and a will delay of half an hour.
fn with_delayed_will(client_id: &str) -> Connect {
    let will = LastWill {
        topic: TopicName::new("will").unwrap(),
        qos: QoS::AtMostOnce,
        retain: false,
        payload: b"gone".to_vec(),
        delay: 1800,
        expiry: None,
        properties: Vec::new(),
    };
    let session_expiry = Some(3600);
    Connect { will: Some(will), session_expiry, ..request(Version::V5, client_id, true) }
}

#[test]
fn a_hundred_thousand_reconnects_leave_two_timers_for_each_session() {
    const CLIENTS: usize = 64;
    let world = World::new();
    let connects: Vec<_> =
        (0..CLIENTS).map(|client| with_delayed_will(&format!("client-{client}"))).collect();
    let mut first = None;
    for round in 0..100_000 / CLIENTS {
        for connect in &connects {
            let user = world.connect_by(connect);
            first.get_or_insert_with(|| world.session("client-0"));
            user.vanish();
        }
        if round % 16 == 0 {
            world.commit();
            super::world::at_once(world.broker.background_once());
        }
    }
    assert_eq!(world.broker.timers.len(), 2 * CLIENTS);
    assert_eq!(first.unwrap().strong_count(), 0, "a session that has ended");
    // Connected sessions have no timers.
    let users: Vec<_> = connects.iter().map(|connect| world.connect_by(connect)).collect();
    assert_eq!(world.broker.timers.len(), 0);
    drop(users);
}

#[test]
fn publishers_that_wait_for_room_and_leave_are_forgotten() {
    let mut config = Config::default();
    config.mqtt.on_full = OnFull::Stall;
    config.session.max_queued_messages = 1;
    let world = World::with(config);
    subscriber(&world, "full").vanish();
    let full = world.session("full").upgrade().unwrap();
    let publishers: Vec<_> = (0..50)
        .map(|n| {
            let mut publisher = world.connect_as(Version::V311, &format!("pub-{n}"), true);
            publisher.publish(QoS::AtLeastOnce, 1, "x");
            publisher.publish(QoS::AtLeastOnce, 2, "x");
            publisher
        })
        .collect();
    assert!(publishers.iter().all(|publisher| publisher.client.is_blocked_by_back_pressure()));
    assert_eq!(full.waiting(), 50);
    publishers.into_iter().for_each(User::vanish);
    assert_eq!(full.waiting(), 0);
}

#[test]
fn an_idle_publisher_keeps_no_sessions_that_have_ended() {
    for count in [3, 40] {
        let world = World::new();
        let mut publisher = world.passing("pub");
        let receivers: Vec<_> = (0..count)
            .map(|n| {
                let mut receiver = world.passing(&format!("receiver-{n}"));
                receiver.subscribe("t", QoS::AtMostOnce);
                receiver
            })
            .collect();
        publisher.publish(QoS::AtMostOnce, 0, "x");
        let sessions: Vec<_> =
            (0..count).map(|n| world.session(&format!("receiver-{n}"))).collect();
        receivers.into_iter().for_each(User::leave);
        if count == 3 {
            // The receivers of a small fan-out are kept until the publisher's next step.
            publisher.send(Packet::PingReq);
        }
        assert!(sessions.iter().all(|session| session.strong_count() == 0));
    }
}

#[test]
fn a_step_with_thousands_of_packets_leaves_small_buffers() {
    let world = World::new();
    subscriber(&world, "away").vanish();
    let mut publisher = world.connect_as(Version::V311, "pub", true);
    assert_eq!(publisher.received(), ["CONNACK false"]);
    assert!(publisher.client.begin(Budget::of_long_poll()).unwrap());
    for packet in 1..=2000 {
        publisher
            .client
            .handle(Packet::Publish(publish(QoS::AtLeastOnce, packet, "x")), 0)
            .unwrap();
    }
    assert!(publisher.client.capacity() > 4000);
    publisher.client.end().unwrap();
    world.commit();
    assert_eq!(publisher.received().len(), 2000);
    assert!(publisher.client.capacity() <= 8 * KEPT, "{}", publisher.client.capacity());
}

/// Offline clients, each with `count` messages on disk.
fn with_queues(max_memory: u64, clients: usize, count: u16, payload: &str) -> World {
    let mut config = Config::default();
    config.limits.max_memory = AutoSize::Set(ByteSize::mib(max_memory));
    let world = World::with(config);
    for client in 0..clients {
        subscriber(&world, &format!("client-{client}")).vanish();
    }
    let mut publisher = world.passing("pub");
    for packet in 1..=count {
        publisher.publish(QoS::AtLeastOnce, packet, payload);
        world.commit();
        assert_eq!(publisher.received(), [format!("PUBACK {packet}")]);
    }
    super::world::at_once(world.broker.background_once());
    assert!(world.broker.memory() < 1 << 20);
    world
}

#[test]
fn clients_that_come_back_at_once_share_the_memory_for_their_queues() {
    const CLIENTS: usize = 40;
    let payload = "x".repeat(40 << 10);
    let world = with_queues(8, CLIENTS, 120, &payload);
    let mut users: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let connect = Connect {
                receive_maximum: Some(1),
                ..request(Version::V5, &format!("client-{client}"), false)
            };
            let mut user = world.connect_by(&connect);
            world.commit();
            assert_eq!(user.received(), ["CONNACK true"]);
            user
        })
        .collect();
    // A page of 64 KiB and a message for each, beyond the memory that they share.
    let most = (8 << 20) + CLIENTS as u64 * (112 << 10);
    let bytes = world.broker.memory();
    assert!(bytes < most, "{bytes}");
    for _ in 0..1000 {
        for user in &mut users {
            for packet in user.received() {
                let id = packet.split(' ').nth(1).unwrap().parse().unwrap();
                user.send(Packet::PubAck(ack(id)));
            }
        }
        world.commit();
    }
    assert_eq!(world.broker.queued(), 0, "all have got all");
}

#[test]
fn a_client_that_is_slow_has_its_queue_read_back_a_page_at_a_time() {
    let payload = "x".repeat(100 << 10);
    let world = with_queues(512, 1, 200, &payload);
    let connect = Connect { receive_maximum: Some(1), ..request(Version::V5, "client-0", false) };
    let mut user = world.connect_by(&connect);
    world.commit();
    for _ in 0..20 {
        user.received();
    }
    let bytes = world.broker.memory();
    assert!(bytes < 7 << 20, "{bytes}");
}

#[test]
fn retained_messages_expire_in_turns_with_others() {
    let (world, hand) = World::timed(Config::default());
    let mut publisher = world.passing("pub");
    let topics: Vec<String> = (0..2000).map(|n| format!("{}{n}", "deep/".repeat(100))).collect();
    for topic in &topics {
        publisher.send(Packet::Publish(Publish {
            topic,
            retain: true,
            expiry: Some(1),
            ..publish(QoS::AtMostOnce, 0, "x")
        }));
    }
    hand.advance(Duration::from_secs(2));
    let mut expiry = std::pin::pin!(world.broker.expire_retained());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let left = || world.broker.metrics.messages.retained.get();
    let mut turns = 0;
    while expiry.as_mut().poll(&mut context).is_pending() {
        turns += 1;
        assert!(left() >= 2000 - 50 * turns, "a turn is short: {}", left());
    }
    assert_eq!(left(), 0);
}

#[test]
fn a_search_for_many_retained_messages_takes_several_polls_and_finds_all() {
    let world = World::new();
    let mut publisher = world.passing("pub");
    for n in 0..20_000 {
        let topic = format!("a/{n}");
        publisher.send(Packet::Publish(Publish {
            topic: &topic,
            retain: true,
            ..publish(QoS::AtMostOnce, 0, "x")
        }));
    }
    let mut subscriber = world.passing("sub");
    assert!(subscriber.client.begin(Budget::of_long_poll()).unwrap());
    // None of the topics matches.
    let none = subscribe("+/+/none", QoS::AtMostOnce);
    subscriber.client.handle(Packet::Subscribe(Box::new(none)), 0).unwrap();
    assert!(subscriber.client.has_more());
    let mut polls = 1;
    while subscriber.client.has_more() {
        subscriber.client.end().unwrap();
        assert!(subscriber.client.begin(Budget::of_long_poll()).unwrap());
        subscriber.client.go_on();
        polls += 1;
    }
    subscriber.client.end().unwrap();
    // 20,000 nodes at 2 units each, and one poll that finds no more.
    assert_eq!(polls, 4);
    assert_eq!(subscriber.received(), ["SUBACK"]);
    subscriber.subscribe("#", QoS::AtMostOnce);
    let received: usize = (0..4).map(|_| subscriber.received().len()).sum();
    assert_eq!(received, 20_001);
}

#[test]
fn deep_retained_topics_are_charged_by_their_levels() {
    let world = World::new();
    let mut publisher = world.passing("pub");
    assert!(publisher.client.begin(Budget::of_long_poll()).unwrap());
    let mut packets = 0;
    while publisher.client.may_go_on() {
        let topic = format!("{}{packets}", "/".repeat(100));
        let packet = Publish { topic: &topic, retain: true, ..publish(QoS::AtMostOnce, 0, "x") };
        publisher.client.handle(Packet::Publish(packet), 0).unwrap();
        packets += 1;
    }
    assert!(packets < 50, "{packets}");
    publisher.client.end().unwrap();
}

#[test]
fn deep_subscriptions_of_an_ended_session_are_removed_a_few_at_a_time() {
    let world = World::new();
    let mut user = world.passing("deep");
    for n in 0..300 {
        user.subscribe(&format!("{}{n}", "a/".repeat(100)), QoS::AtMostOnce);
    }
    user.leave();
    let mut left = 300;
    while left > 0 {
        let before =
            std::mem::replace(&mut left, world.broker.metrics.sessions.subscriptions.get());
        assert!((1..=11).contains(&(before - left)), "{before}, {left}");
        super::world::at_once(world.broker.background_once());
    }
}

/// Filters of `a` and `+` that match a topic of `a` levels up to their last level.
fn nearly_match(world: &World, filters: usize) -> User {
    let mut subscriber = world.passing("many");
    let mut random = 1u64;
    for _ in 0..filters {
        let mut filter = String::new();
        for _ in 0..100 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            filter.push_str(if random >> 63 == 0 { "a/" } else { "+/" });
        }
        subscriber.subscribe(&format!("{filter}b"), QoS::AtMostOnce);
    }
    subscriber.received();
    subscriber
}

#[test]
fn a_publish_that_many_filters_nearly_match_takes_several_polls() {
    let world = World::new();
    let _many = nearly_match(&world, 500);
    let mut receiver = world.passing("receiver");
    receiver.subscribe("#", QoS::AtMostOnce);
    receiver.received();
    let mut publisher = world.passing("pub");
    let topic = format!("{}a", "a/".repeat(100));
    for changes in [false, true] {
        receiver.subscribe("other", QoS::AtMostOnce);
        assert!(publisher.client.begin(Budget::of_long_poll()).unwrap());
        let packet =
            || Packet::Publish(Publish { topic: &topic, ..publish(QoS::AtMostOnce, 0, "x") });
        let mut polls = 1;
        while publisher.client.handle(packet(), 0).unwrap() == Handled::Held {
            assert!(publisher.client.has_more());
            publisher.client.end().unwrap();
            if changes {
                receiver.subscribe("other", QoS::AtMostOnce);
            }
            assert!(publisher.client.begin(Budget::of_long_poll()).unwrap());
            polls += 1;
        }
        // The delivery may need another poll.
        while publisher.client.has_more() {
            publisher.client.end().unwrap();
            assert!(publisher.client.begin(Budget::of_long_poll()).unwrap());
            publisher.client.go_on();
        }
        publisher.client.end().unwrap();
        // If the router changes during each search, the fourth search runs without a break.
        let expected = if changes { 4..=4 } else { 5..=7 };
        assert!(expected.contains(&polls), "{polls}");
        let packets = receiver.received();
        assert_eq!(packets.iter().filter(|packet| *packet == "PUBLISH 0 x").count(), 1);
    }
}
