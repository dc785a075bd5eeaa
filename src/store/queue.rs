//! The open batch, and when it is due. It is used under one short lock: nothing here sleeps or
//! wakes a thread.
//!
//! Held messages join a batch when their window has passed, or with a later message of the
//! same publisher. Deletes wait in a separate queue: a batch takes 8,192 of them, or, if it
//! has other operations, 2,048 or twice the number of those, whichever is more. A flush, and
//! any batch with `durability = "async"`, takes all of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashSet;

use super::batch::Batch;
use super::checkpoint_request::CheckpointReply;
use super::config::{DurabilityMode, StoreConfig};
use super::error::SubmitError;
use super::op::{Op, Submission};
use super::room::allowance::Promise;
use crate::message::Message;

/// The maximum time for which a message is held, whatever the configuration says.
const LONGEST_WINDOW: Duration = Duration::from_millis(10);

/// In [`DurabilityMode::Async`] a batch of this size is due before its interval has passed:
/// its memory would grow with the load.
const ASYNC_BATCH: usize = 50_000;

/// Deletes that one batch takes. Nothing waits for them, but a client that drains a long queue
/// causes hundreds of thousands. In one transaction they would delay all other
/// acknowledgements for a second.
const DELETES_AT_ONCE: usize = 8192;

/// Deletes that a batch takes beside other operations: 2 to 5 ms, about as much as the sync of
/// its commit.
const DELETES_BESIDE: usize = 2048;

/// Capacity that is kept when all deletes are done.
const KEEP_DELETES: usize = 1 << 16;

/// The store's life cycle. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Phase {
    #[default]
    Open,
    /// What has been submitted is committed; new submissions are refused.
    Closing,
    /// The last handle was dropped.
    Abandoned,
    Poisoned,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) open: Batch,
    /// Rows to delete with this batch or a later one.
    deletes: VecDeque<Op>,
    held: VecDeque<(Instant, Arc<Message>)>,
    /// Until when the writer sleeps, if it does.
    pub(super) sleeping: Option<Instant>,
    last_swap: Option<Instant>,
    /// Everything is to be committed, held messages included.
    pub(super) flush: bool,
    /// Requested checkpoints: one checkpoint answers all of them.
    pub(super) checkpoints: Vec<CheckpointReply>,
    pub(super) phase: Phase,
    /// The writer has ended.
    pub(super) stopped: bool,
    window: Duration,
    /// `None`: commit at once.
    interval: Option<Duration>,
}

/// Which held messages join a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// All of them.
    All,
    /// Those whose window has passed.
    Due,
    /// None: for a stepped store, which has no timer.
    None,
}

impl Queue {
    pub(super) fn new(config: &StoreConfig) -> Self {
        let asynchronous = config.durability == DurabilityMode::Async;
        Self {
            open: Batch { number: 2, ..Batch::default() },
            deletes: VecDeque::new(),
            held: VecDeque::new(),
            sleeping: None,
            last_swap: None,
            flush: false,
            checkpoints: Vec::new(),
            phase: Phase::Open,
            stopped: false,
            window: config.elision_window.min(LONGEST_WINDOW),
            interval: asynchronous.then_some(config.flush_interval),
        }
    }

    pub(super) fn push(
        &mut self,
        submission: &mut Submission,
        now: Option<Instant>,
    ) -> Result<(), SubmitError> {
        match self.phase {
            Phase::Open => {}
            Phase::Poisoned => return Err(SubmitError::Poisoned),
            Phase::Closing | Phase::Abandoned => return Err(SubmitError::Closed),
        }
        if !submission.ops.is_empty() || !submission.waiters.is_empty() {
            if self.open.since.is_none() {
                self.open.since = now.or_else(|| Some(Instant::now()));
            }
            for op in submission.ops.drain(..) {
                match op {
                    Op::Delete { .. } => self.deletes.push_back(op),
                    _ => self.open.ops.push(op),
                }
            }
            self.open.waiters.append(&mut submission.waiters);
            Promise::merge(&mut self.open.promise, submission.promise.take());
        }
        if let Some(now) = now {
            let deadline = now + self.window;
            self.held.extend(submission.held.drain(..).map(|message| (deadline, message)));
        }
        Ok(())
    }

    /// True if there is something to commit, due or not.
    pub(super) fn waiting(&self) -> bool {
        !self.open.is_empty() || !self.held.is_empty() || !self.deletes.is_empty()
    }

    /// When the open batch or the held messages have to be committed.
    pub(super) fn due(&self) -> Option<Instant> {
        let earliest = |pause: Duration| self.last_swap.map(|last| last + pause);
        let ops = self.open.since.map(|since| match self.interval {
            Some(interval) if self.open.len() + self.deletes.len() < ASYNC_BATCH => {
                earliest(interval).map_or(since, |next| next.max(since))
            }
            _ => since,
        });
        // At least a quarter of the window between two batches: otherwise each held message
        // would get a transaction of its own.
        let held = self.held.front().map(|(deadline, _)| {
            earliest(self.window / 4).map_or(*deadline, |next| next.max(*deadline))
        });
        match (ops, held) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Moves the open batch into `batch`, which must be empty, with the held messages that
    /// `held` selects and a share of the deletes; with [`Held::All`], all deletes.
    pub(super) fn swap(&mut self, batch: &mut Batch, held: Held) {
        let now = Instant::now();
        let number = self.open.number;
        std::mem::swap(&mut self.open, batch);
        self.open.number = number + 1;
        self.last_swap = Some(now);
        self.flush = false;
        self.take_deletes(batch, held == Held::All, now);
        let due = match held {
            Held::All => self.held.len(),
            Held::Due => self.held.partition_point(|(deadline, _)| *deadline <= now),
            Held::None => 0,
        };
        batch.held.extend(self.held.drain(..due).map(|(_, message)| message));
        self.release_before(batch);
        if self.held.is_empty() {
            self.held.shrink_to(1 << 16);
        }
    }

    /// Adds the held messages of publishers that have later messages in the batch: after a
    /// crash those must not exist without the ones before them [MQTT-4.6.0-6].
    fn release_before(&mut self, batch: &mut Batch) {
        if self.held.is_empty() {
            return;
        }
        let publisher = |message: &Arc<Message>| message.publisher.as_ref().map(Arc::as_ptr);
        let publishers: AHashSet<_> = batch
            .ops
            .iter()
            .filter_map(|op| if let Op::Message(message) = op { publisher(message) } else { None })
            .collect();
        if !publishers.is_empty() {
            self.held.retain(|(_, message)| {
                let goes = publisher(message).is_some_and(|of| publishers.contains(&of));
                if goes {
                    batch.held.push(Arc::clone(message));
                }
                !goes
            });
        }
    }

    /// Moves deletes into the batch. The rest is due at once.
    fn take_deletes(&mut self, batch: &mut Batch, all: bool, now: Instant) {
        let most = match self.interval {
            // A share in each interval would be too little, and nothing waits.
            interval if all || interval.is_some() => usize::MAX,
            // Waiters without operations only wait for space.
            _ if batch.ops.is_empty() => DELETES_AT_ONCE,
            // Under a load of both, twice as many rows are deleted as added, so that queues
            // shrink.
            _ => DELETES_BESIDE.max(batch.ops.len() * 2),
        };
        let count = self.deletes.len().min(most);
        batch.ops.extend(self.deletes.drain(..count));
        if self.deletes.is_empty() {
            self.deletes.shrink_to(KEEP_DELETES);
        } else {
            self.open.since = Some(now);
        }
    }
}
