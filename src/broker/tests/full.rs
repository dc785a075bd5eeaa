//! A full disk and full queues, as seen by publishers and receivers.

use std::time::Duration;

use super::world::{User, World, ack, at_once, publish};
use crate::broker::client::{BlockReason, Close};
use crate::config::{AutoSize, ByteSize, Config, OnFull};
use crate::protocol::{Packet, Publish, QoS, ReasonCode, Version};
use crate::telemetry::DropReason;

const LARGE: usize = 50_000;

fn small(on_full: OnFull) -> World {
    World::with(small_config(on_full))
}

fn small_config(on_full: OnFull) -> Config {
    let mut config = Config::default();
    config.persistence.max_size = ByteSize::mib(1);
    config.mqtt.on_full = on_full;
    config
}

fn away(world: &World, client_id: &str) {
    let mut receiver = world.durable(client_id);
    receiver.subscribe("t", QoS::ExactlyOnce);
    world.commit();
    receiver.leave();
}

/// Publishes large messages until one is refused. Returns how many were accepted.
fn fill(world: &World) -> u16 {
    let mut publisher = world.passing("filler");
    let payload = "x".repeat(LARGE);
    for packet in 1.. {
        publisher.publish(QoS::AtLeastOnce, packet, &payload);
        world.commit();
        if publisher.received() == [format!("PUBACK {packet} refused")] {
            publisher.leave();
            return packet - 1;
        }
    }
    0
}

fn dropped(world: &World) -> u64 {
    world
        .broker
        .metrics
        .messages
        .dropped
        .iter()
        .find(|(r, _)| *r == DropReason::DiskFull)
        .unwrap()
        .1
}

fn older(world: &World, client_id: &str, clean: bool) -> User {
    let mut user = world.connect_as(Version::V311, client_id, clean);
    world.commit();
    user.received();
    user
}

/// Receives and acknowledges the queue of `client_id`. Returns the payloads.
fn drain(world: &World, client_id: &str) -> Vec<String> {
    let mut user = world.connect(client_id, false);
    let mut payloads = Vec::new();
    loop {
        world.commit();
        let packets = user.received();
        for packet in &packets {
            let field = |at: usize| packet.split(' ').nth(at).unwrap();
            if packet.starts_with("PUBLISH") {
                payloads.push(field(2).chars().take(9).collect());
                user.send(Packet::PubAck(ack(field(1).parse().unwrap())));
            }
        }
        if packets.is_empty() {
            user.leave();
            world.commit();
            return payloads;
        }
    }
}

#[test]
fn a_refused_message_is_not_acknowledged_whoever_looks_first() {
    let world = small(OnFull::Disconnect);
    away(&world, "away");
    let mut receiver = world.durable("online");
    receiver.subscribe("mine", QoS::AtLeastOnce);
    world.commit();
    receiver.received();
    fill(&world);
    let mut publisher = world.passing("pub");
    let payload = "x".repeat(LARGE);
    let mut message = publish(QoS::AtLeastOnce, 7, &payload);
    message.topic = "mine";
    publisher.send(Packet::Publish(message));
    world.commit();
    assert!(receiver.received().is_empty(), "gives it up");
    assert_eq!(publisher.received(), ["PUBACK 7 refused"]);
}

#[test]
fn a_refused_message_for_several_leaves_no_reference_and_each_drop_is_counted() {
    let world = small(OnFull::Disconnect);
    for client_id in ["a", "b"] {
        away(&world, client_id);
    }
    let kept = usize::from(fill(&world));
    world.broker.evict_offline();
    assert_eq!(world.store.references().len(), kept);
    assert_eq!(dropped(&world), 2);
    drain(&world, "a");
    assert_eq!(world.store.references().len(), 0, "one receiver is left for each");
    drain(&world, "b");
    assert_eq!((world.rows("message"), world.rows("delivery")), (0, 0));
}

#[test]
fn an_older_publisher_is_disconnected_on_a_full_disk() {
    let world = small(OnFull::Disconnect);
    away(&world, "away");
    fill(&world);
    let mut publisher = older(&world, "old", true);
    publisher.publish(QoS::AtLeastOnce, 1, &"x".repeat(LARGE));
    world.commit();
    let Err(Close::Error(reason, _)) = publisher.try_received() else { panic!() };
    assert_eq!(reason, ReasonCode::QuotaExceeded);
}

