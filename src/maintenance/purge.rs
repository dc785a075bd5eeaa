//! Ends abandoned sessions, with the broker stopped.
//!
//! The first transaction deletes the sessions; then their deliveries are leftovers, which a
//! start would also remove. They are deleted in portions, each with the messages that no other
//! session waits for, so that the WAL stays small: a purge is needed most on a full disk.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use serde::Serialize;

use super::access::Database;
use super::error::MaintenanceError;
use super::restore::lock;
use super::status::{now_ms, size, unsigned};
use super::watch::{Phase, Watch};
use crate::store::{beside, pragma};

/// Deliveries deleted in one transaction.
const PORTION: u64 = 10_000;
/// Pages returned to the volume between two checkpoints: 16 MiB.
const SHRINK: u64 = 2048;

/// Which sessions to delete.
#[derive(Debug, Clone, Default)]
pub struct PurgeOptions {
    /// The database.
    pub database: PathBuf,
    /// Client ids of sessions to delete.
    pub clients: Vec<String>,
    /// Delete sessions disconnected for longer than their expiry.
    pub expired: bool,
    /// Only count; this also works beside a running broker.
    pub dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct Purge {
    /// Path of the database.
    pub database: String,
    /// True if nothing was changed.
    pub dry_run: bool,
    /// The sessions, in the order of their client ids.
    pub sessions: Vec<Purged>,
    /// Number of messages that no other session waited for.
    pub messages: u64,
    /// Size of the file before, in bytes.
    pub file_before_bytes: u64,
    /// Size of the file after, in bytes.
    pub file_after_bytes: u64,
}

/// One deleted session.
#[derive(Debug, Clone, Serialize)]
pub struct Purged {
    /// The client id as the client sent it: escape it before printing to a terminal.
    pub client_id: String,
    /// Number of messages that waited for it.
    pub deliveries: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Number of its subscriptions.
    pub subscriptions: u64,
    /// Packet ids of QoS 2 messages that it has published and not released.
    pub incoming_ids: u64,
    /// True if it had a will, which is not published.
    pub had_will: bool,
}

/// Deletes sessions, and returns their room to the volume.
///
/// # Errors
/// A named client has no session; a broker is running; the database cannot be opened, read or
/// written; the watch requests a stop. The broker's next start completes an unfinished purge.
pub fn purge(options: &PurgeOptions, watch: &Watch) -> Result<Purge, MaintenanceError> {
    let path = options.database.as_path();
    if options.dry_run {
        let database = Database::open(path)?;
        let found = choose(&database.connection, options)?;
        database.still_holds()?;
        return Ok(report(options, found, size(path)));
    }
    // Checks that it is a FerryMQ database before a file is created beside it.
    drop(Database::open(path)?);
    let _lock = lock(path, "purge")?;
    let connection = open(path).map_err(|error| failed(path, error))?;
    // Commits that a crash left in the WAL count towards the size.
    checkpoint(&connection).map_err(|error| failed(path, error))?;
    let before = size(path);
    let found = choose(&connection, options)?;
    with_reserve(path, || end_sessions(&connection))?;
    remove(&connection, path, watch)?;
    shrink(&connection, path, watch)?;
    Ok(report(options, found, before))
}

/// What [`choose`] has found.
struct Found {
    sessions: Vec<Purged>,
    messages: u64,
}

fn report(options: &PurgeOptions, found: Found, before: u64) -> Purge {
    Purge {
        database: options.database.display().to_string(),
        dry_run: options.dry_run,
        sessions: found.sessions,
        messages: found.messages,
        file_before_bytes: before,
        file_after_bytes: size(&options.database),
    }
}

pub(super) fn failed(path: &Path, error: rusqlite::Error) -> MaintenanceError {
    MaintenanceError::sqlite("write", path, error)
}

pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

const PLAN: &str = "
    CREATE TEMP TABLE gone_delivery AS
        SELECT id, message FROM main.delivery WHERE session IN (SELECT id FROM gone) ORDER BY id;
    CREATE TEMP TABLE gone_message (id INTEGER PRIMARY KEY);
    INSERT OR IGNORE INTO gone_message SELECT message FROM gone_delivery;
    DELETE FROM gone_message WHERE id IN
        (SELECT message FROM main.delivery WHERE session NOT IN (SELECT id FROM gone));";

/// Writes the rows to delete into temporary tables; `gone` holds the sessions.
fn choose(connection: &Connection, options: &PurgeOptions) -> Result<Found, MaintenanceError> {
    let path = options.database.as_path();
    let failed = |error| MaintenanceError::sqlite("read", path, error);
    // `query_only` also forbids writes to temporary tables, which are not part of the file.
    connection.pragma_update(None, "query_only", false).map_err(failed)?;
    connection.execute_batch("CREATE TEMP TABLE gone (id INTEGER PRIMARY KEY)").map_err(failed)?;
    for client_id in &options.clients {
        let added = add_client(connection, client_id).map_err(failed)?;
        if !added {
            let (path, client_id) = (path.to_path_buf(), client_id.clone());
            return Err(MaintenanceError::NoSession { path, client_id });
        }
    }
    if options.expired {
        add_expired(connection).map_err(failed)?;
    }
    connection.execute_batch(PLAN).map_err(failed)?;
    Ok(Found {
        sessions: sessions(connection).map_err(failed)?,
        messages: connection
            .query_row(
                "SELECT count(*) FROM gone_message WHERE id IN (SELECT id FROM main.message)",
                [],
                |row| row.get(0),
            )
            .map(unsigned)
            .map_err(failed)?,
    })
}

fn add_client(connection: &Connection, client_id: &str) -> rusqlite::Result<bool> {
    let id: Option<i64> = connection
        .query_row("SELECT id FROM session WHERE client_id = ?1", [client_id], |row| row.get(0))
        .optional()?;
    if let Some(id) = id {
        connection.execute("INSERT OR IGNORE INTO gone VALUES (?1)", [id])?;
    }
    Ok(id.is_some())
}

/// An expiry of 4294967295 means never. A session that was connected at an unclean stop begins
/// to expire at the next start.
fn add_expired(connection: &Connection) -> rusqlite::Result<()> {
    let now = i64::try_from(now_ms()).unwrap_or(i64::MAX);
    connection.execute(
        "INSERT OR IGNORE INTO gone SELECT id FROM main.session \
         WHERE disconnected_at IS NOT NULL AND expiry < 4294967295 \
         AND disconnected_at + expiry * 1000 < ?1",
        [now],
    )?;
    Ok(())
}

fn sessions(connection: &Connection) -> rusqlite::Result<Vec<Purged>> {
    let mut select = connection.prepare(
        "WITH queue AS (SELECT session, count(*) AS deliveries, sum(size) AS bytes \
         FROM main.delivery WHERE session IN (SELECT id FROM gone) GROUP BY session) \
         SELECT s.client_id, ifnull(q.deliveries, 0), ifnull(q.bytes, 0), \
         (SELECT count(*) FROM main.subscription WHERE session = s.id), \
         (SELECT count(*) FROM main.incoming WHERE session = s.id), s.will_topic IS NOT NULL \
         FROM main.session s LEFT JOIN queue q ON q.session = s.id \
         WHERE s.id IN (SELECT id FROM gone) ORDER BY s.client_id",
    )?;
    let rows = select.query_map([], |row| {
        Ok(Purged {
            client_id: super::queues::lossy(row, 0)?,
            deliveries: unsigned(row.get(1)?),
            bytes: unsigned(row.get(2)?),
            subscriptions: unsigned(row.get(3)?),
            incoming_ids: unsigned(row.get(4)?),
            had_will: row.get(5)?,
        })
    })?;
    rows.collect()
}

fn end_sessions(connection: &Connection) -> rusqlite::Result<()> {
    transaction(
        connection,
        "DELETE FROM main.session WHERE id IN (SELECT id FROM gone);
         DELETE FROM main.subscription WHERE session IN (SELECT id FROM gone);
         DELETE FROM main.incoming WHERE session IN (SELECT id FROM gone);",
    )
}

/// Runs statements in one transaction, rolled back on an error.
fn transaction(connection: &Connection, statements: &str) -> rusqlite::Result<()> {
    let result = connection.execute_batch(&format!("BEGIN IMMEDIATE; {statements} COMMIT;"));
    if result.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    result
}

/// Runs `attempt`. On a full volume it removes the reserve and retries, as a start does; the
/// broker creates the reserve again.
pub(super) fn with_reserve(
    path: &Path,
    mut attempt: impl FnMut() -> rusqlite::Result<()>,
) -> Result<(), MaintenanceError> {
    let is_full = |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    let mut result = attempt();
    if result.as_ref().is_err_and(is_full) && std::fs::remove_file(beside(path, ".reserve")).is_ok()
    {
        result = attempt();
    }
    result.map_err(|error| failed(path, error))
}

/// Deletes deliveries and messages in portions. A message is deleted with the first of its
/// deliveries: the next start removes a delivery without a message, but not a message without
/// a delivery.
fn remove(connection: &Connection, path: &Path, watch: &Watch) -> Result<(), MaintenanceError> {
    let last: Option<i64> = connection
        .query_row("SELECT max(rowid) FROM gone_delivery", [], |row| row.get(0))
        .map_err(|error| failed(path, error))?;
    let total = unsigned(last.unwrap_or(0));
    let mut done = 0;
    while done < total {
        let portion = format!("rowid > {done} AND rowid <= {}", done + PORTION);
        let statements = format!(
            "DELETE FROM main.message WHERE id IN (SELECT message FROM gone_delivery \
             WHERE {portion}) AND id IN (SELECT id FROM gone_message);
             DELETE FROM main.delivery WHERE id IN \
             (SELECT id FROM gone_delivery WHERE {portion});"
        );
        with_reserve(path, || transaction(connection, &statements))?;
        checkpoint(connection).map_err(|error| failed(path, error))?;
        done = (done + PORTION).min(total);
        go_on(watch, Phase::Removing, done, total)?;
    }
    Ok(())
}

/// Returns all free pages to the volume.
pub(super) fn shrink(
    connection: &Connection,
    path: &Path,
    watch: &Watch,
) -> Result<(), MaintenanceError> {
    let failed = |error| failed(path, error);
    let page_size = unsigned(pragma(connection, "page_size").map_err(failed)?);
    let free = || pragma(connection, "freelist_count").map(unsigned).map_err(failed);
    let total = free()?;
    let mut left = total;
    while left > 0 {
        vacuum(connection).map_err(failed)?;
        checkpoint(connection).map_err(failed)?;
        let now = free()?;
        if now >= left {
            // A file without auto_vacuum keeps its free pages for later messages.
            break;
        }
        left = now;
        go_on(watch, Phase::Shrinking, (total - left) * page_size, total * page_size)?;
    }
    checkpoint(connection).map_err(failed)
}

/// The pragma frees one page for each row that is fetched.
fn vacuum(connection: &Connection) -> rusqlite::Result<()> {
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({SHRINK})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Runs a TRUNCATE checkpoint. A reader in the way only delays it.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn go_on(watch: &Watch, phase: Phase, done: u64, total: u64) -> Result<(), MaintenanceError> {
    if watch.goes_on(phase, done, total) {
        return Ok(());
    }
    Err(MaintenanceError::Interrupted {
        left: "the sessions are gone; what is left of their queues goes with the broker's next start",
    })
}
