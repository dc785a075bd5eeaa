//! State that the store's threads and their callers share: the open batch, the commit number,
//! the state.

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

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreState {
    /// As it should be.
    Running,
    /// The disk is full: messages are refused, all else goes on. Keep submitting; it
    /// ends by itself when what was refused would fit.
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
    /// Somebody has asked for a checkpoint.
    Checkpoint,
    /// The clock was stepped: that has to be in the file.
    Clock,
    /// Everything is committed, and nothing more will come.
    Close,
    /// The store was dropped or poisoned: stop, whatever waits.
    Stop,
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
    /// Room for what grows the file.
    pub(super) allowance: Arc<Allowance>,
    /// Of all changes of state that are submitted.
    pub(super) order: Arc<Order>,
    pub(super) metrics: Arc<StoreMetrics>,
    on_poisoned: Option<PoisonHook>,
    /// The broker's clock, as of about a second ago.
    clock: Mutex<Option<ClockMark>>,
    /// It has to be written although nothing else does. Set under the queue's lock.
    clock_is_due: AtomicBool,
    /// Told of transactions that hold a message that is traced.
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

    /// Returns the state before. Nothing leads out of [`StoreState::Poisoned`].
    pub(super) fn set_state(&self, state: StoreState) -> StoreState {
        let before = self.state();
        let poisoned = StoreState::Poisoned as u8;
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        // The only error is that it was poisoned meanwhile, and then it stays so.
        let _ = self.state.fetch_update(set, fetch, |now| (now != poisoned).then_some(state as u8));
        before
    }

    pub(super) fn submit(&self, submission: &mut Submission) -> Result<CommitNo, SubmitError> {
        let now = (!submission.held.is_empty()).then(Instant::now);
        let count = submission.ops.len() + submission.held.len();
        // Dropped at the end, when the store has what was numbered.
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

    /// As [`Self::next`] when the writer has work of its own that found no room: waits
    /// for `pause`, then takes whatever there is.
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

    /// The broker's clock goes into the file with a later commit, or `at_once`.
    pub(super) fn mark_clock(&self, mark: ClockMark, at_once: bool) {
        let mut clock = self.clock.lock();
        // A stop that has begun is not taken back by a look at the clock that was under way.
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

    /// Takes the open batch, and all that is held or nothing of it.
    pub(super) fn take(&self, batch: &mut Batch, with_held: bool) {
        let held = if with_held { Held::All } else { Held::None };
        self.queue.lock().swap(batch, held);
    }

    /// True if something waits for the next batch.
    #[cfg(feature = "failpoints")]
    pub(super) fn has_work(&self) -> bool {
        self.queue.lock().waiting()
    }

    /// Lets the writer look how much room there is: others may have made some.
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

    /// Who has asked for a checkpoint.
    pub(super) fn take_checkpoints(&self) -> Vec<CheckpointReply> {
        std::mem::take(&mut self.queue.lock().checkpoints)
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

    /// The last handle is gone: whatever waits is given up, as in a crash.
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

    /// The writer has ended.
    pub(super) fn stopped(&self) {
        let mut queue = self.queue.lock();
        queue.stopped = true;
        // Nobody will come to them.
        queue.checkpoints.clear();
        drop(queue);
        self.done.notify_all();
    }

    /// Nothing is committed any more. Rings everyone who waits, then tells the
    /// process. Only the first reason is told.
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
        batch.ring();
        self.work.notify_all();
        self.done.notify_all();
        if let Some(hook) = &self.on_poisoned {
            hook(reason);
        }
    }
}
