//! How a connection's task is told that something waits for it.

use std::task::Context;

use crate::primitives::{AtomicBool, AtomicWaker, Ordering};

/// One per connection, for every cause: an acknowledgement may go, a delivery
/// waits, the session was taken over. However often it is rung between two turns
/// of the task, the task is woken once.
#[derive(Debug, Default)]
pub struct Wake {
    rung: AtomicBool,
    patient: AtomicBool,
    dismissed: AtomicBool,
    waker: AtomicWaker,
}

impl Wake {
    /// Wakes the task, unless it has been told already and has not looked yet.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// True if it was rung since the last call. Either way the task is registered
    /// and will be woken by the next [`Wake::ring`]: registering comes first, so
    /// that none can fall in between.
    pub fn poll(&self, context: &Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.rung.swap(false, Ordering::AcqRel)
    }

    /// Whether the connection waits for room instead of being refused. To be taken
    /// back when it ends: nobody waits for its messages then.
    pub fn set_patient(&self, patient: bool) {
        self.patient.store(patient, Ordering::Release);
    }

    /// An operator has ended the connection: what its client is told of that.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
        self.ring();
    }

    /// See [`Wake::dismiss`].
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// See [`Wake::set_patient`].
    pub fn is_patient(&self) -> bool {
        self.patient.load(Ordering::Acquire)
    }
}
