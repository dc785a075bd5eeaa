//! The engine's work beside transactions: space on a full volume, and checkpoints on request.

use std::time::Instant;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::error::{extended_code, failure_of};
use super::{SqliteEngine, space};
use crate::store::checkpoint_request::Checkpointed;
use crate::store::engine::{Engine as _, Failure, Result};

impl SqliteEngine {
    /// Ignores that a checkpoint found no space: it is repeated later, and the WAL keeps
    /// everything.
    pub(super) fn unless_full(&self, result: rusqlite::Result<()>) -> Result<()> {
        match result {
            Err(error) if failure_of(&error) == Failure::Full => {
                self.metrics.count_error(extended_code(&error));
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// True if there is space on the volume, possibly after some was freed.
    pub(super) fn make_room_for(&mut self, bytes: u64) -> Result<bool> {
        let has_room =
            |engine: &Self| engine.space.has_room_for(bytes, engine.checkpointer.wal_bytes());
        if has_room(self) {
            return Ok(true);
        }
        // Pages that have been checkpointed or returned to the volume need not be counted.
        // Both would happen when idle, but publishers that retry prevent that.
        self.empty_log()?;
        if !has_room(self) {
            match space::give_back(&self.connection) {
                // Another program holds the lock: a later call tries again.
                Err(error) if failure_of(&error) == Failure::Busy => {}
                result => self.unless_full(result)?,
            }
            self.empty_log()?;
        }
        Ok(has_room(self))
    }

    /// Checkpoints without waiting for readers, and truncates the WAL unless another program
    /// follows it.
    pub(super) fn checkpoint_on_demand(&mut self) -> Result<Checkpointed> {
        let start = Instant::now();
        let before = self.checkpointer.wal_bytes();
        let (wal_pages, copied_before) = count_pages(&self.connection)?;
        // A full volume is not fatal here: the WAL keeps everything.
        if self.checkpointer.is_external() { self.empty_log() } else { self.when_idle() }?;
        let after = self.checkpointer.measure(&self.metrics);
        let (_, copied_after) = count_pages(&self.connection)?;
        Ok(Checkpointed {
            wal_pages,
            // A truncated WAL has no pages left to count.
            copied_pages: if after == 0 { wal_pages } else { copied_after.max(copied_before) },
            wal_bytes_before: before,
            wal_bytes_after: after,
            duration: start.elapsed(),
        })
    }
}

/// Pages in the WAL, and how many of them are in the database. Copies nothing.
fn count_pages(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    match connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::NOOP) {
        Ok((log, copied)) => {
            Ok((u64::try_from(log).unwrap_or(0), u64::try_from(copied).unwrap_or(0)))
        }
        Err(error) if failure_of(&error) == Failure::Busy => Ok((0, 0)),
        Err(error) => Err(error),
    }
}
