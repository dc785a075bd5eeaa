//! A checkpoint because somebody asks for one.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::error::Failure;
use super::writer::{Fault, Writer};

/// What a checkpoint on demand did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointed {
    /// Pages that the log held.
    pub wal_pages: u64,
    /// Those of them that are in the database now.
    pub copied_pages: u64,
    /// Bytes of the log's file before.
    pub wal_bytes_before: u64,
    /// And afterwards: not 0 if a reader still needs it, or another program follows it.
    pub wal_bytes_after: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Called on the writer's thread; must be quick. Dropped without a call: the store has
/// ended.
pub struct CheckpointReply(pub Box<dyn FnOnce(Checkpointed) + Send>);

impl std::fmt::Debug for CheckpointReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckpointReply")
    }
}

impl Writer {
    /// Copies back what is in the log, without waiting for readers, and cuts its file
    /// unless another program follows it.
    pub(super) fn checkpoint_on_demand(
        &mut self,
        replies: Vec<CheckpointReply>,
    ) -> Result<(), Fault> {
        let start = Instant::now();
        let before = self.checkpointer.wal_bytes();
        let counted = count_pages(&self.connection).map_err(|error| self.fault(&error))?;
        let metrics = &self.shared.metrics;
        let result = if self.checkpointer.is_external() {
            self.checkpointer.cut(&self.connection, metrics)
        } else {
            self.checkpointer.when_idle(&self.connection, metrics)
        };
        // A full volume is no reason to end: the log keeps all.
        self.tolerate_full(result)?;
        let after = self.checkpointer.measure(&self.shared.metrics);
        let (wal_pages, copied_before) = counted;
        let copied = count_pages(&self.connection).map_err(|error| self.fault(&error))?;
        let done = Checkpointed {
            wal_pages,
            // A log that was cut counts no more.
            copied_pages: if after == 0 { wal_pages } else { copied.1.max(copied_before) },
            wal_bytes_before: before,
            wal_bytes_after: after,
            duration: start.elapsed(),
        };
        for CheckpointReply(reply) in replies {
            reply(done);
        }
        Ok(())
    }
}

/// Pages in the log, and those of them that are in the database: copies nothing.
fn count_pages(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    match connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::NOOP) {
        Ok((log, copied)) => {
            Ok((u64::try_from(log).unwrap_or(0), u64::try_from(copied).unwrap_or(0)))
        }
        Err(error) if Failure::of(&error) == Failure::Busy => Ok((0, 0)),
        Err(error) => Err(error),
    }
}
