//! One batch, one transaction.
//!
//! [`Writer::commit_batch`] is all that changes the database while the broker runs.
//! It knows no thread: the loop around it stands in `thread`, and a simulation steps
//! it by hand.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::batch::Batch;
use super::checkpoint::Checkpointer;
use super::clock::ClockWriter;
use super::config::StoreConfig;
use super::error::{Failure, extended_code};
use super::failpoint::{self, Moment};
use super::fullness::Fullness;
use super::ids::IdBlocks;
use super::lock::LockFile;
use super::metrics::{add, stamp};
use super::plan::Plan;
use super::queue::Phase;
use super::shared::{Shared, StoreState};
use super::space::{Limit, Space};
use super::statements;
use super::traced;
use crate::message::{Bell, CommitMark, CommitNo, IdList, Message, Wake};

/// What of a plan one transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of it.
    All,
    /// Only what needs no new pages: acknowledgements and deletes.
    Deletes,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Committed, apart from messages that were refused.
    Committed,
    /// The disk is so full that part of it is kept for the next try.
    Kept,
}

/// Why the store can go on no longer.
#[derive(Debug)]
pub(super) struct Fault(pub(super) String);

/// Owns the only connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) plan: Plan,
    /// Of batches that are kept.
    waiters: Vec<Arc<Bell>>,
    ids: IdBlocks,
    pub(super) checkpointer: Checkpointer,
    pub(super) space: Space,
    pub(super) orphans: IdList,
    pub(super) clock: ClockWriter,
    pub(super) measured: Instant,
    /// Free pages that are to be given back to the volume, as of the last look.
    pub(super) surplus: i64,
    pub(super) full: Fullness,
    /// When what is parked was last tried without being sure of the room.
    pub(super) probed: Instant,
    pub(super) lock: Arc<LockFile>,
}

/// What the start hands to the writer.
#[derive(Debug)]
pub(super) struct WriterParts {
    pub(super) connection: Connection,
    pub(super) ids: IdBlocks,
    pub(super) space: Space,
    pub(super) orphans: IdList,
    pub(super) lock: Arc<LockFile>,
}

impl Writer {
    pub(super) fn new(
        mut parts: WriterParts,
        config: &StoreConfig,
        shared: Arc<Shared>,
    ) -> rusqlite::Result<Self> {
        let checkpointer = Checkpointer::new(&mut parts.connection, config, &shared.metrics)?;
        let growth = parts.space.growth(&parts.connection, checkpointer.wal_bytes())?;
        shared.allowance.set(growth.room, growth.beyond_quota, None);
        Ok(Self {
            connection: parts.connection,
            shared,
            plan: Plan::default(),
            waiters: Vec::new(),
            ids: parts.ids,
            checkpointer,
            space: parts.space,
            orphans: parts.orphans,
            clock: ClockWriter::default(),
            measured: Instant::now(),
            full: Fullness::new(config.full_for),
            surplus: 0,
            probed: Instant::now(),
            lock: parts.lock,
        })
    }

