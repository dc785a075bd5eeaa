//! Shared subscriptions when a member's session ends (v5, 4.8.2), and publications that cannot
//! be refused when a queue is full.

use super::world::{User, World, ack, at_once, publish, request};
use crate::broker::{Publication, Step};
use crate::config::Config;
use crate::protocol::{Connect, LastWill, Packet, QoS, TopicName, Version};
use crate::router::Routes;
use crate::telemetry::DropReason;

const GROUP: &str = "$share/g/t";

/// A durable member of the group.
fn member(world: &World, client_id: &str, qos: QoS) -> User {
    let mut user = world.durable(client_id);
    user.subscribe(GROUP, qos);
    world.commit();
    assert_eq!(user.received(), ["SUBACK"]);
    user
}

/// Two offline members, with two messages each.
fn with_two_away(qos: QoS) -> World {
    let world = World::new();
    for client_id in ["one", "two"] {
        member(&world, client_id, qos).vanish();
    }
    let mut publisher = world.passing("pub");
    for (packet, payload) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        publisher.publish(qos, packet, payload);
    }
    world.commit();
    assert_eq!(publisher.received().len(), 4);
    world
}

/// The payloads that a client receives after it connects, sorted.
fn gets(world: &World, client_id: &str) -> Vec<String> {
    let mut user = world.connect(client_id, false);
    world.commit();
    let mut payloads = Vec::new();
    for _ in 0..4 {
        let received = user.received();
        let publishes = received.iter().filter_map(|packet| packet.strip_prefix("PUBLISH "));
        payloads.extend(publishes.map(|packet| packet.split(' ').nth(1).unwrap().to_owned()));
        world.commit();
    }
    user.vanish();
    payloads.sort();
    payloads
}

#[test]
fn mqtt_4_8_2_qos_1_messages_go_to_another_member_also_if_they_were_sent() {
    let world = World::new();
    let mut one = member(&world, "one", QoS::AtLeastOnce);
    let mut two = member(&world, "two", QoS::AtLeastOnce);
    let mut publisher = world.passing("pub");
    for (packet, payload) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        publisher.publish(QoS::AtLeastOnce, packet, payload);
    }
    world.commit();
    assert_eq!((one.received().len(), two.received().len()), (2, 2));
    let _new = world.connect("one", true);
    assert!(two.received().is_empty(), "not before a crash would keep it for this one");
    world.commit();
    assert_eq!(two.received().len(), 2);
    assert_eq!(world.rows("delivery"), 4);
    (1..=4).for_each(|packet| two.send(Packet::PubAck(ack(packet))));
    world.commit();
    assert_eq!((world.rows("delivery"), world.rows("message")), (0, 0));
    assert_eq!(world.broker.queued(), 0);
    assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::SessionEnded), 0);
}

/// If the row still existed after a crash, the delivery would be sent again.
#[test]
fn a_member_without_a_row_gets_what_another_left_when_the_row_is_gone() {
    for qos in [QoS::AtMostOnce, QoS::ExactlyOnce] {
        let world = World::new();
        member(&world, "one", QoS::ExactlyOnce).vanish();
        let mut publisher = world.passing("pub");
        publisher.publish(QoS::ExactlyOnce, 1, "a");
        world.commit();
        assert_eq!(world.rows("delivery"), 1);
        let mut other = world.passing("other");
        other.subscribe(GROUP, qos);
        assert_eq!(other.received(), ["SUBACK"]);
        let _new = world.connect("one", true);
        (0..4).for_each(|_| at_once(world.broker.background_once()));
        assert!(other.received().is_empty(), "{qos:?}: the row is still there");
        world.commit();
        at_once(world.broker.background_once());
        assert_eq!((world.rows("delivery"), world.rows("message")), (0, 0));
        assert_eq!(other.received().len(), 1);
        assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::SessionEnded), 0);
    }
}

