//! Dead letters of bridges: listed, exported and removed. Read in short transactions, so that a
//! running broker is not held up.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, Row};
use serde::Serialize;

use super::access::Database;
use super::error::MaintenanceError;
use super::purge::{checkpoint, failed, open, shrink, with_reserve};
use super::queues::lossy;
use super::restore::lock;
use super::status::{age, size, unsigned};
use super::steps;
use super::watch::{Phase, Watch};
use crate::store::pragma;

/// Rows that one transaction reads or deletes.
const ROWS: usize = 500;
/// Bytes of payloads after which a transaction that reads them ends.
const BYTES: u64 = 8 << 20;

/// The first dead letters, or all.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetters {
    /// Path of the database.
    pub database: String,
    /// Number of dead letters, of the bridge if one was named.
    pub total: u64,
    /// In the order in which they were refused.
    pub dead_letters: Vec<DeadLetterLine>,
}

/// A dead letter without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterLine {
    /// Rises with each dead letter.
    pub id: u64,
    /// The name of the bridge.
    pub bridge: String,
    /// When it was refused, in milliseconds since 1970.
    pub failed_at_ms: u64,
    /// Seconds since then.
    pub age_seconds: u64,
    /// The MQTT 5.0 reason code of the other end; `None` if it gave none.
    pub reason: Option<i64>,
    /// What happened. May hold text of the other end: escape it before printing.
    pub detail: String,
    /// The topic as it was published here. Escape it before printing.
    pub topic: String,
    /// The topic as it was sent, if it differs.
    pub remote_topic: Option<String>,
    /// The QoS as sent.
    pub qos: i64,
    /// The RETAIN flag as sent.
    pub retain: bool,
    /// When the message was accepted here, in milliseconds since 1970.
    pub published_at_ms: u64,
    /// The end of its Message Expiry Interval, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// Bytes of topic, properties and payload.
    pub bytes: u64,
}

/// A dead letter with its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterExport {
    /// All else.
    #[serde(flatten)]
    pub line: DeadLetterLine,
    /// Encoded MQTT 5.0 properties in Base64, as they were published here.
    pub properties: String,
    /// The payload in Base64.
    pub payload: String,
}

/// What to remove.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterPurgeOptions {
    /// The database.
    pub database: PathBuf,
    /// Of this bridge only.
    pub bridge: Option<String>,
    /// Only count; this also works beside a running broker.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetterPurge {
    /// Path of the database.
    pub database: String,
    /// True if nothing was changed.
    pub dry_run: bool,
    /// The bridges, in the order of their names.
    pub bridges: Vec<PurgedBridge>,
    /// Size of the file before, in bytes.
    pub file_before_bytes: u64,
    /// Size of the file after, in bytes.
    pub file_after_bytes: u64,
}

/// The dead letters of one bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurgedBridge {
    /// Its name.
    pub bridge: String,
    /// How many there were.
    pub dead_letters: u64,
}

/// False for files of versions before 4, which have no such table.
pub(super) fn has_table(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(pragma(connection, "user_version")? >= 4)
}

/// Reads the first `limit` dead letters; 0 for all.
///
/// # Errors
/// The database cannot be opened or read, or the watch requests a stop.
pub fn dead_letters(
    path: &Path,
    bridge: Option<&str>,
    limit: usize,
    watch: &Watch,
) -> Result<DeadLetters, MaintenanceError> {
    let database = Database::open(path)?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    let total = count(&database.connection, bridge).map_err(|source| database.failed(source))?;
    let mut lines = Vec::new();
    read(&database, (bridge, limit, false), watch, |some| {
        lines.extend(some.into_iter().map(|one| one.line));
        true
    })?;
    database.still_holds()?;
    let database = path.display().to_string();
    Ok(DeadLetters { database, total, dead_letters: lines })
}

/// Calls `each` for every dead letter, until it returns false.
///
/// # Errors
/// As [`dead_letters`].
pub fn export_dead_letters(
    path: &Path,
    bridge: Option<&str>,
    watch: &Watch,
    mut each: impl FnMut(&DeadLetterExport) -> bool,
) -> Result<(), MaintenanceError> {
    let database = Database::open(path)?;
    read(&database, (bridge, usize::MAX, true), watch, |some| some.iter().all(&mut each))?;
    database.still_holds()
}

fn count(connection: &Connection, bridge: Option<&str>) -> rusqlite::Result<u64> {
    if !has_table(connection)? {
        return Ok(0);
    }
    let sql = "SELECT count(*) FROM dead_letter WHERE ?1 IS NULL OR bridge = ?1";
    connection.query_row(sql, [bridge], |row| row.get(0)).map(unsigned)
}

