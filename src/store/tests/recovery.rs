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
    record.will = Some(WillRecord {
        topic: "gone".into(),
        properties: vec![7],
        payload: b"bye".to_vec(),
        qos: QoS::ExactlyOnce,
        retain: true,
        delay: 30,
        expiry: Some(60),
    });
    {
        let (store, recovered) = threaded(directory.path());
        assert!(recovered.sessions.is_empty());
        submit(
            &store,
            vec![
                Op::Session(Box::new(record.clone())),
                session(2, "bob"),
                Op::Subscribe(SessionId(1), Box::new(subscription("$share/g/a/#"))),
                Op::Subscribe(SessionId(1), Box::new(subscription("b"))),
                Op::Unsubscribe(SessionId(1), "b".into()),
                Op::Retain(Arc::new(retained("r", b"old"))),
                Op::Retain(Arc::new(retained("r", b"new"))),
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
