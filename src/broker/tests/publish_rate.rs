//! Publish rates hold a client's packets back, drop none, and cost nobody else.

use std::task::{Context, Waker};
use std::time::Duration;

use super::world::{User, World, publish, subscribe};
use crate::broker::client::{BlockReason, Dialled, Handled};
use crate::broker::{Budget, Hand, ReloadableSettings};
use crate::config::{ByteSize, Config, OnFull};
use crate::message::WakeCause;
use crate::protocol::{ConnAck, Packet, QoS, Version};

fn limited(messages: u32, bytes: u64) -> Config {
    let mut config = Config::default();
    config.limits.publish_rate = messages;
    config.limits.publish_bytes_rate = ByteSize(bytes);
    config
}

/// Hands over a QoS 0 PUBLISH in a frame of `len` bytes, as the network does. True if it was taken,
/// false if it is held.
fn offer(user: &mut User, payload: &str, len: usize) -> bool {
    user.client.woken();
    assert!(user.client.begin(Budget::of_long_poll()).unwrap());
    let packet = Packet::Publish(publish(QoS::AtMostOnce, 0, payload));
    let handled = user.client.handle(packet, len).unwrap();
    user.client.end().unwrap();
    handled == Handled::Taken
}

fn throttled(world: &World) -> i64 {
    world.broker.metrics.connections.throttled.get()
}

#[test]
fn a_client_publishes_a_burst_and_then_at_its_rate_and_loses_nothing() {
    let (world, hand) = World::timed(limited(4, 0));
    let mut receiver = world.passing("receiver");
    receiver.subscribe("t", QoS::AtMostOnce);
    assert_eq!(receiver.received(), ["SUBACK"]);
    let mut publisher = world.passing("publisher");
    for n in 0..4 {
        assert!(offer(&mut publisher, &n.to_string(), 10));
    }
    for n in 4..10 {
        let payload = n.to_string();
        assert!(!offer(&mut publisher, &payload, 10));
        assert_eq!(publisher.client.block(), Some(BlockReason::PublishRate));
        assert_eq!(throttled(&world), 1);
        // It is polled again at the moment at which the packet passes, and not before.
        let now = world.broker.clock.now().instant;
        let at = publisher.client.resumes_at().unwrap();
        assert_eq!(at - now, Duration::from_millis(250));
        hand.advance(Duration::from_millis(249));
        assert!(!offer(&mut publisher, &payload, 10));
        assert_eq!(publisher.client.resumes_at(), Some(at));
        hand.advance(Duration::from_millis(1));
        assert!(offer(&mut publisher, &payload, 10));
        assert_eq!((publisher.client.resumes_at(), throttled(&world)), (None, 0));
    }
    let all: Vec<_> = (0..10).map(|n| format!("PUBLISH 0 {n}")).collect();
    assert_eq!(receiver.received(), all);
}

/// A publisher of so many messages a second, which waits for room where others are refused, and a
/// receiver that is away and has room for one.
fn before_a_full_queue(rate: u32) -> (World, Hand, User) {
    let mut config = limited(rate, 0);
    config.mqtt.on_full = OnFull::Stall;
    config.session.max_queued_messages = 1;
    let (world, hand) = World::timed(config);
    let mut away = world.durable("away");
    away.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    away.vanish();
    let publisher = world.connect_as(Version::V311, "publisher", true);
    (world, hand, publisher)
}

#[test]
fn a_message_that_is_held_for_another_reason_costs_nothing_until_it_is_taken() {
    let (_world, _hand, mut publisher) = before_a_full_queue(3);
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    for _ in 0..10 {
        publisher.publish(QoS::AtLeastOnce, 2, "x");
        assert_eq!(publisher.client.block(), Some(BlockReason::Queue));
    }
}

#[test]
fn a_client_is_counted_as_throttled_only_while_the_rate_is_what_it_waits_for() {
    let (world, hand, mut publisher) = before_a_full_queue(1);
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    publisher.publish(QoS::AtLeastOnce, 2, "x");
    assert_eq!(publisher.client.block(), Some(BlockReason::PublishRate));
    assert_eq!(throttled(&world), 1);
    hand.advance(Duration::from_secs(1));
    publisher.publish(QoS::AtLeastOnce, 2, "x");
    assert_eq!(publisher.client.block(), Some(BlockReason::Queue));
    assert_eq!((throttled(&world), publisher.client.resumes_at()), (0, None));
}

