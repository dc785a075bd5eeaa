//! What the other end of a bridge refuses, and for which message it closes its connections.

use std::sync::Arc;

use super::bridges::{bridge, line, published, refusal, resumed, terms, with_one_in_flight};
use super::world::{World, ack, at_once, publish};
use crate::broker::bridge::{BridgeTerms, OnRefused, Window};
use crate::broker::client::Close;
use crate::message::DeliveryId;
use crate::protocol::{Ack, Packet, Publish, QoS, ReasonCode};

#[test]
fn a_refused_message_becomes_a_dead_letter_and_the_next_one_is_sent() {
    let world = World::new();
    let terms = Arc::new(terms());
    let mut bridge = bridge(&world, &terms, &resumed());
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "refused");
    publisher.publish(QoS::AtLeastOnce, 2, "taken");
    assert_eq!(bridge.received(), ["PUBLISH 1 refused", "PUBLISH 2 taken"]);
    bridge.send(refusal(1, ReasonCode::NotAuthorized));
    bridge.send(Packet::PubAck(ack(2)));
    world.commit();
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1", "PUBACK 2"]);
    let rows = ["message", "delivery", "dead_letter"].map(|table| world.rows(table));
    assert_eq!(rows, [0, 0, 1]);
    assert_eq!(*terms.counts.dead_letters.lock(), [(0x87, 1)].into());
}

#[test]
fn a_bridge_that_stops_at_a_refusal_keeps_the_message() {
    let world = World::new();
    let terms = Arc::new(BridgeTerms { on_refused: OnRefused::Stop, ..terms() });
    let mut bridge = bridge(&world, &terms, &resumed());
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    world.commit();
    assert_eq!(bridge.received(), ["PUBLISH 1 x"]);
    assert!(bridge.try_send(refusal(1, ReasonCode::NotAuthorized)).is_err());
    assert_eq!(terms.refusals.lock().stopped(), Some(ReasonCode::NotAuthorized));
    bridge.vanish();
    world.commit();
    assert_eq!(["delivery", "dead_letter"].map(|table| world.rows(table)), [1, 0]);
}

#[test]
fn a_message_without_room_there_is_sent_again_before_it_is_given_up() {
    let world = World::new();
    let terms = Arc::new(terms());
    let mut publisher = world.passing("pub");
    at_once(world.broker.open_bridge(&terms, vec![line("#")])).unwrap();
    published(&world, &mut publisher, 1, "x");
    for attempt in 1..=10 {
        let mut bridge = bridge(&world, &terms, &resumed());
        assert_eq!(bridge.received().len(), 1, "attempt {attempt}");
        let ended = bridge.try_send(refusal(1, ReasonCode::QuotaExceeded));
        assert_eq!(ended.is_err(), attempt < 10, "attempt {attempt}");
        bridge.vanish();
        world.commit();
    }
    world.commit();
    assert_eq!(["delivery", "dead_letter"].map(|table| world.rows(table)), [0, 1]);
}

