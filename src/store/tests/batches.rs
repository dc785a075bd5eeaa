//! Order, elision and coalescing within a batch.

use super::*;

#[test]
fn a_message_settled_before_the_batch_leaves_no_row() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let one = message_to(1, b"x", &[(1, 1, 1)]);
    let submitted = store
        .submit(&mut Submission { held: vec![Arc::clone(&one)], ..Submission::default() })
        .unwrap();
    one.slots[0].acknowledge();
    assert!(!one.durability.complete(), "not taken yet");
    assert_eq!(store.step(true), Ok(submitted));
    assert_eq!((count(directory.path(), "message"), count(directory.path(), "delivery")), (0, 0));
    assert_eq!(store.metrics().elided_messages.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(store.pending(), 0);
}

#[test]
fn a_message_settled_after_the_batch_leaves_no_row_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let one = message_to(1, b"x", &[(1, 1, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&one))]);
    assert!(one.durability.is_on_disk(store.committed()));
    assert!(one.durability.complete(), "taken: its rows have to go");
    commit(&store, vec![Op::Delete { delivery: DeliveryId(1), message: Some(MessageId(1)) }]);
    assert_eq!((count(directory.path(), "message"), count(directory.path(), "delivery")), (0, 0));
}

#[test]
fn of_several_receivers_only_those_that_wait_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let one = message_to(1, b"x", &[(1, 1, 1), (2, 2, 1), (3, 3, 1)]);
    one.slots[1].acknowledge();
    let two = message_to(2, b"y", &[(1, 4, 2)]);
    two.slots[0].acknowledge();
    commit(&store, vec![Op::Message(one), Op::Message(Arc::clone(&two))]);
    assert_eq!(count(directory.path(), "delivery WHERE shared AND id IN (1, 3)"), 2);
    assert_eq!(count(directory.path(), "delivery"), 2);
    assert_eq!(count(directory.path(), "message"), 1, "one that nobody waits for needs no row");
    assert!(two.durability.may_acknowledge(store.committed()));
}

#[test]
fn inserts_run_before_deletes() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    commit(
        &store,
        vec![
            Op::Delete { delivery: DeliveryId(1), message: Some(MessageId(1)) },
            Op::Received(DeliveryId(2)),
            Op::Message(message_to(1, b"x", &[(1, 1, 1)])),
            Op::Message(message_to(2, b"y", &[(1, 2, 2)])),
        ],
    );
    assert_eq!(count(directory.path(), "delivery WHERE id = 2 AND received"), 1);
    assert_eq!((count(directory.path(), "message"), count(directory.path(), "delivery")), (1, 1));
}

#[test]
fn messages_that_come_out_of_order_are_all_written() {
    let directory = tempfile::tempdir().unwrap();
    let (store, mut recovered) = stepped(directory.path());
    assert!(queue_is_empty(&mut recovered));
    let messages = [5, 2, 9, 1].map(|id| Op::Message(message_to(id, b"x", &[(1, 10 - id, 1)])));
    commit(&store, messages.into());
    commit(&store, vec![Op::Message(message_to(3, b"x", &[(1, 7, 1)]))]);
    assert_eq!((count(directory.path(), "message"), count(directory.path(), "delivery")), (5, 5));
}

fn queue_is_empty(recovered: &mut Recovered) -> bool {
    recovered.sessions.is_empty()
}

#[test]
fn a_packet_id_may_be_opened_and_closed_again_within_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let publish = |id| Op::Message(message(id, b"x", &[], Some((1, 7)), None));
    let release = || state(Change::CloseIncoming(SessionId(1), packet_id(7)));
    commit(&store, vec![publish(1), release()]);
    assert_eq!(count(directory.path(), "incoming"), 0, "opened, then closed");
    commit(&store, vec![publish(2), release(), publish(3)]);
    assert_eq!(count(directory.path(), "incoming"), 1, "opened again");
    commit(&store, vec![release(), publish(4)]);
    assert_eq!(count(directory.path(), "incoming"), 1);
    commit(&store, vec![release()]);
    assert_eq!(count(directory.path(), "incoming"), 0);
    assert_eq!(count(directory.path(), "message"), 0, "no receiver, no row");
}