#[test]
fn a_stalled_publisher_is_acknowledged_in_order_when_there_is_room() {
    let world = small(OnFull::Stall);
    away(&world, "away");
    let kept = fill(&world);
    let mut publisher = older(&world, "old", true);
    let large = "y".repeat(LARGE);
    publisher.publish(QoS::AtLeastOnce, 1, &large);
    publisher.publish(QoS::ExactlyOnce, 2, "small");
    world.commit();
    assert!(publisher.received().is_empty() && publisher.client.is_blocked_by_back_pressure());
    publisher.send(Packet::PingReq);
    assert_eq!(publisher.received(), ["PingResp"]);
    // QoS 0 continues. QoS 1 and 2 messages are accepted up to `PARKED_BYTES`.
    publisher.publish(QoS::AtMostOnce, 0, "light");
    publisher.publish(QoS::AtLeastOnce, 3, &large);
    assert!(publisher.client.block().is_none());
    publisher.publish(QoS::AtLeastOnce, 4, "not taken");
    assert!(publisher.client.block().is_some());
    world.commit();
    let payloads = drain(&world, "away");
    assert_eq!(payloads.len(), usize::from(kept) + 1, "QoS 2 is not acknowledged by PUBACK");
    assert_eq!(publisher.received(), ["PUBACK 1", "PUBREC 2", "PUBACK 3"]);
    publisher.publish(QoS::AtLeastOnce, 4, "not taken");
    assert!(publisher.client.block().is_none());
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 4"]);
    assert!(!publisher.client.is_blocked_by_back_pressure() && !world.broker.is_disk_full());
}

/// Its PUBREC may free the memory and the disk space that it waits for.
#[test]
fn what_a_publisher_that_waits_for_room_receives_is_taken_also_while_memory_is_short() {
    let mut config = small_config(OnFull::Stall);
    config.limits.max_memory = crate::config::AutoSize::Set(ByteSize::mib(1));
    let world = World::with(config);
    let mut both = older(&world, "both", false);
    both.subscribe("t", QoS::ExactlyOnce);
    world.commit();
    assert_eq!(both.received(), ["SUBACK"]);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::ExactlyOnce, 1, &"x".repeat(LARGE));
    world.commit();
    publisher.received();
    assert!(both.received()[0].starts_with("PUBLISH 1 "));
    fill(&world);
    let mut hoarder = world.passing("hoarder");
    hoarder.subscribe("t", QoS::AtMostOnce);
    hoarder.received();
    both.publish(QoS::AtLeastOnce, 1, &"y".repeat(LARGE));
    world.commit();
    assert!(both.client.is_blocked_by_back_pressure());
    for _ in 0..40 {
        publisher.publish(QoS::AtMostOnce, 0, &"z".repeat(LARGE));
    }
    at_once(world.broker.balance_memory());
    let handle = world.broker.session_of("both").unwrap();
    assert!(!world.broker.may_hold(&handle, 0), "memory is short, and it holds much");
    both.send(Packet::PubRec(ack(1)));
    assert_eq!(both.client.block(), None);
    world.commit();
    assert!(both.received().contains(&"PUBREL 1".to_owned()));
}

#[test]
fn a_stalled_publisher_that_comes_back_begins_anew() {
    let world = small(OnFull::Stall);
    away(&world, "away");
    older(&world, "old", false).leave();
    let kept = fill(&world);
    let large = "y".repeat(LARGE);
    for _ in 0..3 {
        let mut publisher = older(&world, "old", false);
        publisher.publish(QoS::ExactlyOnce, 2, &large);
        world.commit();
        assert!(publisher.received().is_empty());
        publisher.leave();
    }
    let mut publisher = older(&world, "old", false);
    publisher.publish(QoS::ExactlyOnce, 2, &large);
    world.commit();
    let mut receiver = world.connect("away", false);
    world.commit();
    receiver.received();
    for packet in 1..=kept {
        receiver.send(Packet::PubAck(ack(packet)));
    }
    world.commit();
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 2"]);
    assert_eq!(receiver.received().len(), 1, "once, although it was sent four times");
}

#[test]
fn a_publisher_to_a_full_queue_waits_for_room_there() {
    let mut config = Config::default();
    config.session.max_queued_messages = 2;
    config.mqtt.on_full = OnFull::Stall;
    let world = World::with(config);
    away(&world, "away");
    let mut publisher = older(&world, "old", false);
    for packet in 1..=3 {
        publisher.publish(QoS::AtLeastOnce, packet, &packet.to_string());
    }
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1", "PUBACK 2"]);
    assert!(publisher.client.block().is_some(), "the third is not taken");
    let context = std::task::Context::from_waker(std::task::Waker::noop());
    publisher.client.wake().poll(&context);
    assert_eq!(drain(&world, "away"), ["1", "2"]);
    assert!(publisher.client.wake().poll(&context).is_some(), "rung when there is room");
    publisher.publish(QoS::AtLeastOnce, 3, "3");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 3"]);
    assert_eq!(drain(&world, "away"), ["3"]);
}

