//! Files that are moved, removed or replaced under an open store, and what remains.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use super::*;

/// A store whose WAL holds `count` messages that the database does not, and the reason why it
/// was poisoned, once it is.
fn with_log(directory: &Path, count: u64) -> (Store, Arc<Mutex<String>>) {
    let told = Arc::new(Mutex::new(String::new()));
    let hook = Arc::clone(&told);
    // Only a commit checks the files, and nothing is checkpointed before.
    let config = StoreConfig { idle_after: Duration::from_hours(1), ..config(directory) };
    let on_poisoned = Box::new(move |reason: &str| reason.clone_into(&mut hook.lock().unwrap()));
    let (store, _) = Store::open(&config, Arc::default(), on_poisoned).unwrap();
    submit(&store, vec![session(1, "away")]);
    submit(
        &store,
        (1..=count).map(|id| Op::Message(message_to(id, b"x", &[(1, id, 1)]))).collect(),
    );
    store.flush().unwrap();
    (store, told)
}

/// Commits once, which poisons the store, and returns the reason.
fn ends(store: Store, told: &Mutex<String>) -> String {
    submit(&store, vec![session(2, "other")]);
    store.flush().unwrap_err();
    assert_eq!(store.state(), StoreState::Poisoned);
    drop(store);
    let told = told.lock().unwrap();
    println!("{told}");
    told.clone()
}

fn paths(directory: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let path = config(directory).path;
    (beside(&path, "-wal"), directory.join("moved.db"), path)
}

fn deliveries(path: &Path) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM delivery", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_database_that_is_renamed_gets_what_its_log_held() {
    let directory = tempfile::tempdir().unwrap();
    let (log, moved, path) = paths(directory.path());
    let (store, told) = with_log(directory.path(), 50);
    std::fs::rename(&path, &moved).unwrap();
    let told = ends(store, &told);
    let words = [&format!("it is now {}", moved.display()), "has been copied into it"];
    assert!(words.iter().all(|word| told.contains(*word)), "{told}");
    assert!(told.contains(&format!("put it back at {}", path.display())), "{told}");

    // The file alone, without its WAL.
    let alone = directory.path().join("alone.db");
    std::fs::copy(&moved, &alone).unwrap();
    assert_eq!(deliveries(&alone), 50);

    let before = std::fs::read(&log).unwrap();
    let refused = Store::open_stepped(&config(directory.path()), Arc::default());
    assert!(matches!(refused, Err(OpenError::Orphaned { .. })), "{refused:?}");
    assert!(before == std::fs::read(&log).unwrap() && !path.exists(), "untouched");
    std::fs::rename(&moved, &path).unwrap();
    let (_, recovered) = stepped(directory.path());
    assert_eq!(recovered.sessions.len(), 2, "the last commit is there, acknowledged or not");
    assert_eq!(count(directory.path(), "delivery"), 50);
}

#[test]
fn a_log_is_not_applied_to_the_file_that_replaced_its_database() {
    let directory = tempfile::tempdir().unwrap();
    let (log, moved, path) = paths(directory.path());
    drop(stepped(&directory.path().join("other")));
    drop(stepped(&directory.path().join("other")));
    let (store, told) = with_log(directory.path(), 50);
    std::fs::rename(&path, &moved).unwrap();
    std::fs::rename(config(&directory.path().join("other")).path, &path).unwrap();
    let told = ends(store, &told);
    assert!(told.contains("another file stands at"), "{told}");
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    assert_eq!(deliveries(&moved), 50);
    let (_, recovered) = stepped(directory.path());
    assert_eq!(recovered.sessions.len(), 0);
}

#[test]
fn a_database_that_is_removed_leaves_a_log_that_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _, path) = paths(directory.path());
    let (store, told) = with_log(directory.path(), 50);
    std::fs::remove_file(&path).unwrap();
    let told = ends(store, &told);
    assert!(told.contains("restore a backup with `ferrymq db restore FILE`"), "{told}");
    let refused = Store::open_stepped(&config(directory.path()), Arc::default()).unwrap_err();
    let words = [&path.display().to_string(), "is missing", "-wal", "move"];
    assert!(words.iter().all(|word| refused.to_string().contains(*word)), "{refused}");
    std::fs::remove_file(&log).unwrap();
    let (_, recovered) = stepped(directory.path());
    assert_eq!(recovered.sessions.len(), 0);
}

#[test]
fn a_log_beside_an_empty_file_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _, path) = paths(directory.path());
    drop(with_log(directory.path(), 50));
    std::fs::write(&path, "").unwrap();
    let before = std::fs::read(&log).unwrap();
    let refused = Store::open_stepped(&config(directory.path()), Arc::default()).unwrap_err();
    assert!(refused.to_string().contains("is empty"), "{refused}");
    assert!(before == std::fs::read(&log).unwrap(), "untouched");
}

/// A case found by the simulation, seed 1881: a loss of power within the first start.
#[test]
fn a_journal_alone_is_what_a_first_start_leaves_and_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let (_, _, path) = paths(directory.path());
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(beside(&path, "-journal"), "x".repeat(512)).unwrap();
    Store::open_stepped(&config(directory.path()), Arc::default()).unwrap();
    assert!(path.exists());
}
