//! A request to end a run early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::LoadError;

/// A flag that any thread sets. A run checks it a few times per second.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Requests a stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True if a stop was requested.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns an error if a stop was requested.
    ///
    /// # Errors
    /// [`LoadError::Interrupted`] if a stop was requested.
    pub fn check(&self) -> Result<(), LoadError> {
        if self.is_set() { Err(LoadError::Interrupted) } else { Ok(()) }
    }
}
