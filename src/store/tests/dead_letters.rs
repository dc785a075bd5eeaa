//! Dead letters: what is on disk before and after their commit, how many are kept, and what
//! becomes of their messages.

use super::*;

fn kept(store: &Store, bridge: &str) -> DeadLetterCount {
    let counts = store.metrics().dead_letters();
    counts.into_iter().find(|(name, _)| &**name == bridge).unwrap_or_default().1
}

fn rows(directory: &Path) -> (i64, i64, i64) {
    let count = |table| count(directory, table);
    (count("message"), count("delivery"), count("dead_letter"))
}

#[test]
fn a_dead_letter_replaces_its_delivery_in_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let one = message_to(1, b"refused", &[(1, 1, 1)]);
    commit(&store, vec![session(1, "bridge"), Op::Message(Arc::clone(&one))]);
    assert_eq!(rows(directory.path()), (1, 1, 0));
    // A crash before the commit.
    submit(&store, vec![dead_letter("up", &one, 1, 10)]);
    drop(store);
    let (store, mut recovered) = stepped(directory.path());
    assert_eq!(rows(directory.path()), (1, 1, 0));
    // And one after it, for the message as it was read back.
    let ids = queue_ids(&mut recovered, 0);
    let again = Arc::clone(&page(&store, &ids)[0].message);
    commit(&store, vec![dead_letter("up", &again, 1, 10)]);
    drop(store);
    assert_eq!(rows(directory.path()), (0, 0, 1));
    let (store, recovered) = stepped(directory.path());
    assert_eq!(recovered.sessions[0].queued(), 0);
    assert_eq!(kept(&store, "up"), DeadLetterCount { kept: 1, dropped: 0 });
    let letters = dead_letters(&store);
    let expected = StoredDeadLetter {
        id: 1,
        bridge: "up".into(),
        // The clock of the file was unknown, so its times were moved.
        failed_at: letters[0].failed_at,
        reason: Some(0x87),
        detail: "not authorized".into(),
        topic: "a/topic".into(),
        remote_topic: Some("over/there".into()),
        qos: QoS::AtLeastOnce,
        retain: false,
        published_at: letters[0].published_at,
        expires_at: None,
        properties: vec![38, 0],
        payload: b"refused".to_vec(),
        payload_bytes: 7,
    };
    assert_eq!(letters, [expected]);
}

#[test]
fn a_message_that_is_refused_before_it_is_written_is_not_elided() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let publisher = Arc::new(Wake::default());
    let one = message(1, b"refused", &[(1, 1, 1)], None, Some(Arc::clone(&publisher)));
    let held = vec![Arc::clone(&one)];
    store.submit(&mut Submission { held, ..Submission::default() }).unwrap();
    let ops = vec![session(1, "bridge"), dead_letter("up", &one, 1, 10)];
    store.submit(&mut Submission { ops, ..Submission::default() }).unwrap();
    // The message is still held, so the dead letter waits for it.
    store.step(false).unwrap();
    assert!(!one.durability.may_acknowledge(store.committed()));
    assert_eq!(rows(directory.path()), (0, 0, 0));
    store.step(true).unwrap();
    assert!(one.durability.may_acknowledge(store.committed()));
    assert_eq!(rows(directory.path()), (0, 0, 1));
}

#[test]
fn the_message_stays_for_its_other_receivers_and_goes_with_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let one = message_to(1, b"two", &[(1, 1, 1), (2, 2, 1)]);
    store.add_references(one.id, 2);
    commit(&store, vec![session(1, "bridge"), session(2, "other"), Op::Message(Arc::clone(&one))]);
    commit(&store, vec![dead_letter("up", &one, 1, 10)]);
    assert_eq!(rows(directory.path()), (1, 1, 1));
    assert!(store.release(one.id), "the other one is the last");
    commit(&store, vec![Op::Delete { delivery: DeliveryId(2), message: Some(one.id) }]);
    assert_eq!(rows(directory.path()), (0, 0, 1));
    // The other way round.
    let two = message_to(2, b"two", &[(1, 3, 1), (2, 4, 1)]);
    store.add_references(two.id, 2);
    commit(&store, vec![Op::Message(Arc::clone(&two))]);
    submit(&store, vec![dead_letter("up", &two, 3, 10)]);
    assert!(!store.release(two.id), "the dead letter is not committed");
    commit(&store, vec![Op::Delete { delivery: DeliveryId(4), message: None }]);
    assert_eq!(rows(directory.path()), (0, 0, 2));
    assert!(store.references().is_empty());
}

