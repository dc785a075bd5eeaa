//! Files that cannot be opened, are damaged or locked, and what a start leaves behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

#[test]
fn a_second_broker_is_told_who_has_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = threaded(directory.path());
    let refused = Store::open_stepped(&config(directory.path()), Arc::default());
    let Err(OpenError::Locked { pid, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(pid, std::process::id().to_string());
    store.shutdown(Duration::from_secs(5)).unwrap();
    stepped(directory.path());
}

#[test]
fn a_foreign_file_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).path;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open_stepped(&config(directory.path()), Arc::default());
    assert!(matches!(refused, Err(OpenError::Foreign { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    std::fs::write(
        &path,
        b"This is a letter and no database at all, and longer than a header. ".repeat(9),
    )
    .unwrap();
    let refused = Store::open_stepped(&config(directory.path()), Arc::default());
    assert!(matches!(refused, Err(OpenError::Foreign { .. })), "{refused:?}");
}

#[test]
fn a_file_of_a_later_release_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(stepped(directory.path()));
    let path = config(directory.path()).path;
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = Store::open_stepped(&config(directory.path()), Arc::default());
    assert!(!refused.as_ref().unwrap_err().to_string().contains('\n'), "one line");
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, known: 4, .. })), "{refused:?}");
}

/// A database with several pages of messages, overwritten in its middle.
fn damaged(directory: &Path) {
    let (store, _) = stepped(directory);
    let ops = (1..=5000).map(|id| Op::Message(message_to(id, &[1; 100], &[(1, id, 1)])));
    commit(&store, ops.collect());
    drop(store);
    drop(stepped(directory)); // SAME
    let path = config(directory).path;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20_000].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_damaged_file_is_refused_after_an_unclean_stop() {
    let directory = tempfile::tempdir().unwrap();
    damaged(directory.path());
    let refused = Store::open_stepped(&config(directory.path()), Arc::default());
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
}

#[test]
fn damage_found_after_the_start_poisons_and_is_refused_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    damaged(directory.path());
    let hurried = StoreConfig { quick_check_budget: Duration::ZERO, ..config(directory.path()) };
    let told = Arc::new(AtomicUsize::new(0));
    let hook = Arc::clone(&told);
    let opened = Store::open(
        &hurried,
        Arc::default(),
        Box::new(move |_| {
            hook.fetch_add(1, Ordering::SeqCst);
        }),
    );
    // The scan may find the damage first.
    if let Ok((store, _)) = opened {
        let mut waited = 0;
        while store.state() != StoreState::Poisoned {
            std::thread::sleep(Duration::from_millis(5));
            waited += 1;
            assert!(waited < 4000, "not noticed");
        }
        assert_eq!(store.submit(&mut Submission::default()), Err(SubmitError::Poisoned));
        drop(store);
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }
    let refused = Store::open(&hurried, Arc::default(), Box::new(|_| {}));
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
}

#[test]
fn somebody_may_look_into_the_file_and_even_lock_it() {
    let directory = tempfile::tempdir().unwrap();
    let busy = StoreConfig { busy_timeout: Duration::from_millis(1), ..config(directory.path()) };
    let (store, _) = Store::open(&busy, Arc::default(), Box::new(|_| {})).unwrap();
    let other = rusqlite::Connection::open(&busy.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let number = submit(&store, vec![session(1, "a")]);
    std::thread::sleep(Duration::from_millis(50));
    assert!(store.committed() < number, "waits for the lock");
    other.execute_batch("ROLLBACK").unwrap();
    store.flush().unwrap();
    commit_and_flush(&store, vec![Op::Message(message_to(1, b"x", &[(1, 1, 1)]))]);
    for (view, rows) in [("queue_by_client", 1), ("inflight", 1), ("sizes", 7)] {
        assert_eq!(count(directory.path(), view), rows, "{view}");
    }
}

fn commit_and_flush(store: &Store, ops: Vec<Op>) {
    submit(store, ops);
    store.flush().unwrap();
}

#[test]
fn a_shutdown_leaves_nothing_in_the_wal() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = threaded(directory.path());
    submit(&store, vec![session(1, "a")]);
    store.shutdown(Duration::from_secs(5)).unwrap();
    let wal = directory.path().join("data/ferrymq.db-wal");
    assert_eq!(std::fs::metadata(wal).map_or(0, |metadata| metadata.len()), 0);
    assert_eq!(count(directory.path(), "meta WHERE key = 'clean' AND value = 1"), 1);
}

#[test]
fn a_failing_disk_poisons_and_everyone_hears_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = stepped(directory.path());
    // Represents any error that is neither "full" nor "busy": the table is gone.
    let other = rusqlite::Connection::open(config(directory.path()).path).unwrap();
    other.execute_batch("DROP TABLE delivery").unwrap();
    let (publisher, waiter) = (Arc::new(Wake::default()), Arc::new(Wake::default()));
    let one = message(1, b"x", &[(1, 1, 1)], None, Some(Arc::clone(&publisher)));
    store
        .submit(&mut Submission {
            ops: vec![Op::Message(Arc::clone(&one))],
            waiters: vec![waiter_of(&waiter)],
            ..Submission::default()
        })
        .unwrap();
    assert_eq!(store.step(true), Err(SubmitError::Poisoned));
    let context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(publisher.poll(&context).is_some() && waiter.poll(&context).is_some());
    assert!(!one.durability.may_acknowledge(store.committed()));
    assert_eq!(store.state(), StoreState::Poisoned);
    assert_eq!(store.submit(&mut Submission::default()), Err(SubmitError::Poisoned));
    assert!(!store.metrics().errors().is_empty());
}

/// The files in a directory.
fn names(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_start_that_is_refused_leaves_nothing_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path| Store::open_stepped(&StoreConfig::at(path), Arc::default());
    let notes = directory.path().join("notes.txt");
    std::fs::write(&notes, "milk, eggs\n".repeat(100)).unwrap();
    open(&notes).unwrap_err();
    assert_eq!(names(directory.path()), ["notes.txt"]);

    let refused = open(directory.path()).unwrap_err();
    assert!(refused.to_string().contains("is a directory and no file"), "{refused}");
    assert!(!beside(directory.path(), ".lock").exists());

    damaged(directory.path());
    let data = directory.path().join("data");
    // Removes all other files, as a user might to examine the database alone.
    for suffix in ["-wal", "-shm", ".lock", ".reserve"] {
        let _ = std::fs::remove_file(beside(&config(directory.path()).path, suffix));
    }
    Store::open_stepped(&config(directory.path()), Arc::default()).unwrap_err();
    assert_eq!(names(&data), ["ferrymq.db"]);
}

#[test]
fn a_lock_file_that_was_there_stays() {
    let directory = tempfile::tempdir().unwrap();
    let notes = directory.path().join("notes.txt");
    std::fs::write(&notes, "milk, eggs\n".repeat(100)).unwrap();
    std::fs::write(beside(&notes, ".lock"), "").unwrap();
    Store::open_stepped(&StoreConfig::at(notes), Arc::default()).unwrap_err();
    assert_eq!(names(directory.path()), ["notes.txt", "notes.txt.lock"]);
}

#[test]
fn files_beside_the_database_have_its_rights() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let mode = |suffix: &str| {
        let path = beside(&config(directory.path()).path, suffix);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    let (store, _) = stepped(directory.path());
    for suffix in ["-wal", ".lock", ".reserve"] {
        assert_eq!(mode(suffix), mode(""), "{suffix}");
    }
    assert_eq!(mode("") & 0o007, 0, "not for others");
    drop(store);
}
