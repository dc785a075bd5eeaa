//! The writer: one batch, one transaction.
//!
//! Apart from housekeeping, [`Writer::commit_batch`] makes all changes to the database while
//! the broker runs. It is independent of threads: `thread` has the loop around it, and a
//! simulation steps it directly.

mod dead_letters;
mod full;
mod housekeeping;
pub(super) mod thread;
mod traced;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::batch::Batch;
use super::config::StoreConfig;
use super::engine::{
    self, BUSY_PAUSE, Engine, EngineError, Failure, Growth, Limit, Scope, Transaction,
};
use super::metrics::{add, stamp};
use super::plan::Plan;
use super::queue::Phase;
use super::room::fullness::Fullness;
use super::shared::{Shared, StoreState};
use crate::message::{CommitMark, CommitNo, IdList, Message, Waiter, Wake, WakeCause};

/// The result of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Committed, apart from messages that were refused.
    Committed,
    /// The disk is so full that part of the batch is kept for the next attempt.
    Kept,
}

/// Why the store cannot continue.
#[derive(Debug)]
pub(super) struct Fault(pub(super) String);

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Self(error.text)
    }
}

/// Commits batches through the engine, which it owns.
#[derive(Debug)]
pub(super) struct Writer {
    engine: Box<dyn Engine>,
    shared: Arc<Shared>,
    plan: Plan,
    /// The waiters of the current batch and of batches that are kept.
    waiters: Vec<Waiter>,
    /// Deliveries of ended sessions, which are removed in small steps.
    orphans: IdList,
    measured: Instant,
    full: Fullness,
    /// When parked messages were last tried although the counted space did not suffice.
    probed: Instant,
    /// When dead letters are tried again, if the last attempt found no room.
    letters_at: Option<Instant>,
}

impl Writer {
    /// `growth` is the engine's current space for growth.
    pub(super) fn new(
        engine: Box<dyn Engine>,
        growth: Growth,
        orphans: IdList,
        config: &StoreConfig,
        shared: Arc<Shared>,
    ) -> Self {
        shared.allowance.set(growth.room, growth.beyond_quota, None);
        Self {
            engine,
            shared,
            plan: Plan::default(),
            waiters: Vec::new(),
            orphans,
            measured: Instant::now(),
            full: Fullness::new(config.full_for),
            probed: Instant::now(),
            letters_at: None,
        }
    }

    /// Commits a batch, publishes its number, and wakes everyone who waits for it. Leaves the
    /// batch empty.
    pub(super) fn commit_batch(&mut self, batch: &mut Batch) -> Result<Outcome, Fault> {
        let start = Instant::now();
        let waited = batch.since.map(|since| start - since);
        self.waiters.append(&mut batch.waiters);
        self.unpark(batch)?;
        self.plan.add(batch);
        let refused = std::mem::take(&mut self.plan.refused_behind);
        self.full.count(refused);
        add(&self.shared.metrics.refused_messages, refused);
        self.take_orphans();
        self.choose_dead_letters()?;
        let prepared = self.engine.prepare_for(self.plan.changes());
        self.check(prepared)?;
        let outcome = if self.is_short_of_room()? {
            self.commit_without_messages(batch.number)?
        } else {
            match self.attempt(Scope::All, batch.number) {
                Ok(()) => Outcome::Committed,
                Err(error) if error.failure == Failure::Full => {
                    self.commit_without_messages(batch.number)?
                }
                Err(error) => return Err(Fault::from(error)),
            }
        };
        if self.shared.state() == StoreState::Poisoned {
            // The page reader or the background check found damage: the commit proves nothing.
            return Err(Fault("poisoned while a batch was being committed".into()));
        }
        self.check_files()?;
        let mark = if outcome == Outcome::Committed {
            let mark = self.publish(batch.number, start);
            self.commit_dead_letters(batch.number)?;
            self.look_for_room()?;
            let committed = self.plan.promise.take();
            self.allow_growth(committed)?;
            mark
        } else {
            self.allow_growth(None)?;
            None
        };
        if let Some(waited) = waited {
            traced::record(&self.shared.metrics.queue_wait, waited, mark);
        }
        self.count_parked();
        if self.shared.order.advance() {
            self.plan.latest.next_generation();
        }
        self.checkpoint()?;
        Ok(outcome)
    }

