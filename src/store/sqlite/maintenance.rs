//! The engine's work beside transactions: space on a full volume, and checkpoints on request.

use std::time::Instant;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::error::{extended_code, failure_of};
use super::{SqliteEngine, space};
use crate::store::checkpoint_request::Checkpointed;
use crate::store::engine::{Engine as _, Failure, Result};

impl SqliteEngine {
    /// A checkpoint that finds no room is tried again later; the WAL keeps all.
    pub(super) fn unless_full(&self, result: rusqlite::Result<()>) -> Result<()> {
        match result {
            Err(error) if failure_of(&error) == Failure::Full => {
                self.metrics.count_error(extended_code(&error));
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// True if there is room on the volume, perhaps after some was made.
    pub(super) fn make_room_for(&mut self, bytes: u64) -> Result<bool> {
        let has_room =
            |engine: &Self| engine.space.has_room_for(bytes, engine.checkpointer.wal_bytes());
        if has_room(self) {
            return Ok(true);
        }
        // What has been copied back need not be counted, nor pages that are given back.
        // Publishers that try again keep the idle moment away in which both would happen.
        self.empty_log()?;
        if !has_room(self) {
            match space::give_back(&self.connection) {
                // Somebody holds the lock: there is a next time.
                Err(error) if failure_of(&error) == Failure::Busy => {}
                result => self.unless_full(result)?,
            }
            self.empty_log()?;
        }
        Ok(has_room(self))
    }

    /// Copies back what is in the log, without waiting for readers, and cuts its file
    /// unless another program follows it.
    pub(super) fn checkpoint_on_demand(&mut self) -> Result<Checkpointed> {
        let start = Instant::now();
        let before = self.checkpointer.wal_bytes();
        let (wal_pages, copied_before) = count_pages(&self.connection)?;
        // A full volume is no reason to end: the log keeps all.
        if self.checkpointer.is_external() { self.empty_log() } else { self.when_idle() }?;
        let after = self.checkpointer.measure(&self.metrics);
        let (_, copied_after) = count_pages(&self.connection)?;
        Ok(Checkpointed {
            wal_pages,
            // A log that was cut counts no more.
            copied_pages: if after == 0 { wal_pages } else { copied_after.max(copied_before) },
            wal_bytes_before: before,
            wal_bytes_after: after,
            duration: start.elapsed(),
        })
    }
}

/// Pages in the log, and those of them that are in the database: copies nothing.
fn count_pages(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    match connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::NOOP) {
        Ok((log, copied)) => {
            Ok((u64::try_from(log).unwrap_or(0), u64::try_from(copied).unwrap_or(0)))
        }
        Err(error) if failure_of(&error) == Failure::Busy => Ok((0, 0)),
        Err(error) => Err(error),
    }
}
