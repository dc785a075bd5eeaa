//! The outgoing queue: its head in memory, its middle on disk, and its tail in memory until it
//! is committed.
//!
//! ```text
//! head (entries) | page on its way | disk (ids) | tail (entries, not yet committed)
//!   sent first                                          queued last
//! ```
//! QoS 0 messages are in a separate line. They need no inflight window, so a full one must not
//! block them, and they are never on disk.
//!
//! The head is sent first. While nothing of a durable queue is on disk, it has up to
//! `memory_window` entries of at most 4 MiB, and gets no more while `limits.max_memory` is
//! exceeded. Further entries are in the tail until they are committed, and are then replaced
//! by an id and a size. When the head is half empty, a page of ids is requested (`next_page`),
//! read back by the store and appended to the head.
//!
//! On reconnect the inflight window is put back in front of the queue, in order, with DUP. A
//! delivery that was sent is completed: it does not expire, keeps its packet identifier, and
//! is not dropped to make room.

use std::collections::VecDeque;

use super::on_disk::OnDisk;
use super::{Entry, Home, Peeked};
use crate::message::{CommitNo, DeliveryId, IdList, QueuedId, WallMillis};
use crate::protocol::QoS;

/// Bytes of a durable queue that are kept in memory after its first entry: enough for a page
/// of small messages, and not for a thousand large ones.
const MEMORY_BYTES: u64 = 4 << 20;

/// A part of the queue that has to be read back from disk.
#[derive(Debug)]
pub struct Page {
    /// In order.
    pub ids: Vec<QueuedId>,
    /// Bytes of their messages.
    pub bytes: u64,
}

/// See the diagram of the module.
#[derive(Debug, Default)]
pub struct Queue {
    head: VecDeque<Entry>,
    disk: OnDisk,
    /// When the message of the first delivery on disk was accepted, if that is known.
    first_on_disk: Option<WallMillis>,
    tail: VecDeque<Entry>,
    /// QoS 0 messages.
    qos0: VecDeque<Entry>,
    /// Number and bytes of the deliveries in the page that is being read.
    paging: Option<(usize, u64)>,
    memory_window: usize,
    entry_bytes: u64,
    /// Deliveries whose messages the disk refused, to be completed by the owner.
    refused: Vec<Entry>,
}

impl Queue {
    /// `memory_window`: the entries of a durable queue that are kept in memory.
    pub fn new(memory_window: usize) -> Self {
        Self { memory_window: memory_window.max(1), ..Self::default() }
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of waiting deliveries.
    pub fn len(&self) -> usize {
        let paging = self.paging.map_or(0, |(count, _)| count);
        self.head.len() + paging + self.disk.len() + self.tail.len() + self.qos0.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.entry_bytes + self.paging.map_or(0, |(_, bytes)| bytes) + self.disk.bytes()
    }

    /// Bytes of the deliveries in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.entry_bytes
    }

    /// Entries that there is memory for.
    pub fn capacity(&self) -> usize {
        self.head.capacity() + self.tail.capacity() + self.qos0.capacity()
    }

    /// Bytes that the ids of what is on disk take in memory.
    pub fn memory_of_ids(&self) -> u64 {
        self.disk.memory() as u64
    }

    /// The number of deliveries in memory.
    pub fn in_memory(&self) -> usize {
        self.head.len() + self.tail.len() + self.qos0.len()
    }

    /// True if part of the queue is not in memory.
    pub fn is_on_disk(&self) -> bool {
        !self.disk.is_empty() || self.paging.is_some()
    }

    /// Restores what a start has found: deliveries that may have been sent at QoS 2, and the
    /// rest.
    pub(super) fn restore(&mut self, sent: IdList, waiting: IdList) {
        self.disk = OnDisk::new(sent, waiting);
    }

