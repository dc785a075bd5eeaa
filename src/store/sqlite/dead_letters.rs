//! Dead letters: written and removed with a transaction, read back page by page.
//!
//! How many there are of each bridge is counted at the start and kept in memory, so that the
//! oldest ones beyond its limit are removed without counting them again.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Result, Row};

use super::pages::qos;
use crate::message::{DeliveryId, MessageId, WallMillis};
use crate::store::dead_letter::{
    DeadLetter, DeadLetterCount, DeadLetterPage, DeadLetterQuery, StoredDeadLetter,
};
use crate::store::plan::Plan;
use crate::store::references::References;

/// The most dead letters that are removed with a new one, after a bridge's limit was lowered:
/// the rest goes with those that follow.
const REMOVED_AT_ONCE: u64 = 256;

/// Bytes of topics and details in one page: topics may have 65,535 bytes each.
const TEXT: usize = 1 << 20;

const INSERT: &str = "INSERT INTO dead_letter (bridge, failed_at, reason, detail, topic, \
     remote_topic, qos, retain, published_at, expires_at, properties, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const REMOVE_OLDEST: &str = "DELETE FROM dead_letter WHERE id IN \
     (SELECT id FROM dead_letter WHERE bridge = ?1 ORDER BY id LIMIT ?2)";
/// Payload and properties come last in a row, so that a row without them is read from one page.
const COLUMNS: &str = "id, bridge, failed_at, reason, detail, topic, remote_topic, qos, retain, \
     published_at, expires_at, length(payload)";

/// The dead letters of each bridge.
pub(super) type Counts = BTreeMap<Box<str>, DeadLetterCount>;

/// Counts the dead letters of each bridge, from the index.
pub(super) fn counts(connection: &Connection) -> Result<Counts> {
    let mut select =
        connection.prepare("SELECT bridge, count(*) FROM dead_letter GROUP BY bridge")?;
    let rows = select.query_map([], |row| {
        let kept = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        Ok((row.get(0)?, DeadLetterCount { kept, dropped: 0 }))
    })?;
    rows.collect()
}

/// Removes dead letters by id.
pub(super) fn remove(connection: &Connection, plan: &Plan, counts: &mut Counts) -> Result<()> {
    if plan.removed_letters.is_empty() {
        return Ok(());
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM dead_letter WHERE id = ?1 RETURNING bridge")?;
    for id in &plan.removed_letters {
        let mut rows = delete.query([i64::try_from(*id).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            if let Some(count) = counts.get_mut(row.get_ref(0)?.as_str()?) {
                count.kept = count.kept.saturating_sub(1);
            }
        }
    }
    Ok(())
}

/// Writes the dead letters of a plan, each after the rows that it replaces are deleted, so that
/// it uses their pages.
pub(super) fn write(
    connection: &Connection,
    plan: &mut Plan,
    references: &References,
    counts: &mut Counts,
) -> Result<()> {
    if plan.letters.chosen() == 0 {
        return Ok(());
    }
    let mut statements = Statements {
        delivery: connection.prepare_cached("DELETE FROM delivery WHERE id = ?1")?,
        message: connection.prepare_cached("DELETE FROM message WHERE id = ?1")?,
        oldest: connection.prepare_cached(REMOVE_OLDEST)?,
        insert: connection.prepare_cached(INSERT)?,
    };
    plan.letters.write(references, |letter, with_message| {
        let message = with_message.then_some(letter.message.id);
        statements.replace(letter.delivery, message)?;
        if !counts.contains_key(&*letter.bridge) {
            counts.insert((&*letter.bridge).into(), DeadLetterCount::default());
        }
        match counts.get_mut(&*letter.bridge) {
            Some(count) => statements.keep(letter, count),
            None => Ok(()),
        }
    })
}

struct Statements<'a> {
    delivery: CachedStatement<'a>,
    message: CachedStatement<'a>,
    oldest: CachedStatement<'a>,
    insert: CachedStatement<'a>,
}

impl Statements<'_> {
    fn replace(&mut self, delivery: Option<DeliveryId>, message: Option<MessageId>) -> Result<()> {
        if let Some(delivery) = delivery {
            self.delivery.execute([delivery.to_sql()])?;
        }
        if let Some(message) = message {
            self.message.execute([message.to_sql()])?;
        }
        Ok(())
    }

    /// Inserts it, after the oldest ones beyond the limit were removed.
    fn keep(&mut self, letter: &DeadLetter, count: &mut DeadLetterCount) -> Result<()> {
        let keep = u64::from(letter.keep);
        if keep == 0 {
            count.dropped += 1;
            return Ok(());
        }
        let surplus = (count.kept + 1).saturating_sub(keep).min(REMOVED_AT_ONCE);
        if surplus > 0 {
            let limit = i64::try_from(surplus).unwrap_or(i64::MAX);
            let removed = self.oldest.execute((&*letter.bridge, limit))? as u64;
            count.kept = count.kept.saturating_sub(removed);
            count.dropped += removed;
            tracing::error!(
                bridge = &*letter.bridge,
                removed,
                "too many dead letters: the oldest ones are removed (bridges.NAME.max_dead_letters)"
            );
        }
        self.insert(letter)?;
        count.kept += 1;
        Ok(())
    }

    fn insert(&mut self, letter: &DeadLetter) -> Result<()> {
        let message = &letter.message;
        let properties = Some(message.properties()).filter(|block| !block.is_empty());
        self.insert.execute(rusqlite::params![
            &*letter.bridge,
            letter.failed_at.to_sql(),
            letter.reason,
            letter.detail,
            message.topic(),
            letter.remote_topic,
            letter.qos as u8,
            letter.retain,
            message.published_at.to_sql(),
            message.expires_at.map(WallMillis::to_sql),
            properties,
            message.payload(),
        ])?;
        Ok(())
    }
}

