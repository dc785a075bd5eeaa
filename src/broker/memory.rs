//! Decides which clients give way when memory is short: those that hold the most.
//!
//! All memory is counted once in [`crate::memory::Ledger`]. In addition each client has a
//! count of its session, its queue and its connection's buffers ([`SessionHandle::holds`]).
//! While more than `limits.max_memory` is held, a client may allocate only up to its share.
//! The share is the same for all clients, so those that hold little are not affected. It is
//! recomputed until the sum is below the limit. If the sum still grows, clients above their
//! share lose their waiting QoS 0 messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Broker, SessionHandle, Way};
use crate::telemetry::{DropReason, Label};

/// The interval at which shares are computed while memory is short.
const BALANCE_EVERY: Duration = Duration::from_millis(50);
/// Bytes that a client may always hold while memory is short, whatever the others hold: the
/// queue of a client that reads.
const LEAST_SHARE: i64 = 16 << 10;
/// The share before it is first computed, as a fraction of the limit. It is in force only
/// briefly, and must not end a connection because of a packet in transit.
const FIRST_SHARE: i64 = 8;
/// The fraction of the limit below which memory is no longer short.
const TARGET: (i64, i64) = (7, 8);
/// Messages are taken from clients above their share when the limit is exceeded by this
/// fraction of it. Below that it is enough that these clients get no more.
const MARGIN: i64 = 16;
/// Messages that are dropped under one hold of a session's lock.
const AT_ONCE: usize = 512;

/// The share of each client.
#[derive(Debug)]
pub(super) struct Shares {
    most: AtomicI64,
    short: Notify,
}

impl Default for Shares {
    fn default() -> Self {
        Self { most: AtomicI64::new(i64::MAX), short: Notify::new() }
    }
}

impl Broker {
    /// True if `more` bytes would exceed `limits.max_memory`.
    fn would_exceed(&self, more: u64) -> bool {
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        self.metrics.messages.memory.is_above(self.settings.max_memory.saturating_sub(more))
    }

    /// True if a client may hold `more` bytes in addition.
    pub fn may_hold(&self, handle: &SessionHandle, more: u64) -> bool {
        !self.would_exceed(more) || self.is_within_share(handle.holds(), more)
    }

    /// True if a client that holds nothing yet may hold `bytes`.
    pub(super) fn may_begin_with(&self, bytes: u64) -> bool {
        !self.would_exceed(bytes) || self.is_within_share(0, bytes)
    }

    /// True if a message of `bytes` for a durable session has to wait on disk only.
    pub(super) fn has_to_spill(&self, handle: &SessionHandle, bytes: u64) -> bool {
        let spills = !self.may_hold(handle, bytes);
        if spills {
            self.gives_way(Way::Spilled, 1);
        }
        spills
    }

    #[cold]
    fn is_within_share(&self, holds: i64, more: u64) -> bool {
        let limit = self.settings.max_memory;
        let after = holds.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
        let mut most = self.shares.most.load(Ordering::Relaxed);
        if most == i64::MAX {
            most = limit / FIRST_SHARE;
            self.shares.short.notify_one();
        }
        // Many clients with a small share must not exceed the limit without bound either.
        let most = if self.metrics.messages.memory.is_above(limit + limit / 8) {
            most.min(LEAST_SHARE)
        } else {
            most.max(LEAST_SHARE)
        };
        after <= most
    }

    /// Computes shares while memory is short, until the broker shuts down. Runs as a separate
    /// task, so that other background work does not delay it.
    pub async fn keep_memory_shared(self: Arc<Self>) {
        loop {
            let is_short = self.shares.most.load(Ordering::Relaxed) < i64::MAX;
            tokio::select! {
                () = self.until_shut_down() => return,
                () = self.shares.short.notified(), if !is_short => {}
                () = tokio::time::sleep(BALANCE_EVERY), if is_short => {}
            }
            self.balance_memory().await;
        }
    }