    /// Appends a delivery. `spill`: memory is short, so a delivery with a row waits on disk.
    pub fn push(&mut self, entry: Entry, committed: CommitNo, spill: bool) {
        self.entry_bytes += entry.size();
        if entry.qos == QoS::AtMostOnce {
            self.qos0.push_back(entry);
            return;
        }
        // A session that is no longer durable may have rows that precede entries in memory.
        let in_order = self.tail.is_empty() && !self.is_on_disk();
        // Only a delivery with a row can wait on disk. Others are bounded by the queue's
        // limit.
        let room = !spill
            && self.head.len() < self.memory_window
            && (self.head.is_empty() || self.entry_bytes < MEMORY_BYTES);
        if in_order && (room || matches!(entry.home, Home::Memory)) {
            self.head.push_back(entry);
            return;
        }
        self.evict_tail(committed);
        self.tail.push_back(entry);
    }

    /// Replaces the committed front of the tail by ids.
    fn evict_tail(&mut self, committed: CommitNo) {
        while let Some(front) = self.tail.front() {
            let refused = is_refused(front);
            if !refused && !front.is_on_disk(committed) {
                break;
            }
            let Some(entry) = self.tail.pop_front() else { break };
            self.entry_bytes -= entry.size();
            if refused {
                self.refused.push(entry);
            } else {
                if self.disk.is_empty() {
                    self.first_on_disk = Some(entry.message.published_at);
                }
                self.disk.push_back(queued(&entry));
            }
        }
    }

    /// Evicts from memory what is on disk, for an offline session. True if nothing is left in
    /// memory.
    pub fn evict(&mut self, committed: CommitNo) -> bool {
        if self.paging.is_some() {
            return false;
        }
        self.evict_tail(committed);
        // A message that the disk refused is not delivered.
        for entry in std::mem::take(&mut self.head) {
            if is_refused(&entry) {
                self.entry_bytes -= entry.size();
                self.refused.push(entry);
            } else {
                self.head.push_back(entry);
            }
        }
        let keep = self.head.iter().rposition(|entry| !entry.is_on_disk(committed));
        let keep = keep.map_or(0, |last| last + 1);
        let mut ids = OnDisk::default();
        if let Some(first) = self.head.get(keep) {
            self.first_on_disk = Some(first.message.published_at);
        }
        for entry in self.head.drain(keep..) {
            self.entry_bytes -= entry.size();
            ids.add(queued(&entry), entry.may_have_been_sent());
        }
        self.disk.prepend(ids);
        if self.head.is_empty() {
            self.head = VecDeque::new();
        }
        if self.tail.is_empty() {
            self.tail = VecDeque::new();
        }
        self.head.is_empty() && self.tail.is_empty()
    }

    /// Adds the first `count` deliveries after `after` of each line. True if a page is being
    /// read, whose deliveries are missing.
    pub(super) fn peek(&self, after: DeliveryId, count: usize, items: &mut Vec<Peeked>) -> bool {
        for line in [&self.head, &self.tail, &self.qos0] {
            // Identifiers rise within a line.
            let from = line.partition_point(|entry| entry.delivery <= after);
            items.extend(line.range(from..).take(count).cloned().map(Peeked::Waiting));
        }
        items.extend(self.disk.behind(after, count).map(Peeked::OnDisk));
        self.paging.is_some()
    }

