//! Removes the state of ended sessions in short steps: subscriptions in the router, deliveries
//! in memory, rows on disk.

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

/// Rows of an ended session that are deleted in one step, so that other work is not delayed.
const DROPS_AT_ONCE: usize = 5_000;
/// Subscriptions of few levels that are removed under one hold of the router's lock, and
/// deliveries that are completed in one step: about 100 µs.
const AT_ONCE: usize = 256;

/// The state of an ended session that has to be removed.
#[derive(Debug)]
pub(super) struct EndedSession {
    pub(super) handle: Arc<SessionHandle>,
    pub(super) filters: Vec<Box<str>>,
    /// Bytes of the filters.
    pub(super) text: usize,
    /// For these lists. Messages and the router have charges of their own.
    pub(super) charge: Charge,
    pub(super) entries: VecDeque<Entry>,
    pub(super) rows: VecDeque<IdList>,
}

impl EndedSession {
    pub(super) fn charge(&mut self) {
        let filters = self.filters.capacity() * size_of::<Box<str>>() + self.text;
        let entries = self.entries.capacity() * size_of::<Entry>();
        let list = |ids: &IdList| size_of::<IdList>() + ids.memory();
        let rows = self.rows.iter().map(list).sum::<usize>();
        self.charge.set((filters + entries + rows) as u64);
    }
}

/// All state that remains to be removed. Owns its lock, under which no other is taken.
#[derive(Debug, Default)]
pub(super) struct Cleanup(Mutex<VecDeque<EndedSession>>);

impl Cleanup {
    fn push(&self, remains: EndedSession) {
        self.0.lock().push_back(remains);
    }

    fn pop(&self) -> Option<EndedSession> {
        self.0.lock().pop_front()
    }

    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl Broker {
    /// Removes the state of an ended session: the first part at once, the rest in background
    /// work.
    pub(super) fn clean_up(&self, mut remains: EndedSession) {
        if self.clean_up_part(&mut remains) {
            self.cleanup.push(remains);
        }
    }

    /// Continues the cleanup for one short step. True if there is more.
    pub(super) fn clean_up_some(self: &Arc<Self>) -> bool {
        if self.persistence.pending() <= self.settings.max_pending_writes {
            self.hand_over_rows();
        }
        let mut step = Step::new(self);
        self.hand_over_decided(&mut step);
        step.submit_or_log(self);
        let Some(mut remains) = self.cleanup.pop() else { return false };
        if self.clean_up_part(&mut remains) {
            self.cleanup.push(remains);
        }
        !self.cleanup.is_empty()
    }

    /// Completes the cleanup. Called before the store is closed, so that other members of
    /// shared subscriptions get the deliveries of ended sessions.
    pub async fn clean_up_all(self: &Arc<Self>) {
        while self.has_cleanup() {
            self.clean_up_some();
            // Deliveries that wait for a commit or a page cause no wake-up here, so this
            // polls.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// True if state of ended sessions remains to be removed.
    pub(super) fn has_cleanup(&self) -> bool {
        !self.cleanup.is_empty() || !self.shared_redelivery.is_empty()
    }

    /// Drops the deliveries of an ended session.
    pub(super) fn drop_entries(&self, entries: &[Entry], step: &mut Step) {
        traced::dropped(entries, DropReason::SessionEnded.as_str());
        for entry in entries {
            self.complete(entry, step);
        }
        self.metrics.messages.dropped.add(DropReason::SessionEnded, entries.len() as u64);
    }

    fn clean_up_part(&self, remains: &mut EndedSession) -> bool {
        let EndedSession { handle, filters, text, entries, rows, .. } = remains;
        let some = some_of(filters);
        if !some.is_empty() {
            self.subscriptions.remove(handle.id, &some);
            *text -= some.iter().map(|filter| filter.len()).sum::<usize>();
        }
        let mut step = Step::new(self);
        // The router still has the session, but no longer selects it, since it has ended.
        let some = entries.drain(..entries.len().min(AT_ONCE)).collect();
        let dropped = self.hand_over(some, &mut step);
        self.drop_entries(&dropped, &mut step);
        // Deleting rows is not urgent, so it waits while many writes are pending.
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

/// Takes out the filters that may be removed under one hold of the router's lock.
fn some_of(filters: &mut Vec<Box<str>>) -> Vec<Box<str>> {
    let mut nodes = 0;
    let levels = filters.iter().rev().map(|filter| level_count(filter));
    let fits = |levels: &usize| {
        nodes += levels;
        nodes <= NODES_AT_ONCE
    };
    let fitting = levels.take(AT_ONCE).take_while(fits).count();
    // A filter that alone exceeds the limit is removed by itself.
    filters.split_off(filters.len().saturating_sub(fitting.max(1)))
}
