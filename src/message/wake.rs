//! Wakes the task of a connection.

use std::pin::pin;
use std::sync::Arc;
use std::task::Context;

use crate::primitives::{AtomicBool, AtomicU8, AtomicWaker, Notify, Ordering, fence};
use crate::sync::Mutex;

/// One per connection, for every cause: an acknowledgement may go, a delivery
/// waits, the session was taken over. However often it is rung between two polls
/// of the task, the task is woken once.
#[derive(Debug, Default)]
pub struct Wake {
    rung: AtomicBool,
    back_pressure: AtomicBool,
    ends_when_refused: AtomicBool,
    cut_off: AtomicBool,
    revoked: AtomicU8,
    closing: AtomicBool,
    has_left: AtomicBool,
    /// Told when it has left.
    departure: Notify,
    waker: AtomicWaker,
    /// Of the session that the connection holds; what waits for a commit rings it, and
    /// with it whichever connection holds the session by then.
    session: Option<Arc<SessionWake>>,
    /// The session's wake-up rings it no longer.
    replaced: AtomicBool,
}

/// Why a connection has to let go of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// Another connection takes it over [MQTT-3.1.4-3].
    TakenOver,
    /// An operator ends the connection.
    ByOperator,
}

impl Wake {
    /// The wake-up of a connection of the session that `session` belongs to.
    pub fn of_session(session: Arc<SessionWake>) -> Self {
        Self { session: Some(session), ..Self::default() }
    }

    /// Wakes the task, unless it has been told already and has not looked yet.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Rings whichever connection holds the session now. For everything that happens
    /// later than it was asked for: the connection that asked may have been replaced.
    pub fn ring_session(&self) {
        self.ring();
        // Either this sees that the connection was replaced, or whoever comes after it
        // sees what it would have been rung for. Most have not been, and that lock is
        // not asked.
        fence(Ordering::SeqCst);
        if self.replaced.load(Ordering::Relaxed)
            && let Some(session_wake) = &self.session
        {
            session_wake.ring();
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
    pub fn set_back_pressure(&self, on: bool) {
        self.back_pressure.store(on, Ordering::Release);
    }

    /// See [`Wake::set_back_pressure`].
    pub fn has_back_pressure(&self) -> bool {
        self.back_pressure.load(Ordering::Acquire)
    }

    /// Whether the connection ends when one of its messages is refused, so that its client
    /// sends that one, and all behind it, again.
    pub fn set_ends_when_refused(&self, ends: bool) {
        self.ends_when_refused.store(ends, Ordering::Release);
    }

    /// One of its messages was refused. To be called by whoever refuses, before another one
    /// is taken.
    pub fn message_refused(&self) {
        if self.ends_when_refused.load(Ordering::Acquire) {
            self.cut_off.store(true, Ordering::Release);
        }
    }

    /// True if no message of it may be taken any more: one before it was refused, and is to
    /// come again before it [MQTT-4.6.0-6].
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    /// The connection is to let go of its session: it finishes the packet that it is at
    /// and takes no other. Only the first reason counts.
    pub fn revoke(&self, why: Revoked) {
        let code = match why {
            Revoked::TakenOver => 1,
            Revoked::ByOperator => 2,
        };
        let _ = self.revoked.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        self.ring();
    }

    /// The connection's task takes one more step when it is revoked: what its client has
    /// sent before it came back by another connection counts.
    pub fn set_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// The connection will not take that step any more.
    pub fn leave(&self) {
        self.has_left.store(true, Ordering::Release);
        self.departure.notify_waiters();
    }

    /// Resolves when a connection that was revoked has taken its last step.
    pub async fn until_left(&self) {
        loop {
            let mut departure = pin!(self.departure.notified());
            departure.as_mut().enable();
            if !self.is_closing() {
                return;
            }
            departure.await;
        }
    }

    /// True if it has yet to take its last step.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire) && !self.has_left.load(Ordering::Acquire)
    }

    /// See [`Wake::revoke`].
    pub fn revoked(&self) -> Option<Revoked> {
        match self.revoked.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Revoked::TakenOver),
            _ => Some(Revoked::ByOperator),
        }
    }
}

/// One per session: rings the connection that holds it when it is rung, be it the one
/// that asked or one that came later.
#[derive(Debug, Default)]
pub struct SessionWake {
    wake: Mutex<Option<Arc<Wake>>>,
}

impl SessionWake {
    /// Rings this connection, or whoever waits in its place, and never another.
    pub fn of(wake: Arc<Wake>) -> Self {
        Self { wake: Mutex::new(Some(wake)) }
    }

    /// From now on it rings this connection, or nobody.
    pub fn connect(&self, wake: Option<Arc<Wake>>) {
        // Dropped outside of the lock: it may be the last handle.
        let before = std::mem::replace(&mut *self.wake.lock(), wake);
        if let Some(before) = &before {
            before.replaced.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }

    /// Rings the connection, if there is one. One that comes later looks by itself.
    pub fn ring(&self) {
        if let Some(wake) = &*self.wake.lock() {
            wake.ring();
        }
    }
}
