//! The end of a session: by expiry, by a clean start, with its connection, by an operator.
//!
//! It is decided under the session's permit and lock, and submitted; only then does the
//! session leave the registry, so that whoever connects next with its client id knows a
//! commit that the end is in. What remains (subscriptions in the router, deliveries) is
//! cleared away in short steps.

use std::collections::VecDeque;
use std::sync::Arc;

use super::budget::NODES_AT_ONCE;
use super::handle::StepPermit;
use super::{Broker, SessionHandle, Step, traced};
use crate::memory::Charge;
use crate::message::IdList;
use crate::protocol::level_count;
use crate::session::{Entry, cost_of_subscription};
use crate::store::{Change, Op};
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
    handle: Arc<SessionHandle>,
    filters: Vec<Box<str>>,
    /// For the filters, which are in the router until they are cleared away.
    charge: Charge,
    entries: VecDeque<Entry>,
    rows: VecDeque<IdList>,
}

impl Broker {
    /// A session's expiry has passed.
    pub(super) async fn session_expires(&self, permit: StepPermit) {
        let handle = permit.session();
        let mut step = Step::new(self);
        let will = {
            let mut session = handle.lock();
            if !session.life.is_away() {
                return;
            }
            // The will is sent when the session ends, whatever its delay
            // [MQTT-3.1.2-8].
            session.will.take()
        };
        if let Some(will) = will {
            self.publish_will(&will, &mut step).await;
        }
        if handle.look().life.expiry > 0 {
            self.metrics.sessions.expired.inc();
            tracing::info!(client_id = &*handle.client_id, "session expired");
        } else {
            let client_id = &*handle.client_id;
            tracing::info!(client_id, "the connection ended with the last run of the broker");
        }
        self.end_and_submit(&permit, &mut step);
    }

    /// Ends the session, submits the step with it, and clears away what is little.
    pub(super) fn end_and_submit(&self, permit: &StepPermit, step: &mut Step) {
        let handle = permit.session();
        let remains = self.end_session(handle, step);
        step.submit_or_log(self);
        self.leave_registry(handle);
        if let Some(remains) = remains {
            self.clear_away(remains);
        }
    }

    /// Decides the end of the session. The caller has its permit, submits the step, and
    /// then takes it out of the registry.
    pub(super) fn end_session(
        &self,
        handle: &Arc<SessionHandle>,
        step: &mut Step,
    ) -> Option<Remains> {
        let mut session = handle.lock();
        if session.life.is_ended() {
            return None;
        }
        session.life.end();
        self.timers.cancel(handle);
        let (entries, rows) = session.take_all();
        let has_shared = session.durable && session.has_shared;
        let shared_up_to = has_shared.then_some(session.sent_up_to);
        let bytes = session.subscriptions.bytes();
        let subscriptions = session.subscriptions.take();
        if session.has_row {
            step.change(Change::EndSession(session.id));
        }
        drop(session);
        handle.bell().connect(None);
        let mut rows: VecDeque<_> = rows.into_iter().filter(|ids| !ids.is_empty()).collect();
        if let Some(sent_up_to) = shared_up_to {
            // Others may get what is in them: they are read back first.
            rows.drain(..).for_each(|ids| self.leftovers.add(ids, sent_up_to));
        }
        let dropped = rows.iter().map(IdList::len).sum::<usize>();
        self.metrics.messages.dropped.add(DropReason::SessionEnded, dropped as u64);
        Some(Remains {
            handle: Arc::clone(handle),
            charge: self.metrics.messages.memory.charge(bytes),
            filters: subscriptions.into_keys().collect(),
            entries: entries.into(),
            rows,
        })
    }

    pub(super) fn leave_registry(&self, handle: &Arc<SessionHandle>) {
        let mut registry = self.registry.lock();
        if registry.get(&handle.client_id).is_some_and(|known| Arc::ptr_eq(known, handle)) {
            registry.remove(&handle.client_id);
        }
    }

    /// Clears away what an ended session has left: the first part at once, the rest with
    /// the broker's background work.
    pub(super) fn clear_away(&self, mut remains: Remains) {
        if self.clear_some(&mut remains) {
            self.remains.lock().push_back(remains);
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
        let Some(mut remains) = self.remains.lock().pop_front() else { return false };
        let more = self.clear_some(&mut remains);
        let mut all = self.remains.lock();
        if more {
            all.push_back(remains);
        }
        !all.is_empty()
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
        !self.remains.lock().is_empty() || !self.leftovers.is_empty()
    }

    /// Ends deliveries with their session.
    pub(super) fn drop_entries(&self, entries: &[Entry], step: &mut Step) {
        traced::dropped(entries, DropReason::SessionEnded.as_str());
        for entry in entries {
            self.settle(entry, step);
        }
        self.metrics.messages.dropped.add(DropReason::SessionEnded, entries.len() as u64);
    }

    fn clear_some(&self, remains: &mut Remains) -> bool {
        let Remains { handle, filters, charge, entries, rows } = remains;
        let some = some_of(filters);
        if !some.is_empty() {
            self.unroute(handle.id, &some);
            let gone: u64 = some.iter().map(|filter| cost_of_subscription(filter)).sum();
            charge.set(u64::try_from(charge.bytes()).unwrap_or(0).saturating_sub(gone));
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
        !(filters.is_empty() && entries.is_empty() && rows.is_empty())
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
