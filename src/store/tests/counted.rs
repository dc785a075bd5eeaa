//! The store's metrics, compared with the files.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::*;

/// Bytes of the header of SQLite's WAL (file format, 4.1).
const WAL_HEADER: u64 = 32;

fn wal(directory: &Path) -> u64 {
    std::fs::metadata(directory.join("data/ferrymq.db-wal")).map_or(0, |file| file.len())
}

fn submit(store: &Store, ids: std::ops::Range<u64>, payload: &[u8]) {
    let mut submission = Submission::default();
    for id in ids {
        let receivers = [(1, id, u16::try_from(id).unwrap())];
        submission.ops.push(Op::Message(message_to(id, payload, &receivers)));
    }
    store.submit(&mut submission).unwrap();
    store.step(true).unwrap();
}

#[test]
fn bytes_are_counted_as_the_files_have_them() {
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig { wal_checkpoint_pages: 1 << 20, ..config(directory.path()) };
    let (store, _) = Store::open_stepped(&config, Arc::default()).unwrap();
    let metrics = store.metrics();
    let written = || (metrics.wal_written.load(Relaxed), metrics.database_written.load(Relaxed));
    assert_eq!(written(), (0, 0), "the start is not counted");
    let start = wal(directory.path());

    submit(&store, 1..21, &[7; 5000]);
    submit(&store, 21..41, &[7; 5000]);
    assert_eq!(written().0, wal(directory.path()) - start);
    let payload = 40 * (5000 + "a/topic".len() as u64 + 2);
    assert_eq!(metrics.payload_bytes.load(Relaxed), payload);
    assert!(written().0 > payload);
    assert_eq!(metrics.sync_duration.snapshot().count, metrics.commits.load(Relaxed));
    assert!(metrics.sync_duration.snapshot().sum <= metrics.commit_duration.snapshot().sum);
    assert!(metrics.last_commit.load(Relaxed) > 0);

    // When idle, the WAL is checkpointed and truncated.
    let before = written().0;
    while store.step_idle().unwrap() {}
    assert_eq!(wal(directory.path()), 0);
    let pages = metrics.checkpointed_pages.load(Relaxed);
    assert!(pages > 20, "{pages}");
    assert_eq!(written().1, pages * 8192);
    let database = metrics.database_size.load(Relaxed);
    assert!(written().1 <= database, "each page once: {} of {database}", written().1);
    // The next commit restarts the WAL.
    submit(&store, 41..42, &[7; 100]);
    assert_eq!(written().0 - before, wal(directory.path()) - WAL_HEADER);
}

#[test]
fn a_wal_that_is_written_over_counts_as_written() {
    let directory = tempfile::tempdir().unwrap();
    // PASSIVE after each commit: the next commit restarts the WAL without truncating it.
    let config = StoreConfig { wal_checkpoint_pages: 1, ..config(directory.path()) };
    let (store, _) = Store::open_stepped(&config, Arc::default()).unwrap();
    let metrics = store.metrics();
    // Removes what the start wrote.
    while store.step_idle().unwrap() {}
    let mut before = metrics.wal_written.load(Relaxed);
    for batch in 0..5 {
        // Each batch is larger than the last: its frames cover all older ones, so the file,
        // which is not truncated, ends with them.
        let first = 1 + batch * 100;
        submit(&store, first..first + 10 * (batch + 1), &[7; 5000]);
        let now = metrics.wal_written.load(Relaxed);
        assert_eq!(now - before, wal(directory.path()) - WAL_HEADER, "batch {batch}");
        before = now;
    }
}

#[test]
fn room_is_what_quota_and_volume_leave() {
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig { max_size: 1 << 20, ..config(directory.path()) };
    let (store, _) = Store::open_stepped(&config, Arc::default()).unwrap();
    let metrics = store.metrics();
    assert!(metrics.is_measured());
    let used = metrics.database_size.load(Relaxed) - metrics.free_bytes.load(Relaxed);
    assert_eq!(metrics.room(), (1 << 20) - used);
    assert!(metrics.volume_size.load(Relaxed) >= metrics.volume_available.load(Relaxed));
    assert!(metrics.seconds_to_full(Instant::now()).is_infinite(), "nothing grows");
    assert!(metrics.last_checkpoint.load(Relaxed) > 0, "the start has copied the WAL back");
}

/// A connection of another program, which has read once: before that it does not use the WAL.
fn other(config: &StoreConfig) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(&config.path).unwrap();
    other.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    other
}

#[test]
fn that_another_program_has_copied_the_wal_back_is_seen_at_the_next_commit() {
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig { checkpoints: Checkpoints::External, ..config(directory.path()) };
    let (store, _) = Store::open_stepped(&config, Arc::default()).unwrap();
    let metrics = store.metrics();
    submit(&store, 1..100, &[7; 5000]);
    metrics.last_checkpoint.store(0, Relaxed);
    submit(&store, 100..110, &[7; 5000]);
    assert_eq!(metrics.last_checkpoint.load(Relaxed), 0, "nobody has");
    let other = other(&config);
    // Shorter than the previous contents of the WAL, as long, and longer.
    for (batch, count) in [10, 10, 10, 30].into_iter().enumerate() {
        let passive = rusqlite::wal::CheckpointMode::PASSIVE;
        let (log, copied) = other.wal_checkpoint_v2(None::<&str>, passive).unwrap();
        assert!(log == copied && log > 0);
        metrics.last_checkpoint.store(0, Relaxed);
        let before = metrics.wal_written.load(Relaxed);
        let first = 1000 * (1 + u64::try_from(batch).unwrap());
        submit(&store, first..first + count, &[7; 5000]);
        assert!(metrics.last_checkpoint.load(Relaxed) > 0, "batch {batch}");
        assert!(metrics.wal_written.load(Relaxed) - before > count * 5000, "batch {batch}");
    }
}

#[test]
fn a_checkpoint_that_a_reader_keeps_from_getting_on_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig { wal_checkpoint_pages: 1, ..config(directory.path()) };
    let (store, _) = Store::open_stepped(&config, Arc::default()).unwrap();
    let metrics = store.metrics();
    submit(&store, 1..10, &[7; 5000]);
    let other = other(&config);
    other.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
    let commit = |first: u64| {
        // An incomplete checkpoint is not repeated at each commit.
        let runs = metrics.checkpoints.load(Relaxed);
        for id in (first..first + 100).step_by(10) {
            submit(&store, id..id + 10, &[7; 5000]);
        }
        assert!(metrics.checkpoints.load(Relaxed) > runs);
    };
    commit(100);
    metrics.last_checkpoint.store(0, Relaxed);
    commit(200);
    assert_eq!(metrics.last_checkpoint.load(Relaxed), 0);
    other.execute_batch("COMMIT").unwrap();
    commit(300);
    assert!(metrics.last_checkpoint.load(Relaxed) > 0);
}
