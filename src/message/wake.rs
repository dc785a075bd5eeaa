//! How a connection's task is told that something waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use atomic_waker::AtomicWaker;

/// One per connection, for every cause: an acknowledgement may go, a delivery
/// waits, the session was taken over. However often it is rung between two turns
/// of the task, the task is woken once.
#[derive(Debug, Default)]
pub struct Wake {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Wake {
    /// Wakes the task, unless it has been told already and has not looked yet.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// True if it was rung since the last call; otherwise the task is registered
    /// and will be woken by the next [`Wake::ring`].
    pub fn poll(&self, context: &Context<'_>) -> bool {
        if self.rung.swap(false, Ordering::AcqRel) {
            return true;
        }
        self.waker.register(context.waker());
        // Rung between the look and the registration: look again.
        self.rung.swap(false, Ordering::AcqRel)
    }
}
