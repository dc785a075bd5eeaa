//! Promise 1: durable before acknowledged.

use super::world::{World, ack, publish};
use crate::broker::Budget;
use crate::broker::client::Close;
use crate::protocol::{Packet, QoS, ReasonCode};

#[test]
fn connack_and_suback_of_a_durable_session_wait_for_the_commit() {
    let world = World::new();
    let mut user = world.connect("sub", false);
    assert!(user.received().is_empty());
    world.commit();
    assert_eq!(user.received(), ["CONNACK false"]);
    user.subscribe("t", QoS::AtLeastOnce);
    assert!(user.received().is_empty());
    world.commit();
    assert_eq!(user.received(), ["SUBACK"]);
}

#[test]
fn mqtt_3_12_4_1_a_ping_that_comes_before_connack_is_answered_behind_it() {
    let world = World::new();
    let mut user = world.connect("sub", false);
    user.send(Packet::PingReq);
    assert!(user.received().is_empty());
    world.commit();
    assert_eq!(user.received(), ["CONNACK false", "PingResp"]);
}

#[test]
fn puback_waits_for_the_commit_if_a_durable_receiver_is_away() {
    let world = World::new();
    let mut receiver = world.durable("sub");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    receiver.leave();
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 7, "x");
    assert!(publisher.received().is_empty());
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 7"]);
    assert_eq!(world.rows("delivery"), 1);
}

#[test]
fn puback_is_sent_at_once_if_no_receiver_is_durable() {
    let world = World::new();
    let mut receiver = world.passing("sub");
    receiver.subscribe("t", QoS::AtLeastOnce);
    assert_eq!(receiver.received(), ["SUBACK"]);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 7, "x");
    assert_eq!(publisher.received(), ["PUBACK 7"]);
    assert_eq!(receiver.received(), ["PUBLISH 1 x"]);
}

#[test]
fn mqtt_4_6_0_2_pubacks_keep_the_order_of_the_publishes_whatever_is_settled_first() {
    let world = World::new();
    let mut away = world.durable("away");
    away.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    away.leave();
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "waits for the disk");
    let mut elsewhere = super::world::publish(QoS::AtLeastOnce, 2, "goes nowhere");
    elsewhere.topic = "nobody";
    publisher.send(Packet::Publish(elsewhere));
    assert!(publisher.received().is_empty(), "the second must not overtake the first");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1", "PUBACK 2"]);
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash_and_in_order() {
    let world = World::new();
    let mut receiver = world.durable("sub");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    receiver.leave();
    let mut publisher = world.passing("pub");
    for packet in 1..=5 {
        publisher.publish(QoS::AtLeastOnce, packet, &packet.to_string());
    }
    world.commit();
    assert_eq!(publisher.received().len(), 5);
    publisher.publish(QoS::AtLeastOnce, 6, "never acknowledged");
    let world = world.crash([publisher]);
    let mut receiver = world.connect("sub", false);
    world.commit();
    assert_eq!(receiver.received()[0], "CONNACK true");
    let payloads: Vec<String> =
        receiver.received().iter().map(|packet| packet.split(' ').nth(2).unwrap().into()).collect();
    assert_eq!(payloads, ["1", "2", "3", "4", "5"]);
}

#[test]
fn an_acknowledged_delivery_leaves_no_row() {
    let world = World::new();
    let mut receiver = world.durable("sub");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    world.commit();
    assert_eq!(receiver.received(), ["SUBACK", "PUBLISH 1 x"]);
    assert_eq!((world.rows("message"), world.rows("delivery")), (1, 1));
    receiver.send(Packet::PubAck(ack(1)));
    world.commit();
    assert_eq!((world.rows("message"), world.rows("delivery")), (0, 0));
}

