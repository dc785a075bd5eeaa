//! Gates, QoS 2 states, expiry, limits.

use super::*;

#[test]
fn qos_2_is_not_sent_before_its_delivery_is_committed() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    let message = enqueue(&mut session, 1, QoS::ExactlyOnce, 0);
    assert!(sent(&mut session, 1).is_empty(), "not even taken");
    assert!(message.durability.take(7));
    assert!(sent(&mut session, 6).is_empty(), "taken, not committed");
    assert_eq!(sent(&mut session, 7), [(1, 1, false)]);
}

#[test]
fn mqtt_4_3_3_after_pubrec_only_pubrel_is_repeated() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    enqueue(&mut session, 1, QoS::ExactlyOnce, 0).durability.take(2);
    sent(&mut session, 2);
    assert!(matches!(session.pubrec(packet_id(1), false, Instant::now()), Receipt::Release(_)));
    session.detach(WallMillis(1));
    attach(&mut session, 10);
    let next = next(&mut session, 2);
    assert!(matches!(next, Ok(Outgoing::Release(id)) if id == packet_id(1)));
    assert!(matches!(session.pubcomp(packet_id(1), Instant::now()), Receipt::Done(_)));
}

#[test]
fn mqtt_4_3_3_4_pubrec_with_a_failure_ends_the_delivery() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    enqueue(&mut session, 1, QoS::ExactlyOnce, 0).durability.take(2);
    sent(&mut session, 2);
    assert!(matches!(session.pubrec(packet_id(1), true, Instant::now()), Receipt::Done(_)));
}

#[test]
fn a_message_that_expired_while_waiting_is_not_sent() {
    let mut session = session(LIMITS);
    let head = MessageHead {
        id: MessageId(1),
        qos: QoS::AtMostOnce,
        retain: false,
        published_at: WallMillis(0),
        expires_at: Some(WallMillis(1000)),
    };
    let message = Arc::new(Message::new(head, "t", &[], b"", 0, None));
    let entry = Entry {
        message,
        delivery: DeliveryId(1),
        packet_id: None,
        qos: QoS::AtMostOnce,
        retain: false,
        dup: false,
        state: DeliveryState::Ready,
        home: Home::Memory,
        row_change: None,
        share: None,
        identifiers: SubscriptionIds::default(),
    };
    attach(&mut session, 10);
    session.enqueue(entry, 0, false);
    let next = session.next_outgoing(0, (WallMillis(1000), Instant::now()), |_| Fit::Sendable);
    assert!(matches!(next, Ok(Outgoing::Expired(_))));
}

#[test]
fn a_refused_message_is_dropped_from_the_queue() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    let message = enqueue(&mut session, 1, QoS::ExactlyOnce, 0);
    message.durability.take(2);
    message.durability.refuse();
    let next = next(&mut session, 2);
    assert!(matches!(next, Ok(Outgoing::Refused(_))));
}

#[test]
fn limits_count_what_waits_and_not_what_is_in_flight() {
    let limits = Limits { max_queued_messages: 3, ..LIMITS };
    let mut session = session(limits);
    attach(&mut session, 2);
    for id in 1..=3 {
        assert_eq!(session.room_for(8), Room::Yes);
        enqueue(&mut session, id, QoS::AtLeastOnce, 0);
    }
    assert_eq!(session.room_for(8), Room::No);
    sent(&mut session, 0);
    assert_eq!(session.room_for(8), Room::Yes, "two are in flight");
    enqueue(&mut session, 4, QoS::AtLeastOnce, 0);
    enqueue(&mut session, 5, QoS::AtLeastOnce, 0);
    std::sync::Arc::make_mut(&mut session.limits).overflow = Overflow::DropOldest;
    assert_eq!(session.room_for(8), Room::AfterDropping);
    let dropped = session.drop_oldest().unwrap().unwrap();
    assert_eq!(dropped.message.id.0, 3, "what is in flight is not dropped");
    assert_eq!(session.room_for(8), Room::Yes);
    std::sync::Arc::make_mut(&mut session.limits).max_queued_bytes = 20;
    assert_eq!(session.room_for(8), Room::AfterDropping, "bytes count as well");
}

