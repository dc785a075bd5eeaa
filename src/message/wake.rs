//! Wakes the task of a connection.

use std::pin::pin;
use std::sync::Arc;
use std::task::Context;

use crate::primitives::{AtomicBool, AtomicU8, AtomicWaker, Notify, Ordering, fence};
use crate::sync::Mutex;

/// The wake-up of a connection, for all causes: an acknowledgement may be sent, a delivery was
/// queued, the session was taken over. However often it is notified between two polls, the task is
/// woken once for each [`WakeCause`].
#[derive(Debug, Default)]
pub struct Wake {
    notified: AtomicBool,
    /// As `notified`, for [`WakeCause::FanOut`]. Set until the task begins, not only until it is
    /// polled.
    reached: AtomicBool,
    back_pressure: AtomicBool,
    ends_when_refused: AtomicBool,
    cut_off: AtomicBool,
    revoked: AtomicU8,
    closing: AtomicBool,
    has_left: AtomicBool,
    /// Notified when the connection has taken its last step.
    departure: Notify,
    waker: AtomicWaker,
    /// The wake-up of the session. Commits ring it, and with it whichever connection holds the
    /// session then.
    session: Option<Arc<SessionWake>>,
    /// True if the session's wake-up no longer refers to this one.
    replaced: AtomicBool,
}

/// Why a task is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeCause {
    /// A message for it and many others. Thousands of tasks may be woken at once, so they take
    /// turns.
    FanOut,
    /// Anything else.
    Direct,
}

/// Why a connection has to release its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// Another connection takes it over [MQTT-3.1.4-3].
    TakenOver,
    /// An operator ends the connection.
    ByOperator,
    /// Its user was removed, or the user's password changed.
    LogInRemoved,
    /// Its client certificate was revoked.
    CertificateRevoked,
}

impl Wake {
    /// Creates the wake-up of a connection of the session with this wake-up.
    pub fn of_session(session: Arc<SessionWake>) -> Self {
        Self { session: Some(session), ..Self::default() }
    }

    /// Wakes the task, unless it was woken already and has not polled yet.
    pub fn notify(&self) {
        self.notify_of(WakeCause::Direct);
    }

    fn notify_of(&self, cause: WakeCause) {
        let flag = match cause {
            WakeCause::FanOut => &self.reached,
            WakeCause::Direct => &self.notified,
        };
        if !flag.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Rings this connection, and the one that has replaced it, if any. For events that are
    /// reported later than they were requested.
    pub fn notify_session(&self, cause: WakeCause) {
        self.notify_of(cause);
        // Either this sees that the connection was replaced, or the new connection sees the
        // event. Most connections are not replaced, and then the lock is not taken.
        fence(Ordering::SeqCst);
        if self.replaced.load(Ordering::Relaxed)
            && let Some(session_wake) = &self.session
        {
            session_wake.notify(cause);
        }
    }

    /// Why it was notified since the last call, if it was. The task is registered in any case,
    /// so that the next [`Wake::notify`] wakes it. It is registered first, so that no ring is
    /// lost.
    ///
    /// [`WakeCause::FanOut`] is returned, and the task not woken for it again, until
    /// [`Wake::begin`] is called: while the task waits for its turn, more messages change
    /// nothing.
    pub fn poll(&self, context: &Context<'_>) -> Option<WakeCause> {
        self.waker.register(context.waker());
        if self.notified.swap(false, Ordering::AcqRel) {
            Some(WakeCause::Direct)
        } else {
            self.reached.load(Ordering::Acquire).then_some(WakeCause::FanOut)
        }
    }

    /// To be called when the task has its turn, before it checks its queue. True if a fan-out
    /// has reached it since the last call: perhaps after [`Wake::poll`], which did not see it.
    #[must_use]
    pub fn begin(&self) -> bool {
        // Most polls find it unset, and a load costs less than a swap.
        self.reached.load(Ordering::Acquire) && self.reached.swap(false, Ordering::AcqRel)
    }

    /// Sets whether the connection waits for room instead of being refused. To be reset when
    /// the connection ends, because nothing waits for its messages then.
    pub fn set_back_pressure(&self, on: bool) {
        self.back_pressure.store(on, Ordering::Release);
    }

    /// See [`Wake::set_back_pressure`].
    pub fn has_back_pressure(&self) -> bool {
        self.back_pressure.load(Ordering::Acquire)
    }

    /// Sets whether the connection ends when one of its messages is refused, so that its
    /// client sends that message and all later ones again.
    pub fn set_ends_when_refused(&self, ends: bool) {
        self.ends_when_refused.store(ends, Ordering::Release);
    }

    /// One of its messages was refused. To be called by the refusing side before it takes
    /// another message.
    pub fn message_refused(&self) {
        if self.ends_when_refused.load(Ordering::Acquire) {
            self.cut_off.store(true, Ordering::Release);
        }
    }

    /// True if no more messages of it may be taken: one was refused, and the client must
    /// resend it before later ones [MQTT-4.6.0-6].
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    /// Requests the connection to release its session after its current packet. Only the first
    /// reason has an effect.
    pub fn revoke(&self, why: Revoked) {
        let code = match why {
            Revoked::TakenOver => 1,
            Revoked::ByOperator => 2,
            Revoked::LogInRemoved => 3,
            Revoked::CertificateRevoked => 4,
        };
        let _ = self.revoked.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        self.notify();
    }

    /// The connection will take one more step when it is revoked, to read what its client has
    /// sent before it reconnected.
    pub fn set_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// The connection takes no more steps.
    pub fn leave(&self) {
        self.has_left.store(true, Ordering::Release);
        self.departure.notify_waiters();
    }

    /// Resolves when a revoked connection has taken its last step.
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

    /// True if it has not taken its last step yet.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire) && !self.has_left.load(Ordering::Acquire)
    }