#[test]
fn a_message_after_which_the_other_end_closes_again_and_again_is_given_up() {
    let world = World::new();
    let terms = Arc::new(terms());
    let mut publisher = world.passing("pub");
    at_once(world.broker.open_bridge(&terms, vec![line("#")])).unwrap();
    published(&world, &mut publisher, 1, "poison");
    published(&world, &mut publisher, 2, "good");
    let closed = Close::Lost("the client closed without DISCONNECT");
    let bridge_of = |expected: &[&str]| {
        let mut bridge = bridge(&world, &terms, &resumed());
        let received = bridge.received();
        assert_eq!(received.len(), expected.len(), "{received:?}");
        assert!(
            received.iter().zip(expected).all(|(line, word)| line.contains(word)),
            "{received:?}"
        );
        bridge
    };
    at_once(bridge_of(&["poison", "good"]).client.close(&closed));
    for _ in 0..5 {
        assert_eq!(terms.refusals.lock().window(), Window::One);
        at_once(bridge_of(&["poison"]).client.close(&closed));
    }
    let mut last = bridge_of(&["good"]);
    last.send(Packet::PubAck(ack(2)));
    world.commit();
    world.commit();
    assert_eq!(terms.refusals.lock().window(), Window::Full);
    // Over the same connection, which may last for weeks.
    for packet_id in 3..=4 {
        published(&world, &mut publisher, packet_id, "later");
    }
    assert_eq!(last.received().len(), 2, "more than one message at a time");
    // What was given up was not forwarded.
    assert_eq!(terms.counts.forwarded.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(["delivery", "dead_letter"].map(|table| world.rows(table)), [2, 1]);
}

#[test]
fn an_acknowledgement_ends_that_one_message_at_a_time_is_sent() {
    let world = World::new();
    let terms = Arc::new(terms());
    let mut publisher = world.passing("pub");
    at_once(world.broker.open_bridge(&terms, vec![line("#")])).unwrap();
    for packet_id in 1..=3 {
        published(&world, &mut publisher, packet_id, "x");
    }
    let mut first = bridge(&world, &terms, &resumed());
    assert_eq!(first.received().len(), 3);
    at_once(first.client.close(&Close::Lost("the client closed without DISCONNECT")));
    let mut second = bridge(&world, &terms, &resumed());
    assert_eq!(second.received().len(), 1);
    second.send(Packet::PubAck(ack(1)));
    assert_eq!(second.received().len(), 2);
}

/// Anybody may publish what the other end closes for, at QoS 0 as well.
#[test]
fn a_connection_that_is_closed_for_a_message_of_qos_0_condemns_no_other() {
    let world = World::new();
    let terms = Arc::new(terms());
    at_once(world.broker.open_bridge(&terms, vec![line("#")])).unwrap();
    let mut publisher = world.passing("pub");
    published(&world, &mut publisher, 1, "innocent");
    let poison =
        || Packet::Publish(Publish { packet_id: None, ..publish(QoS::AtMostOnce, 1, "poison") });
    let closed = Close::Lost("the client closed without DISCONNECT");
    let mut narrow = 0;
    for _ in 0..10 {
        let mut bridge = bridge(&world, &terms, &resumed());
        let is_narrow = terms.refusals.lock().window() == Window::One;
        let mut received = bridge.received();
        publisher.send(poison());
        received.extend(bridge.received());
        assert!(received.iter().any(|line| line.contains("innocent")), "{received:?}");
        let has_poison = received.iter().any(|line| line.contains("poison"));
        assert_eq!(has_poison, !is_narrow, "{received:?}");
        if is_narrow {
            // It would be acknowledged now.
            narrow += 1;
            bridge.vanish();
        } else {
            at_once(bridge.client.close(&closed));
        }
        assert_eq!(terms.refusals.lock().condemned(), None);
    }
    assert!(narrow > 0);
    world.commit();
    assert_eq!(world.rows("dead_letter"), 0);
}

/// The message that was suspected has gone, and no other one ends the suspicion.
#[test]
fn qos_0_goes_on_when_nothing_else_is_left() {
    let world = World::new();
    let terms = Arc::new(terms());
    terms.refusals.lock().closed(DeliveryId(1), 2, ReasonCode::UnspecifiedError);
    let mut bridge = bridge(&world, &terms, &resumed());
    world.passing("pub").publish(QoS::AtMostOnce, 0, "x");
    let received = bridge.received();
    assert_eq!(received.len(), 1, "{received:?}");
}

#[test]
fn what_the_other_end_has_received_can_no_longer_be_refused() {
    let world = World::new();
    let terms = Arc::new(terms());
    let mut bridge = with_one_in_flight(&world, &terms);
    bridge.send(Packet::PubRec(ack(1)));
    bridge.send(Packet::PubRec(Ack { reason: ReasonCode::NotAuthorized, ..ack(1) }));
    world.commit();
    bridge.send(Packet::PubComp(ack(1)));
    world.commit();
    world.commit();
    assert_eq!(["delivery", "dead_letter"].map(|table| world.rows(table)), [0, 0]);
}

#[test]
fn a_refusal_of_the_wrong_kind_is_a_protocol_error() {
    let world = World::new();
    let terms = Arc::new(terms());
    let mut bridge = with_one_in_flight(&world, &terms);
    let ended = bridge.try_send(refusal(1, ReasonCode::NotAuthorized));
    assert!(matches!(ended, Err(Close::Error(ReasonCode::ProtocolError, _))), "{ended:?}");
}

#[test]
fn a_message_that_the_other_end_has_received_is_none_for_which_it_closes() {
    let world = World::new();
    let terms = Arc::new(terms());
    let mut bridge = with_one_in_flight(&world, &terms);
    bridge.send(Packet::PubRec(ack(1)));
    at_once(bridge.client.close(&Close::Lost("the client closed without DISCONNECT")));
    assert_eq!(terms.refusals.lock().window(), Window::Full);
}