    /// Computes shares. If the limit is exceeded by too much, clients above their share lose
    /// their waiting QoS 0 messages. Public for a simulation, whose time advances only by its
    /// own calls; otherwise called by [`Broker::keep_memory_shared`].
    pub async fn balance_memory(&self) {
        let limit = self.settings.max_memory;
        let held = self.metrics.messages.memory.get();
        if held <= limit {
            if held <= limit / TARGET.1 * TARGET.0 {
                self.shares.most.store(i64::MAX, Ordering::Relaxed);
            }
            return;
        }
        let sheds = held > limit + limit / MARGIN;
        let target = if sheds { limit / TARGET.1 * TARGET.0 } else { limit };
        let mut sessions = Vec::new();
        let mut behind: Option<Arc<str>> = None;
        loop {
            let step = self.registry.page_behind(behind.as_deref());
            let Some(last) = step.last() else { break };
            behind = Some(Arc::clone(&last.client_id));
            sessions.extend(step.into_iter().map(|handle| (handle.holds(), handle)));
            tokio::task::yield_now().await;
        }
        let share = share_of(sessions.iter().map(|(holds, _)| *holds), held, target);
        let share = share.max(LEAST_SHARE);
        self.shares.most.store(share, Ordering::Relaxed);
        if sheds {
            for (_, handle) in sessions.iter().filter(|(holds, _)| *holds > share) {
                self.shed(handle, u64::try_from(share).unwrap_or(0)).await;
            }
        }
    }

    /// Drops a client's waiting QoS 0 messages until it is within its share.
    async fn shed(&self, handle: &SessionHandle, share: u64) {
        loop {
            let dropped = handle.lock().shed(share, AT_ONCE);
            self.metrics.messages.dropped.add(DropReason::MemoryLimit, dropped.len() as u64);
            self.gives_way(Way::Shed, dropped.len());
            super::traced::dropped(&dropped, DropReason::MemoryLimit.as_str());
            if dropped.len() < AT_ONCE {
                return;
            }
            drop(dropped);
            tokio::task::yield_now().await;
        }
    }
}

/// The share with which the sum of the clients' counts falls by the factor `target / held`.
/// The counts may exceed `held`: a message is counted for each of its receivers.
fn share_of(holds: impl Iterator<Item = i64>, held: i64, target: i64) -> i64 {
    let mut holds: Vec<i64> = holds.filter(|holds| *holds > 0).collect();
    holds.sort_unstable();
    let sum: i128 = holds.iter().map(|holds| i128::from(*holds)).sum();
    let mut room = sum * i128::from(target) / i128::from(held.max(1));
    let mut left = holds.len();
    for holds in holds {
        // The share if all remaining clients held the same.
        let equal = room / i128::try_from(left.max(1)).unwrap_or(1);
        if i128::from(holds) > equal {
            return i64::try_from(equal).unwrap_or(i64::MAX);
        }
        room -= i128::from(holds);
        left -= 1;
    }
    i64::MAX - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_holds_most_gives_way_first() {
        assert_eq!(share_of([10, 10, 980].into_iter(), 1000, 500), 480);
        // The counts are twice what is held, so half of each has to go.
        assert_eq!(share_of([1000, 1000].into_iter(), 1000, 500), 500);
        assert_eq!(share_of([].into_iter(), 1000, 500), i64::MAX - 1);
    }

    proptest! {
        #[test]
        fn shares_bring_the_sum_down_to_the_target(
            holds in prop::collection::vec(1i64..1_000_000, 1..50),
            part in 1i64..100,
        ) {
            let sum: i64 = holds.iter().sum();
            let target = sum * part / 100;
            let share = share_of(holds.iter().copied(), sum, target);
            let after: i64 = holds.iter().map(|it| (*it).min(share)).sum();
            let count = i64::try_from(holds.len()).unwrap_or(0);
            prop_assert!(after <= target && after >= target - count, "{after} of {target}");
        }
    }
}