#[test]
fn what_one_member_may_have_got_at_qos_1_goes_to_another_at_qos_1() {
    let world = World::new();
    let mut one = member(&world, "one", QoS::AtLeastOnce);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::ExactlyOnce, 1, "sent");
    world.commit();
    assert_eq!(one.received(), ["PUBLISH 1 sent"]);
    let mut two = member(&world, "two", QoS::ExactlyOnce);
    let _new = world.connect("one", true);
    world.commit();
    assert_eq!(two.received(), ["PUBLISH 1 sent"]);
    two.try_send(Packet::PubAck(ack(1))).unwrap();
    world.commit();
    assert_eq!(world.rows("delivery"), 0);
}

#[test]
fn mqtt_4_8_2_5_a_qos_2_message_that_was_sent_goes_to_nobody_else() {
    let world = with_two_away(QoS::ExactlyOnce);
    let connect = Connect { receive_maximum: Some(1), ..request(Version::V5, "one", false) };
    let mut one = world.connect_by(&connect);
    world.commit();
    assert_eq!(one.received(), ["CONNACK true", "PUBLISH 1 a"]);
    let _new = world.connect("one", true);
    assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::SessionEnded), 1);
    world.commit();
    assert_eq!(gets(&world, "two"), ["b", "c", "d"]);
    assert_eq!(world.rows("delivery"), 3);
}

#[test]
fn mqtt_4_8_2_what_waits_on_disk_is_read_back_and_goes_to_another_member() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let world = with_two_away(qos);
        super::world::at_once(world.broker.background_once());
        let new = world.connect("one", true);
        world.commit();
        super::world::at_once(world.broker.background_once());
        world.commit();
        assert_eq!(gets(&world, "two"), ["a", "b", "c", "d"]);
        let world = world.crash([new]);
        assert_eq!(gets(&world, "two"), ["a", "b", "c", "d"], "its rows say so too");
    }
}

#[test]
fn what_was_left_over_at_a_crash_is_handed_over_after_the_start() {
    for (qos, expected) in
        [(QoS::AtLeastOnce, &["a", "b", "c", "d"][..]), (QoS::ExactlyOnce, &["b", "d"])]
    {
        let world = with_two_away(qos);
        super::world::at_once(world.broker.background_once());
        let new = world.connect("one", true);
        world.commit();
        let world = world.crash([new]);
        super::world::at_once(world.broker.background_once());
        world.commit();
        // At QoS 2 it may have been sent before the crash.
        assert_eq!(gets(&world, "two"), expected);
        assert_eq!(usize::try_from(world.rows("delivery")).unwrap(), expected.len());
    }
}

#[test]
fn a_message_that_is_not_committed_yet_is_written_for_the_other_member() {
    let world = World::new();
    member(&world, "one", QoS::AtLeastOnce).vanish();
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "a");
    member(&world, "two", QoS::AtLeastOnce).vanish();
    publisher.publish(QoS::AtLeastOnce, 2, "b");
    publisher.publish(QoS::AtLeastOnce, 3, "c");
    let new = world.connect("one", true);
    world.commit();
    assert_eq!(publisher.received().len(), 3);
    let world = world.crash([new, publisher]);
    assert_eq!(gets(&world, "two"), ["a", "b", "c"]);
}

#[test]
fn what_a_passing_member_leaves_is_written_for_a_durable_one() {
    let world = World::new();
    let mut passing = world.passing("passing");
    passing.subscribe(GROUP, QoS::ExactlyOnce);
    assert_eq!(passing.received(), ["SUBACK"]);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "a");
    assert_eq!(passing.received(), ["PUBLISH 1 a"]);
    member(&world, "two", QoS::AtLeastOnce).vanish();
    passing.vanish();
    world.commit();
    assert_eq!(world.rows("delivery"), 1);
    let world = world.crash([publisher]);
    assert_eq!(gets(&world, "two"), ["a"]);
}

