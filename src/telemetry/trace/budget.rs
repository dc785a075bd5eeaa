//! Limits open spans: a queue of a million traced messages must not hold a million spans in
//! memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Maximum number of open spans. One takes about 1 KiB, so this is about 10 MiB.
pub(super) const MOST: usize = 10_000;

/// Counts open spans, and spans that were not started because too many were open.
#[derive(Debug, Default)]
pub(super) struct Budget {
    open: AtomicUsize,
    skipped: AtomicU64,
}

/// The permit for one open span; released when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Budget>);

impl Budget {
    /// Takes a permit. `None` if too many spans are open, which is counted.
    pub(super) fn take(self: &Arc<Self>) -> Option<Permit> {
        let more = |open| (open < MOST).then_some(open + 1);
        if self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() {
            return Some(Permit(Arc::clone(self)));
        }
        self.skipped.fetch_add(1, Ordering::Relaxed);
        None
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
