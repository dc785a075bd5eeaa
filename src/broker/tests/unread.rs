//! A client that does not read: its pending output stays bounded, and no other client waits.

use std::time::Duration;

use super::world::{World, publish};
use crate::broker::Budget;
use crate::broker::client::Close;
use crate::config::Config;
use crate::protocol::{Packet, QoS, ReasonCode, Version};

const ENOUGH: usize = 1000;

#[test]
fn pingresps_that_are_not_read_are_not_encoded() {
    let world = World::new();
    let mut client = world.passing("pings");
    for _ in 0..10_000 {
        client.send(Packet::PingReq);
        assert!(client.unread(ENOUGH).unwrap() <= ENOUGH);
    }
    assert_eq!(client.received().len(), 10_000, "they come when it reads");
}

#[test]
fn acknowledgements_that_are_not_read_are_not_encoded() {
    let world = World::new();
    let mut publisher = world.passing("pub");
    // As many as may be unanswered by the receive maximum.
    for packet in 1..=500 {
        publisher.publish(QoS::AtLeastOnce, packet, "x");
        assert!(publisher.unread(100).unwrap() <= 110);
    }
    assert_eq!(publisher.received().len(), 500);
}

#[test]
fn one_poll_takes_no_more_than_its_budget_out_of_a_queue() {
    let mut config = Config::default();
    config.session.max_queued_messages = 1_000_000;
    let world = World::with(config);
    let mut receiver = world.passing("sub");
    receiver.subscribe("t", QoS::AtMostOnce);
    receiver.received();
    let mut publisher = world.passing("pub");
    for _ in 0..20_000 {
        publisher.publish(QoS::AtMostOnce, 0, "x");
    }
    receiver.unread(usize::MAX).unwrap();
    let left = world.broker.queued();
    assert!((10_000..20_000).contains(&left), "{left} are left");
    assert!(receiver.client.has_more(), "it is to be polled again");
}

/// A payload of 1 MB took a millisecond in one write, so 300 receivers delayed everybody by
/// hundreds of milliseconds.
#[test]
fn one_poll_writes_no_more_than_its_budget_of_a_large_payload() {
    const PAYLOAD: usize = 1_000_000;
    let world = World::new();
    let mut receiver = world.passing("sub");
    receiver.subscribe("t", QoS::AtMostOnce);
    receiver.received();
    let payload = "x".repeat(PAYLOAD);
    world.passing("pub").publish(QoS::AtMostOnce, 0, &payload);
    let (client, mut out) = (&mut receiver.client, bytes::BytesMut::new());
    client.woken();
    let (mut written, mut polls) = (0, 0);
    while written < PAYLOAD {
        assert!(client.begin(Budget::of_short_poll()).unwrap());
        client.pump(&mut out, ENOUGH).unwrap();
        let before = written;
        while !client.payload().is_empty() {
            let bytes = client.payload().len();
            assert!(bytes <= 64 << 10, "{bytes} in one write");
            client.payload_written(bytes);
            written += bytes;
        }
        assert!(
            written - before <= 320 << 10 && written > before,
            "{} in a poll",
            written - before
        );
        assert!(client.has_more() || written == PAYLOAD, "it is to be polled again");
        client.end().unwrap();
        polls += 1;
    }
    assert!(polls > 3);
}

#[test]
fn a_refused_publisher_that_reads_nothing_is_let_go_when_its_time_is_over() {
    let mut config = Config::default();
    config.session.max_queued_messages = 3;
    let (world, hand) = World::timed(config);
    let mut away = world.durable("away");
    away.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    away.leave();
    let mut older = world.connect_as(Version::V311, "pub", false);
    world.commit();
    older.subscribe("mine", QoS::AtLeastOnce);
    world.commit();
    older.received();
    let mut other = world.passing("other");
    let payload = "x".repeat(ENOUGH);
    for packet in 1..=3 {
        let mut message = publish(QoS::AtLeastOnce, packet, &payload);
        message.topic = "mine";
        other.send(Packet::Publish(message));
    }
    for packet in 1..=4 {
        older.publish(QoS::AtLeastOnce, packet, "x");
    }
    world.commit();
    // It is served for the grace period, as far as it reads.
    assert!(older.unread(ENOUGH).unwrap() >= ENOUGH);
    hand.advance(Duration::from_secs(9));
    older.unread(ENOUGH).unwrap();
    hand.advance(Duration::from_secs(2));
    let ended = older.unread(ENOUGH);
    assert!(matches!(ended, Err(Close::Error(ReasonCode::QuotaExceeded, _))), "{ended:?}");
}
