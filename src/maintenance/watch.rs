//! Reports the progress of long work, and carries the request to stop.

use std::fmt;
use std::sync::Arc;

/// The phase of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Copies pages; counted in bytes.
    Copying,
    /// SQLite checks the structure; it reports no progress.
    Structure,
    /// Reads rows; counted in rows.
    Rows,
    /// Deletes rows; counted in deliveries.
    Removing,
    /// Returns free pages to the volume; counted in bytes.
    Shrinking,
}

/// The progress of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The phase, which decides the unit.
    pub phase: Phase,
    /// Amount done so far.
    pub done: u64,
    /// Total amount; 0 if unknown.
    pub total: u64,
}

/// A callback for each step, on whatever thread works. Its result false requests a stop.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(Step) -> bool + Send + Sync>);

impl Watch {
    /// Creates a watch. `go_on` must return quickly.
    pub fn new(go_on: impl Fn(Step) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(go_on))
    }

    /// A watch that never requests a stop.
    pub fn nobody() -> Self {
        Self::new(|_| true)
    }

    /// Reports a step; returns true if the work is to continue.
    pub(super) fn goes_on(&self, phase: Phase, done: u64, total: u64) -> bool {
        (self.0)(Step { phase, done, total })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
