//! Cleanup after ended sessions, in short steps: subscriptions in the router, deliveries in
//! memory, rows on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use super::budget::NODES_AT_ONCE;
use super::{Broker, SessionHandle, Step, traced};
use crate::memory::Charge;
use crate::message::IdList;
use crate::protocol::level_count;
use crate::session::Entry;
use crate::store::Op;
use crate::sync::Mutex;
use crate::telemetry::{DropReason, Label};

/// Rows of an ended session that are dropped in one go, so that other work gets
/// its turn in between.
const DROPS_AT_ONCE: usize = 5_000;
/// Subscriptions that are removed under one hold of the router's lock, as long as they have
/// few levels, and deliveries that are completed in one step: some 100 µs.
const AT_ONCE: usize = 256;

/// What an ended session leaves to be cleared away.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) handle: Arc<SessionHandle>,
    pub(super) filters: Vec<Box<str>>,
    /// Bytes of them.
    pub(super) text: usize,
    /// For all of this; messages and the router have their own.
    pub(super) charge: Charge,
    pub(super) entries: VecDeque<Entry>,
    pub(super) rows: VecDeque<IdList>,
}

impl Remains {
    pub(super) fn charge(&mut self) {
        let filters = self.filters.capacity() * size_of::<Box<str>>() + self.text;
        let entries = self.entries.capacity() * size_of::<Entry>();
        let list = |ids: &IdList| size_of::<IdList>() + ids.memory();
        let rows = self.rows.iter().map(list).sum::<usize>();
        self.charge.set((filters + entries + rows) as u64);
    }
}

/// All of it that is not cleared away at once. Owns its lock, under which no other is taken.
#[derive(Debug, Default)]
pub(super) struct Cleanup(Mutex<VecDeque<Remains>>);

impl Cleanup {
    fn push(&self, remains: Remains) {
        self.0.lock().push_back(remains);
    }

    fn pop(&self) -> Option<Remains> {
        self.0.lock().pop_front()
    }

    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl Broker {
    /// Clears away what an ended session has left: the first part at once, the rest with
    /// the broker's background work.
    pub(super) fn clear_away(&self, mut remains: Remains) {
        if self.clear_some(&mut remains) {
            self.cleanup.push(remains);
        }
    }

    /// Goes on with it for one short step. True if there is more.
    pub(super) fn clear_remains(self: &Arc<Self>) -> bool {
        if self.persistence.pending() <= self.settings.max_pending_writes {
            self.hand_over_rows();
        }
        let mut step = Step::new(self);
        self.hand_over_decided(&mut step);
        step.submit_or_log(self);
        let Some(mut remains) = self.cleanup.pop() else { return false };
        if self.clear_some(&mut remains) {
            self.cleanup.push(remains);
        }
        !self.cleanup.is_empty()
    }

    /// Clears all of it away: before the store is closed, so that others have what they
    /// are to get of it.
    pub async fn clear_all(self: &Arc<Self>) {
        while self.has_remains() {
            self.clear_remains();
            // What waits for a commit or a page is not worth a wake-up of its own.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// True if ended sessions have left something that is not cleared away yet.
    pub(super) fn has_remains(&self) -> bool {
        !self.cleanup.is_empty() || !self.shared_redelivery.is_empty()
    }

    /// Ends deliveries with their session.
    pub(super) fn drop_entries(&self, entries: &[Entry], step: &mut Step) {
        traced::dropped(entries, DropReason::SessionEnded.as_str());
        for entry in entries {
            self.complete(entry, step);
        }
        self.metrics.messages.dropped.add(DropReason::SessionEnded, entries.len() as u64);
    }

    fn clear_some(&self, remains: &mut Remains) -> bool {
        let Remains { handle, filters, text, entries, rows, .. } = remains;
        let some = some_of(filters);
        if !some.is_empty() {
            self.subscriptions.remove(handle.id, &some);
            *text -= some.iter().map(|filter| filter.len()).sum::<usize>();
        }
        let mut step = Step::new(self);
        // A session that has ended is not chosen any more, though it is in the router.
        let some = entries.drain(..entries.len().min(AT_ONCE)).collect();
        let dropped = self.hand_over(some, &mut step);
        self.drop_entries(&dropped, &mut step);
        // Rows are no hurry: not on top of what waits for the disk already.
        if self.persistence.pending() <= self.settings.max_pending_writes
            && let Some(ids) = rows.front_mut()
        {
            for queued in ids.take_front(DROPS_AT_ONCE) {
                step.write(Op::Drop(queued.id));
            }
            if ids.is_empty() {
                rows.pop_front();
            }
        }
        step.submit_or_log(self);
        let more = !(filters.is_empty() && entries.is_empty() && rows.is_empty());
        remains.charge();
        more
    }
}

/// Takes out what may be removed under one hold of the router's lock.
fn some_of(filters: &mut Vec<Box<str>>) -> Vec<Box<str>> {
    let mut nodes = 0;
    let levels = filters.iter().rev().map(|filter| level_count(filter));
    let fits = |levels: &usize| {
        nodes += levels;
        nodes <= NODES_AT_ONCE
    };
    let fitting = levels.take(AT_ONCE).take_while(fits).count();
    // The deepest one goes by itself.
    filters.split_off(filters.len().saturating_sub(fitting.max(1)))
}
