//! How much one poll of a task may do before others get their turn.

use std::future::poll_fn;
use std::task::Poll;

/// What one poll may cost, in receivers, packets and nodes of the router, each of which
/// takes 0.1 to 1 µs: together at most a few milliseconds.
const UNITS: usize = 4096;

/// What is left of a poll's work.
#[derive(Debug, Clone, Copy)]
pub struct Budget(usize);

impl Budget {
    /// The budget of one poll.
    pub const fn of_one_poll() -> Self {
        Self(UNITS)
    }

    /// For work that must not be interrupted.
    pub const fn unlimited() -> Self {
        Self(usize::MAX)
    }

    /// Takes what `units` of work cost.
    pub fn spend(&mut self, units: usize) {
        self.0 = self.0.saturating_sub(units);
    }

    /// True if others are to have their turn first.
    pub fn is_spent(self) -> bool {
        self.0 == 0
    }
}

/// Lets the other tasks of this thread have their turn.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
