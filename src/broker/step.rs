//! Collects the changes and wake-ups of one step of a connection, a timer or an operator, so
//! that the store is locked once and each connection is woken once.
//!
//! A step decides under locks and submits without one. Each change of state draws its number
//! under the lock that decides it ([`Order`]), so the order of submissions does not matter.

use std::sync::Arc;

use super::{Broker, Now, SessionHandle, StoreDown, spare};
use crate::message::{ChangeNo, CommitNo, Message, Order, SessionWake, Waiter, Wake, WakeCause};
use crate::schedule::{self, Point};
use crate::store::{Change, Op, Promise, Submission};

/// Reused for the next step, so that it rarely allocates.
#[derive(Debug)]
pub struct Step {
    /// When the step began.
    pub now: Now,
    order: Arc<Order>,
    submission: Submission,
    wakes: Vec<Arc<Wake>>,
    /// Receivers of messages with many receivers.
    reached: Vec<Arc<Wake>>,
    /// True if the changes include the end of a session.
    ends: bool,
    /// Normally empty: see [`crate::sabotage::Sabotage::ChargeLate`].
    late: Vec<Arc<SessionHandle>>,
}

impl Step {
    pub(super) fn new(broker: &Broker) -> Self {
        Self {
            now: broker.clock.now(),
            order: Arc::clone(broker.persistence.order()),
            submission: Submission::default(),
            wakes: Vec::new(),
            reached: Vec::new(),
            ends: false,
            late: Vec::new(),
        }
    }

    /// Adds a write without a change number: its key is an id that is never reused.
    pub fn write(&mut self, op: Op) {
        self.submission.ops.push(op);
    }

    /// Adds a change of state. To be called under the lock that decides it.
    pub fn change(&mut self, change: Change) {
        self.ends |= matches!(change, Change::EndSession(_));
        self.submission.change(&self.order, change);
    }

    /// Draws a change number. To be called under the lock that decides the change. The number
    /// counts as open until this step is submitted.
    pub fn number(&mut self) -> ChangeNo {
        self.submission.number(&self.order)
    }

    /// Keeps a promise of disk space until the step is committed.
    pub fn keep(&mut self, promise: Option<Promise>) {
        Promise::merge(&mut self.submission.promise, promise);
    }

    /// Adds a message that may be held for the elision window.
    pub fn hold(&mut self, message: Arc<Message>) {
        self.submission.held.push(message);
    }

    /// Wakes a connection at the end of the step.
    pub fn wake(&mut self, wake: &Arc<Wake>, cause: WakeCause) {
        let list = match cause {
            WakeCause::Direct => &mut self.wakes,
            WakeCause::FanOut => &mut self.reached,
        };
        push_once(list, wake);
    }

    /// Wakes the session's connection when the step's changes are committed, whichever
    /// connection it has then.
    pub fn wake_at_commit(&mut self, session: &Arc<SessionWake>, cause: WakeCause) {
        let waiter = Waiter { session: Arc::clone(session), cause };
        let waiters = &mut self.submission.waiters;
        if !waiters.iter().rev().take(RECENT).any(|known| known.is_same(&waiter)) {
            waiters.push(waiter);
        }
    }

    /// True if there is something to commit.
    pub fn has_writes(&self) -> bool {
        !self.submission.ops.is_empty()
    }

    /// Wakes the connections that were added so far. Part of [`Step::submit`], and called
    /// alone while work continues.
    pub fn notify(&mut self) {
        for wake in self.wakes.drain(..) {
            // The publisher's connection may have been replaced.
            wake.notify_session(WakeCause::Direct);
        }
        for wake in self.reached.drain(..) {
            wake.notify_session(WakeCause::FanOut);
        }
    }

    /// Frees the memory of exceptionally large lists.
    pub(super) fn shrink(&mut self) {
        let Submission { ops, held, waiters, .. } = &mut self.submission;
        spare::shrink(ops);
        spare::shrink(held);
        spare::shrink(waiters);
        spare::shrink(&mut self.wakes);
        spare::shrink(&mut self.reached);
    }

    /// Bytes that its lists take in memory.
    pub(super) fn memory(&self) -> usize {
        let Submission { ops, held, waiters, .. } = &self.submission;
        ops.capacity() * size_of::<Op>()
            + waiters.capacity() * size_of::<Waiter>()
            + (held.capacity() + self.wakes.capacity() + self.reached.capacity())
                * size_of::<Arc<Message>>()
    }

    /// Entries that its lists have memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let Submission { ops, held, waiters, .. } = &self.submission;
        ops.capacity()
            + held.capacity()
            + waiters.capacity()
            + self.wakes.capacity()
            + self.reached.capacity()
    }

    /// Delays the update of a session's flags and gauges until the step has ended.
    pub(super) fn update_at_end(&mut self, handle: &Arc<SessionHandle>) {
        push_once(&mut self.late, handle);
    }

    /// Submits everything: the changes to the store under its lock, then the wake-ups. Returns
    /// the number of the commit with the changes. No other lock may be held.
    ///
    /// # Errors
    /// The store is poisoned: nothing may be acknowledged any more.
    pub fn submit(&mut self, broker: &Broker) -> Result<CommitNo, StoreDown> {
        if self.has_writes() || !self.submission.held.is_empty() {
            schedule::reached(Point::Submit);
        }
        let submitted = broker.persistence.submit(&mut self.submission);
        self.submission.numbers = None;
        self.late.drain(..).for_each(|handle| drop(handle.lock()));
        if std::mem::take(&mut self.ends)
            && let Ok(commit) = submitted
        {
            broker.registry.note_end(commit);
        }
        self.notify();
        submitted
    }

    /// Submits a step whose failure needs no answer.
    pub(super) fn submit_or_log(&mut self, broker: &Broker) {
        if self.submit(broker).is_err() {
            tracing::debug!("store unavailable: pending writes discarded");
        }
    }
}

/// Most steps wake the same one or two connections repeatedly.
const RECENT: usize = 4;

fn push_once<T>(list: &mut Vec<Arc<T>>, item: &Arc<T>) {
    if !list.iter().rev().take(RECENT).any(|known| Arc::ptr_eq(known, item)) {
        list.push(Arc::clone(item));
    }
}