/// Reads up to `limit` dead letters in chunks, and calls `found` for each outside of the
/// transaction, until it returns false.
fn read(
    database: &Database,
    (bridge, mut limit, contents): (Option<&str>, usize, bool),
    watch: &Watch,
    mut found: impl FnMut(Vec<DeadLetterExport>) -> bool,
) -> Result<(), MaintenanceError> {
    if !has_table(&database.connection).map_err(|source| database.failed(source))? {
        return Ok(());
    }
    let which = if bridge.is_some() { "bridge = ?1" } else { "?1 IS NULL" };
    let columns = if contents { "properties, payload" } else { "NULL, NULL" };
    let sql = format!(
        "SELECT id, bridge, failed_at, reason, detail, topic, remote_topic, qos, retain, \
         published_at, expires_at, length(CAST(topic AS BLOB)) + length(payload) \
         + ifnull(length(properties), 0), {columns} FROM dead_letter \
         WHERE {which} AND id > ?2 AND id <= ?3 ORDER BY id LIMIT ?4"
    );
    steps::each(database, "dead_letter", watch, |chunk| {
        let mut select = database.connection.prepare_cached(&sql)?;
        let rows = i64::try_from(limit.min(ROWS)).unwrap_or(i64::MAX);
        let mut rows = select.query((bridge, chunk.after, chunk.last, rows))?;
        let (mut some, mut bytes, mut seen) = (Vec::new(), 0, None);
        while bytes < BYTES
            && let Some(row) = rows.next()?
        {
            let one = letter(row)?;
            bytes += if contents { one.line.bytes } else { 0 };
            seen = Some(row.get(0)?);
            some.push(one);
        }
        drop(rows);
        limit -= some.len();
        Ok(if found(some) { seen } else { None })
    })
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetterExport> {
    let blob = |column: usize| -> rusqlite::Result<String> {
        let bytes = row.get_ref(column)?.as_blob_or_null().unwrap_or_default();
        Ok(STANDARD.encode(bytes.unwrap_or_default()))
    };
    let failed_at_ms = unsigned(row.get(2)?);
    let has_other_topic = row.get_ref(6)? != rusqlite::types::ValueRef::Null;
    Ok(DeadLetterExport {
        line: DeadLetterLine {
            id: unsigned(row.get(0)?),
            bridge: lossy(row, 1)?,
            failed_at_ms,
            age_seconds: age(failed_at_ms),
            reason: row.get(3)?,
            detail: lossy(row, 4)?,
            topic: lossy(row, 5)?,
            remote_topic: if has_other_topic { Some(lossy(row, 6)?) } else { None },
            qos: row.get(7)?,
            retain: row.get::<_, i64>(8)? != 0,
            published_at_ms: unsigned(row.get(9)?),
            expires_at_ms: row.get::<_, Option<i64>>(10)?.map(unsigned),
            bytes: unsigned(row.get(11)?),
        },
        properties: blob(12)?,
        payload: blob(13)?,
    })
}

/// Removes dead letters, and returns their room to the volume.
///
/// # Errors
/// A broker is running; the database cannot be opened, read or written; the watch requests a
/// stop.
pub fn purge_dead_letters(
    options: &DeadLetterPurgeOptions,
    watch: &Watch,
) -> Result<DeadLetterPurge, MaintenanceError> {
    let path = options.database.as_path();
    let database = Database::open(path)?;
    let bridges = bridges(&database.connection, options.bridge.as_deref());
    let bridges = bridges.map_err(|source| database.failed(source))?;
    database.still_holds()?;
    drop(database);
    let report = |bridges, before| DeadLetterPurge {
        database: path.display().to_string(),
        dry_run: options.dry_run,
        bridges,
        file_before_bytes: before,
        file_after_bytes: size(path),
    };
    if options.dry_run {
        return Ok(report(bridges, size(path)));
    }
    let _lock = lock(path, "purge, or use its API (DELETE /api/v1/dead-letters?bridge=NAME)")?;
    let connection = open(path).map_err(|error| failed(path, error))?;
    checkpoint(&connection).map_err(|error| failed(path, error))?;
    let before = size(path);
    let total = bridges.iter().map(|bridge| bridge.dead_letters).sum();
    if total > 0 {
        remove(&connection, options, total, watch)?;
        shrink(&connection, path, watch)?;
    }
    Ok(report(bridges, before))
}

fn bridges(connection: &Connection, only: Option<&str>) -> rusqlite::Result<Vec<PurgedBridge>> {
    if !has_table(connection)? {
        return Ok(Vec::new());
    }
    let mut select = connection.prepare(
        "SELECT bridge, count(*) FROM dead_letter WHERE ?1 IS NULL OR bridge = ?1 \
         GROUP BY bridge ORDER BY bridge",
    )?;
    let rows = select.query_map([only], |row| {
        Ok(PurgedBridge { bridge: lossy(row, 0)?, dead_letters: unsigned(row.get(1)?) })
    })?;
    rows.collect()
}

/// Removes them in portions, so that the WAL stays small.
fn remove(
    connection: &Connection,
    options: &DeadLetterPurgeOptions,
    total: u64,
    watch: &Watch,
) -> Result<(), MaintenanceError> {
    let path = options.database.as_path();
    let sql = format!(
        "DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter \
         WHERE ?1 IS NULL OR bridge = ?1 ORDER BY id LIMIT {ROWS})"
    );
    let mut done = 0;
    loop {
        let mut removed = 0;
        with_reserve(path, || {
            removed = connection.execute(&sql, [&options.bridge])?;
            Ok(())
        })?;
        checkpoint(connection).map_err(|error| failed(path, error))?;
        if removed == 0 {
            return Ok(());
        }
        done += removed as u64;
        if !watch.goes_on(Phase::Removing, done, total) {
            return Err(MaintenanceError::Interrupted { left: "the other dead letters are there" });
        }
    }
}