    /// Publishes `number` as committed and wakes those who wait for it. Returns the commit's
    /// mark for tracing, if there is one.
    fn publish(&mut self, number: CommitNo, start: Instant) -> Option<CommitMark> {
        let metrics = &self.shared.metrics;
        // Measured before anything is acknowledged.
        let took = start.elapsed();
        self.shared.committed.store(number, Ordering::Release);
        notify_publishers(self.plan.messages.iter());
        self.waiters.iter().for_each(Waiter::notify);
        let observer = self.shared.observer.get();
        let mark = observer
            .and_then(|observer| traced::tell(&self.plan, &**observer, number, start, took));
        traced::record(&metrics.commit_duration, took, mark);
        metrics.batch_messages.record_count(self.plan.written);
        add(&metrics.commits, 1);
        stamp(&metrics.last_commit);
        add(&metrics.committed_messages, self.plan.written);
        metrics.payload_bytes.fetch_add(self.plan.payload_bytes(), Ordering::Relaxed);
        add(&metrics.elided_messages, self.plan.elided);
        add(&metrics.deleted_deliveries, self.plan.deleted_deliveries.len());
        if self.plan.written > 0 {
            self.full.written(self.plan.insert_bytes());
        }
        self.keep_waiters();
        self.settle_dead_letters();
        self.plan.reset();
        self.plan.add_late_messages();
        mark
    }

    /// A parked message makes its receivers wait beyond its batch: they are woken at each
    /// commit until nothing is parked.
    fn keep_waiters(&mut self) {
        if self.plan.parked.messages().is_empty() {
            self.waiters.clear();
            return;
        }
        Waiter::unite(&mut self.waiters);
    }

    fn commit_with_headroom(&mut self, number: CommitNo) -> Result<Outcome, Fault> {
        self.set_limit(Limit::Changes)?;
        if self.fits(Scope::All, number)? {
            return Ok(Outcome::Committed);
        }
        if self.engine.release_reserve() && self.fits(Scope::All, number)? {
            return Ok(Outcome::Committed);
        }
        self.set_limit(Limit::Deletes)?;
        if self.fits(Scope::Deletes, number)? {
            self.plan.without_deletes();
        } else {
            self.delete_in_parts(number)?;
        }
        Ok(Outcome::Kept)
    }

    fn fits(&mut self, scope: Scope, number: CommitNo) -> Result<bool, Fault> {
        match self.attempt(scope, number) {
            Ok(()) => Ok(true),
            Err(error) if error.failure == Failure::Full => Ok(false),
            Err(error) => Err(Fault::from(error)),
        }
    }

    /// Runs one transaction. After an error none of it remains.
    fn attempt(&mut self, scope: Scope, number: CommitNo) -> engine::Result<()> {
        let Self { engine, plan, shared, .. } = self;
        let all = scope == Scope::All;
        let result = until_unlocked(shared, || {
            engine.commit(Transaction {
                plan,
                scope,
                number,
                references: &shared.references,
                clock: if all { shared.clock() } else { None },
                gives_back: all && shared.state() == StoreState::Running,
            })
        });
        if let Err(error) = &result {
            shared.metrics.count_error(error.code);
        }
        result
    }

    /// Wakes those who wait for the batch, and keeps them: it may be tried again.
    fn notify_waiters(&self) {
        self.waiters.iter().for_each(Waiter::notify);
    }

    /// Wakes everyone whose batch will never be committed.
    pub(super) fn notify_all(&mut self) {
        notify_publishers(self.plan.messages.iter().chain(self.plan.parked.messages()));
        self.waiters.drain(..).for_each(|waiter| waiter.notify());
    }

    /// Counts an engine's error outside of a transaction, which is fatal.
    fn check<T>(&self, result: engine::Result<T>) -> Result<T, Fault> {
        result.map_err(|error| {
            self.shared.metrics.count_error(error.code);
            Fault::from(error)
        })
    }

    /// As [`Self::check`], but returns `otherwise` while another program has the database
    /// locked.
    fn unless_locked<T>(&self, result: engine::Result<T>, otherwise: T) -> Result<T, Fault> {
        match result {
            Err(error) if error.failure == Failure::Busy => Ok(otherwise),
            result => self.check(result),
        }
    }
}

/// Repeats `operation` while another program holds the lock. Nothing is lost meanwhile, and
/// nothing is acknowledged.
fn until_unlocked<T>(
    shared: &Shared,
    mut operation: impl FnMut() -> engine::Result<T>,
) -> engine::Result<T> {
    loop {
        match operation() {
            Err(error) if error.failure == Failure::Busy && shared.phase() < Phase::Abandoned => {
                shared.metrics.count_error(error.code);
                tracing::warn!("another program keeps the database locked; commits wait for it");
                // The error may be returned before the busy timeout has passed.
                std::thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

/// Wakes each publisher, usually once: adjacent messages mostly share one, and a repeated
/// wake-up is cheap.
fn notify_publishers<'a>(messages: impl Iterator<Item = &'a Arc<Message>>) {
    /// Size of the table of recently woken publishers, indexed by address: a power of two.
    const SEEN: usize = 64;
    let mut seen = [std::ptr::null::<Wake>(); SEEN];
    for publisher in messages.filter_map(|message| message.publisher.as_ref()) {
        let address = Arc::as_ptr(publisher);
        if let Some(slot) = seen.get_mut((address.addr() >> 5) % SEEN)
            && *slot != address
        {
            *slot = address;
            publisher.notify_session(WakeCause::Direct);
        }
    }
}