/// A delivery that was sent and is then evicted to disk.
#[test]
fn mqtt_3_3_2_5_what_was_sent_is_completed_and_not_dropped_when_it_comes_from_disk() {
    let limits = Limits { overflow: Overflow::DropOldest, max_queued_messages: 3, ..LIMITS };
    let mut session = session(limits);
    attach(&mut session, 2);
    for id in 1..=3 {
        enqueue(&mut session, id, QoS::ExactlyOnce, 0).durability.take(2);
    }
    assert_eq!(sent(&mut session, 2).len(), 2);
    session.detach(WallMillis(1));
    assert!(session.evict(2), "all of it is on disk");
    assert_eq!(session.room_for(8), Room::AfterDropping);
    assert_eq!(session.drop_oldest().unwrap().unwrap_err(), DeliveryId(3), "never sent");
    assert!(session.drop_oldest().is_none(), "the receiver may hold the others");
    let page = session.next_page(|| u64::MAX).unwrap();
    assert_eq!(page.ids.iter().map(|queued| queued.id.0).collect::<Vec<_>>(), [1, 2]);
    let state = |id, received| session.state_of_row(DeliveryId(id), QoS::ExactlyOnce, received);
    assert_eq!(state(1, false), DeliveryState::Sent);
    assert_eq!(state(2, true), DeliveryState::Received);
    assert_eq!(state(3, false), DeliveryState::Ready);
    let of_qos_1 = session.state_of_row(DeliveryId(1), QoS::AtLeastOnce, false);
    assert_eq!(of_qos_1, DeliveryState::Sent, "by this process");
}

#[test]
fn after_a_restart_what_may_have_been_sent_counts_as_sent_at_qos_2() {
    let mut session = session(LIMITS);
    session.sent_up_to = DeliveryId(2);
    let state = |id, qos| session.state_of_row(DeliveryId(id), qos, false);
    assert_eq!(state(2, QoS::ExactlyOnce), DeliveryState::Sent);
    assert_eq!(state(3, QoS::ExactlyOnce), DeliveryState::Ready);
    assert_eq!(state(2, QoS::AtLeastOnce), DeliveryState::Ready, "nothing is lost if it expires");
}

#[test]
fn mqtt_4_8_2_what_may_go_to_another_member_when_the_session_ends() {
    use DeliveryState::{AwaitingCommit, Ready, Received, Sent};
    let mut session = session(LIMITS);
    enqueue(&mut session, 1, QoS::AtLeastOnce, 0);
    let own = session.take_all().0.remove(0);
    let of = |qos, state| Entry { share: Some("$share/g/t".into()), qos, state, ..own.clone() };
    for (qos, state, may) in [
        (QoS::AtMostOnce, Ready, false),
        (QoS::AtLeastOnce, AwaitingCommit, true),
        (QoS::AtLeastOnce, Ready, true),
        (QoS::AtLeastOnce, Sent, true),
        (QoS::ExactlyOnce, AwaitingCommit, true),
        (QoS::ExactlyOnce, Ready, true),
        (QoS::ExactlyOnce, Sent, false),
        (QoS::ExactlyOnce, Received, false),
    ] {
        assert_eq!(of(qos, state).may_move(), may, "{qos:?} {state:?}");
    }
    assert!(!Entry { dup: true, ..of(QoS::ExactlyOnce, Ready) }.may_move());
    assert!(!own.may_move(), "it came through a subscription of its own");
}

#[test]
fn qos_0_does_not_wait_for_a_client_that_is_away() {
    let mut session = session(LIMITS);
    attach(&mut session, 10);
    enqueue(&mut session, 1, QoS::AtMostOnce, 0);
    enqueue(&mut session, 2, QoS::AtLeastOnce, 0);
    let gone = session.detach(WallMillis(1));
    assert_eq!(gone.len(), 1);
    assert_eq!(session.backlog(), 1);
}

#[test]
fn a_session_answers_only_while_it_acknowledges() {
    use std::time::Duration;
    let mut session = session(LIMITS);
    let start = Instant::now();
    assert!(!session.is_answering(start), "nobody is there");
    attach(&mut session, 10);
    assert!(session.is_answering(start));
    enqueue(&mut session, 1, QoS::AtLeastOnce, 0);
    session.next_outgoing(0, (WallMillis(0), start), |_| Fit::Sendable).unwrap();
    assert!(session.is_answering(start + Duration::from_millis(5)));
    assert!(!session.is_answering(start + Duration::from_secs(1)), "connected, but stalled");
    session.puback(packet_id(1), start + Duration::from_secs(1));
    assert!(session.is_answering(start + Duration::from_secs(2)));
}
