//! What the threads of the store and its callers share: the open batch, the commit
//! number, the state.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::batch::Batch;
use super::config::{DurabilityMode, StoreConfig};
use super::error::SubmitError;
use super::handle::PoisonHook;
use super::metrics::StoreMetrics;
use super::op::Submission;
use super::references::References;
use crate::message::{CommitNo, Message};

/// The longest that a message may be held back, whatever the configuration says.
const LONGEST_WINDOW: Duration = Duration::from_millis(10);

/// In [`DurabilityMode::Async`] a batch of this size does not wait for its time: it
/// would be memory that grows with the load.
const ASYNC_BATCH: usize = 50_000;

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreState {
    /// As it should be.
    Running,
    /// The disk is full: messages are refused, all else goes on. Keep submitting;
    /// the next message that fits ends it.
    Full,
    /// It failed. Nothing is acknowledged any more.
    Poisoned,
}

/// What the writer is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Commit the batch that was filled in.
    Commit,
    /// Housekeeping: there has been no work for a while.
    Idle,
    /// Everything is committed, and nothing more will come.
    Close,
    /// The store was dropped or poisoned: stop, whatever waits.
    Stop,
}

#[derive(Debug, Default)]
struct Queue {
    open: Batch,
    held: VecDeque<(Instant, Arc<Message>)>,
    /// Until when the writer sleeps, if it does.
    sleeping: Option<Instant>,
    /// When held messages or, in async mode, operations were last taken.
    last_swap: Option<Instant>,
    flush: bool,
    closing: bool,
    abandoned: bool,
    poisoned: bool,
    stopped: bool,
}