#[test]
fn a_session_may_end_and_begin_within_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    commit(&store, vec![session(1, "alice")]);
    commit(&store, vec![state(Change::EndSession(SessionId(1))), session(2, "alice")]);
    assert_eq!(count(directory.path(), "session WHERE id = 2"), 1);
    commit(&store, vec![session(3, "bob"), state(Change::EndSession(SessionId(3)))]);
    assert_eq!(count(directory.path(), "session"), 1);
}

#[test]
fn dropping_all_deliveries_of_a_message_removes_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    store.add_references(MessageId(1), 2);
    commit(
        &store,
        vec![
            Op::Message(message_to(1, b"x", &[(1, 1, 1), (2, 2, 1)])),
            Op::Message(message_to(2, b"y", &[(1, 3, 2)])),
        ],
    );
    commit(
        &store,
        vec![Op::Drop(DeliveryId(1)), Op::Drop(DeliveryId(3)), Op::Drop(DeliveryId(99))],
    );
    assert_eq!((count(directory.path(), "message"), count(directory.path(), "delivery")), (1, 1));
    commit(&store, vec![Op::Drop(DeliveryId(2))]);
    assert_eq!((count(directory.path(), "message"), count(directory.path(), "delivery")), (0, 0));
}

#[test]
fn publishers_and_waiters_are_rung_at_the_commit_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let (publisher, waiter) = (Arc::new(Wake::default()), Arc::new(Wake::default()));
    let one = message(1, b"x", &[(1, 1, 1)], None, Some(Arc::clone(&publisher)));
    let mut submission = Submission {
        ops: vec![Op::Message(Arc::clone(&one))],
        waiters: vec![waiter_of(&waiter)],
        ..Submission::default()
    };
    let number = store.submit(&mut submission).unwrap();
    assert!(submission.ops.is_empty() && submission.waiters.is_empty(), "drained");
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(publisher.poll(&context).is_none() && waiter.poll(&context).is_none());
    assert!(!one.durability.may_acknowledge(store.committed()));
    store.step(false).unwrap();
    assert_eq!(store.committed(), number);
    assert!(one.durability.may_acknowledge(store.committed()));
    let context = &mut context;
    assert!(publisher.poll(context).is_some() && waiter.poll(context).is_some());
}

#[test]
fn held_messages_wait_for_their_time_and_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = threaded(directory.path());
    let one = message_to(1, b"x", &[(1, 1, 1)]);
    let submitted = std::time::Instant::now();
    store
        .submit(&mut Submission { held: vec![Arc::clone(&one)], ..Submission::default() })
        .unwrap();
    while !one.durability.may_acknowledge(store.committed()) {
        std::thread::sleep(std::time::Duration::from_micros(200));
        assert!(submitted.elapsed() < std::time::Duration::from_secs(20));
    }
    assert!(submitted.elapsed() >= std::time::Duration::from_millis(5));
}

#[test]
fn a_batch_of_nothing_is_committed_too() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    assert_eq!(store.committed(), 1, "what was on disk at the start");
    assert_eq!(store.step(true), Ok(2));
}

#[test]
fn a_message_does_not_wait_until_a_long_queue_is_deleted() {
    const QUEUE: u64 = 30_000;
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let ops = (1..=QUEUE).map(|id| Op::Message(message_to(id, b"old", &[(1, id, 1)])));
    commit(&store, ops.collect());
    let delete = |id| Op::Delete { delivery: DeliveryId(id), message: Some(MessageId(id)) };
    submit(&store, (1..=QUEUE).map(delete).collect());
    let news = message_to(QUEUE + 1, b"new", &[(2, QUEUE + 1, 1)]);
    let number = submit(&store, vec![Op::Message(Arc::clone(&news))]);
    assert_eq!(store.step(false).unwrap(), number);
    assert!(news.durability.may_acknowledge(number));
    let left = count(directory.path(), "delivery");
    assert!(left > 10_000 && store.pending() > 10_000, "{left} rows, {}", store.pending());
    // The rest is deleted with the next batches, and all of it with a flush.
    store.step(false).unwrap();
    assert!(count(directory.path(), "delivery") < left);
    store.flush().unwrap();
    assert_eq!((count(directory.path(), "delivery"), store.pending()), (1, 0));
}

