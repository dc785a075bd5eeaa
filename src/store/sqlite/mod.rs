//! The SQLite engine: one file, one connection that writes, one that reads pages of
//! queues. All SQL of the running broker, and all that is known about SQLite's files, stands
//! here; what a batch means and who is refused on a full disk is decided above
//! (`store::writer`), through [`Engine`](super::engine::Engine).
//!
//! - The start: [`open`], `lock`, `schema`, `check`, `clock`, `recover`, `ids`.
//! - A transaction: `transaction` with `statements`. Its log: `checkpoint`, `io_accounting`.
//! - Room: `space`. Files that are moved away: `displaced`.
//! - Queues read back: `pages`.

mod check;
mod checkpoint;
mod clock;
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

/// Pages that one idle moment gives back: 4 MiB. Nobody has come for a second.
const IDLE_STEP: i64 = 512;

/// Pages that a pause between two commits gives back: 512 KiB, because the next commit
/// may come meanwhile and wait for it.
const PAUSE_STEP: i64 = 64;

/// Owns the only connection that writes.
#[derive(Debug)]
struct SqliteEngine {
    connection: Connection,
    checkpointer: Checkpointer,
    space: Space,
    ids: IdBlocks,
    clock: ClockWriter,
    /// Free pages that are to be given back to the volume, as of the last look.
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
        // What the WAL holds is copied back first: a batch that finds no room leaves the WAL
        // grown, and a database that still has to grow by what is in it could then neither
        // be copied back nor written to.
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
            // No room to move pages, or somebody holds the lock: another time.
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
            // Some other program holds the file for a moment: the gauges can wait.
            Err(error) if error::failure_of(&error) == Failure::Busy => Ok(()),
            result => Ok(result?),
        }
    }
}
