//! Tracks when a change to one delivery's row is committed.

use std::sync::atomic::{AtomicU64, Ordering};

use super::CommitNo;

const NOT_TAKEN: u64 = u64::MAX;

/// Shared by a delivery that must not be sent before its row has changed, and the operation
/// that changes the row. The operation holds it until a batch takes it. If only the delivery
/// holds it and no batch has taken it, the change will never be committed.
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

    /// True if a batch has taken the change, so that it will be committed.
    pub fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) != NOT_TAKEN
    }

    /// True if the change is on disk, given the last commit.
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