/// See the module.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// The writer sleeps here.
    work: Condvar,
    /// Those who flush or shut down sleep here.
    done: Condvar,
    pub(super) committed: AtomicU64,
    state: AtomicU8,
    pub(super) references: References,
    pub(super) metrics: Arc<StoreMetrics>,
    window: Duration,
    /// `None`: commit at once.
    interval: Option<Duration>,
    on_poisoned: Option<PoisonHook>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("committed", &self.committed).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        config: &StoreConfig,
        references: References,
        metrics: Arc<StoreMetrics>,
        on_poisoned: Option<PoisonHook>,
    ) -> Self {
        let queue = Queue { open: Batch { number: 2, ..Batch::default() }, ..Queue::default() };
        let asynchronous = config.durability == DurabilityMode::Async;
        Self {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            done: Condvar::new(),
            // What was on disk at the start counts as commit 1.
            committed: AtomicU64::new(1),
            state: AtomicU8::new(StoreState::Running as u8),
            references,
            metrics,
            window: config.elision_window.min(LONGEST_WINDOW),
            interval: asynchronous.then_some(config.flush_interval),
            on_poisoned,
        }
    }

    pub(super) fn state(&self) -> StoreState {
        match self.state.load(Ordering::Acquire) {
            0 => StoreState::Running,
            1 => StoreState::Full,
            _ => StoreState::Poisoned,
        }
    }

    /// Returns the state before.
    pub(super) fn set_state(&self, state: StoreState) -> StoreState {
        let before = self.state();
        self.state.store(state as u8, Ordering::Release);
        before
    }

    pub(super) fn submit(&self, submission: &mut Submission) -> Result<CommitNo, SubmitError> {
        let held = (!submission.held.is_empty()).then(Instant::now);
        let count = submission.ops.len() + submission.held.len();
        let mut queue = self.queue.lock();
        if queue.poisoned {
            return Err(SubmitError::Poisoned);
        }
        if queue.closing || queue.abandoned {
            return Err(SubmitError::Closed);
        }
        if !submission.ops.is_empty() || !submission.waiters.is_empty() {
            if queue.open.since.is_none() {
                queue.open.since = Some(Instant::now());
            }
            queue.open.ops.append(&mut submission.ops);
            queue.open.waiters.append(&mut submission.waiters);
        }
        if let Some(now) = held {
            let deadline = now + self.window;
            queue.held.extend(submission.held.drain(..).map(|message| (deadline, message)));
        }
        let number = queue.open.number;
        self.metrics.pending.fetch_add(count as u64, Ordering::Relaxed);
        let wake =
            queue.sleeping.is_some_and(|until| self.due(&queue).is_some_and(|due| due < until));
        if wake {
            queue.sleeping = None;
        }
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        Ok(number)
    }

    /// When the open batch, or what is held, has to be committed.
    fn due(&self, queue: &Queue) -> Option<Instant> {
        let earliest = |pause: Duration| queue.last_swap.map(|last| last + pause);
        let ops = queue.open.since.map(|since| match self.interval {
            Some(interval) if queue.open.len() < ASYNC_BATCH => {
                earliest(interval).map_or(since, |next| next.max(since))
            }
            _ => since,
        });
        // A quarter of the window between two looks: otherwise each held message
        // would get a transaction of its own.
        let held = queue.held.front().map(|(deadline, _)| {
            earliest(self.window / 4).map_or(*deadline, |next| next.max(*deadline))
        });
        match (ops, held) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Sleeps until there is something for the writer to do. `batch` must be empty.
    pub(super) fn next(&self, batch: &mut Batch, idle_at: Option<Instant>) -> Next {
        let mut queue = self.queue.lock();
        loop {
            if queue.abandoned || queue.poisoned {
                return Next::Stop;
            }
            let now = Instant::now();
            let waiting = !queue.open.is_empty() || !queue.held.is_empty();
            if queue.flush || (queue.closing && waiting) {
                Self::swap(&mut queue, batch, now, true);
                return Next::Commit;
            }
            if queue.closing {
                return Next::Close;
            }
            let due = self.due(&queue);
            if due.is_some_and(|due| due <= now) {
                Self::swap(&mut queue, batch, now, false);
                return Next::Commit;
            }
            if idle_at.is_some_and(|at| at <= now) {
                return Next::Idle;
            }
            let forever = now + Duration::from_hours(1);
            let until = [due, idle_at].into_iter().flatten().min().unwrap_or(forever);
            queue.sleeping = Some(until);
            self.work.wait_until(&mut queue, until);
            queue.sleeping = None;
        }
    }

    /// As [`Self::next`] when the writer has work of its own that found no room: waits
    /// for `pause`, then takes whatever there is.
    pub(super) fn next_after(&self, batch: &mut Batch, pause: Duration) -> Next {
        let until = Instant::now() + pause;
        let mut queue = self.queue.lock();
        loop {
            if queue.abandoned || queue.poisoned {
                return Next::Stop;
            }
            if Instant::now() >= until {
                Self::swap(&mut queue, batch, Instant::now(), true);
                return Next::Commit;
            }
            self.work.wait_until(&mut queue, until);
        }
    }

    /// Takes the open batch, and what is held no longer (or at all).
    pub(super) fn take(&self, batch: &mut Batch, all_held: bool) {
        Self::swap(&mut self.queue.lock(), batch, Instant::now(), all_held);
    }

    fn swap(queue: &mut MutexGuard<'_, Queue>, batch: &mut Batch, now: Instant, all_held: bool) {
        let number = queue.open.number;
        std::mem::swap(&mut queue.open, batch);
        queue.open.number = number + 1;
        queue.last_swap = Some(now);
        queue.flush = false;
        let due = if all_held {
            queue.held.len()
        } else {
            queue.held.partition_point(|(deadline, _)| *deadline <= now)
        };
        batch.held.extend(queue.held.drain(..due).map(|(_, message)| message));
        if queue.held.is_empty() {
            queue.held.shrink_to(1 << 16);
        }
    }

    /// After a commit: `count` operations wait no longer.
    pub(super) fn finished(&self, count: usize) {
        self.metrics.pending.fetch_sub(count as u64, Ordering::Relaxed);
        drop(self.queue.lock());
        self.done.notify_all();
    }

    /// Waits until everything that has been submitted is committed.
    pub(super) fn flush(&self, deadline: Option<Instant>) -> Result<CommitNo, SubmitError> {
        let mut queue = self.queue.lock();
        let waiting = !queue.open.is_empty() || !queue.held.is_empty();
        let target = if waiting { queue.open.number } else { queue.open.number - 1 };
        queue.flush |= waiting;
        self.work.notify_one();
        while self.committed.load(Ordering::Acquire) < target {
            if queue.poisoned {
                return Err(SubmitError::Poisoned);
            }
            if queue.abandoned || queue.stopped {
                return Err(SubmitError::Closed);
            }
            self.sleep(&mut queue, deadline)?;
        }
        Ok(target)
    }

    /// Refuses submissions from now on and waits until the writer has ended.
    pub(super) fn close(&self, deadline: Instant) -> Result<(), SubmitError> {
        let mut queue = self.queue.lock();
        queue.closing = true;
        self.work.notify_one();
        while !queue.stopped {
            self.sleep(&mut queue, Some(deadline))?;
        }
        if queue.poisoned { Err(SubmitError::Poisoned) } else { Ok(()) }
    }

    fn sleep(
        &self,
        queue: &mut MutexGuard<'_, Queue>,
        deadline: Option<Instant>,
    ) -> Result<(), SubmitError> {
        match deadline {
            None => self.done.wait(queue),
            Some(at) if self.done.wait_until(queue, at).timed_out() => {
                return Err(SubmitError::TimedOut);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// The last handle is gone: whatever waits is given up, as in a crash.
    pub(super) fn abandon(&self) {
        self.queue.lock().abandoned = true;
        self.work.notify_all();
        self.done.notify_all();
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.queue.lock().abandoned
    }

    /// True once no one needs the store any more.
    pub(super) fn is_ending(&self) -> bool {
        let queue = self.queue.lock();
        queue.abandoned || queue.closing || queue.poisoned
    }

    /// The writer has ended.
    pub(super) fn stopped(&self) {
        self.queue.lock().stopped = true;
        self.done.notify_all();
    }

    /// Nothing is committed any more. Rings everyone who waits, then tells the
    /// process. Only the first reason is told.
    pub(super) fn poison(&self, reason: &str) {
        let mut queue = self.queue.lock();
        if std::mem::replace(&mut queue.poisoned, true) {
            return;
        }
        self.set_state(StoreState::Poisoned);
        let mut batch = std::mem::take(&mut queue.open);
        let held = std::mem::take(&mut queue.held);
        drop(queue);
        tracing::error!(reason, "the store has failed: nothing is acknowledged any more");
        batch.held.extend(held.into_iter().map(|(_, message)| message));
        batch.ring();
        self.work.notify_all();
        self.done.notify_all();
        if let Some(hook) = &self.on_poisoned {
            hook(reason);
        }
    }
}
