//! Files that are moved, removed or replaced under an open store, and what they leave.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use super::*;

/// A store whose log holds `count` messages that the database does not, and where it tells
/// why it was poisoned.
fn with_log(directory: &Path, count: u64) -> (Store, Arc<Mutex<String>>) {
    let told = Arc::new(Mutex::new(String::new()));
    let hook = Arc::clone(&told);
    // Only a commit looks, and nothing is copied back before.
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

/// The next commit ends the store; why, in its words.
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

/// SQLite removes a journal that it finds beside a new file.
#[test]
fn a_journal_without_its_database_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (_, _, path) = paths(directory.path());
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(beside(&path, "-journal"), "x".repeat(512)).unwrap();
    let refused = Store::open_stepped(&config(directory.path()), Arc::default()).unwrap_err();
    assert!(refused.to_string().contains("-journal"), "{refused}");
    assert!(beside(&path, "-journal").exists() && !path.exists());
}
