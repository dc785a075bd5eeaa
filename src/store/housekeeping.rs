//! What the writer does between batches and when there are none: checkpoints, gauges,
//! leftovers of ended sessions, free pages, the orderly end.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::error::{Failure, extended_code};
use super::shared::StoreState;
use super::writer::{Fault, Scope, Writer};
use super::{checkpoint, clock};

/// Deliveries without a session that one batch removes beside its own work: 1 to 2 ms
/// if each costs what a delete does in `benches/store.rs`.
const ORPHANS_PER_STEP: usize = 1024;

/// Pages that one idle moment gives back: 4 MiB. Nobody has come for a second.
const IDLE_STEP: i64 = 512;

/// Pages that a pause between two commits gives back: 512 KiB, because the next commit
/// may come meanwhile and wait for it.
const PAUSE_STEP: i64 = 64;

impl Writer {
    pub(super) fn take_orphans(&mut self) {
        let orphans = self.orphans.take_front(ORPHANS_PER_STEP);
        self.plan.drops.extend(orphans.iter().map(|entry| entry.id.0));
    }

    pub(super) fn checkpoint(&mut self) -> Result<(), Fault> {
        let metrics = &self.shared.metrics;
        let result = self.checkpointer.after_commit(&self.connection, metrics);
        self.tolerate_full(result)?;
        if self.measured.elapsed() >= Duration::from_secs(1) {
            self.measure()?;
        }
        Ok(())
    }

    fn measure(&mut self) -> Result<(), Fault> {
        self.measured = Instant::now();
        self.is_in_place()?;
        self.checkpointer.measure(&self.shared.metrics);
        let result = self.space.measure(&self.connection, &self.shared.metrics);
        match result {
            // Some other program holds the file for a moment: the gauges can wait.
            Err(error) if Failure::of(&error) != Failure::Busy => Err(self.fault(&error)),
            _ => Ok(()),
        }
    }

    /// A checkpoint that finds no room is tried again later; the WAL keeps all.
    pub(super) fn tolerate_full(&self, result: rusqlite::Result<()>) -> Result<(), Fault> {
        match result {
            Err(error) if Failure::of(&error) != Failure::Full => Err(self.fault(&error)),
            Err(error) => {
                self.shared.metrics.count_error(extended_code(&error));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// One step of housekeeping. True if there is more to do.
    pub(super) fn idle(&mut self) -> Result<bool, Fault> {
        if !self.orphans.is_empty() {
            self.take_orphans();
            if self.fits(Scope::Deletes, 0)? {
                self.plan.without_deletes();
            }
            return Ok(true);
        }
        let result = self.checkpointer.when_idle(&self.connection, &self.shared.metrics);
        self.tolerate_full(result)?;
        if self.shared.state() == StoreState::Running {
            self.space.restore_reserve();
        }
        self.give_back(IDLE_STEP)?;
        self.measure()?;
        Ok(self.surplus > 0)
    }

    /// Gives some free pages back in a pause between two commits, for a broker that is
    /// never idle. True if there is more to give.
    pub(super) fn pause(&mut self) -> Result<bool, Fault> {
        self.give_back(PAUSE_STEP)?;
        self.checkpoint()?;
        Ok(self.surplus > 0)
    }

    fn give_back(&mut self, most: i64) -> Result<(), Fault> {
        match self.space.shrink(&self.connection, most) {
            Ok(left) => self.surplus = left,
            // No room to move pages, or somebody holds the lock: another time.
            Err(error) if Failure::of(&error) != Failure::Fatal => self.surplus = 0,
            Err(error) => return Err(self.fault(&error)),
        }
        Ok(())
    }

    /// Puts the broker's clock into the file, in a transaction of its own. On a full disk
    /// a later commit takes it along.
    pub(super) fn write_clock(&mut self) -> Result<(), Fault> {
        let Some(mark) = self.shared.clock() else { return Ok(()) };
        let write = |connection: &Connection| {
            let result =
                clock::write(connection, &mark).and_then(|()| connection.execute_batch("COMMIT"));
            if result.is_err() && !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK")?;
            }
            result
        };
        let result = self.begin().and_then(|()| write(&self.connection));
        self.tolerate_full(result)
    }

    /// The orderly end: everything is committed already.
    pub(super) fn close(self) -> Result<(), Fault> {
        let end = || {
            let transaction = self.connection.unchecked_transaction()?;
            transaction.execute("UPDATE meta SET value = 1 WHERE key = 'clean'", [])?;
            if let Some(mark) = self.shared.clock() {
                clock::write(&transaction, &mark)?;
            }
            transaction.commit()?;
            if self.checkpointer.is_external() {
                // Whoever follows the WAL has yet to read its end.
                return Ok(());
            }
            checkpoint::truncate(&self.connection).map(|_| ())
        };
        match end() {
            // Everything is committed; the next start only checks what it need not.
            Err(error) if Failure::of(&error) != Failure::Fatal => {
                tracing::warn!(%error, "cannot close the database in order");
                Ok(())
            }
            result => result.map_err(|error| self.fault(&error)),
        }
    }
}