#[test]
fn a_durable_member_s_messages_go_to_a_passing_one_and_leave_no_rows() {
    let world = with_two_away(QoS::AtLeastOnce);
    let _two = world.connect("two", true);
    world.commit();
    let mut passing = world.passing("passing");
    passing.subscribe(GROUP, QoS::AtLeastOnce);
    let _one = world.connect("one", true);
    world.commit();
    let received = passing.received();
    assert_eq!(received.len(), 5, "SUBACK and all four: {received:?}");
    assert_eq!((world.rows("delivery"), world.rows("message")), (0, 0));
}

#[test]
fn a_member_whose_session_ends_after_it_was_chosen_is_passed_over() {
    let world = World::new();
    let _one = member(&world, "one", QoS::AtLeastOnce);
    let mut routes = Routes::new();
    world.broker.route("t", None, &mut routes);
    let mut two = member(&world, "two", QoS::AtLeastOnce);
    let _new = world.connect("one", true);
    let packet = publish(QoS::AtLeastOnce, 1, "x");
    let publication = Publication {
        topic: packet.topic,
        properties: &[],
        payload: packet.payload,
        qos: packet.qos,
        retain: false,
        expires_at: None,
        is_copy: false,
    };
    let mut step = Step::new(&world.broker);
    let message = world.broker.prepare(&publication, &routes, None, &step).unwrap();
    world.broker.deliver_at_once(message, &routes, &mut step);
    step.submit(&world.broker).unwrap();
    assert_eq!(two.received(), ["PUBLISH 1 x"]);
    world.commit();
    assert_eq!(world.rows("delivery"), 1);
}

#[test]
fn members_that_have_ended_and_are_not_cleared_away_yet_get_nothing() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let world = World::new();
        member(&world, "durable", qos).vanish();
        for number in 0..6 {
            let mut passing = world.passing(&format!("passing/{number}"));
            passing.subscribe(GROUP, qos);
            // More than one cleanup step removes.
            (0..600).for_each(|filter| passing.subscribe(&format!("x/{filter}"), qos));
            passing.received();
            passing.leave();
        }
        let mut publisher = world.passing("pub");
        (1..=20).for_each(|packet| publisher.publish(qos, packet, "x"));
        world.commit();
        assert_eq!(publisher.received().len(), 20);
        assert_eq!(world.rows("delivery"), 20);
        assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::SessionEnded), 0);
    }
}

#[test]
fn what_a_passing_member_leaves_uncommitted_waits_for_its_commit() {
    let world = World::new();
    let _durable = member(&world, "durable", QoS::ExactlyOnce);
    let mut passing = world.passing("passing");
    passing.subscribe(GROUP, QoS::ExactlyOnce);
    passing.received();
    let mut publisher = world.durable("pub");
    (1..=4).for_each(|packet| publisher.publish(QoS::ExactlyOnce, packet, "x"));
    // Nothing is committed, so nothing was sent.
    passing.leave();
    super::world::at_once(world.broker.background_once());
    world.commit();
    super::world::at_once(world.broker.background_once());
    world.commit();
    assert_eq!(publisher.received().len(), 4);
    assert_eq!(world.rows("delivery"), 4);
    assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::SessionEnded), 0);
}

/// A full queue once kept the will from all other receivers.
#[test]
fn a_will_reaches_every_receiver_whose_queue_is_not_full() {
    let mut config = Config::default();
    config.session.max_queued_messages = 1;
    let world = World::with(config);
    let mut full = world.durable("full");
    full.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    full.vanish();
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "fills it");
    let mut receiver = world.durable("receiver");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    receiver.received();
    publisher.publish(QoS::AtLeastOnce, 2, "refused");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1", "PUBACK 2 refused"]);
    let will = LastWill {
        topic: TopicName::new("t").unwrap(),
        payload: b"gone".to_vec(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay: 0,
        expiry: None,
        properties: Vec::new(),
    };
    world.connect_with_will(Version::V5, "dying", true, Some(will)).vanish();
    assert_eq!(receiver.received(), ["PUBLISH 1 gone"]);
    assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::QueueFull), 1);
    world.commit();
    assert_eq!(world.rows("delivery"), 2);
}