/// A message with deliveries 1 and 2, of which the second came through a shared
/// subscription.
fn shared_message() -> Arc<Message> {
    let message = message_to(1, b"x", &[(1, 1, 5), (2, 2, 6)]);
    let mut message = Arc::try_unwrap(message).unwrap();
    message.shares = Some(Box::new([None, Some("$share/g/a".into())]));
    Arc::new(message)
}

fn move_to(delivery: u64, session: u64, to: u64, packet: u16) -> Op {
    Op::Move {
        delivery: DeliveryId(delivery),
        to: SlotState {
            session: SessionId(session),
            delivery: DeliveryId(to),
            packet_id: packet_id(packet),
            qos: QoS::AtLeastOnce,
            retain: true,
        },
        share: "$share/g/a".into(),
        change: Arc::default(),
    }
}

#[test]
fn the_shared_subscription_of_a_delivery_is_read_back_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    store.add_references(MessageId(1), 2);
    commit(&store, vec![session(1, "a"), session(2, "b"), Op::Message(shared_message())]);
    commit(&store, vec![Op::Message(message_to(2, b"y", &[(1, 3, 7)]))]);
    let ids: Vec<_> = (1..=3).map(|id| QueuedId { id: DeliveryId(id), size: 1 }).collect();
    let page = page(&store, &ids);
    let shares: Vec<_> = page.iter().map(|row| row.share.as_deref()).collect();
    assert_eq!(shares, [None, Some("$share/g/a"), None]);
}

#[test]
fn a_delivery_goes_from_session_to_session_before_it_is_changed_or_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    store.add_references(MessageId(1), 2);
    let sessions = vec![session(1, "a"), session(2, "b"), session(3, "c")];
    commit(&store, sessions);
    let renumber = |id, packet| Op::PacketId {
        delivery: DeliveryId(id),
        packet_id: packet_id(packet),
        change: Arc::default(),
    };
    commit(
        &store,
        vec![
            Op::Message(shared_message()),
            state(Change::EndSession(SessionId(2))),
            move_to(2, 1, 10, 8),
            // Its new session ends as well.
            move_to(10, 3, 11, 9),
            renumber(11, 40),
            renumber(1, 41),
            move_to(77, 3, 78, 9),
        ],
    );
    let id = |id| QueuedId { id: DeliveryId(id), size: 1 };
    let rows = page(&store, &[id(1), id(2), id(10), id(11), id(78)]);
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row.delivery.0, row.packet_id.get(), row.retain, row.share.is_some()))
        .collect();
    assert_eq!(found, [(1, 41, false, false), (11, 40, true, true)]);
    commit(&store, vec![Op::Delete { delivery: DeliveryId(11), message: None }]);
    assert_eq!(count(directory.path(), "delivery"), 1);
}

#[test]
fn waiters_are_kept_once_for_each_session_that_still_exists() {
    let sessions: [Arc<SessionWake>; 3] = std::array::from_fn(|_| Arc::default());
    let waiter = |of: &Arc<SessionWake>, cause| Waiter { session: Arc::clone(of), cause };
    let mut waiters = Vec::new();
    for _ in 0..3 {
        for session in &sessions {
            waiters.push(waiter(session, WakeCause::FanOut));
        }
        waiters.push(waiter(&sessions[1], WakeCause::Direct));
    }
    let [first, second, ended] = sessions;
    drop(ended);
    Waiter::unite(&mut waiters);
    let mut kept: Vec<_> =
        waiters.iter().map(|waiter| (Arc::ptr_eq(&waiter.session, &first), waiter.cause)).collect();
    kept.sort_by_key(|(is_first, _)| !is_first);
    assert_eq!(kept, [(true, WakeCause::FanOut), (false, WakeCause::Direct)]);
    drop(second);
}
