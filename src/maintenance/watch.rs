//! Reports the progress of long work, and asks whether to continue.

use std::fmt;
use std::sync::Arc;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Pages are copied; counted in bytes.
    Copying,
    /// SQLite checks the structure; it does not tell how far it is.
    Structure,
    /// Rows are looked at; counted in rows.
    Rows,
    /// Rows are deleted; counted in deliveries.
    Removing,
    /// Free pages are given back; counted in bytes.
    Shrinking,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is counted.
    pub phase: Phase,
    /// So far.
    pub done: u64,
    /// In the end; 0 if that is not known.
    pub total: u64,
}

/// Called at each step, from whatever thread works. False: stop.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(Step) -> bool + Send + Sync>);

impl Watch {
    /// `go_on` must be quick.
    pub fn new(go_on: impl Fn(Step) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(go_on))
    }

    /// Nobody watches.
    pub fn nobody() -> Self {
        Self::new(|_| true)
    }

    /// True if the work is to go on.
    pub(super) fn goes_on(&self, phase: Phase, done: u64, total: u64) -> bool {
        (self.0)(Step { phase, done, total })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