#[test]
fn a_message_larger_than_a_second_of_the_rate_passes_and_those_behind_it_wait_for_it() {
    let (world, hand) = World::timed(limited(0, 1000));
    let mut publisher = world.passing("publisher");
    assert!(offer(&mut publisher, "x", 1));
    assert!(!offer(&mut publisher, "x", 5000), "the bucket is not full");
    hand.advance(Duration::from_millis(1));
    assert!(offer(&mut publisher, "x", 5000));
    assert!(!offer(&mut publisher, "x", 1));
    hand.advance(Duration::from_secs(4));
    assert!(!offer(&mut publisher, "x", 1));
    hand.advance(Duration::from_millis(1));
    assert!(offer(&mut publisher, "x", 1));
}

#[test]
fn a_client_that_is_held_gets_its_messages() {
    let (world, _hand) = World::timed(limited(1, 0));
    let mut both = world.passing("both");
    both.subscribe("t", QoS::AtMostOnce);
    assert_eq!(both.received(), ["SUBACK"]);
    assert!(offer(&mut both, "own", 10) && !offer(&mut both, "held", 10));
    let mut other = world.passing("other");
    assert!(offer(&mut other, "theirs", 10), "the rate is each client's own");
    assert_eq!(both.received(), ["PUBLISH 0 own", "PUBLISH 0 theirs"]);
    assert_eq!(both.client.block(), Some(BlockReason::PublishRate));
}

#[test]
fn a_client_that_has_closed_its_connection_is_read_to_the_end() {
    let (world, _hand) = World::timed(limited(1, 0));
    let mut publisher = world.passing("publisher");
    assert!(offer(&mut publisher, "x", 10) && !offer(&mut publisher, "y", 10));
    publisher.client.close_output();
    assert_eq!(publisher.client.resumes_at(), None);
    assert!(offer(&mut publisher, "y", 10) && offer(&mut publisher, "z", 10));
    assert_eq!(throttled(&world), 0);
}

#[test]
fn a_client_that_leaves_while_it_is_held_is_not_counted_any_more() {
    let (world, _hand) = World::timed(limited(1, 0));
    let mut publisher = world.passing("publisher");
    assert!(offer(&mut publisher, "x", 10) && !offer(&mut publisher, "y", 10));
    assert_eq!(throttled(&world), 1);
    publisher.vanish();
    assert_eq!(throttled(&world), 0);
}

#[test]
fn a_rate_that_is_lifted_wakes_who_was_held_for_it() {
    let (world, _hand) = World::timed(limited(1, 0));
    let mut publisher = world.passing("publisher");
    assert!(offer(&mut publisher, "x", 10) && !offer(&mut publisher, "y", 10));
    let wake = publisher.client.wake().clone();
    let poll = || wake.poll(&Context::from_waker(Waker::noop()));
    // What rang it before.
    poll();
    assert_eq!(poll(), None);
    world.broker.reload(ReloadableSettings::from(&Config::default()));
    assert_eq!(poll(), Some(WakeCause::FanOut));
    assert!(offer(&mut publisher, "y", 10));
    assert_eq!(throttled(&world), 0);
    // And the other way.
    world.broker.reload(ReloadableSettings::from(&limited(1, 0)));
    assert!(offer(&mut publisher, "z", 10) && !offer(&mut publisher, "z", 10));
}

#[test]
fn other_packets_and_bridges_are_not_limited() {
    let (world, _hand) = World::timed(limited(1, 0));
    let mut client = world.passing("client");
    assert!(offer(&mut client, "x", 10));
    for _ in 0..10 {
        client.send(Packet::PingReq);
        client.send(Packet::Subscribe(Box::new(subscribe("t", QoS::AtMostOnce))));
    }
    assert_eq!(client.client.block(), None);
    let mut bridge = world.passing("bridge");
    bridge.client.dialled(&ConnAck::default(), Dialled::default(), 0);
    for _ in 0..10 {
        assert!(offer(&mut bridge, "x", 10));
    }
}
