//! Reads queues by client, in many short transactions: beside a running broker the lines are
//! not of the same moment.

use std::path::Path;

use ahash::AHashMap;
use rusqlite::OptionalExtension;
use serde::Serialize;

use super::access::Database;
use super::error::MaintenanceError;
use super::status::{age, unsigned};
use super::steps::{self, ROWS};
use super::watch::Watch;

/// The order of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueOrder {
    /// Most messages first.
    Messages,
    /// Most bytes first.
    Bytes,
    /// Oldest message first.
    Oldest,
}

/// All queues, or the first of them.
#[derive(Debug, Clone, Serialize)]
pub struct Queues {
    /// Path of the database.
    pub database: String,
    /// Number of durable sessions, including those without a message.
    pub total: u64,
    /// The queues in the requested order, at most the requested number.
    pub queues: Vec<QueueLine>,
}

/// One durable session and its queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct QueueLine {
    /// The client id as the client sent it: escape it before printing to a terminal.
    pub client_id: String,
    /// Number of messages that wait or are in flight.
    pub messages: u64,
    /// Bytes of their topics, properties and payloads.
    pub bytes: u64,
    /// How many of them are QoS 2 messages with PUBREC received and not completed.
    pub received: u64,
    /// Age of the oldest message in seconds.
    pub oldest_age_seconds: Option<u64>,
    /// True if connected; after an unclean stop, if connected when the broker ended.
    pub connected: bool,
    /// When the connection ended, in milliseconds since 1970.
    pub away_since_ms: Option<u64>,
    /// Session expiry in seconds; `None` means that it never expires.
    pub expiry_seconds: Option<u64>,
}

/// Sums over one session's deliveries.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sums {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) received: u64,
    /// The message of the first delivery, which is the oldest: identifiers grow with time.
    pub(super) oldest: i64,
}

impl Sums {
    pub(super) fn add(&mut self, size: i64, received: bool, message: i64) {
        if self.messages == 0 {
            self.oldest = message;
        }
        self.messages += 1;
        self.bytes += unsigned(size);
        self.received += u64::from(received);
    }
}

/// Reads all queues and returns the first `limit` of them; 0 for all.
///
/// # Errors
/// The database cannot be opened or read, or the watch requests a stop.
pub fn queues(
    path: &Path,
    order: QueueOrder,
    limit: usize,
    watch: &Watch,
) -> Result<Queues, MaintenanceError> {
    let database = Database::open(path)?;
    let sums = sums(&database, watch)?;
    let mut lines = sessions(&database, &sums).map_err(|source| database.failed(source))?;
    let total = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    lines.sort_by_cached_key(|line| {
        let first = match order {
            QueueOrder::Messages => line.messages,
            QueueOrder::Bytes => line.bytes,
            QueueOrder::Oldest => line.oldest_age_seconds.map_or(0, |age| age + 1),
        };
        (std::cmp::Reverse((first, line.messages)), line.client_id.clone())
    });
    if limit > 0 {
        lines.truncate(limit);
    }
    database.still_holds()?;
    Ok(Queues { database: path.display().to_string(), total, queues: lines })
}

fn sums(database: &Database, watch: &Watch) -> Result<AHashMap<i64, Sums>, MaintenanceError> {
    let mut sums: AHashMap<i64, Sums> = AHashMap::new();
    let sql = format!(
        "SELECT id, session, size, received, message FROM delivery WHERE id > ?1 AND id <= ?2 \
         ORDER BY id LIMIT {ROWS}"
    );
    steps::each(database, "delivery", watch, |chunk| {
        let mut select = database.connection.prepare_cached(&sql)?;
        let mut rows = select.query((chunk.after, chunk.last))?;
        let mut seen = None;
        while let Some(row) = rows.next()? {
            seen = Some(row.get(0)?);
            let received = row.get::<_, i64>(3)? != 0;
            sums.entry(row.get(1)?).or_default().add(row.get(2)?, received, row.get(4)?);
        }
        Ok(seen)
    })?;
    Ok(sums)
}

fn sessions(database: &Database, sums: &AHashMap<i64, Sums>) -> rusqlite::Result<Vec<QueueLine>> {
    let mut select = database
        .connection
        .prepare("SELECT id, client_id, expiry, disconnected_at FROM session")?;
    let mut rows = select.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let sums = sums.get(&row.get(0)?).copied().unwrap_or_default();
        lines.push(line(database, row, sums)?);
    }
    Ok(lines)
}

/// Builds a line from the columns `id, client_id, expiry, disconnected_at`.
pub(super) fn line(
    database: &Database,
    row: &rusqlite::Row<'_>,
    sums: Sums,
) -> rusqlite::Result<QueueLine> {
    let expiry: i64 = row.get(2)?;
    let away: Option<i64> = row.get(3)?;
    Ok(QueueLine {
        client_id: lossy(row, 1)?,
        messages: sums.messages,
        bytes: sums.bytes,
        received: sums.received,
        oldest_age_seconds: if sums.messages > 0 { age_of(database, sums.oldest)? } else { None },
        connected: away.is_none(),
        away_since_ms: away.map(unsigned),
        // The largest value means "never" in MQTT 5.0 (section 3.1.2.11.2).
        expiry_seconds: (expiry < i64::from(u32::MAX)).then(|| unsigned(expiry)),
    })
}

/// Age of a message in seconds; `None` if it was deleted meanwhile.
fn age_of(database: &Database, message: i64) -> rusqlite::Result<Option<u64>> {
    let mut select =
        database.connection.prepare_cached("SELECT published_at FROM message WHERE id = ?1")?;
    let at: Option<i64> = select.query_row([message], |row| row.get(0)).optional()?;
    Ok(at.map(|at| age(unsigned(at))))
}

/// Reads text that may be damaged or not UTF-8.
pub(super) fn lossy(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => String::new(),
    })
}
