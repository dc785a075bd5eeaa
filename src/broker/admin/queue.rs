//! Lists the deliveries in a queue, including those on disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::NotCommitted;
use crate::broker::{Broker, SessionHandle};
use crate::message::{CommitNo, DeliveryId, Message, QueuedId};
use crate::protocol::{PacketId, QoS};
use crate::session::{DeliveryState, Entry, Peeked};
use crate::store::{PageReply, PageRequest, PagedDelivery};

/// Bytes that one request reads from disk, as for a page of a queue.
const BYTES: u64 = 4 << 20;
/// While the connection reads a page of its queue, the deliveries of that page cannot be seen.
const PAGE_ARRIVES: Duration = Duration::from_millis(5);
/// How many times this is waited for before the list is returned without that page.
const PATIENCE: usize = 100;

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not sent on this connection.
    Waiting,
    /// Sent, but not acknowledged.
    InFlight,
    /// QoS 2: PUBREC has been received, PUBCOMP has not.
    Received,
}

/// One delivery of a queue.
#[derive(Debug, Clone)]
pub struct QueuedDelivery {
    /// The message, shared with all other receivers.
    pub message: Arc<Message>,
    /// Its identifier. The queue is in the order of these.
    pub delivery: DeliveryId,
    /// Absent for QoS 0.
    pub packet_id: Option<PacketId>,
    /// The QoS of this delivery, at most that of the message.
    pub qos: QoS,
    /// The RETAIN flag that the receiver sees.
    pub retain: bool,
    /// It may have been sent before.
    pub dup: bool,
    /// How far it has come.
    pub stage: Stage,
    /// Its row is committed, so it survives a crash.
    pub on_disk: bool,
}

/// Part of a queue.
#[derive(Debug, Default)]
pub struct QueuePage {
    /// In the order of the queue.
    pub deliveries: Vec<QueuedDelivery>,
    /// The last delivery, if there are more after it.
    pub next: Option<DeliveryId>,
}

impl Broker {
    /// Lists up to `limit` deliveries after `after`, without changing the queue or its
    /// connection. `None`: there is no such session.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn look_into_queue(
        &self,
        client_id: &str,
        after: DeliveryId,
        limit: usize,
    ) -> Option<Result<QueuePage, NotCommitted>> {
        let handle = self.session_of(client_id)?;
        let (mut items, sent_up_to) = peek(&handle, after, limit + 1).await;
        let taken = items.len().min(limit).min(within_bytes(&items));
        let more = taken < items.len();
        items.truncate(taken);
        let next = items.last().map(Peeked::delivery).filter(|_| more);
        let ids: Vec<QueuedId> = items.iter().filter_map(on_disk).collect();
        let rows = match self.read_rows(ids).await {
            Ok(rows) => rows,
            Err(error) => return Some(Err(error)),
        };
        let mut rows: HashMap<DeliveryId, PagedDelivery> =
            rows.into_iter().map(|row| (row.delivery, row)).collect();
        let committed = self.persistence.committed();
        let deliveries = items.into_iter().filter_map(|item| match item {
            Peeked::InFlight(entry) => Some(of_entry(entry, Stage::InFlight, committed)),
            Peeked::Waiting(entry) => Some(of_entry(entry, Stage::Waiting, committed)),
            // Without a row it has been delivered meanwhile.
            Peeked::OnDisk(queued) => rows.remove(&queued.id).map(|row| of_row(row, sent_up_to)),
        });
        Some(Ok(QueuePage { deliveries: deliveries.collect(), next }))
    }

    /// Reads the rows on the store's reader thread.
    async fn read_rows(&self, ids: Vec<QueuedId>) -> Result<Vec<PagedDelivery>, NotCommitted> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (send, receive) = tokio::sync::oneshot::channel();
        let reply = PageReply(Box::new(move |answer| {
            // An error means that the request was cancelled.
            let _ = send.send(answer);
        }));
        self.persistence.page(PageRequest { ids, ledger: self.metrics.messages.memory, reply });
        match receive.await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(_)) | Err(_) => Err(NotCommitted::Down),
        }
    }
}

async fn peek(
    handle: &SessionHandle,
    after: DeliveryId,
    count: usize,
) -> (Vec<Peeked>, DeliveryId) {
    let mut tries = 0;
    loop {
        let (peek, sent_up_to) = {
            let session = handle.lock();
            (session.peek(after, count), session.sent_up_to)
        };
        if !peek.is_paging || tries == PATIENCE {
            return (peek.items, sent_up_to);
        }
        tries += 1;
        tokio::time::sleep(PAGE_ARRIVES).await;
    }
}

/// How many of the first items fit in `BYTES`; at least one.
fn within_bytes(items: &[Peeked]) -> usize {
    let mut bytes = 0;
    let fits = |item: &&Peeked| {
        let before = bytes;
        bytes += on_disk(item).map_or(0, |queued| u64::from(queued.size));
        before == 0 || bytes <= BYTES
    };
    items.iter().take_while(fits).count()
}

fn on_disk(item: &Peeked) -> Option<QueuedId> {
    if let Peeked::OnDisk(queued) = item { Some(*queued) } else { None }
}

fn of_entry(entry: Entry, stage: Stage, committed: CommitNo) -> QueuedDelivery {
    QueuedDelivery {
        delivery: entry.delivery,
        packet_id: entry.packet_id,
        qos: entry.qos,
        retain: entry.retain,
        dup: entry.dup,
        stage: if entry.state == DeliveryState::Received { Stage::Received } else { stage },
        on_disk: entry.is_on_disk(committed),
        message: entry.message,
    }
}

fn of_row(row: PagedDelivery, sent_up_to: DeliveryId) -> QueuedDelivery {
    QueuedDelivery {
        delivery: row.delivery,
        packet_id: Some(row.packet_id),
        qos: row.qos,
        retain: row.retain,
        dup: row.delivery <= sent_up_to,
        stage: if row.received { Stage::Received } else { Stage::Waiting },
        on_disk: true,
        message: row.message,
    }
}
