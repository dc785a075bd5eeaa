//! The SQL of a transaction, as prepared statements.
//!
//! Statements are kept in the connection's cache; each phase looks up its own once.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Result, types::Null};

use crate::message::{CommitNo, Message, MessageId, SessionId};
use crate::protocol::Version;
use crate::store::op::Change;
use crate::store::plan::{DeliveryRow, Move, Plan, runs};
use crate::store::record::{RetainedRecord, SessionRecord, SubscriptionRecord};
use crate::store::references::References;

/// Capacity of the cache: more than there are statements.
pub(super) const CACHE: usize = 64;

const MESSAGE: &str = "INSERT INTO message (id, topic, payload, qos, retain, properties, \
     published_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const DELIVERY: &str = "INSERT INTO delivery (id, session, message, qos, packet_id, received, \
     shared, size, retain, share) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9)";
const MOVE: &str = "UPDATE delivery SET id = ?2, session = ?3, packet_id = ?4, qos = ?5, \
     retain = ?6, share = ?7 WHERE id = ?1";

/// Inserts messages that are still needed, and their deliveries.
pub(super) fn insert_messages(
    connection: &Connection,
    plan: &mut Plan,
    commit: CommitNo,
) -> Result<()> {
    if plan.messages.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(MESSAGE)?;
    let messages = std::mem::take(&mut plan.messages);
    let result = messages.iter().try_for_each(|message| {
        if plan.take(message, commit) { insert_message(&mut insert, message) } else { Ok(()) }
    });
    plan.messages = messages;
    result?;
    plan.deliveries.sort_unstable_by_key(|row| row.slot.delivery);
    let mut insert = connection.prepare_cached(DELIVERY)?;
    plan.deliveries.iter().try_for_each(|row| {
        // An unbound parameter is NULL. If the batch has shared subscriptions, it is bound for
        // each row.
        if !plan.shares.is_empty() {
            insert.raw_bind_parameter(9, plan.shares.get(&row.slot.delivery).map(|it| &**it))?;
        }
        insert_delivery(&mut insert, row)
    })
}

fn insert_message(insert: &mut CachedStatement<'_>, message: &Message) -> Result<()> {
    insert.raw_bind_parameter(1, message.id.to_sql())?;
    insert.raw_bind_parameter(2, message.topic())?;
    insert.raw_bind_parameter(3, message.payload())?;
    insert.raw_bind_parameter(4, message.qos as u8)?;
    insert.raw_bind_parameter(5, message.retain)?;
    match message.all_properties() {
        [] => insert.raw_bind_parameter(6, Null)?,
        properties => insert.raw_bind_parameter(6, properties)?,
    }
    insert.raw_bind_parameter(7, message.published_at.to_sql())?;
    insert.raw_bind_parameter(8, message.expires_at.map(crate::message::WallMillis::to_sql))?;
    insert.raw_execute()?;
    Ok(())
}

fn insert_delivery(insert: &mut CachedStatement<'_>, row: &DeliveryRow) -> Result<()> {
    insert.raw_bind_parameter(1, row.slot.delivery.to_sql())?;
    insert.raw_bind_parameter(2, row.slot.session.to_sql())?;
    insert.raw_bind_parameter(3, row.message.to_sql())?;
    insert.raw_bind_parameter(4, row.slot.qos as u8)?;
    insert.raw_bind_parameter(5, row.slot.packet_id.get())?;
    insert.raw_bind_parameter(6, row.shared)?;
    insert.raw_bind_parameter(7, row.size)?;
    insert.raw_bind_parameter(8, row.slot.retain)?;
    insert.raw_execute()?;
    Ok(())
}

/// Changes the packet identifiers of publishers.
pub(super) fn change_incoming(connection: &Connection, plan: &Plan) -> Result<()> {
    if plan.incoming.is_empty() {
        return Ok(());
    }
    let mut insert = connection
        .prepare_cached("INSERT OR IGNORE INTO incoming (session, packet_id) VALUES (?1, ?2)")?;
    let mut delete =
        connection.prepare_cached("DELETE FROM incoming WHERE session = ?1 AND packet_id = ?2")?;
    for change in &plan.incoming {
        let statement = if change.open { &mut insert } else { &mut delete };
        statement.execute((change.session.to_sql(), change.packet_id.get()))?;
    }
    Ok(())
}

