//! Reads what a start needs: sessions with all that belongs to them, and the deliveries in one
//! pass. Payloads of messages stay on disk.

use ahash::AHashMap;
use rusqlite::{Connection, Result, Row};

use super::pages::qos;
use crate::message::{DeliveryId, IdList, MessageId, QueuedId, SessionId, WallMillis, WillRecord};
use crate::protocol::{PacketId, QoS, RetainHandling, SubscriptionOptions, Version};
use crate::store::record::{
    Recovered, RecoveredSession, RetainedRecord, SessionRecord, SubscriptionRecord,
};
use crate::store::references::References;

/// The result of the scan.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) recovered: Recovered,
    pub(super) references: References,
    /// Deliveries of sessions that no longer exist; the writer removes them in small steps.
    pub(super) orphans: IdList,
}

/// Reads everything that is kept in memory.
pub(super) fn scan(connection: &Connection) -> Result<Scan> {
    let mut scan = Scan::default();
    let mut index = AHashMap::new();
    read_sessions(connection, &mut scan.recovered.sessions, &mut index)?;
    read_subscriptions(connection, &mut scan.recovered.sessions, &index)?;
    read_incoming(connection, &mut scan.recovered.sessions, &index)?;
    read_retained(connection, &mut scan.recovered.retained)?;
    read_deliveries(connection, &mut scan, &index)?;
    Ok(scan)
}

type Index = AHashMap<SessionId, usize>;

fn of<'a>(
    sessions: &'a mut [RecoveredSession],
    index: &Index,
    id: SessionId,
) -> Option<&'a mut RecoveredSession> {
    sessions.get_mut(*index.get(&id)?)
}

fn read_sessions(
    connection: &Connection,
    sessions: &mut Vec<RecoveredSession>,
    index: &mut Index,
) -> Result<()> {
    let mut select = connection.prepare(
        "SELECT id, client_id, version, expiry, disconnected_at, sent_up_to, will_topic, will_payload, \
         will_properties, will_qos, will_retain, will_delay, will_expiry, owner FROM session \
         ORDER BY id",
    )?;
    // A list that grows would be up to twice the necessary size, at the moment when a start
    // takes the most memory.
    let count: i64 = connection.query_row("SELECT count(*) FROM session", [], |row| row.get(0))?;
    let count = usize::try_from(count).unwrap_or_default();
    sessions.reserve_exact(count);
    index.reserve(count);
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let record = session(row)?;
        index.insert(record.id, sessions.len());
        sessions.push(RecoveredSession {
            record,
            subscriptions: Vec::new(),
            incoming: Vec::new(),
            sent: IdList::new(),
            queue: IdList::new(),
            last_packet_id: None,
            has_shared: false,
        });
    }
    Ok(())
}

fn session(row: &Row<'_>) -> Result<SessionRecord> {
    let will = match row.get::<_, Option<Box<str>>>(6)? {
        None => None,
        Some(topic) => Some(Box::new(WillRecord {
            topic,
            payload: row.get::<_, Option<_>>(7)?.unwrap_or_default(),
            properties: row.get::<_, Option<_>>(8)?.unwrap_or_default(),
            qos: qos(row.get::<_, Option<_>>(9)?.unwrap_or_default()),
            retain: row.get::<_, Option<_>>(10)?.unwrap_or_default(),
            delay: row.get::<_, Option<_>>(11)?.unwrap_or_default(),
            expiry: row.get(12)?,
        })),
    };
    Ok(SessionRecord {
        id: SessionId::from_sql(row.get(0)?),
        client_id: row.get(1)?,
        owner: row.get(13)?,
        version: match row.get::<_, u8>(2)? {
            3 => Version::V31,
            4 => Version::V311,
            _ => Version::V5,
        },
        expiry: row.get(3)?,
        disconnected_at: row.get::<_, Option<i64>>(4)?.map(WallMillis::from_sql),
        sent_up_to: DeliveryId::from_sql(row.get(5)?),
        will,
    })
}

