//! The SQLite engine: one file, one connection that writes, one that reads pages of queues.
//! All SQL of the running broker and all knowledge of SQLite's files is here; the meaning of a
//! batch and the policy on a full disk are decided above (`store::writer`), through
//! [`Engine`](super::engine::Engine).
//!
//! - The start: [`open`], `lock`, `schema`, `check`, `clock`, `recover`, `ids`.
//! - A transaction: `transaction` with `statements` and `dead_letters`. Its WAL: `checkpoint`, `io_accounting`.
//! - Disk space: `space`. Files that are moved away: `displaced`.
//! - Queues read back: `pages`.

mod check;
mod checkpoint;
mod clock;
mod dead_letters;
mod displaced;
mod error;
mod files;
mod ids;
mod io_accounting;
mod lock;
mod maintenance;
mod open;
mod pages;
mod recover;
mod schema;
mod space;
mod statements;
mod transaction;

use std::sync::Arc;

use rusqlite::Connection;

use self::checkpoint::Checkpointer;
use self::clock::ClockWriter;
use self::ids::IdBlocks;
use self::space::Space;
use super::engine::{Engine, Failure, GiveBack, Growth, Limit, Result, Transaction};
use super::metrics::StoreMetrics;
use crate::store::checkpoint_request::Checkpointed;
use crate::store::clock::ClockMark;

pub(crate) use files::{beside, directory_of, follow, give_to_owner_of};
pub(crate) use lock::{LockFile, locked_by, open_to_lock};
pub(super) use open::open;
pub(crate) use schema::{APPLICATION_ID, identify, is_clean, new_in_memory, pragma};

/// Pages that one idle step returns to the volume: 4 MiB.
const IDLE_STEP: i64 = 512;

/// Pages that a pause between two commits returns to the volume: 512 KiB, because the next
/// commit may arrive meanwhile and has to wait.
const PAUSE_STEP: i64 = 64;

/// Owns the only connection that writes.
#[derive(Debug)]
struct SqliteEngine {
    connection: Connection,
    checkpointer: Checkpointer,
    space: Space,
    ids: IdBlocks,
    clock: ClockWriter,
    /// Of the committed file.
    dead_letters: dead_letters::Counts,
    /// Free pages left to return to the volume, as of the last look.
    surplus: i64,
    metrics: Arc<StoreMetrics>,
    /// Dropped last: see `lock`.
    lock: Arc<LockFile>,
}

impl Engine for SqliteEngine {
    fn commit(&mut self, transaction: Transaction<'_>) -> Result<()> {
        self.commit_transaction(transaction)
    }

    fn commit_clock(&mut self, mark: &ClockMark) -> Result<()> {
        self.commit_mark(mark)
    }

    fn check_files(&mut self) -> std::result::Result<(), String> {
        self.is_in_place()
    }

    fn close(self: Box<Self>, mark: Option<ClockMark>) -> Result<()> {
        Ok(self.close_in_order(mark)?)
    }

    fn room(&self) -> Result<u64> {
        Ok(self.space.room(&self.connection, self.checkpointer.wal_bytes())?)
    }

    fn largest_message(&self) -> u64 {
        self.space.most()
    }

    fn growth(&self) -> Result<Growth> {
        Ok(self.space.growth(&self.connection, self.checkpointer.wal_bytes())?)
    }

    fn is_over_quota(&mut self) -> Result<bool> {
        Ok(self.space.is_over_quota(&self.connection)?)
    }

    fn has_room_for(&mut self, bytes: u64) -> Result<bool> {
        self.make_room_for(bytes)
    }

    fn prepare_for(&mut self, changes: usize) -> Result<()> {
        // The WAL is checkpointed first: a batch that finds no space leaves a longer WAL, and
        // a database that has yet to grow by its contents could then be neither checkpointed
        // nor written.
        if self.checkpointer.wal_bytes() == 0 || !self.space.may_be_filled(changes) {
            return Ok(());
        }
        self.empty_log()
    }

    fn set_limit(&mut self, limit: Limit) -> Result<()> {
        Ok(self.space.limit(&self.connection, limit)?)
    }

    fn release_reserve(&mut self) -> bool {
        self.space.release_reserve()
    }

    fn restore_reserve(&mut self) {
        self.space.restore_reserve();
    }

    fn describe_room(&self) -> String {
        self.space.describe(&self.connection)
    }

    fn after_commit(&mut self) -> Result<()> {
        let result = self.checkpointer.after_commit(&self.connection, &self.metrics);
        self.unless_full(result)
    }

    fn when_idle(&mut self) -> Result<()> {
        let result = self.checkpointer.when_idle(&self.connection, &self.metrics);
        self.unless_full(result)
    }

    fn copy_log_back(&mut self) -> Result<()> {
        let result = self.checkpointer.passive(&self.connection, &self.metrics);
        self.unless_full(result.map(|_| ()))
    }

    fn empty_log(&mut self) -> Result<()> {
        let result = self.checkpointer.cut(&self.connection, &self.metrics);
        self.unless_full(result)
    }

    fn checkpoint(&mut self) -> Result<Checkpointed> {
        self.checkpoint_on_demand()
    }

    fn give_back(&mut self, when: GiveBack) -> Result<()> {
        let step = match when {
            GiveBack::WhenIdle => IDLE_STEP,
            GiveBack::BetweenCommits => PAUSE_STEP,
        };
        match self.space.shrink(&self.connection, step) {
            Ok(left) => self.surplus = left,
            // There is no space to move pages, or another program holds the lock: a later call
            // tries again.
            Err(error) if error::failure_of(&error) != Failure::Fatal => self.surplus = 0,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn has_surplus(&self) -> bool {
        self.surplus > 0
    }

    fn measure(&mut self) -> Result<()> {
        self.checkpointer.measure(&self.metrics);
        match self.space.measure(&self.connection, &self.metrics) {
            // Another program holds the lock for a moment: the gauges are updated later.
            Err(error) if error::failure_of(&error) == Failure::Busy => Ok(()),
            result => Ok(result?),
        }
    }
}
