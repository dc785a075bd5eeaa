//! The inflight window and its packet identifiers.

use super::*;

#[test]
fn the_smaller_of_receive_maximum_and_window_bounds_what_is_in_flight() {
    for (receive_maximum, expected) in [(3, 3u16), (65_535, 10)] {
        let mut session = session(LIMITS);
        attach(&mut session, receive_maximum);
        for id in 1..=20 {
            enqueue(&mut session, id, QoS::AtLeastOnce, 0);
        }
        assert_eq!(sent(&mut session, 0).len(), usize::from(expected));
        session.puback(packet_id(2), Instant::now());
        assert_eq!(sent(&mut session, 0), [(u64::from(expected) + 1, expected + 1, false)]);
    }
}

#[test]
fn an_id_that_is_still_in_flight_is_not_used_again() {
    let limits = Limits {
        inflight_window: 65_535,
        memory_window: 100_000,
        max_queued_messages: 100_000,
        ..LIMITS
    };
    let mut session = session(limits);
    attach(&mut session, 65_535);
    for id in 1..=65_536 {
        enqueue(&mut session, id, QoS::AtLeastOnce, 0);
    }
    assert_eq!(sent(&mut session, 0).len(), 65_535);
    session.puback(packet_id(2), Instant::now());
    let next = next(&mut session, 0);
    let Ok(Outgoing::Renumber { delivery, packet_id, change }) = next else { panic!("{next:?}") };
    assert_eq!((delivery.0, packet_id.get()), (65_536, 2), "id 1 is never acknowledged");
    assert_eq!(super::next(&mut session, 0).unwrap_err(), DeliveryBlock::AwaitingRow);
    // The batch drops its handle before it is committed.
    change.take(5);
    drop(change);
    assert!(sent(&mut session, 4).is_empty(), "a crash would give it the id of another");
    assert_eq!(sent(&mut session, 5), [(65_536, 2, false)]);
}

#[test]
fn a_new_packet_id_that_went_away_unwritten_is_asked_for_again() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    enqueue(&mut session, 1, QoS::AtLeastOnce, 0);
    session.next_packet_id = packet_id(1);
    enqueue(&mut session, 2, QoS::AtLeastOnce, 0);
    assert!(matches!(next(&mut session, 0), Ok(Outgoing::Publish(_))));
    for _ in 0..2 {
        let next = next(&mut session, 0);
        assert!(matches!(next, Ok(Outgoing::Renumber { packet_id, .. }) if packet_id.get() == 2));
    }
}

#[test]
fn without_a_row_a_new_packet_id_is_used_at_once() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    enqueue(&mut session, 1, QoS::AtLeastOnce, 0);
    session.next_packet_id = packet_id(1);
    enqueue(&mut session, 2, QoS::AtLeastOnce, 0);
    session.queue.front().unwrap();
    let mut entries = session.take_all().0;
    for entry in &mut entries {
        entry.home = Home::Memory;
    }
    for entry in entries {
        session.enqueue(entry, 0, false);
    }
    assert_eq!(sent(&mut session, 0), [(1, 1, false), (2, 2, false)]);
}

#[test]
fn an_id_in_flight_is_passed_over_when_one_is_drawn() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    for id in 1..=3 {
        enqueue(&mut session, id, QoS::AtLeastOnce, 0);
    }
    sent(&mut session, 0);
    session.next_packet_id = packet_id(2);
    enqueue(&mut session, 4, QoS::AtLeastOnce, 0);
    assert_eq!(sent(&mut session, 0), [(4, 4, false)]);
}

#[test]
fn qos_0_passes_a_full_window() {
    let mut session = session(LIMITS);
    attach(&mut session, 1);
    enqueue(&mut session, 1, QoS::AtLeastOnce, 0);
    enqueue(&mut session, 2, QoS::AtMostOnce, 0);
    assert_eq!(sent(&mut session, 0), [(1, 1, false), (2, 0, false)]);
}

#[test]
fn mqtt_4_4_0_1_what_was_in_flight_is_sent_again_in_order_with_its_ids_and_dup() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    for id in 1..=5 {
        enqueue(&mut session, id, QoS::AtLeastOnce, 0);
    }
    sent(&mut session, 0);
    session.puback(packet_id(2), Instant::now());
    session.detach(WallMillis(1));
    enqueue(&mut session, 6, QoS::AtLeastOnce, 0);
    attach(&mut session, 10);
    assert_eq!(
        sent(&mut session, 0),
        [(1, 1, true), (3, 3, true), (4, 4, true), (5, 5, true), (6, 6, false)]
    );
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_or_id_changes_nothing() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    enqueue(&mut session, 1, QoS::AtLeastOnce, 0);
    sent(&mut session, 0);
    let now = Instant::now();
    assert!(matches!(session.puback(packet_id(9), now), Receipt::Unknown));
    assert!(matches!(session.pubrec(packet_id(1), false, now), Receipt::OutOfPlace));
    assert!(matches!(session.pubcomp(packet_id(1), now), Receipt::OutOfPlace));
    assert_eq!(session.backlog(), 1);
    assert!(matches!(session.puback(packet_id(1), now), Receipt::Done(_)));
    assert_eq!(session.backlog(), 0);
    assert_eq!(session.backlog_bytes(), 0);
}