/// Ordered by session, so that each list is allocated once at its final size: with a million
/// subscriptions, growing lists would leave holes as large as all of them together.
fn read_subscriptions(
    connection: &Connection,
    sessions: &mut [RecoveredSession],
    index: &Index,
) -> Result<()> {
    let mut select = connection.prepare(
        "SELECT session, filter, qos, no_local, retain_as_published, retain_handling, identifier \
         FROM subscription ORDER BY session",
    )?;
    let mut rows = select.query([])?;
    let mut found: Vec<SubscriptionRecord> = Vec::new();
    let mut of_session = SessionId::default();
    while let Some(row) = rows.next()? {
        let id = SessionId::from_sql(row.get(0)?);
        if id != of_session {
            give(&mut found, of(sessions, index, of_session));
            of_session = id;
        }
        found.push(subscription(row)?);
    }
    give(&mut found, of(sessions, index, of_session));
    Ok(())
}

fn give(found: &mut Vec<SubscriptionRecord>, session: Option<&mut RecoveredSession>) {
    let subscriptions = found.drain(..);
    if let Some(session) = session {
        session.subscriptions = subscriptions.collect();
    }
}

fn subscription(row: &Row<'_>) -> Result<SubscriptionRecord> {
    Ok(SubscriptionRecord {
        filter: row.get(1)?,
        options: SubscriptionOptions {
            qos: qos(row.get(2)?),
            no_local: row.get(3)?,
            retain_as_published: row.get(4)?,
            retain_handling: match row.get::<_, u8>(5)? {
                0 => RetainHandling::Always,
                1 => RetainHandling::IfNew,
                _ => RetainHandling::Never,
            },
        },
        identifier: row.get(6)?,
    })
}

fn read_incoming(
    connection: &Connection,
    sessions: &mut [RecoveredSession],
    index: &Index,
) -> Result<()> {
    let mut select = connection.prepare("SELECT session, packet_id FROM incoming")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(session) = of(sessions, index, SessionId::from_sql(row.get(0)?)) {
            session.incoming.extend(PacketId::new(row.get(1)?));
        }
    }
    Ok(())
}

fn read_retained(connection: &Connection, retained: &mut Vec<RetainedRecord>) -> Result<()> {
    let mut select = connection.prepare(
        "SELECT topic, payload, qos, properties, published_at, expires_at FROM retained",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        retained.push(RetainedRecord {
            topic: row.get(0)?,
            payload: row.get(1)?,
            qos: qos(row.get(2)?),
            properties: row.get::<_, Option<_>>(3)?.unwrap_or_default(),
            published_at: WallMillis::from_sql(row.get(4)?),
            expires_at: row.get::<_, Option<i64>>(5)?.map(WallMillis::from_sql),
        });
    }
    Ok(())
}

/// Ordered by id, which is the order of each session's queue.
fn read_deliveries(connection: &Connection, scan: &mut Scan, index: &Index) -> Result<()> {
    let mut counts: AHashMap<MessageId, u32> = AHashMap::new();
    let mut select = connection.prepare(
        "SELECT id, session, packet_id, size, shared, message, qos, received, \
         share IS NOT NULL FROM delivery ORDER BY id",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let entry = QueuedId { id: DeliveryId::from_sql(row.get(0)?), size: row.get(3)? };
        if row.get(4)? {
            *counts.entry(MessageId::from_sql(row.get(5)?)).or_default() += 1;
        }
        match of(&mut scan.recovered.sessions, index, SessionId::from_sql(row.get(1)?)) {
            Some(session) => {
                let is_twice_safe = qos(row.get(6)?) == QoS::ExactlyOnce;
                if row.get(7)? || (is_twice_safe && session.may_have_sent(entry.id)) {
                    session.sent.push_back(entry);
                } else {
                    session.queue.push_back(entry);
                }
                session.last_packet_id = PacketId::new(row.get(2)?);
                session.has_shared |= row.get::<_, bool>(8)?;
            }
            None if row.get(8)? => scan.recovered.unclaimed.push_back(entry),
            None => scan.orphans.push_back(entry),
        }
    }
    for (message, count) in counts {
        scan.references.add(message, count);
    }
    Ok(())
}
