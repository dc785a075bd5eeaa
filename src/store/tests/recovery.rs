//! What was committed is found again.

use super::*;
use crate::message::WillRecord;

fn subscription(filter: &str) -> SubscriptionRecord {
    SubscriptionRecord {
        filter: filter.into(),
        options: SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: crate::protocol::RetainHandling::Never,
        },
        identifier: Some(268_435_455),
    }
}

fn retained(topic: &str, payload: &[u8]) -> RetainedRecord {
    RetainedRecord {
        topic: topic.into(),
        properties: vec![1, 2],
        payload: payload.to_vec(),
        qos: QoS::AtLeastOnce,
        published_at: WallMillis(9),
        expires_at: Some(WallMillis(10)),
    }
}

#[test]
fn everything_that_was_committed_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = session_record(1, "alice");
    record.owner = Some("fleet".into());
    record.will = Some(Box::new(WillRecord {
        topic: "gone".into(),
        properties: vec![7],
        payload: b"bye".to_vec(),
        qos: QoS::ExactlyOnce,
        retain: true,
        delay: 30,
        expiry: Some(60),
    }));
    {
        let (store, recovered) = threaded(directory.path());
        assert!(recovered.sessions.is_empty());
        submit(
            &store,
            vec![
                state(Change::Session(Box::new(record.clone()))),
                session(2, "bob"),
                state(Change::Subscribe(SessionId(1), Box::new(subscription("$share/g/a/#")))),
                state(Change::Subscribe(SessionId(1), Box::new(subscription("b")))),
                state(Change::Unsubscribe(SessionId(1), "b".into())),
                state(Change::Retain(Arc::new(retained("r", b"old")), None)),
                state(Change::Retain(Arc::new(retained("r", b"new")), None)),
                Op::Message(message(1, b"one", &[(1, 1, 10), (2, 2, 20)], None, None)),
                Op::Message(message(2, b"two", &[(1, 3, 11)], Some((2, 77)), None)),
                Op::Received(DeliveryId(3)),
            ],
        );
        store.shutdown(std::time::Duration::from_secs(5)).unwrap();
        assert_eq!(store.submit(&mut Submission::default()), Err(SubmitError::Closed));
    }
    let (store, mut recovered) = threaded(directory.path());
    assert_eq!(recovered.sessions.len(), 2);
    assert_eq!(recovered.sessions[0].record, record);
    assert_eq!(recovered.sessions[0].subscriptions, [subscription("$share/g/a/#")]);
    assert_eq!(recovered.sessions[1].incoming, [packet_id(77)]);
    assert_eq!(recovered.retained, [retained("r", b"new")]);
    assert_eq!(recovered.sessions[0].last_packet_id, Some(packet_id(11)));
    assert_eq!(store.references().len(), 1);
    assert!(recovered.last_delivery.0 >= 3 && recovered.last_message.0 >= 2);
    let ids = queue_ids(&mut recovered, 0);
    let deliveries = page(&store, &ids);
    let found: Vec<_> = deliveries
        .iter()
        .map(|d| (d.delivery.0, d.packet_id.get(), d.received, d.message.payload()))
        .collect();
    assert_eq!(found, [(1, 10, false, &b"one"[..]), (3, 11, true, &b"two"[..])]);
    assert_eq!(deliveries[0].message.topic(), "a/topic");
    assert_eq!(deliveries[0].message.properties(), [38, 0]);
    assert!(!store.release(MessageId(1)));
    assert!(store.release(MessageId(1)));
}

#[test]
fn a_crash_loses_what_was_not_committed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    commit(&store, vec![session(1, "alice")]);
    (1..=50).for_each(|id| commit(&store, vec![Op::Message(message_to(id, b"x", &[(1, id, 1)]))]));
    submit(&store, vec![Op::Message(message_to(51, b"x", &[(1, 51, 1)]))]);
    // As a killed process leaves the files: the database unchanged, everything else in the
    // WAL.
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("data")).unwrap();
    for name in ["data/ferrymq.db", "data/ferrymq.db-wal"] {
        std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    let (_, mut recovered) = stepped(copy.path());
    let ids: Vec<u64> = queue_ids(&mut recovered, 0).iter().map(|entry| entry.id.0).collect();
    assert_eq!(ids, (1..=50).collect::<Vec<_>>());
}

