//! Reads parts of queues, and dead letters, back from disk, on its own connection.
//!
//! Memory mapping is not used: an I/O error would arrive as a signal and could not be
//! reported.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use rusqlite::{Connection, OpenFlags, Row};

use super::dead_letters;
use super::lock::LockFile;
use crate::memory::Ledger;
use crate::message::{DeliveryId, Message, MessageHead, MessageId, QueuedId, WallMillis};
use crate::protocol::{PacketId, QoS};
use crate::store::dead_letter::{DeadLetterPage, DeadLetterQuery};
use crate::store::engine::{self, Page, PageReader};
use crate::store::record::PagedDelivery;

const PAGE: &str = "SELECT d.id, d.message, d.qos, d.packet_id, d.received, d.shared, \
     m.id, m.topic, m.payload, m.qos, m.retain, m.properties, m.published_at, m.expires_at, \
     d.retain, d.share \
     FROM delivery d LEFT JOIN message m ON m.id = d.message WHERE d.id BETWEEN ?1 AND ?2 ORDER BY d.id";

/// A connection that cannot write.
#[derive(Debug)]
pub(super) struct SqlitePages {
    connection: Connection,
    _lock: Arc<LockFile>,
}

impl SqlitePages {
    pub(super) fn open(path: &Path, busy: Duration, lock: Arc<LockFile>) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection, _lock: lock })
    }

    fn select(&self, ids: &[QueuedId], ledger: Ledger) -> rusqlite::Result<Page> {
        let mut select = self.connection.prepare_cached(PAGE)?;
        let deliveries = Vec::with_capacity(ids.len());
        let page = Page { deliveries, dangling: Vec::new() };
        let mut reading = Reading { page, shared: AHashMap::default(), ledger };
        for run in ids.chunk_by(|a, b| a.id.0 + 1 == b.id.0) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let mut rows = select.query((first.id.to_sql(), last.id.to_sql()))?;
            while let Some(row) = rows.next()? {
                reading.add(row)?;
            }
        }
        Ok(reading.page)
    }
}

impl PageReader for SqlitePages {
    fn read(&self, ids: &[QueuedId], ledger: Ledger) -> engine::Result<Page> {
        Ok(self.select(ids, ledger)?)
    }

    fn dead_letters(&self, query: &DeadLetterQuery) -> engine::Result<DeadLetterPage> {
        Ok(dead_letters::read(&self.connection, query)?)
    }
}

/// The state of a page that is being read.
struct Reading {
    page: Page,
    /// Messages that have several deliveries.
    shared: AHashMap<MessageId, Arc<Message>>,
    ledger: Ledger,
}

impl Reading {
    fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let delivery = DeliveryId::from_sql(row.get(0)?);
        let Some(packet_id) = PacketId::new(row.get(3)?) else { return Ok(()) };
        if row.get_ref(6)? == rusqlite::types::ValueRef::Null {
            self.page.dangling.push(delivery);
            return Ok(());
        }
        let message = if row.get(5)? {
            let id = MessageId::from_sql(row.get(1)?);
            if let Some(message) = self.shared.get(&id) {
                Arc::clone(message)
            } else {
                let message = Arc::new(message(row, self.ledger)?);
                self.shared.insert(id, Arc::clone(&message));
                message
            }
        } else {
            Arc::new(message(row, self.ledger)?)
        };
        let (qos, received, retain) = (qos(row.get(2)?), row.get(4)?, row.get(14)?);
        let share = row.get(15)?;
        let paged = PagedDelivery { delivery, packet_id, qos, retain, received, share, message };
        self.page.deliveries.push(paged);
        Ok(())
    }
}

fn message(row: &Row<'_>, ledger: Ledger) -> rusqlite::Result<Message> {
    let head = MessageHead {
        id: MessageId::from_sql(row.get(6)?),
        qos: qos(row.get(9)?),
        retain: row.get(10)?,
        published_at: WallMillis::from_sql(row.get(12)?),
        expires_at: row.get::<_, Option<i64>>(13)?.map(WallMillis::from_sql),
    };
    let properties = row.get_ref(11)?.as_blob_or_null()?.unwrap_or_default();
    let (topic, payload) = (row.get_ref(7)?.as_str()?, row.get_ref(8)?.as_blob()?);
    let mut message = Message::stored(head, topic, properties, payload);
    message.charge_to(ledger);
    Ok(message)
}

/// Converts a column. A value that FerryMQ never writes becomes QoS 1, so that no message is
/// lost.
pub(super) fn qos(value: u8) -> QoS {
    QoS::from_bits(value).unwrap_or(QoS::AtLeastOnce)
}
