//! Reads parts of queues back from disk, on a connection and a thread of its own.
//!
//! Without memory mapping: an I/O error would come as a signal there, and could not
//! be reported to anyone. A panic poisons the store, and every request is answered, also
//! those that wait or come later: a page that never comes would silence its queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ahash::AHashMap;
use rusqlite::{Connection, OpenFlags, Row};

use super::error::{Failure, PageError, extended_code};
use super::lock::LockFile;
use super::op::{Op, PageRequest, Submission};
use super::queue::Phase;
use super::record::PagedDelivery;
use super::shared::{Shared, StoreState};
use crate::memory::Ledger;
use crate::message::{DeliveryId, Message, MessageHead, MessageId, QueuedId, WallMillis};
use crate::protocol::{PacketId, QoS};

const PAGE: &str = "SELECT d.id, d.message, d.qos, d.packet_id, d.received, d.shared, \
     m.id, m.topic, m.payload, m.qos, m.retain, m.properties, m.published_at, m.expires_at, \
     d.retain, d.share \
     FROM delivery d LEFT JOIN message m ON m.id = d.message WHERE d.id BETWEEN ?1 AND ?2 ORDER BY d.id";

/// A connection that cannot write.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    shared: Arc<Shared>,
    _lock: Arc<LockFile>,
}

impl Reader {
    pub(super) fn open(
        path: &Path,
        busy: Duration,
        shared: Arc<Shared>,
        lock: Arc<LockFile>,
    ) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection, shared, _lock: lock })
    }

    /// Answers one request.
    pub(super) fn serve(&self, request: PageRequest) {
        let PageRequest { ids, ledger, reply } = request;
        let answer = if self.shared.state() == StoreState::Poisoned {
            Err(PageError::Closed)
        } else {
            catch_unwind(AssertUnwindSafe(|| self.answer(&ids, ledger))).unwrap_or_else(|_| {
                self.shared.poison("the reader of pages panicked");
                Err(PageError::Closed)
            })
        };
        // The reply runs in this thread, and belongs to whoever has asked.
        if catch_unwind(AssertUnwindSafe(|| (reply.0)(answer))).is_err() {
            self.shared.poison("what waited for a page panicked");
        }
    }

    fn answer(&self, ids: &[QueuedId], ledger: Ledger) -> Result<Vec<PagedDelivery>, PageError> {
        let mut result = self.read(ids, ledger);
        // A page that is not answered would be missing from its queue until the next
        // start: locks of other programs are waited for.
        while result.as_ref().is_err_and(|error| Failure::of(error) == Failure::Busy)
            && self.shared.phase() < Phase::Closing
        {
            std::thread::sleep(Duration::from_millis(10));
            result = self.read(ids, ledger);
        }
        if let Err(error) = &result {
            self.shared.metrics.count_error(extended_code(error));
            if Failure::of(error) == Failure::Fatal {
                self.shared.poison(&format!("reading a queue back: {error}"));
            }
        }
        result.map_err(|error| PageError::Read(error.to_string()))
    }

    fn read(&self, ids: &[QueuedId], ledger: Ledger) -> rusqlite::Result<Vec<PagedDelivery>> {
        let mut select = self.connection.prepare_cached(PAGE)?;
        let mut page = Page {
            deliveries: Vec::with_capacity(ids.len()),
            dangling: Vec::new(),
            shared: AHashMap::default(),
            ledger,
        };
        for run in ids.chunk_by(|a, b| a.id.0 + 1 == b.id.0) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let mut rows = select.query((first.id.to_sql(), last.id.to_sql()))?;
            while let Some(row) = rows.next()? {
                page.add(row)?;
            }
        }
        self.forget(page.dangling);
        Ok(page.deliveries)
    }

    /// A crash between the deletes of two receivers can leave a delivery whose
    /// message is gone: everyone has acknowledged it, only one row did not hear.
    fn forget(&self, dangling: Vec<DeliveryId>) {
        if !dangling.is_empty() {
            let ops = dangling
                .into_iter()
                .map(|delivery| Op::Delete { delivery, message: None })
                .collect();
            // A store that is closing finds it again at the next start.
            let _ = self.shared.submit(&mut Submission { ops, ..Submission::default() });
        }
    }
}

struct Page {
    deliveries: Vec<PagedDelivery>,
    dangling: Vec<DeliveryId>,
    shared: AHashMap<MessageId, Arc<Message>>,
    ledger: Ledger,
}

impl Page {
    fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let delivery = DeliveryId::from_sql(row.get(0)?);
        let Some(packet_id) = PacketId::new(row.get(3)?) else { return Ok(()) };
        if row.get_ref(6)? == rusqlite::types::ValueRef::Null {
            self.dangling.push(delivery);
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
        self.deliveries.push(paged);
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

/// From a column; what FerryMQ never writes is taken for the QoS that loses nothing.
pub(super) fn qos(value: u8) -> QoS {
    QoS::from_bits(value).unwrap_or(QoS::AtLeastOnce)
}

/// Where page requests go.
#[derive(Debug)]
pub(super) struct ReaderThread {
    pub(super) requests: Sender<PageRequest>,
    pub(super) handle: JoinHandle<()>,
}

impl ReaderThread {
    /// The thread ends when the sender is dropped and every request is answered.
    pub(super) fn spawn(reader: Reader) -> std::io::Result<Self> {
        let (requests, receiver) = channel();
        let handle = std::thread::Builder::new()
            .name("ferrymq-pages".into())
            .spawn(move || run(&reader, &receiver))?;
        Ok(Self { requests, handle })
    }
}

fn run(reader: &Reader, requests: &Receiver<PageRequest>) {
    for request in requests {
        reader.serve(request);
    }
}