#[test]
fn a_client_does_not_wait_for_its_own_queue() {
    let mut config = Config::default();
    config.session.max_queued_messages = 1;
    config.session.inflight_window = 1;
    config.mqtt.on_full = OnFull::Stall;
    let world = World::with(config);
    let mut both = older(&world, "both", false);
    both.subscribe("t", QoS::AtLeastOnce);
    both.publish(QoS::AtLeastOnce, 1, "in the queue");
    let refused = both.try_send(Packet::Publish(publish(QoS::AtLeastOnce, 2, "no room")));
    assert_eq!(refused, Ok(()), "it is served on, so that it can take what fills its queue");
    assert!(both.client.block().is_none(), "what it acknowledges is read");
    world.commit();
    assert_eq!(both.received(), ["PUBACK 1", "SUBACK", "PUBLISH 1 in the queue"]);
    both.publish(QoS::AtLeastOnce, 3, "behind the one that was refused");
    world.commit();
    assert!(both.received().is_empty(), "neither taken nor acknowledged, so that order is kept");
    both.send(Packet::PubAck(ack(1)));
    let parted = both.try_received();
    assert!(matches!(parted, Err(Close::Error(ReasonCode::QuotaExceeded, _))), "{parted:?}");
}

/// The packets that free memory and disk space are behind a publish that must be held.
#[test]
fn a_stalled_client_above_its_share_of_memory_is_read_on_for_what_it_acknowledges() {
    let mut config = small_config(OnFull::Stall);
    config.limits.max_memory = AutoSize::Set(ByteSize::mib(1));
    let world = World::with(config);
    away(&world, "away");
    let mut both = older(&world, "both", false);
    both.subscribe("mine", QoS::AtLeastOnce);
    world.commit();
    let (mut filler, large) = (world.passing("more"), "x".repeat(LARGE));
    for packet in 1..=4 {
        let message = publish(QoS::AtLeastOnce, packet, &large);
        filler.send(Packet::Publish(Publish { topic: "mine", ..message }));
        world.commit();
    }
    assert_eq!(both.received().len(), 1 + 4, "SUBACK, and more than its share");
    fill(&world);
    let mut hoarder = world.passing("hoarder");
    hoarder.subscribe("hoard", QoS::AtMostOnce);
    for _ in 0..30 {
        let message = publish(QoS::AtMostOnce, 0, &large);
        filler.send(Packet::Publish(Publish { topic: "hoard", ..message }));
    }
    both.publish(QoS::AtLeastOnce, 1, &large);
    world.commit();
    assert!(both.received().is_empty() && both.client.is_blocked_by_back_pressure());
    both.publish(QoS::AtLeastOnce, 2, "not taken");
    assert_eq!(both.client.block(), Some(BlockReason::DiskFull));
    assert!(both.received().is_empty(), "it is to be disconnected when it has been served");
    both.publish(QoS::AtLeastOnce, 2, "not taken");
    assert_eq!(both.client.block(), None);
    for packet in 1..=4 {
        both.send(Packet::PubAck(ack(packet)));
    }
    assert_eq!(both.client.block(), None);
}

/// The retained message of `t`.
fn retained(world: &World, client_id: &str) -> Vec<String> {
    let mut subscriber = world.passing(client_id);
    subscriber.subscribe("t", QoS::AtMostOnce);
    world.commit();
    subscriber.received().split_off(1)
}

#[test]
fn a_retained_message_that_expires_before_the_disk_refuses_it_leaves_the_one_below_it() {
    let (world, hand) = World::timed(small_config(OnFull::Disconnect));
    away(&world, "away");
    let mut publisher = world.passing("pub");
    let kept = Publish { retain: true, ..publish(QoS::AtLeastOnce, 1, "kept") };
    publisher.send(Packet::Publish(kept));
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1"]);
    fill(&world);
    let large = "x".repeat(LARGE);
    let refused = Publish { retain: true, expiry: Some(1), ..publish(QoS::AtLeastOnce, 2, &large) };
    publisher.send(Packet::Publish(refused));
    hand.advance(Duration::from_secs(2));
    at_once(world.broker.background_once());
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 2 refused"]);
    at_once(world.broker.background_once());
    world.commit();
    assert_eq!(retained(&world, "sub"), ["PUBLISH 0 kept"]);
    let world = world.crash([publisher]);
    assert_eq!(retained(&world, "sub"), ["PUBLISH 0 kept"], "in the file as in memory");
}
