//! Reserves disk space for rows of sessions, wills and subscriptions, which are neither
//! messages nor deletes. Space is reserved before a change is decided, so that a decided
//! change always finds space and deletes keep theirs.
//!
//! A pure account. After each commit the writer sets how much space there is; a promise counts
//! against it until the commit of what it was made for.

use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes of a row in a table and in an index, and its share of page splits.
const ROW: u64 = 512;

/// A row on pages shared with other rows takes up to twice its size; a row with its own pages
/// takes at most one page more than its size.
const SHARED_PAGE: u64 = 8192;

/// Who asks for space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimant {
    /// A session that is in the file, with a small will. It must be able to connect, so that
    /// its queue can be drained.
    Known,
    /// A small will of a session that ends with its connection. It may use half of the space
    /// that is kept for known sessions.
    Passing,
    /// Any other session: limited to the quota.
    Other,
}

/// The account of disk space.
#[derive(Debug, Default)]
pub(in crate::store) struct Allowance {
    account: Mutex<Account>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Account {
    /// Bytes by which the file may grow, as of the last commit.
    room: u64,
    /// The part of it that lies beyond the quota.
    beyond_quota: u64,
    /// Bytes that are promised and not committed yet.
    promised: u64,
}

/// Reserved space. It counts until the commit of what it was made for, or until it is dropped.
#[derive(Debug)]
pub struct Promise {
    allowance: Arc<Allowance>,
    bytes: u64,
}

impl Promise {
    /// Merges two promises.
    pub fn merge(into: &mut Option<Self>, other: Option<Self>) {
        match (into.as_mut(), other) {
            (Some(into), Some(mut other)) => into.bytes += std::mem::take(&mut other.bytes),
            (None, other) => *into = other,
            (Some(_), None) => {}
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let mut account = self.allowance.account.lock();
            account.promised = account.promised.saturating_sub(self.bytes);
        }
    }
}

impl Allowance {
    /// Reserves space for a row of `row` bytes. `None` if there is none.
    pub(in crate::store) fn promise(
        self: &Arc<Self>,
        row: u64,
        claimant: Claimant,
    ) -> Option<Promise> {
        let bytes = cost(row);
        let mut account = self.account.lock();
        let kept = match claimant {
            Claimant::Known => 0,
            Claimant::Passing => account.beyond_quota / 2,
            Claimant::Other => account.beyond_quota,
        };
        if account.promised.saturating_add(bytes).saturating_add(kept) > account.room {
            return None;
        }
        account.promised += bytes;
        drop(account);
        Some(Promise { allowance: Arc::clone(self), bytes })
    }

    /// Sets the available space after a commit, or after an attempt that found no space.
    pub(in crate::store) fn set(&self, room: u64, beyond_quota: u64, committed: Option<Promise>) {
        let mut account = self.account.lock();
        account.room = room;
        account.beyond_quota = beyond_quota;
        if let Some(mut committed) = committed {
            // Together with the space that was used for it.
            account.promised =
                account.promised.saturating_sub(std::mem::take(&mut committed.bytes));
        }
    }

    /// Deducts `bytes` for the messages of a batch, except from the space kept beyond their
    /// quota, so that no more is promised than remains. False if too much has been promised
    /// already.
    pub(in crate::store) fn allow_messages(&self, bytes: u64, beyond_quota: u64) -> bool {
        let mut account = self.account.lock();
        account.room = account.room.saturating_sub(bytes).max(account.room.min(beyond_quota));
        account.promised <= account.room
    }
}

/// Bytes that a row may take in the file.
fn cost(row: u64) -> u64 {
    ROW + row + row.min(SHARED_PAGE)
}

#[cfg(test)]
mod unit {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn account(room: u64, kept: u64) -> Arc<Allowance> {
        let account = Arc::new(Allowance::default());
        account.set(room, kept, None);
        account
    }

    #[test]
    fn what_is_promised_counts_until_it_is_committed_or_given_up() {
        let account = account(3 * cost(100), 0);
        let mut both = account.promise(100, Claimant::Other);
        Promise::merge(&mut both, account.promise(100, Claimant::Other));
        let third = account.promise(100, Claimant::Other);
        assert!(account.promise(0, Claimant::Other).is_none());
        drop(third.unwrap());
        assert!(account.promise(100, Claimant::Other).is_some());
        account.set(2 * cost(100), 0, both);
        assert!(account.promise(100, Claimant::Other).is_some());
        assert_eq!(account.account.lock().promised, 0);
    }

    #[test]
    fn beyond_the_quota_only_known_sessions_come_in() {
        let account = account(100_000, 50_000);
        assert!(account.promise(60_000, Claimant::Other).is_none());
        let known = account.promise(60_000, Claimant::Known);
        assert!(known.is_some() && account.promise(1, Claimant::Other).is_none());
        assert!(account.promise(1, Claimant::Passing).is_some());
        assert!(account.promise(10_000, Claimant::Passing).is_none());
        assert!(account.promise(40_000, Claimant::Known).is_none());
    }

    #[test]
    fn messages_leave_what_was_promised() {
        let account = account(100_000, 0);
        let promise = account.promise(60_000, Claimant::Other);
        assert!(account.allow_messages(10_000, 20_000));
        assert!(!account.allow_messages(80_000, 20_000));
        assert!(account.promise(0, Claimant::Known).is_none());
        drop(promise);
        let known = account.promise(10_000, Claimant::Known);
        assert!(known.is_some(), "beyond the quota");
        assert!(account.promise(1_000, Claimant::Known).is_none());
    }
}
