//! A checkpoint on request, and its result.

use std::time::Duration;

/// The result of a requested checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointed {
    /// Pages that the WAL held.
    pub wal_pages: u64,
    /// How many of them are in the database now.
    pub copied_pages: u64,
    /// Size of the WAL file before the checkpoint, in bytes.
    pub wal_bytes_before: u64,
    /// Size of the WAL file afterwards, in bytes: not 0 if a reader still needs it, or if
    /// another program follows it.
    pub wal_bytes_after: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Called on the writer's thread; must be quick. If it is dropped without a call, the store
/// has ended.
pub struct CheckpointReply(pub Box<dyn FnOnce(Checkpointed) + Send>);

impl std::fmt::Debug for CheckpointReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckpointReply")
    }
}
