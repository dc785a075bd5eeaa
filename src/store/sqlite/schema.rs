//! The schema and its versions. A version is a script that has been released and never
//! changes; later versions build on it.

use std::path::Path;

use rusqlite::Connection;

use crate::store::error::OpenError;

/// Identifies FerryMQ's files: "FMQ1" in ASCII.
pub(crate) const APPLICATION_ID: i64 = 0x464D_5131;

/// Script `n` migrates from version `n` to `n + 1`.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
];

/// The version that this release reads and writes.
pub(super) fn current_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Refuses files of other applications or of later releases, without writing to them. True if
/// the file is empty and has to be initialised.
pub(crate) fn identify(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let sqlite = |error| OpenError::from_sqlite(path, error);
    let application: i64 = pragma(connection, "application_id").map_err(sqlite)?;
    let version: i64 = pragma(connection, "user_version").map_err(sqlite)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(true);
    }
    if application != APPLICATION_ID {
        let found = format!("application_id {application:#x}, {tables} tables and indexes");
        return Err(OpenError::Foreign { path: path.to_path_buf(), found });
    }
    let known = current_version();
    if version > known {
        return Err(OpenError::Newer { path: path.to_path_buf(), found: version, known });
    }
    Ok(false)
}

/// Migrates the file to the current version, with one transaction for each step.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_to(connection, MIGRATIONS.len())
}

fn migrate_to(connection: &mut Connection, wanted: usize) -> rusqlite::Result<()> {
    let version: i64 = pragma(connection, "user_version")?;
    let done = usize::try_from(version).unwrap_or(0);
    for (script, version) in MIGRATIONS.iter().zip(1..).take(wanted).skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// A new database of that version in memory, to compare others with.
pub(crate) fn new_in_memory(version: i64) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    migrate_to(&mut connection, usize::try_from(version).unwrap_or(0))?;
    Ok(connection)
}

/// True if the last run ended with an orderly shutdown.
pub(crate) fn is_clean(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT value FROM meta WHERE key = 'clean'", [], |row| row.get(0))
}

/// The integer value of a pragma.
pub(crate) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
