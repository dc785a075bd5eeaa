//! A database that has reached its limit: what is refused, what waits, and what continues.

use super::*;
use crate::message::WillRecord;

fn small(directory: &Path) -> StoreConfig {
    StoreConfig { max_size: 1 << 20, ..config(directory) }
}

#[test]
fn a_full_disk_refuses_messages_and_lets_all_else_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    commit(&store, vec![session(1, "a")]);
    let publisher = Arc::new(Wake::default());
    let context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut id = 0;
    let refused = loop {
        id += 1;
        let next =
            message(id, &[0; 5000], &[(1, id, 1)], Some((9, 9)), Some(Arc::clone(&publisher)));
        commit(
            &store,
            vec![
                Op::Message(Arc::clone(&next)),
                state(Change::CloseIncoming(SessionId(9), packet_id(9))),
            ],
        );
        assert!(publisher.poll(&context).is_some(), "told in either case");
        if store.state() == StoreState::Full {
            break next;
        }
        assert!(id < 1000, "max_size does not hold");
    };
    assert!(refused.durability.is_refused());
    assert_eq!(count(directory.path(), "message"), i64::try_from(id).unwrap() - 1);
    assert_eq!(count(directory.path(), "incoming"), 0);
    // State and acknowledgements continue, beside another message that is refused.
    let another = message_to(id + 1, &[0; 5000], &[(1, id + 1, 1)]);
    commit(
        &store,
        vec![
            Op::Message(Arc::clone(&another)),
            session(2, "b"),
            Op::Received(DeliveryId(40)),
            Op::Delete { delivery: DeliveryId(1), message: Some(MessageId(1)) },
        ],
    );
    assert!(another.durability.is_refused());
    assert_eq!(count(directory.path(), "session"), 2);
    assert_eq!(count(directory.path(), "delivery WHERE received"), 1);
    // Then there is space again.
    let deletes =
        (2..30).map(|id| Op::Delete { delivery: DeliveryId(id), message: Some(MessageId(id)) });
    commit(&store, deletes.collect());
    let fits = message_to(id + 2, &[0; 5000], &[(1, id + 2, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&fits))]);
    assert!(fits.durability.is_on_disk(store.committed()));
    assert_eq!(store.state(), StoreState::Running);
}

#[test]
fn what_finds_no_room_at_all_is_kept_and_committed_later() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    let ops = (1..=100).map(|id| Op::Message(message_to(id, &[0; 5000], &[(1, id, 1)])));
    commit(&store, ops.collect());
    // More than the headroom can hold beside the messages.
    let mut large = Box::new(session_record(7, "large"));
    large.will = Some(Box::new(WillRecord {
        topic: "large".into(),
        properties: Vec::new(),
        payload: vec![1; 5 << 19],
        qos: QoS::AtLeastOnce,
        retain: false,
        delay: 0,
        expiry: None,
    }));
    let number = submit(
        &store,
        vec![
            state(Change::Session(large)),
            Op::Delete { delivery: DeliveryId(1), message: Some(MessageId(1)) },
        ],
    );
    assert!(store.step(true).unwrap() < number, "not committed, so not acknowledged");
    assert_eq!(store.state(), StoreState::Full);
    assert_eq!(count(directory.path(), "delivery"), 99, "the delete went through");
    // Deletes make space for it.
    let deletes =
        (2..100).map(|id| Op::Delete { delivery: DeliveryId(id), message: Some(MessageId(id)) });
    submit(&store, deletes.collect());
    store.step(true).unwrap();
    commit(&store, Vec::new());
    assert!(store.committed() > number);
    assert_eq!(count(directory.path(), "session WHERE length(will_payload) > 1000000"), 1);
}

