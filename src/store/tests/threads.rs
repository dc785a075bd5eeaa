//! The real threads: races between the writer and acknowledging receivers, and a volume that
//! is actually full.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;

/// One publisher and its receiver: submits messages and acknowledges some at once and some
/// later.
fn publish(store: &Store, publisher: u64, next: &AtomicU64) {
    let mut waiting = Vec::new();
    for turn in 0..200_u64 {
        let mut submission = Submission::default();
        for _ in 0..8 {
            let id = next.fetch_add(1, Ordering::Relaxed);
            let one = message_to(id, b"payload", &[(publisher, id, 1)]);
            if id.is_multiple_of(3) {
                submission.ops.push(Op::Message(Arc::clone(&one)));
            } else {
                submission.held.push(Arc::clone(&one));
            }
            waiting.push(one);
        }
        store.submit(&mut submission).unwrap();
        if turn % 4 == 3 {
            complete(store, waiting.drain(..).rev());
        }
    }
}

fn complete(store: &Store, messages: impl Iterator<Item = Arc<Message>>) {
    let mut submission = Submission::default();
    for one in messages {
        one.slots[0].acknowledge();
        if one.durability.complete() {
            let delivery =
                one.slots[0].to_write().map_or(DeliveryId(one.id.0), |slot| slot.delivery);
            submission.ops.push(Op::Delete { delivery, message: Some(one.id) });
        }
        assert!(one.durability.may_acknowledge(store.committed()));
    }
    store.submit(&mut submission).unwrap();
}

#[test]
fn whoever_wins_the_race_no_row_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = threaded(directory.path());
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for publisher in 1..=4 {
            let (store, next) = (&store, &next);
            scope.spawn(move || publish(store, publisher, next));
        }
    });
    store.flush().unwrap();
    assert_eq!(store.pending(), 0);
    let told = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let metrics = store.metrics();
    assert_eq!(told(&metrics.committed_messages) + told(&metrics.elided_messages), 4 * 200 * 8);
    assert_eq!((count(directory.path(), "message"), count(directory.path(), "delivery")), (0, 0));
    store.shutdown(Duration::from_secs(10)).unwrap();
}

#[test]
fn an_idle_store_empties_its_wal() {
    let directory = tempfile::tempdir().unwrap();
    let quick = StoreConfig { idle_after: Duration::from_millis(20), ..config(directory.path()) };
    let (store, _) = Store::open(&quick, Arc::default(), Box::new(|_| {})).unwrap();
    submit(&store, vec![session(1, "a")]);
    store.flush().unwrap();
    let wal = directory.path().join("data/ferrymq.db-wal");
    let start = Instant::now();
    while std::fs::metadata(&wal).unwrap().len() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn async_mode_commits_by_itself_in_its_interval() {
    let directory = tempfile::tempdir().unwrap();
    let lazy = StoreConfig {
        durability: DurabilityMode::Async,
        flush_interval: Duration::from_millis(30),
        ..config(directory.path())
    };
    let (store, _) = Store::open(&lazy, Arc::default(), Box::new(|_| {})).unwrap();
    let start = Instant::now();
    for id in 1..=20 {
        submit(&store, vec![Op::Message(message_to(id, b"x", &[(1, id, 1)]))]);
        std::thread::sleep(Duration::from_millis(3));
    }
    let commits = u128::from(store.metrics().commits.load(Ordering::Relaxed));
    assert!(commits <= start.elapsed().as_millis() / 30 + 2, "{commits} commits");
    store.flush().unwrap();
    assert_eq!(count(directory.path(), "message"), 20);
}

#[test]
fn a_lower_limit_for_the_wal_holds_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let tight =
        StoreConfig { wal_checkpoint_pages: 64, wal_limit: 2 << 20, ..config(directory.path()) };
    let (store, _) = Store::open_stepped(&tight, Arc::default()).unwrap();
    for batch in 0..50 {
        let ids = batch * 100 + 1..batch * 100 + 101;
        commit(
            &store,
            ids.map(|id| Op::Message(message_to(id, &[0; 1000], &[(1, id, 1)]))).collect(),
        );
    }
    let wal = std::fs::metadata(directory.path().join("data/ferrymq.db-wal")).unwrap().len();
    assert!(wal < 3 << 20, "{wal} bytes");
}

