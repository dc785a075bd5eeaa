//! The in-flight window and its packet ids.

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
    assert!(sent(&mut session, 0).is_empty(), "id 1 comes round again, and waits");
    session.puback(packet_id(1), Instant::now());
    assert_eq!(sent(&mut session, 0), [(65_536, 1, false)]);
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
