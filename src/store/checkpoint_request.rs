//! A checkpoint on request.

use std::time::Duration;

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
