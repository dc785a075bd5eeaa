//! Summarises the database in numbers.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::OptionalExtension;
use serde::Serialize;

use super::access::{Access, Database, wal_size};
use super::dead_letters;
use super::error::MaintenanceError;
use super::holder::Holder;
use super::steps;
use super::watch::Watch;
use crate::store::{beside, directory_of, is_clean, pragma};

/// The state of a database. If a broker is running, the counts are not of the same moment.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Path of the database.
    pub database: String,
    /// How the database was read.
    pub access: Access,
    /// The process that has it open.
    pub in_use_by: Option<Holder>,
    /// How the last run ended.
    pub last_stop: LastStop,
    /// True if a running broker has found damage and left a mark.
    pub marked_damaged: bool,
    /// Size of the database file in bytes.
    pub file_bytes: u64,
    /// Size of the write-ahead log in bytes.
    pub wal_bytes: u64,
    /// Size in bytes of the reserve file, which is removed when the volume is full.
    pub reserve_bytes: u64,
    /// `persistence.max_size` in bytes; `None` for no limit.
    pub max_size_bytes: Option<u64>,
    /// Bytes of used pages.
    pub used_bytes: u64,
    /// Bytes of free pages within the file.
    pub free_bytes: u64,
    /// Size of a page in bytes.
    pub page_size: u64,
    /// Number of pages of the file, including free ones.
    pub pages: u64,
    /// Number of free pages.
    pub free_pages: u64,
    /// The volume of the database.
    pub volume: Option<Volume>,
    /// Durable sessions.
    pub sessions: Sessions,
    /// Number of subscriptions of durable sessions.
    pub subscriptions: u64,
    /// Number of messages, each counted once.
    pub messages: u64,
    /// Number of deliveries: one for each message and session that waits for it.
    pub deliveries: u64,
    /// Number of topics with a retained message.
    pub retained: u64,
    /// Number of QoS 2 packet identifiers of publishers that wait for PUBREL.
    pub incoming_ids: u64,
    /// Number of dead letters of bridges.
    pub dead_letters: u64,
    /// The message that has waited longest.
    pub oldest_message: Option<OldestMessage>,
    /// `user_version` of the file.
    pub schema_version: i64,
    /// SQLite's version in this program.
    pub sqlite_version: String,
}

/// How the last run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LastStop {
    /// The broker is running.
    Running,
    /// The broker stopped in order.
    Clean,
    /// The broker or the machine was killed, or the file is a backup made beside a running
    /// broker.
    Unclean,
}

/// Bytes of a volume.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Volume {
    /// Size of the volume.
    pub total_bytes: u64,
    /// What this user may still allocate.
    pub available_bytes: u64,
}

/// Durable sessions.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sessions {
    /// Connected sessions; after an unclean stop, those connected when the broker ended.
    pub connected: u64,
    /// Disconnected sessions.
    pub away: u64,
}

/// The message that has waited longest.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OldestMessage {
    /// When it was accepted, in milliseconds since 1970.
    pub published_at_ms: u64,
    /// Seconds since then.
    pub age_seconds: u64,
}

/// Reads the status of the database. `max_size` is the configured limit in bytes, 0 for none.
///
/// # Errors
/// The database cannot be opened or read, or the watch requests a stop.
pub fn status(path: &Path, max_size: u64, watch: &Watch) -> Result<Status, MaintenanceError> {
    let database = Database::open(path)?;
    let failed = |source| database.failed(source);
    let connection = &database.connection;
    let number = |name| pragma(connection, name).map(unsigned).map_err(failed);
    let (page_size, pages) = (number("page_size")?, number("page_count")?);
    let free_pages = number("freelist_count")?;
    let count =
        |sql: &str| connection.query_row(sql, [], |row| row.get(0)).map(unsigned).map_err(failed);
    let oldest = connection
        .query_row("SELECT published_at FROM message ORDER BY id LIMIT 1", [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    let status = Status {
        database: path.display().to_string(),
        access: database.access,
        last_stop: last_stop(&database).map_err(failed)?,
        marked_damaged: beside(path, ".damaged").exists(),
        file_bytes: size(path),
        wal_bytes: wal_size(path),
        reserve_bytes: size(&beside(path, ".reserve")),
        max_size_bytes: (max_size > 0).then_some(max_size),
        used_bytes: pages.saturating_sub(free_pages) * page_size,
        free_bytes: free_pages * page_size,
        page_size,
        pages,
        free_pages,
        volume: volume(path),
        sessions: Sessions {
            connected: count("SELECT count(*) FROM session WHERE disconnected_at IS NULL")?,
            away: count("SELECT count(*) FROM session WHERE disconnected_at IS NOT NULL")?,
        },
        subscriptions: count("SELECT count(*) FROM subscription")?,
        messages: steps::count(&database, "message", watch)?,
        deliveries: steps::count(&database, "delivery", watch)?,
        retained: count("SELECT count(*) FROM retained")?,
        incoming_ids: count("SELECT count(*) FROM incoming")?,
        dead_letters: if dead_letters::has_table(connection).map_err(failed)? {
            count("SELECT count(*) FROM dead_letter")?
        } else {
            0
        },
        oldest_message: oldest.map(|at: i64| {
            let at = unsigned(at);
            OldestMessage { published_at_ms: at, age_seconds: age(at) }
        }),
        schema_version: pragma(connection, "user_version").map_err(failed)?,
        sqlite_version: rusqlite::version().to_owned(),
        in_use_by: database.holder.clone(),
    };
    database.still_holds()?;
    Ok(status)
}

fn last_stop(database: &Database) -> rusqlite::Result<LastStop> {
    if database.holder.is_some() {
        return Ok(LastStop::Running);
    }
    Ok(if is_clean(&database.connection)? { LastStop::Clean } else { LastStop::Unclean })
}

/// Seconds since a moment in milliseconds since 1970; 0 if it is in the future.
pub fn age(at_ms: u64) -> u64 {
    now_ms().saturating_sub(at_ms) / 1000
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Converts a value of the database; FerryMQ writes no negative ones.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The volume of a file, which need not exist.
pub(super) fn volume(path: &Path) -> Option<Volume> {
    let volume = rustix::fs::statvfs(directory_of(path)).ok()?;
    Some(Volume {
        total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
        available_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
    })
}

/// Size of a file in bytes, 0 if it does not exist.
pub(super) fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