/// Changes sessions, subscriptions and retained messages.
pub(super) fn change_state(connection: &Connection, plan: &Plan) -> Result<()> {
    let ordered = plan.ordered.iter().map(|(_, change)| change);
    for change in ordered.chain(plan.last_retained()) {
        match change {
            Change::Session(record) => put_session(connection, record)?,
            Change::EndSession(session) => end_session(connection, *session)?,
            Change::Subscribe(session, record) => put_subscription(connection, *session, record)?,
            Change::Unsubscribe(session, filter) => {
                connection
                    .prepare_cached("DELETE FROM subscription WHERE session = ?1 AND filter = ?2")?
                    .execute((session.to_sql(), filter))?;
            }
            Change::Retain(record, _) => put_retained(connection, record)?,
            Change::Unretain(topic) => {
                connection
                    .prepare_cached("DELETE FROM retained WHERE topic = ?1")?
                    .execute([topic])?;
            }
            Change::OpenIncoming(..) | Change::CloseIncoming(..) => {}
        }
    }
    Ok(())
}

/// Of two sessions with one client id the older one is removed, whichever is written last: it
/// has been ended, and its end may not be submitted yet.
fn put_session(connection: &Connection, record: &SessionRecord) -> Result<()> {
    let id = record.id.to_sql();
    let other: Option<i64> = connection
        .prepare_cached("SELECT id FROM session WHERE client_id = ?1 AND id <> ?2")?
        .query_row((&record.client_id, id), |row| row.get(0))
        .optional()?;
    match other {
        Some(other) if other > id => return Ok(()),
        Some(other) => end_session(connection, SessionId::from_sql(other))?,
        None => {}
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO session (id, client_id, version, expiry, disconnected_at, sent_up_to, \
         will_topic, will_payload, will_properties, will_qos, will_retain, will_delay, will_expiry, \
         owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
         ON CONFLICT (id) DO UPDATE SET client_id = excluded.client_id, \
         version = excluded.version, expiry = excluded.expiry, \
         disconnected_at = excluded.disconnected_at, sent_up_to = excluded.sent_up_to, \
         will_topic = excluded.will_topic, will_payload = excluded.will_payload, \
         will_properties = excluded.will_properties, will_qos = excluded.will_qos, \
         will_retain = excluded.will_retain, will_delay = excluded.will_delay, \
         will_expiry = excluded.will_expiry, owner = excluded.owner",
    )?;
    let will = record.will.as_ref();
    let level = match record.version {
        Version::V31 => 3,
        Version::V311 => 4,
        Version::V5 => 5,
    };
    put.execute(rusqlite::params![
        id,
        record.client_id,
        level,
        record.expiry,
        record.disconnected_at.map(crate::message::WallMillis::to_sql),
        record.sent_up_to.to_sql(),
        will.map(|will| &will.topic),
        will.map(|will| &will.payload),
        will.map(|will| &will.properties),
        will.map(|will| will.qos as u8),
        will.map(|will| will.retain),
        will.map(|will| will.delay),
        will.and_then(|will| will.expiry),
        record.owner,
    ])?;
    Ok(())
}

fn end_session(connection: &Connection, session: SessionId) -> Result<()> {
    let key = [session.to_sql()];
    connection.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute(key)?;
    connection.prepare_cached("DELETE FROM subscription WHERE session = ?1")?.execute(key)?;
    connection.prepare_cached("DELETE FROM incoming WHERE session = ?1")?.execute(key)?;
    Ok(())
}

fn put_subscription(
    connection: &Connection,
    session: SessionId,
    record: &SubscriptionRecord,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO subscription (session, filter, qos, no_local, \
             retain_as_published, retain_handling, identifier) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            session.to_sql(),
            &record.filter,
            record.options.qos as u8,
            record.options.no_local,
            record.options.retain_as_published,
            record.options.retain_handling as u8,
            record.identifier,
        ))?;
    Ok(())
}