#[test]
fn a_torn_end_of_the_wal_costs_the_last_commit_only() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    commit(&store, vec![session(1, "alice")]);
    (1..=10).for_each(|id| commit(&store, vec![Op::Message(message_to(id, b"x", &[(1, id, 1)]))]));
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("data")).unwrap();
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    let wal = read("data/ferrymq.db-wal");
    std::fs::write(copy.path().join("data/ferrymq.db"), read("data/ferrymq.db")).unwrap();
    std::fs::write(copy.path().join("data/ferrymq.db-wal"), &wal[..wal.len() - 100]).unwrap();
    let (_, recovered) = stepped(copy.path());
    assert_eq!(recovered.sessions[0].queue.len(), 9);
}

#[test]
fn ids_do_not_repeat_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let far = 40 << 20;
    let (store, before) = stepped(directory.path());
    commit(&store, vec![session(1, "a"), Op::Message(message_to(far, b"x", &[(1, far, 1)]))]);
    commit(&store, vec![Op::Delete { delivery: DeliveryId(far), message: Some(MessageId(far)) }]);
    drop(store);
    let (store, after) = stepped(directory.path());
    assert!(after.last_message.0 >= far && after.last_delivery.0 >= far);
    assert!(after.last_session > before.last_session);
    drop(store);
    let (_, last) = stepped(directory.path());
    assert!(last.last_message >= after.last_message, "a run without work repeats none either");
}

#[test]
fn deliveries_of_ended_sessions_are_removed_after_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    commit(&store, vec![session(1, "a"), session(2, "b")]);
    let shared = (1..=1500)
        .map(|id| Op::Message(message_to(id, b"x", &[(1, id * 2, 1), (2, id * 2 + 1, 1)])));
    commit(&store, shared.collect());
    commit(
        &store,
        vec![
            Op::Message(message_to(2000, b"x", &[(1, 9000, 1)])),
            state(Change::EndSession(SessionId(1))),
        ],
    );
    drop(store);
    let (store, recovered) = stepped(directory.path());
    assert_eq!(recovered.sessions.len(), 1);
    assert_eq!(recovered.sessions[0].queue.len(), 1500);
    assert_eq!(store.references().len(), 1500);
    store.step(true).unwrap();
    store.step(true).unwrap();
    assert_eq!(
        (count(directory.path(), "message"), count(directory.path(), "delivery")),
        (1500, 1500)
    );
    assert!(store.references().is_empty());
}

#[test]
fn a_delivery_without_its_message_is_left_out_and_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    store.add_references(MessageId(1), 2);
    commit(
        &store,
        vec![session(1, "a"), Op::Message(message_to(1, b"x", &[(1, 1, 1), (1, 2, 2)]))],
    );
    commit(&store, vec![Op::Delete { delivery: DeliveryId(2), message: Some(MessageId(1)) }]);
    drop(store);
    let (store, mut recovered) = stepped(directory.path());
    let ids = queue_ids(&mut recovered, 0);
    assert_eq!(ids.len(), 1);
    assert!(page(&store, &ids).is_empty());
    store.step(true).unwrap();
    assert_eq!(count(directory.path(), "delivery"), 0);
}

#[test]
fn pages_come_in_order_with_gaps_left_out_and_share_messages() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let ops =
        (1..=9).map(|id| Op::Message(message_to(id, &[u8::try_from(id).unwrap()], &[(1, id, 1)])));
    commit(&store, ops.collect());
    commit(&store, vec![Op::Message(message_to(10, b"twice", &[(1, 10, 1), (1, 11, 2)]))]);
    commit(&store, vec![Op::Delete { delivery: DeliveryId(3), message: Some(MessageId(3)) }]);
    let ids: Vec<_> =
        [1, 2, 3, 4, 7, 9, 10, 11, 12].map(|id| QueuedId { id: DeliveryId(id), size: 1 }).into();
    let found = page(&store, &ids);
    let read: Vec<u64> = found.iter().map(|delivery| delivery.delivery.0).collect();
    assert_eq!(read, [1, 2, 4, 7, 9, 10, 11]);
    assert!(Arc::ptr_eq(&found[5].message, &found[6].message));
    assert!(found[0].message.durability.is_on_disk(1));
}