    /// See [`Wake::revoke`].
    pub fn revoked(&self) -> Option<Revoked> {
        match self.revoked.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Revoked::TakenOver),
            3 => Some(Revoked::LogInRemoved),
            4 => Some(Revoked::CertificateRevoked),
            _ => Some(Revoked::ByOperator),
        }
    }
}

/// For futures that a connection polls by itself, such as a verification.
impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

/// The wake-up of a session. Rings the connection that holds the session at that time, whether
/// or not it is the one that requested the wake-up.
#[derive(Debug, Default)]
pub struct SessionWake {
    wake: Mutex<Option<Arc<Wake>>>,
}

impl SessionWake {
    /// Rings only this connection or the one that has replaced it.
    pub fn of(wake: Arc<Wake>) -> Self {
        Self { wake: Mutex::new(Some(wake)) }
    }

    /// Sets the connection that it rings; `None` for none.
    pub fn connect(&self, wake: Option<Arc<Wake>>) {
        // Dropped outside of the lock, because it may be the last reference.
        let before = std::mem::replace(&mut *self.wake.lock(), wake);
        if let Some(before) = &before {
            before.replaced.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }

    /// Rings the connection, if there is one. A later connection checks its session itself.
    pub fn notify(&self, cause: WakeCause) {
        if let Some(wake) = &*self.wake.lock() {
            wake.notify_of(cause);
        }
    }
}

/// A session that is woken when something has been committed.
#[derive(Debug, Clone)]
pub struct Waiter {
    /// The session.
    pub session: Arc<SessionWake>,
    /// How it is woken.
    pub cause: WakeCause,
}

impl Waiter {
    /// Rings the session's connection.
    pub fn notify(&self) {
        self.session.notify(self.cause);
    }

    /// True if both wake the same session in the same way.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_of_the_session_of(other) && self.cause == other.cause
    }

    fn is_of_the_session_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
    }

    /// Keeps one of each session, [`WakeCause::Direct`] before [`WakeCause::FanOut`], and none
    /// of sessions that nobody else refers to.
    pub fn unite(waiters: &mut Vec<Self>) {
        let is_fan_out = |waiter: &Self| waiter.cause == WakeCause::FanOut;
        waiters.sort_unstable_by_key(|waiter| (Arc::as_ptr(&waiter.session), is_fan_out(waiter)));
        waiters.dedup_by(|later, first| later.is_of_the_session_of(first));
        waiters.retain(|waiter| Arc::strong_count(&waiter.session) > 1);
    }
}