    /// Takes the deliveries that left the queue because the disk refused their messages.
    pub fn take_refused(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.refused)
    }

    /// The next delivery to be sent at QoS 1 or 2.
    pub fn front(&mut self) -> Option<&mut Entry> {
        if self.head.is_empty() && !self.is_on_disk() {
            std::mem::swap(&mut self.head, &mut self.tail);
        }
        self.head.front_mut()
    }

    /// When the message was accepted that has waited for the longest time at QoS 1 or 2. `None`:
    /// nothing waits, or it is on disk and was not seen since the start.
    pub fn oldest_message(&self) -> Option<WallMillis> {
        let of = |entry: &Entry| entry.message.published_at;
        match self.head.front() {
            Some(first) => Some(of(first)),
            None if self.paging.is_some() => None,
            None if !self.disk.is_empty() => self.first_on_disk,
            None => self.tail.front().map(of),
        }
    }

    /// The next QoS 0 delivery.
    pub fn front_qos0(&self) -> Option<&Entry> {
        self.qos0.front()
    }

    /// Removes the next QoS 0 delivery.
    pub fn pop_qos0(&mut self) -> Option<Entry> {
        let entry = self.qos0.pop_front()?;
        self.entry_bytes -= entry.size();
        trim(&mut self.qos0);
        Some(entry)
    }

    /// Removes the next delivery to be sent at QoS 1 or 2.
    pub fn pop(&mut self) -> Option<Entry> {
        self.front()?;
        let entry = self.head.pop_front()?;
        self.entry_bytes -= entry.size();
        trim(&mut self.head);
        Some(entry)
    }

    /// Requests the next page if the head runs low. The caller reads it and passes it to
    /// [`Queue::paged`]. `most` returns the most bytes of a page, not counting its last
    /// message, and is called only if the head may run low.
    pub fn next_page(&mut self, most: impl FnOnce() -> u64) -> Option<Page> {
        if self.paging.is_some() || self.disk.is_empty() || self.head.len() > self.memory_window / 2
        {
            return None;
        }
        let most = most().min(MEMORY_BYTES);
        // Also if the head has few entries, but large ones.
        if !self.head.is_empty() && self.entry_bytes >= most / 2 {
            return None;
        }
        let before = self.disk.bytes();
        let ids = self.disk.take_page(self.memory_window, most);
        self.first_on_disk = None;
        let bytes = before - self.disk.bytes();
        self.paging = Some((ids.len(), bytes));
        Some(Page { ids, bytes })
    }

    /// A page has arrived.
    pub fn paged(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.paging = None;
        for entry in entries {
            self.entry_bytes += entry.size();
            self.head.push_back(entry);
        }
    }

    /// Puts deliveries that were in flight before all others.
    pub(super) fn put_back(&mut self, in_flight: VecDeque<Entry>) {
        for mut entry in in_flight.into_iter().rev() {
            entry.dup = true;
            self.entry_bytes += entry.size();
            self.head.push_front(entry);
        }
    }

    /// Removes the oldest delivery that may be dropped to make room: its entry, or the id of
    /// its row. `None`: all were sent before and must be completed, or are being read back.
    pub fn drop_oldest(&mut self) -> Option<Result<Entry, DeliveryId>> {
        if let Some(entry) = self.pop_qos0() {
            return Some(Ok(entry));
        }
        // A delivery that the receiver may have must be completed. Otherwise it would treat
        // the next message with that packet identifier as a repeat.
        let at = self.head.iter().position(|entry| !entry.may_have_been_sent());
        if let Some(entry) = at.and_then(|at| self.head.remove(at)) {
            self.entry_bytes -= entry.size();
            return Some(Ok(entry));
        }
        if let Some(queued) = self.disk.drop_oldest() {
            self.first_on_disk = None;
            return Some(Err(queued.id));
        }
        let entry = self.tail.pop_front()?;
        self.entry_bytes -= entry.size();
        Some(Ok(entry))
    }

    /// Removes QoS 0 messages, which do not wait for an offline client.
    pub(super) fn discard_qos0(&mut self) -> Vec<Entry> {
        let gone = Vec::from(std::mem::take(&mut self.qos0));
        self.entry_bytes -= gone.iter().map(Entry::size).sum::<u64>();
        gone
    }

    pub(super) fn take_all(&mut self, entries: &mut Vec<Entry>) -> [IdList; 2] {
        entries.extend(self.head.drain(..));
        entries.extend(self.tail.drain(..));
        entries.extend(self.qos0.drain(..));
        entries.append(&mut self.refused);
        self.entry_bytes = 0;
        std::mem::take(&mut self.disk).into_lists()
    }
}

/// Frees memory of a line that has become short: below an eighth of its capacity, three
/// quarters are freed.
pub(super) fn trim<T>(line: &mut VecDeque<T>) {
    /// Entries that a short line may keep memory for.
    const SHORT: usize = 256;
    if line.capacity() > SHORT && line.len() < line.capacity() / 8 {
        line.shrink_to((line.capacity() / 4).max(SHORT));
    }
}

/// True if the disk refused its message, unless it was sent before that.
fn is_refused(entry: &Entry) -> bool {
    !entry.may_have_been_sent() && entry.message.durability.is_refused()
}

fn queued(entry: &Entry) -> QueuedId {
    QueuedId { id: entry.delivery, size: u32::try_from(entry.size()).unwrap_or(u32::MAX) }
}
