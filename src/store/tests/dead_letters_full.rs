//! Dead letters on a full disk: they use the pages of what they replace, and where that is not
//! enough they wait with their deliveries on disk.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

const QUOTA: u64 = 1 << 20;

/// A database that is full of messages for session 1, and these.
fn full(directory: &Path, payload: usize) -> (Store, Vec<Arc<Message>>) {
    let durability = DurabilityMode::Commit;
    let config = StoreConfig { max_size: QUOTA, durability, ..config(directory) };
    let (store, _) = Store::open_stepped(&config, Arc::default()).unwrap();
    let mut messages: Vec<Arc<Message>> = Vec::new();
    // Batches become smaller, so that the last page is filled.
    for size in [64, 1] {
        loop {
            let next = messages.len() as u64 + 1;
            let batch: Vec<_> = (next..next + size)
                .map(|id| message_to(id, &vec![7; payload], &[(1, id, 1)]))
                .collect();
            let ops = batch.iter().map(|one| Op::Message(Arc::clone(one)));
            let number = submit(&store, ops.collect());
            store.step(true).unwrap();
            if !batch[0].durability.is_on_disk(number) {
                break;
            }
            messages.extend(batch);
        }
    }
    assert_eq!(store.state(), StoreState::Full);
    (store, messages)
}

/// Their messages stay for another receiver, so that nothing is freed.
fn share(store: &Store, messages: &[Arc<Message>]) {
    for one in messages {
        store.add_references(one.id, 2);
    }
}

fn all(directory: &Path) -> i64 {
    assert_eq!(count(directory, "message"), count(directory, "delivery"));
    count(directory, "delivery") + count(directory, "dead_letter")
}

#[test]
fn a_queue_whose_messages_are_all_refused_moves_on_a_full_disk() {
    // A small message takes less room than its dead letter, which has more columns.
    for (payload, keep) in [(10, 1000), (200, u32::MAX), (5000, u32::MAX), (40_000, u32::MAX)] {
        let directory = tempfile::tempdir().unwrap();
        let (store, messages) = full(directory.path(), payload);
        for some in messages.chunks(if payload < 1000 { 50 } else { 1 }) {
            let ops = some.iter().map(|one| dead_letter("up", one, one.id.0, keep));
            commit(&store, ops.collect());
            let waiting = store.metrics().dead_letters_waiting.load(Relaxed);
            assert_eq!(waiting, 0, "payloads of {payload} bytes");
        }
        assert_eq!(count(directory.path(), "delivery"), 0);
        let kept = messages.len().min(keep as usize);
        assert_eq!(all(directory.path()), i64::try_from(kept).unwrap());
    }
}

#[test]
fn what_a_bridge_no_longer_keeps_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let (store, messages) = full(directory.path(), 5000);
    let ops = messages.iter().map(|one| dead_letter("up", one, one.id.0, 10)).collect();
    commit(&store, ops);
    commit(&store, Vec::new());
    assert_eq!(all(directory.path()), 10);
    let next = messages.len() as u64 + 2;
    let fits = message_to(next, &[7; 5000], &[(1, next, 1)]);
    commit(&store, vec![Op::Message(Arc::clone(&fits))]);
    assert!(fits.durability.is_on_disk(store.committed()));
    assert_eq!(store.state(), StoreState::Running);
}

#[test]
fn a_dead_letter_without_room_waits_with_its_delivery_and_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let (store, messages) = full(directory.path(), 5000);
    share(&store, &messages);
    for one in &messages {
        // Beside what must go on.
        let step = vec![dead_letter("up", one, one.id.0, u32::MAX), session(1, "bridge")];
        commit(&store, step);
    }
    let waiting = store.metrics().dead_letters_waiting.load(Relaxed);
    let (letters, deliveries) =
        (count(directory.path(), "dead_letter"), count(directory.path(), "delivery"));
    assert!(waiting > 0 && letters > 0, "some of the headroom is theirs");
    assert_eq!(deliveries, i64::try_from(waiting).unwrap());
    let file = rusqlite::Connection::open(config(directory.path()).path).unwrap();
    let pages = crate::store::pragma(&file, "page_count").unwrap();
    assert!(pages <= 128 + 96, "{pages} pages");
    drop(file);
    // Sessions still find theirs.
    for id in 2..200 {
        commit(&store, vec![session(id, &format!("{id:0100}"))]);
    }
    // A crash loses none: those that wait are sent again.
    drop(store);
    let (store, recovered) = stepped(directory.path());
    assert_eq!(recovered.sessions[0].queued() as u64, waiting);
    assert_eq!(i64::try_from(dead_letters(&store).len()).unwrap(), letters);
}