#[test]
fn a_panic_in_the_reader_poisons_the_store_and_every_page_is_answered() {
    const PATIENCE: Duration = Duration::from_secs(10);
    let directory = tempfile::tempdir().unwrap();
    let (poison, poisoned) = channel();
    let hook = Box::new(move |reason: &str| poison.send(reason.to_owned()).unwrap());
    let (store, _) = Store::open(&config(directory.path()), Arc::default(), hook).unwrap();
    let (go_on, told) = channel::<()>();
    let reply = PageReply(Box::new(move |_| {
        told.recv().unwrap();
        panic!("as the test has it");
    }));
    store.page(PageRequest { ids: Vec::new(), ledger: crate::memory::Ledger::default(), reply });
    let (answers, answered) = channel();
    let ask = || {
        let answers = answers.clone();
        let reply = PageReply(Box::new(move |answer| answers.send(answer.is_err()).unwrap()));
        store.page(PageRequest {
            ids: Vec::new(),
            ledger: crate::memory::Ledger::default(),
            reply,
        });
    };
    // Two requests that wait behind it, and one that arrives after the panic.
    ask();
    ask();
    go_on.send(()).unwrap();
    assert_eq!(answered.recv_timeout(PATIENCE), Ok(true));
    assert_eq!(answered.recv_timeout(PATIENCE), Ok(true));
    assert!(poisoned.recv_timeout(PATIENCE).unwrap().contains("panicked"));
    assert_eq!(store.state(), StoreState::Poisoned);
    ask();
    assert_eq!(answered.recv_timeout(PATIENCE), Ok(true));
}

/// As root: `mount -t tmpfs -o size=6m tmpfs DIR`, then `FERRYMQ_TEST_VOLUME=DIR`.
#[test]
#[ignore = "needs a small volume that may be filled: FERRYMQ_TEST_VOLUME"]
fn a_full_volume_refuses_messages_until_there_is_room() {
    let volume = std::env::var("FERRYMQ_TEST_VOLUME").unwrap();
    let directory = tempfile::tempdir_in(volume).unwrap();
    let tight = StoreConfig { reserve_size: 1 << 20, ..config(directory.path()) };
    let (store, _) =
        Store::open(&tight, Arc::default(), Box::new(|reason| panic!("{reason}"))).unwrap();
    submit(&store, vec![session(1, "a")]);
    let mut id = 0;
    while store.state() == StoreState::Running {
        id += 1;
        submit(&store, vec![Op::Message(message_to(id, &[0; 5000], &[(1, id, 1)]))]);
        store.flush().unwrap();
        assert!(id < 10_000);
    }
    let reserve = directory.path().join("data/ferrymq.db.reserve");
    let gap = || {
        eprintln!(
            "refused {id}; reserve there: {}; errors {:?}",
            reserve.exists(),
            store.metrics().errors()
        );
    };
    gap();
    // State and deletes continue.
    submit(&store, vec![session(2, "b")]);
    for first in (1..id).step_by(50) {
        let last = (first + 50).min(id);
        let deletes = (first..last)
            .map(|id| Op::Delete { delivery: DeliveryId(id), message: Some(MessageId(id)) });
        submit(&store, deletes.collect());
        store.flush().unwrap();
    }
    gap();
    let fits = message_to(id + 1, &[0; 5000], &[(1, id + 1, 1)]);
    submit(&store, vec![Op::Message(Arc::clone(&fits))]);
    store.flush().unwrap();
    assert!(fits.durability.is_on_disk(store.committed()));
    assert_eq!(store.state(), StoreState::Running);
    store.shutdown(Duration::from_secs(10)).unwrap();
}