    /// Commits a batch, publishes its number, and rings everyone who waits for it.
    /// Leaves the batch empty.
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
        self.make_room_in_the_log()?;
        let outcome = if self.is_short_of_room()? {
            self.make_do(batch.number)?
        } else {
            match self.attempt(Scope::All, batch.number) {
                Ok(()) => Outcome::Committed,
                Err(error) if Failure::of(&error) == Failure::Full => self.make_do(batch.number)?,
                Err(error) => return Err(self.fault(&error)),
            }
        };
        if self.shared.state() == StoreState::Poisoned {
            // A reader found the file damaged: what was written to it proves nothing.
            return Err(Fault("poisoned while a batch was being committed".into()));
        }
        self.is_in_place()?;
        let mark = if outcome == Outcome::Committed {
            let mark = self.publish(batch.number, start);
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

    /// From here on `number` is a promise. Answers what the commit is known as to those
    /// who trace messages in it.
    fn publish(&mut self, number: CommitNo, start: Instant) -> Option<CommitMark> {
        let metrics = &self.shared.metrics;
        // Before anybody acknowledges what waited for it.
        let took = start.elapsed();
        self.shared.committed.store(number, Ordering::Release);
        ring_publishers(self.plan.messages.iter());
        self.waiters.iter().for_each(|waiter| waiter.ring());
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
        self.plan.reset();
        mark
    }

    /// A message that is parked keeps its receivers waiting beyond its batch: they are
    /// rung at each commit until nothing is parked.
    fn keep_waiters(&mut self) {
        if self.plan.parked.messages().is_empty() {
            self.waiters.clear();
            return;
        }
        self.waiters.sort_unstable_by_key(Arc::as_ptr);
        self.waiters.dedup_by(|a, b| Arc::ptr_eq(a, b));
        // Not those of sessions that have ended.
        self.waiters.retain(|waiter| Arc::strong_count(waiter) > 1);
    }

    pub(super) fn with_headroom(&mut self, number: CommitNo) -> Result<Outcome, Fault> {
        self.limit(Limit::Changes)?;
        if self.fits(Scope::All, number)? {
            return Ok(Outcome::Committed);
        }
        if self.space.give_up_reserve() && self.fits(Scope::All, number)? {
            return Ok(Outcome::Committed);
        }
        self.limit(Limit::Deletes)?;
        if self.fits(Scope::Deletes, number)? {
            self.plan.without_deletes();
        } else {
            self.delete_in_parts(number)?;
        }
        Ok(Outcome::Kept)
    }

    pub(super) fn fits(&mut self, scope: Scope, number: CommitNo) -> Result<bool, Fault> {
        match self.attempt(scope, number) {
            Ok(()) => Ok(true),
            Err(error) if Failure::of(&error) == Failure::Full => Ok(false),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// One transaction. After an error nothing of it is left.
    fn attempt(&mut self, scope: Scope, number: CommitNo) -> rusqlite::Result<()> {
        self.begin()?;
        let result = self.apply(scope, number).and_then(|ids| {
            failpoint::reached(Moment::BeforeCommit, &self.plan);
            let start = Instant::now();
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            self.shared.metrics.sync_duration.record_duration(start.elapsed());
            failpoint::reached(Moment::AfterCommit, &self.plan);
            self.ids = ids;
            self.clock.committed();
            Ok(())
        });
        if let Err(error) = &result {
            self.shared.metrics.count_error(extended_code(error));
            // SQLite rolls back by itself after some errors, SQLITE_FULL among them.
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
        }
        result
    }

    /// Waits as long as another program holds the lock: nothing is lost meanwhile,
    /// and nothing is acknowledged.
    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        loop {
            match self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]) {
                Err(error)
                    if Failure::of(&error) == Failure::Busy
                        && self.shared.phase() < Phase::Abandoned =>
                {
                    self.shared.metrics.count_error(extended_code(&error));
                    tracing::warn!(
                        "another program keeps the database locked; commits wait for it"
                    );
                    // SQLITE_BUSY may come without the busy timeout having passed.
                    std::thread::sleep(Duration::from_millis(10));
                }
                result => return result.map(|_| ()),
            }
        }
    }

    fn apply(&mut self, scope: Scope, number: CommitNo) -> rusqlite::Result<IdBlocks> {
        let (connection, plan) = (&self.connection, &mut self.plan);
        if scope == Scope::All {
            statements::insert_messages(connection, plan, number)?;
            // A session that ends takes its packet ids along: they come after it.
            statements::change_state(connection, plan)?;
            statements::change_incoming(connection, plan)?;
        } else {
            statements::change_incoming(connection, plan)?;
        }
        statements::resolve_drops(connection, plan, &self.shared.references)?;
        plan.sort_deletes();
        statements::change_rows(connection, plan)?;
        if scope == Scope::All && self.shared.state() == StoreState::Running {
            // Along with it, since a transaction of its own would cost a sync of its own.
            self.surplus = self.space.shrink(connection, plan.pages_to_give_back())?;
        }
        if scope == Scope::All
            && let Some(mark) = self.shared.clock()
        {
            self.clock.write(connection, mark)?;
        }
        if scope == Scope::All && self.ids.near_end(plan.highest) {
            return self.ids.extended(connection, plan.highest);
        }
        Ok(self.ids)
    }

    /// Rings those who wait for the batch, and keeps them: it may be tried again.
    pub(super) fn ring_waiters(&self) {
        self.waiters.iter().for_each(|waiter| waiter.ring());
    }

    /// Rings everyone whose batch will never be committed.
    pub(super) fn ring_all(&mut self) {
        ring_publishers(self.plan.messages.iter().chain(self.plan.parked.messages()));
        self.waiters.drain(..).for_each(|waiter| waiter.ring());
    }

    pub(super) fn fault(&self, error: &rusqlite::Error) -> Fault {
        self.shared.metrics.count_error(extended_code(error));
        Fault(format!("{error} (SQLite code {})", extended_code(error)))
    }
}

/// Rings each publisher about once: neighbours mostly share one, and a ring that
/// repeats is cheap.
pub(super) fn ring_publishers<'a>(messages: impl Iterator<Item = &'a Arc<Message>>) {
    /// Publishers seen last, by address: a power of two.
    const SEEN: usize = 64;
    let mut seen = [std::ptr::null::<Wake>(); SEEN];
    for publisher in messages.filter_map(|message| message.publisher.as_ref()) {
        let address = Arc::as_ptr(publisher);
        if let Some(slot) = seen.get_mut((address.addr() >> 5) % SEEN)
            && *slot != address
        {
            *slot = address;
            publisher.ring_session();
        }
    }
}
