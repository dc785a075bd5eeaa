//! Files of earlier versions of the schema.

use super::*;
use crate::store::{new_in_memory, pragma};

/// A file of this version, as its broker left it.
fn file_of(version: i64, directory: &Path) -> rusqlite::Connection {
    let path = config(directory).path;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let empty = new_in_memory(version).unwrap();
    empty.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    let file = rusqlite::Connection::open(path).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    file
}

#[test]
fn sessions_of_older_files_are_nobodys_until_they_get_an_owner() {
    for version in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let old = file_of(version, directory.path());
        let sql = "INSERT INTO session (id, client_id, version, expiry, disconnected_at, sent_up_to) \
                   VALUES (1, 'device', 5, 4294967295, 5, 3)";
        old.execute_batch(sql).unwrap();
        old.execute_batch("UPDATE meta SET value = 1 WHERE key = 'reserved_session'").unwrap();
        drop(old);
        let (store, recovered) = stepped(directory.path());
        let found = recovered.sessions[0].record.clone();
        // The clock of such a file is unknown, so its times are moved.
        let disconnected_at = found.disconnected_at;
        let expected = SessionRecord { disconnected_at, ..session_record(1, "device") };
        assert_eq!(found, expected, "{version}");
        let owned = SessionRecord { owner: Some("alice".into()), ..found };
        commit(&store, vec![state(Change::Session(Box::new(owned.clone())))]);
        drop(store);
        let (store, recovered) = stepped(directory.path());
        assert_eq!(recovered.sessions[0].record.owner, owned.owner, "{version}");
        // And to another one, or to nobody.
        commit(&store, vec![session(1, "device")]);
        drop(store);
        let (_, recovered) = stepped(directory.path());
        assert_eq!(recovered.sessions[0].record.owner, None);
    }
}

#[test]
fn a_migrated_file_has_the_schema_of_a_new_one() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(file_of(1, old.path()));
    let schema = |directory: &Path| -> Vec<(String, Option<String>)> {
        drop(stepped(directory));
        let file = rusqlite::Connection::open(config(directory).path).unwrap();
        assert_eq!(pragma(&file, "user_version").unwrap(), 4);
        let mut select = file.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(schema(old.path()), schema(new.path()));
}

#[test]
fn a_file_of_version_3_keeps_what_it_has_and_takes_dead_letters() {
    let directory = tempfile::tempdir().unwrap();
    let old = file_of(3, directory.path());
    old.execute_batch(
        "INSERT INTO session (id, client_id, version, expiry, disconnected_at, sent_up_to, owner) \
         VALUES (1, 'bridge', 5, 4294967295, 5, 3, 'alice');
         INSERT INTO message VALUES (1, 'a/topic', X'01', 1, 0, NULL, 5, NULL);
         INSERT INTO delivery VALUES (1, 1, 1, 1, 1, 0, 0, 8, 0, NULL);
         UPDATE meta SET value = 1 WHERE key LIKE 'reserved%'",
    )
    .unwrap();
    drop(old);
    let (store, mut recovered) = stepped(directory.path());
    assert_eq!(recovered.sessions[0].record.owner.as_deref(), Some("alice"));
    let ids = queue_ids(&mut recovered, 0);
    let one = Arc::clone(&page(&store, &ids)[0].message);
    assert_eq!((one.topic(), one.payload()), ("a/topic", &[1][..]));
    commit(&store, vec![dead_letter("up", &one, 1, 9)]);
    assert_eq!(dead_letters(&store)[0].payload, [1]);
    assert_eq!(count(directory.path(), "delivery"), 0);
}
