//! Tracks when a change to one delivery's row is committed.

use std::sync::atomic::{AtomicU64, Ordering};

use super::CommitNo;

const NOT_TAKEN: u64 = u64::MAX;

/// Shared by a delivery that must not be sent before its row has changed and the
/// operation that changes it. The operation holds it until a batch has taken it: one
/// that is held by nobody else, and was not taken, is not going to be committed.
#[derive(Debug)]
pub struct RowCommit(AtomicU64);

impl Default for RowCommit {
    fn default() -> Self {
        Self(AtomicU64::new(NOT_TAKEN))
    }
}

impl RowCommit {
    /// The change is in batch `commit`.
    pub fn take(&self, commit: CommitNo) {
        self.0.store(commit, Ordering::Release);
    }

    /// A batch has it: it is going to be committed, whoever holds this.
    pub fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) != NOT_TAKEN
    }

    /// The change is on disk, as far as `committed` tells.
    pub fn is_committed(&self, committed: CommitNo) -> bool {
        self.0.load(Ordering::Acquire) <= committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_committed_with_its_batch_and_not_before() {
        let change = RowCommit::default();
        assert!(!change.is_committed(u64::MAX - 1));
        change.take(7);
        assert!(!change.is_committed(6) && change.is_committed(7));
    }
}