#[test]
fn mqtt_3_1_4_3_the_older_connection_loses_the_session() {
    let world = World::new();
    let mut older = world.durable("same");
    older.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    assert_eq!(older.received(), ["SUBACK"]);
    let mut newer = world.connect("same", false);
    world.commit();
    assert_eq!(newer.received(), ["CONNACK true"]);
    let lost = older.try_received().unwrap_err();
    assert!(matches!(lost, Close::Error(ReasonCode::SessionTakenOver, _)));
}

#[test]
fn a_clean_session_is_not_opened_before_the_end_of_its_predecessor_is_on_disk() {
    let world = World::new();
    world.durable("a").leave();
    world.commit();
    let first = world.connect("a", true);
    let mut second = world.connect("a", true);
    assert!(second.received().is_empty(), "a crash here would bring the durable session back");
    world.commit();
    assert_eq!(second.received(), ["CONNACK false"]);
    drop(first);
    second.leave();
    let mut third = world.connect("a", true);
    assert_eq!(third.received(), ["CONNACK false"], "nothing waits, nothing is waited for");
}

#[test]
fn mqtt_4_6_0_6_what_an_old_connection_left_unread_does_not_overtake_the_new_one() {
    let world = World::new();
    let mut receiver = world.durable("receiver");
    receiver.subscribe("t", QoS::AtMostOnce);
    world.commit();
    receiver.received();
    let mut old = world.passing("publisher");
    let mut new = world.passing("publisher");
    new.publish(QoS::AtMostOnce, 0, "new");
    assert_eq!(receiver.received(), ["PUBLISH 0 new"]);
    assert!(old.try_send(Packet::Publish(publish(QoS::AtMostOnce, 0, "old"))).is_err());
    assert!(receiver.received().is_empty());
}

/// A connection with one large fan-out after another must release its session's permit: a step
/// ends with the publish that it continued.
#[test]
fn a_step_that_goes_on_with_a_packet_of_an_earlier_poll_ends_with_it() {
    const RECEIVERS: usize = 6_000;
    let mut config = crate::config::Config::default();
    config.session.max_sessions = 10_000;
    let world = World::with(config);
    let receivers: Vec<_> = (0..RECEIVERS)
        .map(|number| {
            let mut receiver = world.passing(&format!("receiver-{number}"));
            receiver.subscribe("t", QoS::AtMostOnce);
            receiver
        })
        .collect();
    let mut publisher = world.passing("pub");
    let client = &mut publisher.client;
    assert!(client.begin(Budget::of_long_poll()).unwrap());
    client.handle(Packet::Publish(publish(QoS::AtMostOnce, 0, "x")), 0).unwrap();
    assert!(!client.may_go_on(), "it has more receivers than one poll serves");
    client.end().unwrap();
    assert!(client.begin(Budget::of_long_poll()).unwrap());
    client.go_on();
    assert!(!client.may_go_on() && !client.may_take(), "the next packet is for the next step");
    assert!(client.has_more(), "which comes by itself");
    client.end().unwrap();
    // Another task can act on the session in between.
    let session = world.broker.session_of("pub").unwrap();
    assert!(session.try_begin().is_some());
    assert!(client.begin(Budget::of_long_poll()).unwrap() && client.may_go_on());
    client.end().unwrap();
    drop(receivers);
}

/// A timer holds a session's permit while the connection fails to get it. The timer must wake
/// the connection, since nothing else would.
#[test]
fn whoever_acts_on_a_session_beside_its_connection_rings_it_afterwards() {
    let world = World::new();
    let mut user = world.passing("a");
    let handle = world.broker.session_of("a").unwrap();
    let permit = handle.try_begin_beside().unwrap();
    assert!(!user.client.begin(Budget::of_short_poll()).unwrap());
    let context = std::task::Context::from_waker(std::task::Waker::noop());
    user.client.wake().poll(&context);
    drop(permit);
    assert!(user.client.wake().poll(&context).is_some(), "it is its turn now");
    assert!(user.client.begin(Budget::of_short_poll()).unwrap());
}
