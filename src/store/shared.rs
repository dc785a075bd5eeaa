//! State that the store's threads and their callers share: the open batch, the commit number
//! and the store's state.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::batch::Batch;
use super::checkpoint_request::CheckpointReply;
use super::clock::ClockMark;
use super::config::StoreConfig;
use super::error::SubmitError;
use super::metrics::StoreMetrics;
use super::op::Submission;
use super::queue::{Held, Phase, Queue};
use super::references::References;
use super::room::allowance::Allowance;
use crate::message::{CommitNo, CommitObserver, Order};

/// Called once, with the reason, when the store is poisoned. Must not block.
pub type PoisonHook = Box<dyn Fn(&str) + Send + Sync>;

/// The state of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreState {
    /// Everything works.
    Running,
    /// The disk is full: messages are refused, everything else continues. Keep submitting; the
    /// state ends when what was refused would fit.
    Full,
    /// The store failed. Nothing is acknowledged any more.
    Poisoned,
}

/// What the writer is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Commit the batch that was filled in.
    Commit,
    /// Do housekeeping: there has been no work for a while.
    Idle,
    /// Run a checkpoint that was requested.
    Checkpoint,
    /// Write the clock to the file: it was stepped.
    Clock,
    /// Close: everything is committed, and nothing more will be submitted.
    Close,
    /// Stop, whatever waits: the store was dropped or poisoned.
    Stop,
}