#[test]
fn each_bridge_keeps_its_last_ones() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    for id in 1..=10 {
        let bridge = if id % 2 == 0 { "even" } else { "odd" };
        let one = message_to(id, &id.to_be_bytes(), &[(1, id, 1)]);
        commit(&store, vec![Op::Message(Arc::clone(&one)), dead_letter(bridge, &one, id, 3)]);
    }
    let ids: Vec<u64> = dead_letters(&store).iter().map(|letter| letter.id).collect();
    assert_eq!(ids, [5, 6, 7, 8, 9, 10]);
    assert_eq!(kept(&store, "even"), DeadLetterCount { kept: 3, dropped: 2 });
    drop(store);
    // Counted again at the start.
    let (store, _) = stepped(directory.path());
    assert_eq!(kept(&store, "odd"), DeadLetterCount { kept: 3, dropped: 0 });
    let one = message_to(11, b"11", &[(1, 11, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&one)), dead_letter("odd", &one, 11, 2)]);
    let of = |bridge: &str| {
        let bridge = Some(bridge.into());
        dead_letter_page(&store, DeadLetterQuery { bridge, limit: 9, ..Default::default() })
    };
    let ids: Vec<u64> = of("odd").letters.iter().map(|letter| letter.id).collect();
    assert_eq!(ids, [9, 11], "the limit was lowered");
    // Removed ones count no longer, and their ids do not come back.
    commit(&store, vec![Op::RemoveDeadLetters(vec![9, 11, 99])]);
    assert_eq!(kept(&store, "odd").kept, 0);
    let one = message_to(12, b"12", &[(1, 12, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&one)), dead_letter("odd", &one, 12, 0)]);
    assert!(of("odd").letters.is_empty(), "a bridge that keeps none");
    assert_eq!(rows(directory.path()), (0, 0, 3));
    let one = message_to(13, b"13", &[(1, 13, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&one)), dead_letter("odd", &one, 13, 2)]);
    assert_eq!(of("odd").letters[0].id, 12);
}

#[test]
fn a_page_ends_where_it_should_and_the_next_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    for id in 1..=5 {
        let one = message_to(id, &[7; 100], &[(1, id, 1)]);
        commit(&store, vec![Op::Message(Arc::clone(&one)), dead_letter("up", &one, id, 9)]);
    }
    let query = DeadLetterQuery { limit: 2, payload: 60, payloads: 100, ..Default::default() };
    let first = dead_letter_page(&store, query.clone());
    let lengths: Vec<usize> = first.letters.iter().map(|letter| letter.payload.len()).collect();
    assert_eq!((first.more, &lengths[..]), (true, &[60, 40][..]));
    assert!(first.letters.iter().all(|it| it.payload_bytes == 100 && it.properties.is_empty()));
    let last = dead_letter_page(&store, DeadLetterQuery { after: 3, ..query });
    assert_eq!((last.more, last.letters.len(), last.letters[0].id), (false, 2, 4));
}

#[test]
fn an_empty_payload_is_read_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let one = message_to(1, b"", &[(1, 1, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&one)), dead_letter("up", &one, 1, 9)]);
    let letters = dead_letters(&store);
    assert!(letters[0].payload.is_empty());
    assert_eq!(letters[0].payload_bytes, 0);
}

#[test]
fn the_clock_of_a_start_moves_the_times_of_dead_letters_too() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let one = message_to(1, b"1", &[(1, 1, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&one)), dead_letter("up", &one, 1, 9)]);
    drop(store);
    let file = rusqlite::Connection::open(config(directory.path()).path).unwrap();
    file.execute_batch("UPDATE meta SET value = 0 WHERE key LIKE 'clock%'").unwrap();
    drop(file);
    let (store, recovered) = stepped(directory.path());
    let now = recovered.clock.unwrap().wall;
    let letter = &dead_letters(&store)[0];
    assert_eq!(letter.failed_at, now, "the latest time in the file, by a clock that was wrong");
    assert_eq!(letter.failed_at.0 - letter.published_at.0, 500);
}

#[test]
fn two_bridges_that_refuse_a_message_at_once_leave_nothing_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    let one = message_to(1, b"two", &[(1, 1, 1), (2, 2, 1)]);
    store.add_references(one.id, 2);
    let (up, down) = (dead_letter("up", &one, 1, 10), dead_letter("down", &one, 2, 10));
    commit(&store, vec![Op::Message(Arc::clone(&one)), up, down]);
    assert_eq!(rows(directory.path()), (0, 0, 2));
    assert!(store.references().is_empty());
}