fn put_retained(connection: &Connection, record: &Arc<RetainedRecord>) -> Result<()> {
    let properties = (!record.properties.is_empty()).then_some(&record.properties);
    connection
        .prepare_cached(
            "INSERT INTO retained (topic, payload, qos, properties, published_at, expires_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (topic) DO UPDATE SET \
             payload = excluded.payload, qos = excluded.qos, properties = excluded.properties, \
             published_at = excluded.published_at, expires_at = excluded.expires_at",
        )?
        .execute((
            &record.topic,
            &record.payload,
            record.qos as u8,
            properties,
            record.published_at.to_sql(),
            record.expires_at.map(crate::message::WallMillis::to_sql),
        ))?;
    Ok(())
}

/// Looks up the messages of dropped deliveries and reduces their counts. Drains the drops, so
/// that each is counted once even if the transaction is repeated.
pub(super) fn resolve_drops(
    connection: &Connection,
    plan: &mut Plan,
    references: &References,
) -> Result<()> {
    if plan.drops.is_empty() {
        return Ok(());
    }
    let mut find = connection.prepare_cached("SELECT message FROM delivery WHERE id = ?1")?;
    while let Some(delivery) = plan.drops.last().copied() {
        let mut rows = find.query([i64::try_from(delivery).unwrap_or(i64::MAX)])?;
        if let Some(row) = rows.next()? {
            let message = MessageId::from_sql(row.get(0)?);
            plan.deleted_deliveries.push(delivery);
            if references.release(message) {
                plan.deleted_messages.push(message.0);
            }
        }
        plan.drops.pop();
    }
    Ok(())
}

/// Changes and deletes rows, with one statement per run where possible.
pub(super) fn change_rows(connection: &Connection, plan: &Plan) -> Result<()> {
    move_deliveries(connection, plan)?;
    change_packet_ids(connection, plan)?;
    for_runs(
        connection,
        "UPDATE delivery SET received = 1 WHERE id BETWEEN ?1 AND ?2",
        &plan.received,
    )?;
    for_runs(
        connection,
        "DELETE FROM delivery WHERE id BETWEEN ?1 AND ?2",
        &plan.deleted_deliveries,
    )?;
    for_runs(connection, "DELETE FROM message WHERE id BETWEEN ?1 AND ?2", &plan.deleted_messages)
}

/// Moves deliveries. A row that is not there yet is inserted later from its slot, and one that
/// was deleted stays deleted.
fn move_deliveries(connection: &Connection, plan: &Plan) -> Result<()> {
    if plan.moves.is_empty() {
        return Ok(());
    }
    let mut update = connection.prepare_cached(MOVE)?;
    for Move { delivery, to, share } in &plan.moves {
        update.execute((
            delivery.to_sql(),
            to.delivery.to_sql(),
            to.session.to_sql(),
            to.packet_id.get(),
            to.qos as u8,
            to.retain,
            &**share,
        ))?;
    }
    Ok(())
}

fn change_packet_ids(connection: &Connection, plan: &Plan) -> Result<()> {
    if plan.packet_ids.is_empty() {
        return Ok(());
    }
    let mut update =
        connection.prepare_cached("UPDATE delivery SET packet_id = ?2 WHERE id = ?1")?;
    for (delivery, packet_id) in &plan.packet_ids {
        update.execute((delivery.to_sql(), packet_id.get()))?;
    }
    Ok(())
}

fn for_runs(connection: &Connection, sql: &str, ids: &[u64]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql)?;
    for (first, last) in runs(ids) {
        statement.raw_bind_parameter(1, i64::try_from(first).unwrap_or(i64::MAX))?;
        statement.raw_bind_parameter(2, i64::try_from(last).unwrap_or(i64::MAX))?;
        statement.raw_execute()?;
    }
    Ok(())
}