/// See the module.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// The writer sleeps on this.
    work: Condvar,
    /// Callers of `flush` and `close` sleep on this.
    done: Condvar,
    pub(super) committed: AtomicU64,
    state: AtomicU8,
    pub(super) references: References,
    /// Space reserved for growth.
    pub(super) allowance: Arc<Allowance>,
    /// The order of all changes of state that are submitted.
    pub(super) order: Arc<Order>,
    pub(super) metrics: Arc<StoreMetrics>,
    on_poisoned: Option<PoisonHook>,
    /// The broker's clock, about a second old at most.
    clock: Mutex<Option<ClockMark>>,
    /// The clock must be written though nothing else is. Set under the queue's lock.
    clock_is_due: AtomicBool,
    /// Notified of transactions that contain a traced message.
    pub(super) observer: OnceLock<Arc<dyn CommitObserver>>,
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
        Self {
            queue: Mutex::new(Queue::new(config)),
            work: Condvar::new(),
            done: Condvar::new(),
            // What was on disk at the start counts as commit 1.
            committed: AtomicU64::new(1),
            state: AtomicU8::new(StoreState::Running as u8),
            references,
            allowance: Arc::default(),
            order: Arc::default(),
            metrics,
            on_poisoned,
            clock: Mutex::default(),
            clock_is_due: AtomicBool::new(false),
            observer: OnceLock::new(),
        }
    }

    pub(super) fn state(&self) -> StoreState {
        match self.state.load(Ordering::Acquire) {
            0 => StoreState::Running,
            1 => StoreState::Full,
            _ => StoreState::Poisoned,
        }
    }

    /// Sets the state and returns the previous one. [`StoreState::Poisoned`] is final.
    pub(super) fn set_state(&self, state: StoreState) -> StoreState {
        let before = self.state();
        let poisoned = StoreState::Poisoned as u8;
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        // The only error is that the store was poisoned meanwhile, which is final.
        let _ = self.state.fetch_update(set, fetch, |now| (now != poisoned).then_some(state as u8));
        before
    }

    pub(super) fn submit(&self, submission: &mut Submission) -> Result<CommitNo, SubmitError> {
        let now = (!submission.held.is_empty()).then(Instant::now);
        let count = submission.ops.len() + submission.held.len();
        // Dropped on return, when the store has the numbered changes.
        let _numbers = submission.numbers.take();
        let mut queue = self.queue.lock();
        queue.push(submission, now)?;
        let number = queue.open.number;
        self.metrics.pending.fetch_add(count as u64, Ordering::Relaxed);
        let wake = queue.sleeping.is_some_and(|until| queue.due().is_some_and(|due| due < until));
        if wake {
            queue.sleeping = None;
        }
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        Ok(number)
    }

    /// Sleeps until there is something for the writer to do. `batch` must be empty.
    pub(super) fn next(&self, batch: &mut Batch, idle_at: Option<Instant>) -> Next {
        let mut queue = self.queue.lock();
        loop {
            if queue.phase >= Phase::Abandoned {
                return Next::Stop;
            }
            if !queue.checkpoints.is_empty() {
                return Next::Checkpoint;
            }
            if self.clock_is_due.swap(false, Ordering::Relaxed) {
                return Next::Clock;
            }
            let now = Instant::now();
            let closing = queue.phase == Phase::Closing;
            if queue.flush || (closing && queue.waiting()) {
                queue.swap(batch, Held::All);
                return Next::Commit;
            }
            if closing {
                return Next::Close;
            }
            let due = queue.due();
            if due.is_some_and(|due| due <= now) {
                queue.swap(batch, Held::Due);
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

    /// As [`Self::next`] while the writer keeps a batch that found no space: waits for
    /// `pause`, then takes whatever there is.
    pub(super) fn next_after(&self, batch: &mut Batch, pause: Duration) -> Next {
        let until = Instant::now() + pause;
        let mut queue = self.queue.lock();
        loop {
            if queue.phase >= Phase::Abandoned {
                return Next::Stop;
            }
            if !queue.checkpoints.is_empty() {
                return Next::Checkpoint;
            }
            if Instant::now() >= until {
                queue.swap(batch, Held::All);
                return Next::Commit;
            }
            self.work.wait_until(&mut queue, until);
        }
    }

    /// Records the broker's clock, which a later commit writes to the file, or `at_once`.
    pub(super) fn mark_clock(&self, mark: ClockMark, at_once: bool) {
        let mut clock = self.clock.lock();
        // A concurrent look at the clock must not undo the mark of a stop that has begun.
        if clock.is_none_or(|last| !last.stopping) {
            *clock = Some(mark);
        }
        drop(clock);
        if at_once {
            let _queue = self.queue.lock();
            self.clock_is_due.store(true, Ordering::Relaxed);
            self.work.notify_one();
        }
    }

    pub(super) fn clock(&self) -> Option<ClockMark> {
        *self.clock.lock()
    }

    /// Takes the open batch, with all held messages or none.
    pub(super) fn take(&self, batch: &mut Batch, with_held: bool) {
        let held = if with_held { Held::All } else { Held::None };
        self.queue.lock().swap(batch, held);
    }

    /// True if something waits for the next batch.
    #[cfg(feature = "failpoints")]
    pub(super) fn has_work(&self) -> bool {
        self.queue.lock().waiting()
    }

    /// Has the writer check how much space there is: another program may have freed some.
    pub(super) fn look_for_room(&self) {
        let mut queue = self.queue.lock();
        queue.open.since.get_or_insert_with(Instant::now);
        drop(queue);
        self.work.notify_one();
    }

    /// Asks the writer for a checkpoint before its next batch.
    pub(super) fn ask_for_checkpoint(&self, reply: CheckpointReply) -> Result<(), SubmitError> {
        let mut queue = self.queue.lock();
        match queue.phase {
            Phase::Open if !queue.stopped => queue.checkpoints.push(reply),
            Phase::Poisoned => return Err(SubmitError::Poisoned),
            _ => return Err(SubmitError::Closed),
        }
        drop(queue);
        self.work.notify_one();
        Ok(())
    }

    /// Takes the replies of the requested checkpoints.
    pub(super) fn take_checkpoints(&self) -> Vec<CheckpointReply> {
        std::mem::take(&mut self.queue.lock().checkpoints)
    }

    /// Called after a commit: `count` operations wait no longer.
    pub(super) fn finished(&self, count: usize) {
        self.metrics.pending.fetch_sub(count as u64, Ordering::Relaxed);
        drop(self.queue.lock());
        self.done.notify_all();
    }

    /// Waits until everything that has been submitted is committed.
    pub(super) fn flush(&self, deadline: Option<Instant>) -> Result<CommitNo, SubmitError> {
        let mut queue = self.queue.lock();
        let waiting = queue.waiting();
        let target = if waiting { queue.open.number } else { queue.open.number - 1 };
        queue.flush |= waiting;
        self.work.notify_one();
        while self.committed.load(Ordering::Acquire) < target {
            match queue.phase {
                Phase::Poisoned => return Err(SubmitError::Poisoned),
                Phase::Open | Phase::Closing if !queue.stopped => {}
                _ => return Err(SubmitError::Closed),
            }
            self.sleep(&mut queue, deadline)?;
        }
        Ok(target)
    }

    /// Refuses submissions from now on and waits until the writer has ended.
    pub(super) fn close(&self, deadline: Instant) -> Result<(), SubmitError> {
        let mut queue = self.queue.lock();
        queue.phase = queue.phase.max(Phase::Closing);
        self.work.notify_one();
        while !queue.stopped {
            self.sleep(&mut queue, Some(deadline))?;
        }
        if queue.phase == Phase::Poisoned { Err(SubmitError::Poisoned) } else { Ok(()) }
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

    /// The last handle was dropped: whatever waits is discarded, as in a crash.
    pub(super) fn abandon(&self) {
        let mut queue = self.queue.lock();
        queue.phase = queue.phase.max(Phase::Abandoned);
        drop(queue);
        self.work.notify_all();
        self.done.notify_all();
    }

    pub(super) fn phase(&self) -> Phase {
        self.queue.lock().phase
    }

    /// Records that the writer has ended.
    pub(super) fn stopped(&self) {
        let mut queue = self.queue.lock();
        queue.stopped = true;
        // Nothing will run them any more.
        queue.checkpoints.clear();
        drop(queue);
        self.done.notify_all();
    }

    /// Stops all commits. Wakes everyone who waits, then calls the hook. Only the first call
    /// has an effect.
    pub(super) fn poison(&self, reason: &str) {
        let mut queue = self.queue.lock();
        if std::mem::replace(&mut queue.phase, Phase::Poisoned) == Phase::Poisoned {
            return;
        }
        self.set_state(StoreState::Poisoned);
        let mut batch = Batch::default();
        queue.swap(&mut batch, Held::All);
        drop(queue);
        tracing::error!(reason, "the store has failed: nothing is acknowledged any more");
        batch.notify();
        self.work.notify_all();
        self.done.notify_all();
        if let Some(hook) = &self.on_poisoned {
            hook(reason);
        }
    }
}