#[test]
fn those_that_wait_are_written_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let (store, messages) = full(directory.path(), 5000);
    share(&store, &messages);
    let ops = messages.iter().map(|one| dead_letter("up", one, one.id.0, u32::MAX)).collect();
    commit(&store, ops);
    assert!(store.metrics().dead_letters_waiting.load(Relaxed) > 0);
    // The other receivers acknowledge.
    let written = dead_letters(&store).len();
    let ops = messages.iter().enumerate().map(|(index, one)| {
        let last = store.release(one.id);
        assert_eq!(last, index < written, "a delivery that waits keeps its message");
        Op::Delete { delivery: DeliveryId(10_000 + one.id.0), message: last.then_some(one.id) }
    });
    commit(&store, ops.collect());
    for _ in 0..messages.len() {
        store.step_idle().unwrap();
        commit(&store, Vec::new());
    }
    assert_eq!(store.metrics().dead_letters_waiting.load(Relaxed), 0);
    assert_eq!(count(directory.path(), "dead_letter"), i64::try_from(messages.len()).unwrap());
    assert_eq!(count(directory.path(), "message"), 0);
}

#[test]
fn what_waits_in_memory_is_bounded_and_what_is_forgotten_stays_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (store, messages) = full(directory.path(), 200);
    assert!(messages.len() > 1500);
    share(&store, &messages);
    let ops = messages.iter().map(|one| dead_letter("up", one, one.id.0, u32::MAX)).collect();
    commit(&store, ops);
    let waiting = store.metrics().dead_letters_waiting.load(Relaxed);
    let forgotten = store.metrics().dead_letters_forgotten.load(Relaxed);
    assert!(waiting <= 1024 && forgotten > 0, "{waiting} {forgotten}");
    let on_disk = u64::try_from(count(directory.path(), "delivery")).unwrap();
    assert_eq!(on_disk, waiting + forgotten);
}

#[test]
fn a_message_that_the_disk_refuses_leaves_no_dead_letter() {
    let directory = tempfile::tempdir().unwrap();
    let (store, messages) = full(directory.path(), 5000);
    let next = messages.len() as u64 + 2;
    let refused = message_to(next, &[7; 5000], &[(1, next, 1)]);
    let ops = vec![Op::Message(Arc::clone(&refused)), dead_letter("up", &refused, next, 9)];
    commit(&store, ops);
    assert!(refused.durability.is_refused(), "and its publisher is told");
    commit(&store, Vec::new());
    assert_eq!(store.metrics().dead_letters_waiting.load(Relaxed), 0);
    assert_eq!(count(directory.path(), "dead_letter"), 0);
}

#[test]
fn one_of_a_message_that_waits_for_room_is_written_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, messages) = full(directory.path(), 5000);
    let publisher = Arc::new(Wake::default());
    publisher.set_back_pressure(true);
    let next = messages.len() as u64 + 2;
    let parked = message(next, &[7; 5000], &[(1, next, 1)], None, Some(Arc::clone(&publisher)));
    let ops = vec![Op::Message(Arc::clone(&parked)), dead_letter("up", &parked, next, 9)];
    commit(&store, ops);
    assert!(parked.durability.is_parked());
    assert_eq!(count(directory.path(), "dead_letter"), 0);
    let deletes = messages
        .iter()
        .map(|one| Op::Delete { delivery: DeliveryId(one.id.0), message: Some(one.id) });
    commit(&store, deletes.collect());
    commit(&store, Vec::new());
    assert!(parked.durability.is_on_disk(store.committed()));
    assert_eq!(all(directory.path()), 1);
    assert_eq!(count(directory.path(), "dead_letter"), 1);
}
