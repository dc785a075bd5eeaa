//! What one turn of a connection collects, so that the store is locked once and
//! each connection is woken once, however many packets were read.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Broker, Now, StoreDown};
use crate::message::{CommitNo, Message, Wake};
use crate::schedule::{self, Point};
use crate::store::{Op, Submission};

/// Reused from turn to turn; allocates nothing once it has grown.
#[derive(Debug)]
pub struct Turn {
    /// When the turn began.
    pub now: Now,
    submission: Submission,
    wakes: Vec<Arc<Wake>>,
    memory: i64,
    in_flight: i64,
    /// Among the changes is the end of a session.
    ends: bool,
}

impl Turn {
    /// Begins the first turn.
    pub fn new(now: Now) -> Self {
        Self {
            now,
            submission: Submission::default(),
            wakes: Vec::new(),
            memory: 0,
            in_flight: 0,
            ends: false,
        }
    }

    /// One more change to the file.
    pub fn write(&mut self, op: Op) {
        self.ends |= matches!(op, Op::EndSession(_));
        self.submission.ops.push(op);
    }

    /// A message that may be held back for the elision window.
    pub fn hold(&mut self, message: Arc<Message>) {
        self.submission.held.push(message);
    }

    /// To be woken at the end of the turn.
    pub fn wake(&mut self, wake: &Arc<Wake>) {
        push_once(&mut self.wakes, wake);
    }

    /// To be woken when the turn's changes are committed.
    pub fn wake_at_commit(&mut self, wake: &Arc<Wake>) {
        push_once(&mut self.submission.waiters, wake);
    }

    pub(super) fn count_memory(&mut self, change: i64) {
        self.memory += change;
    }

    pub(super) fn count_in_flight(&mut self, change: i64) {
        self.in_flight += change;
    }

    /// Adds to the broker's gauges what sessions have counted in this turn. Also for a
    /// turn that is not finished: a session counts each change once.
    pub(super) fn hand_in(&mut self, broker: &Broker) {
        if self.memory != 0 {
            broker.memory.fetch_add(std::mem::take(&mut self.memory), Ordering::Relaxed);
        }
        if self.in_flight != 0 {
            broker.metrics.messages.in_flight.add(std::mem::take(&mut self.in_flight));
        }
    }

    /// True if there is something to commit.
    pub fn has_writes(&self) -> bool {
        !self.submission.ops.is_empty()
    }

    /// Hands everything over: changes to the store under one lock, then the wakes.
    /// Returns the number of the commit that the changes will be in.
    ///
    /// # Errors
    /// The store is poisoned: nothing may be acknowledged any more.
    pub fn finish(&mut self, broker: &Broker) -> Result<CommitNo, StoreDown> {
        schedule::reached(Point::Submit);
        let submitted = broker.submit(&mut self.submission);
        if std::mem::take(&mut self.ends)
            && let Ok(commit) = submitted
        {
            broker.last_end.fetch_max(commit, Ordering::Relaxed);
        }
        self.hand_in(broker);
        for wake in self.wakes.drain(..) {
            wake.ring();
        }
        submitted
    }
}

/// Most turns wake the same one or two connections over and over.
fn push_once(wakes: &mut Vec<Arc<Wake>>, wake: &Arc<Wake>) {
    if !wakes.iter().rev().take(4).any(|known| Arc::ptr_eq(known, wake)) {
        wakes.push(Arc::clone(wake));
    }
}
