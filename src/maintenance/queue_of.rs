//! One client's session and queue in detail.

use std::path::Path;

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use super::access::Database;
use super::error::MaintenanceError;
use super::queues::{QueueLine, Sums, line, lossy};
use super::status::{age, unsigned};
use super::steps::{self, ROWS};
use super::watch::Watch;

/// A session with its subscriptions and the first messages of its queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueueDetail {
    /// Path of the database.
    pub database: String,
    /// The session.
    #[serde(flatten)]
    pub queue: QueueLine,
    /// MQTT protocol level: 3, 4 or 5.
    pub version: u8,
    /// Its subscriptions.
    pub subscriptions: Vec<SubscriptionLine>,
    /// The first messages of the queue, in order.
    pub first: Vec<QueuedMessage>,
}

/// A subscription.
#[derive(Debug, Clone, Serialize)]
pub struct SubscriptionLine {
    /// The complete filter, including `$share/...`.
    pub filter: String,
    /// The granted maximum QoS.
    pub qos: u8,
}

/// A message of the queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueuedMessage {
    /// Identifier of the delivery; the queue is in this order.
    pub id: i64,
    /// The packet identifier assigned to the delivery.
    pub packet_id: i64,
    /// The topic, as published.
    pub topic: String,
    /// QoS of this delivery.
    pub qos: i64,
    /// Bytes of topic, properties and payload.
    pub bytes: u64,
    /// Seconds since it was accepted.
    pub age_seconds: u64,
    /// True if PUBREC was received and PUBREL is due.
    pub received: bool,
    /// The payload, if requested.
    #[serde(skip)]
    pub payload: Option<Vec<u8>>,
}

/// Reads the session of `client_id` and the first `limit` messages of its queue, with or
/// without their payloads.
///
/// # Errors
/// The session does not exist; the database cannot be opened or read; the watch requests a
/// stop.
pub fn queue_of(
    path: &Path,
    client_id: &str,
    limit: usize,
    payloads: bool,
    watch: &Watch,
) -> Result<QueueDetail, MaintenanceError> {
    let database = Database::open(path)?;
    let failed = |source| database.failed(source);
    let id: Option<i64> = database
        .connection
        .query_row("SELECT id FROM session WHERE client_id = ?1", [client_id], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    let Some(id) = id else {
        let (path, client_id) = (path.to_path_buf(), client_id.to_owned());
        return Err(MaintenanceError::NoSession { path, client_id });
    };
    let (sums, first) = pass(&database, id, limit, watch)?;
    let detail = detail(&database, id, sums, &first, payloads).map_err(failed)?;
    database.still_holds()?;
    Ok(detail)
}

/// Sums over the queue, and the ids of its first deliveries.
fn pass(
    database: &Database,
    session: i64,
    limit: usize,
    watch: &Watch,
) -> Result<(Sums, Vec<i64>), MaintenanceError> {
    let (mut sums, mut first) = (Sums::default(), Vec::new());
    let sql = format!(
        "SELECT id, session, size, received, message FROM delivery WHERE id > ?1 AND id <= ?2 \
         ORDER BY id LIMIT {ROWS}"
    );
    steps::each(database, "delivery", watch, |chunk| {
        let mut select = database.connection.prepare_cached(&sql)?;
        let mut rows = select.query((chunk.after, chunk.last))?;
        let mut seen = None;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            seen = Some(id);
            if row.get::<_, i64>(1)? == session {
                sums.add(row.get(2)?, row.get::<_, i64>(3)? != 0, row.get(4)?);
                if first.len() < limit {
                    first.push(id);
                }
            }
        }
        Ok(seen)
    })?;
    Ok((sums, first))
}

fn detail(
    database: &Database,
    session: i64,
    sums: Sums,
    first: &[i64],
    payloads: bool,
) -> rusqlite::Result<QueueDetail> {
    let connection = &database.connection;
    let (queue, version) = connection.query_row(
        "SELECT id, client_id, expiry, disconnected_at, version FROM session WHERE id = ?1",
        [session],
        |row| Ok((line(database, row, sums)?, row.get(4)?)),
    )?;
    let subscriptions = connection
        .prepare("SELECT filter, qos FROM subscription WHERE session = ?1 ORDER BY filter")?
        .query_map([session], |row| {
            Ok(SubscriptionLine { filter: lossy(row, 0)?, qos: row.get(1)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let payload = if payloads { "m.payload" } else { "NULL" };
    let mut select = connection.prepare(&format!(
        "SELECT d.id, d.packet_id, m.topic, d.qos, d.size, m.published_at, d.received, {payload} \
         FROM delivery d JOIN message m ON m.id = d.message WHERE d.id = ?1"
    ))?;
    let mut messages = Vec::new();
    for id in first {
        // A missing row was delivered meanwhile.
        messages.extend(select.query_row([id], message).optional()?);
    }
    let database = database.path.display().to_string();
    Ok(QueueDetail { database, queue, version, subscriptions, first: messages })
}

fn message(row: &Row<'_>) -> rusqlite::Result<QueuedMessage> {
    Ok(QueuedMessage {
        id: row.get(0)?,
        packet_id: row.get(1)?,
        topic: lossy(row, 2)?,
        qos: row.get(3)?,
        bytes: unsigned(row.get(4)?),
        age_seconds: age(unsigned(row.get(5)?)),
        received: row.get::<_, i64>(6)? != 0,
        payload: row.get(7)?,
    })
}