/// Reads some dead letters.
pub(super) fn read(connection: &Connection, query: &DeadLetterQuery) -> Result<DeadLetterPage> {
    let bridge = query.bridge.as_ref();
    let which = if bridge.is_some() { "bridge = ?1" } else { "?1 IS NULL" };
    let sql =
        format!("SELECT {COLUMNS} FROM dead_letter WHERE {which} AND id > ?2 ORDER BY id LIMIT ?3");
    let mut select = connection.prepare_cached(&sql)?;
    let after = i64::try_from(query.after).unwrap_or(i64::MAX);
    let limit = i64::try_from(query.limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut rows = select.query((bridge, after, limit))?;
    let mut page = DeadLetterPage::default();
    let mut text = TEXT;
    let mut payloads = query.payloads;
    while let Some(row) = rows.next()? {
        let mut letter = stored(row)?;
        let length = texts(&letter);
        if page.letters.len() == query.limit || (length > text && !page.letters.is_empty()) {
            page.more = true;
            break;
        }
        text = text.saturating_sub(length);
        if query.properties {
            letter.properties = blob(connection, letter.id, "ifnull(properties, X'')", 0)?;
        }
        let shown = query.payload.min(payloads);
        if shown > 0 {
            // `substr` of a blob without bytes is NULL.
            let beginning = "ifnull(substr(payload, 1, ?2), X'')";
            letter.payload = blob(connection, letter.id, beginning, shown)?;
            payloads -= letter.payload.len();
        }
        page.letters.push(letter);
    }
    Ok(page)
}

fn texts(letter: &StoredDeadLetter) -> usize {
    let remote = letter.remote_topic.as_ref().map_or(0, |topic| topic.len());
    letter.bridge.len() + letter.detail.len() + letter.topic.len() + remote
}

/// Reads part of one row. Empty if it was removed meanwhile.
fn blob(connection: &Connection, id: u64, what: &str, length: usize) -> Result<Vec<u8>> {
    let sql = format!("SELECT {what} FROM dead_letter WHERE id = ?1 AND ?2 >= 0");
    let id = i64::try_from(id).unwrap_or(i64::MAX);
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let found =
        connection.prepare_cached(&sql)?.query_row((id, length), |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_default())
}

fn stored(row: &Row<'_>) -> Result<StoredDeadLetter> {
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(StoredDeadLetter {
        id: unsigned(row.get(0)?),
        bridge: row.get(1)?,
        failed_at: WallMillis::from_sql(row.get(2)?),
        reason: row.get(3)?,
        detail: row.get(4)?,
        topic: row.get(5)?,
        remote_topic: row.get(6)?,
        qos: qos(row.get(7)?),
        retain: row.get(8)?,
        published_at: WallMillis::from_sql(row.get(9)?),
        expires_at: row.get::<_, Option<i64>>(10)?.map(WallMillis::from_sql),
        properties: Vec::new(),
        payload: Vec::new(),
        payload_bytes: unsigned(row.get(11)?),
    })
}