#[test]
fn what_cannot_be_retained_is_refused_and_leaves_the_headroom_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    let mut number = 0;
    let refused = loop {
        number += 1;
        let message = message_to(number, &vec![0; 20_000], &[]);
        let record = RetainedRecord {
            topic: number.to_string().into(),
            properties: Vec::new(),
            payload: vec![1; 20_000],
            qos: QoS::AtLeastOnce,
            published_at: WallMillis(1),
            expires_at: None,
        };
        let retain = state(Change::Retain(Arc::new(record), Some(message.id)));
        commit(&store, vec![Op::Message(Arc::clone(&message)), retain]);
        if message.durability.is_refused() {
            break number;
        }
        assert!(number < 1000, "max_size does not hold");
    };
    assert_eq!(count(directory.path(), "retained"), i64::try_from(refused).unwrap() - 1);
    for id in 1..50 {
        commit(&store, vec![session(id, &id.to_string())]);
    }
    assert_eq!(count(directory.path(), "session"), 49);
    // Retained messages can be removed, and then there is space.
    commit(
        &store,
        (1..20).map(|topic| state(Change::Unretain(topic.to_string().into()))).collect(),
    );
    let fits = message_to(refused + 1, &[0; 5000], &[(1, 1, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&fits))]);
    assert!(fits.durability.is_on_disk(store.committed()));
}

/// Fills the database with messages for session 1, the last of which is refused. Returns the
/// next id.
fn fill(store: &Store, payload: usize) -> u64 {
    for id in 1..1000 {
        commit(store, vec![Op::Message(message_to(id, &vec![0; payload], &[(1, id, 1)]))]);
        if store.state() == StoreState::Full {
            return id + 1;
        }
    }
    panic!("max_size does not hold");
}

fn drain(store: &Store, ids: std::ops::Range<u64>) {
    let deletes =
        ids.map(|id| Op::Delete { delivery: DeliveryId(id), message: Some(MessageId(id)) });
    commit(store, deletes.collect());
}

#[test]
fn the_state_is_full_for_as_long_as_large_messages_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    let next = fill(&store, 50_000);
    let tiny = message_to(next, b"fits", &[(1, next, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&tiny))]);
    assert!(tiny.durability.is_on_disk(store.committed()));
    assert_eq!(store.state(), StoreState::Full, "a small message proves nothing");
    let large = message_to(next + 1, &vec![0; 50_000], &[(1, next + 1, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&large))]);
    assert!(large.durability.is_refused());
    // No publish is needed to end the state.
    drain(&store, 1..5);
    assert_eq!(store.state(), StoreState::Running);
}

fn waiting_publisher() -> Arc<Wake> {
    let publisher = Arc::new(Wake::default());
    publisher.set_back_pressure(true);
    publisher
}

#[test]
fn patient_publishers_wait_in_order_while_others_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    let next = fill(&store, 5000);
    let publisher = waiting_publisher();
    let of = |id: u64, size: usize, publisher: &Arc<Wake>| {
        let payload = vec![0; size];
        message(id, &payload, &[(1, id, 1)], Some((9, 7)), Some(Arc::clone(publisher)))
    };
    let first = of(next, 20_000, &publisher);
    let told = message_to(next + 1, &vec![0; 20_000], &[(1, next + 1, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&first)), Op::Message(Arc::clone(&told))]);
    assert!(told.durability.is_refused());
    assert!(first.durability.is_parked() && !first.durability.may_acknowledge(u64::MAX - 9));
    // Its second message would fit, but must not overtake the first. It does not delay the
    // message of another publisher.
    let second = of(next + 2, 10, &publisher);
    let other = of(next + 3, 10, &waiting_publisher());
    commit(&store, vec![Op::Message(Arc::clone(&second)), Op::Message(Arc::clone(&other))]);
    assert!(second.durability.is_parked());
    assert!(other.durability.is_on_disk(store.committed()));
    assert_eq!(store.state(), StoreState::Full);
    assert_eq!(store.metrics().stalled.load(std::sync::atomic::Ordering::Relaxed), 2);
    drain(&store, 1..40);
    let context = std::task::Context::from_waker(std::task::Waker::noop());
    publisher.poll(&context);
    commit(&store, Vec::new());
    for one in [&first, &second] {
        assert!(one.durability.is_on_disk(store.committed()));
    }
    assert!(publisher.poll(&context).is_some(), "rung when it may be acknowledged");
    assert_eq!(count(directory.path(), "incoming"), 1, "with its packet id");
    assert_eq!(store.state(), StoreState::Running);
}

