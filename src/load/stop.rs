//! A request to end a run early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::LoadError;

/// Set from anywhere, looked at between two turns: a few times in a second.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for the end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on or not.
    ///
    /// # Errors
    /// [`LoadError::Interrupted`] if the end was asked for.
    pub fn check(&self) -> Result<(), LoadError> {
        if self.is_set() { Err(LoadError::Interrupted) } else { Ok(()) }
    }
}
