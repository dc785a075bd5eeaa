//! Summarizes the database in numbers.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::OptionalExtension;
use serde::Serialize;

use super::access::{Access, Database, wal_size};
use super::error::MaintenanceError;
use super::holder::Holder;
use super::steps;
use super::watch::Watch;
use crate::store::{beside, directory_of, is_clean, pragma};

/// A database at one moment. Counts are not of the very same moment if a broker is
/// running.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The path.
    pub database: String,
    /// How it was read.
    pub access: Access,
    /// The process that has it open.
    pub in_use_by: Option<Holder>,
    /// How the last run ended.
    pub last_stop: LastStop,
    /// A running broker found damage and left a mark.
    pub marked_damaged: bool,
    /// Size of the database file.
    pub file_bytes: u64,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
    /// Size of the file that is given up when the volume is full.
    pub reserve_bytes: u64,
    /// `persistence.max_size`; `None` for no limit.
    pub max_size_bytes: Option<u64>,
    /// Bytes of pages that hold something.
    pub used_bytes: u64,
    /// Bytes of pages that are free within the file.
    pub free_bytes: u64,
    /// Size of a page.
    pub page_size: u64,
    /// Pages of the file, free ones included.
    pub pages: u64,
    /// Pages that are free.
    pub free_pages: u64,
    /// The volume that it is on.
    pub volume: Option<Volume>,
    /// Durable sessions.
    pub sessions: Sessions,
    /// Of durable sessions.
    pub subscriptions: u64,
    /// Messages, each counted once.
    pub messages: u64,
    /// Messages times the sessions that wait for them.
    pub deliveries: u64,
    /// Topics with a retained message.
    pub retained: u64,
    /// QoS 2 packet ids of publishers that wait for PUBREL.
    pub incoming_ids: u64,
    /// The message that has waited longest.
    pub oldest_message: Option<OldestMessage>,
    /// `user_version` of the file.
    pub schema_version: i64,
    /// Of this program.
    pub sqlite_version: String,
}

/// How the last run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LastStop {
    /// It has not ended.
    Running,
    /// In order.
    Clean,
    /// It was killed, or the machine was. (Or this is a backup of a running one.)
    Unclean,
}

/// Bytes of a volume.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Volume {
    /// All of it.
    pub total_bytes: u64,
    /// What this user may still take.
    pub available_bytes: u64,
}

/// Durable sessions.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sessions {
    /// Connected; after an unclean stop: connected when the broker ended.
    pub connected: u64,
    /// Away.
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

/// Looks at the database. `max_size` is the configured limit, 0 for none.
///
/// # Errors
/// It cannot be opened or read, or the watch says stop.
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

/// Seconds since a moment in milliseconds since 1970; 0 if it has yet to come.
pub fn age(at_ms: u64) -> u64 {
    now_ms().saturating_sub(at_ms) / 1000
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// What FerryMQ writes is not negative.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The volume on which a file is, or would be.
pub(super) fn volume(path: &Path) -> Option<Volume> {
    let volume = rustix::fs::statvfs(directory_of(path)).ok()?;
    Some(Volume {
        total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
        available_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
    })
}

/// Of a file, 0 if it is not there.
pub(super) fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
