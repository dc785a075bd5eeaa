//! Why no delivery can be sent, and what must not block the deliveries behind it.

use super::*;

/// The next thing to send to a client that can get messages with even numbers only.
fn next_even(session: &mut Session, unfit: Fit) -> Result<Outgoing, DeliveryBlock> {
    session.next_outgoing(0, (WallMillis(0), Instant::now()), |entry| {
        if entry.message.id.0.is_multiple_of(2) { Fit::Sendable } else { unfit }
    })
}

#[test]
fn mqtt_3_1_2_25_a_message_that_is_too_large_holds_up_nothing_behind_it() {
    let mut session = session(LIMITS);
    attach(&mut session, 1);
    for id in 1..=4 {
        enqueue(&mut session, id, QoS::AtLeastOnce, 0);
    }
    let next = next_even(&mut session, Fit::TooLarge);
    assert!(matches!(next, Ok(Outgoing::TooLarge(entry)) if entry.message.id.0 == 1));
    assert_eq!(session.in_flight(), 0, "it took no place in the window");
    let next = next_even(&mut session, Fit::TooLarge);
    assert!(matches!(next, Ok(Outgoing::Publish(entry)) if entry.message.id.0 == 2));
    // A full window does not keep a delivery that is never sent.
    let next = next_even(&mut session, Fit::TooLarge);
    assert!(matches!(next, Ok(Outgoing::TooLarge(entry)) if entry.message.id.0 == 3));
    assert_eq!(next_even(&mut session, Fit::TooLarge).unwrap_err(), DeliveryBlock::WindowFull);
    assert_eq!(session.backlog(), 2);
}

#[test]
fn a_message_that_is_not_permitted_is_given_up_at_each_qos() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut session = session(LIMITS);
        attach(&mut session, 10);
        enqueue(&mut session, 1, qos, 0);
        enqueue(&mut session, 2, qos, 0);
        let next = next_even(&mut session, Fit::NotPermitted);
        assert!(matches!(next, Ok(Outgoing::NotPermitted(entry)) if entry.message.id.0 == 1));
        let next = next_even(&mut session, Fit::NotPermitted);
        assert!(matches!(next, Ok(Outgoing::Publish(entry)) if entry.message.id.0 == 2));
    }
}

#[test]
fn after_pubrec_pubrel_goes_out_to_a_client_that_now_accepts_less() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    enqueue(&mut session, 1, QoS::ExactlyOnce, 0).durability.take(2);
    sent(&mut session, 2);
    session.pubrec(packet_id(1), false, Instant::now());
    attach(&mut session, 10);
    let next = next_even(&mut session, Fit::TooLarge);
    assert!(matches!(next, Ok(Outgoing::Release(id)) if id == packet_id(1)));
}

#[test]
fn whoever_gets_nothing_is_told_what_it_waits_for() {
    let limits = Limits { memory_window: 1, ..LIMITS };
    let mut session = session(limits);
    attach(&mut session, 1);
    assert_eq!(next(&mut session, 0).unwrap_err(), DeliveryBlock::QueueEmpty);
    let first = enqueue(&mut session, 1, QoS::ExactlyOnce, 0);
    assert_eq!(next(&mut session, 0).unwrap_err(), DeliveryBlock::AwaitingCommit);
    first.durability.take(2);
    assert!(next(&mut session, 2).is_ok());
    for id in 2..=3 {
        enqueue(&mut session, id, QoS::AtLeastOnce, 2).durability.take(2);
    }
    assert_eq!(next(&mut session, 2).unwrap_err(), DeliveryBlock::WindowFull);
    session.detach(WallMillis(1));
    session.evict(2);
    attach(&mut session, 1);
    assert_eq!(next(&mut session, 2).unwrap_err(), DeliveryBlock::Paging);
    assert_eq!(session.next_page(|| u64::MAX).unwrap().ids.len(), 1);
    assert_eq!(next(&mut session, 2).unwrap_err(), DeliveryBlock::Paging, "on its way");
}

#[test]
fn qos_0_that_waits_for_a_commit_is_what_an_empty_queue_waits_for() {
    let mut session = session(LIMITS);
    attach(&mut session, 1);
    let message = enqueue(&mut session, 1, QoS::AtMostOnce, 0);
    let Ok(Outgoing::Publish(mut entry)) = next(&mut session, 0) else { panic!("nothing comes") };
    entry.state = DeliveryState::AwaitingCommit;
    session.enqueue(entry, 0, false);
    assert_eq!(next(&mut session, 0).unwrap_err(), DeliveryBlock::AwaitingCommit);
    message.durability.take(2);
    assert!(next(&mut session, 2).is_ok());
}