#[test]
fn mqtt_4_6_0_6_what_comes_behind_a_refused_message_is_refused_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    let next = fill(&store, 5000);
    let publisher = Arc::new(Wake::default());
    publisher.set_ends_when_refused(true);
    let of = |id: u64, size: usize, publisher: &Arc<Wake>| {
        let payload = vec![0; size];
        message(id, &payload, &[(1, id, 1)], Some((9, 7)), Some(Arc::clone(publisher)))
    };
    let first = of(next, 20_000, &publisher);
    commit(&store, vec![Op::Message(Arc::clone(&first))]);
    assert!(first.durability.is_refused());
    // The second message would fit, but the first one must be sent again before it.
    let (second, other) = (of(next + 1, 10, &publisher), of(next + 2, 10, &Arc::default()));
    commit(&store, vec![Op::Message(Arc::clone(&second)), Op::Message(Arc::clone(&other))]);
    assert!(second.durability.is_refused());
    assert!(other.durability.is_on_disk(store.committed()));
    assert_eq!(count(directory.path(), "incoming"), 1, "of the other one");
}

#[test]
fn what_nobody_waits_for_any_more_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    let next = fill(&store, 5000);
    let publisher = waiting_publisher();
    let one = message(next, &[0; 5000], &[(1, next, 1)], None, Some(Arc::clone(&publisher)));
    commit(&store, vec![Op::Message(Arc::clone(&one))]);
    assert!(one.durability.is_parked());
    publisher.set_back_pressure(false);
    drain(&store, 1..40);
    commit(&store, Vec::new());
    assert!(one.durability.is_refused());
    assert_eq!(store.state(), StoreState::Running);
    // A message that could never fit does not wait.
    publisher.set_back_pressure(true);
    let huge = message(next + 1, &vec![0; 2 << 20], &[(1, next + 1, 1)], None, Some(publisher));
    commit(&store, vec![Op::Message(Arc::clone(&huge))]);
    assert!(huge.durability.is_refused());
}

fn retained(topic: &str, payload: Vec<u8>) -> Op {
    let record = Arc::new(RetainedRecord {
        topic: topic.into(),
        properties: Vec::new(),
        payload,
        qos: QoS::AtMostOnce,
        published_at: WallMillis(1),
        expires_at: None,
    });
    state(Change::Retain(record, None))
}

#[test]
fn what_is_retained_at_qos_0_on_a_full_disk_is_written_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    commit(&store, vec![retained("t", b"old".to_vec())]);
    fill(&store, 5000);
    commit(&store, vec![retained("t", vec![1; 30_000]), retained("u", vec![2; 30_000])]);
    assert_eq!(count(directory.path(), "retained"), 0, "rather none than an old one");
    commit(&store, vec![state(Change::Unretain("u".into()))]);
    drain(&store, 1..40);
    commit(&store, Vec::new());
    assert_eq!(
        count(directory.path(), "retained WHERE topic = 't' AND length(payload) = 30000"),
        1
    );
    assert_eq!(count(directory.path(), "retained"), 1);
    assert_eq!(store.state(), StoreState::Running);
}

#[test]
fn messages_take_nothing_of_the_headroom_that_others_have_used() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_stepped(&small(directory.path()), Arc::default()).unwrap();
    let next = fill(&store, 20_000);
    let will = |bytes: usize| {
        let mut record = Box::new(session_record(7, "large"));
        record.will = Some(Box::new(WillRecord {
            topic: "large".into(),
            properties: Vec::new(),
            payload: vec![1; bytes],
            qos: QoS::AtLeastOnce,
            retain: false,
            delay: 0,
            expiry: None,
        }));
        state(Change::Session(record))
    };
    commit(&store, vec![will(1 << 20)]);
    commit(&store, vec![will(0)]);
    drain(&store, 1..next);
    assert_eq!(store.state(), StoreState::Running);
    for id in next..next + 1000 {
        commit(&store, vec![Op::Message(message_to(id, &vec![0; 20_000], &[(1, id, 1)]))]);
        if store.state() == StoreState::Full {
            let file =
                rusqlite::Connection::open(directory.path().join("data/ferrymq.db")).unwrap();
            let pragma = |name: &str| crate::store::pragma(&file, name).unwrap();
            assert!(pragma("page_count") - pragma("freelist_count") <= 128);
            return;
        }
    }
    panic!("max_size does not hold");
}
