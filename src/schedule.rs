//! Yield points, at which a deterministic scheduler may switch to another thread.
//!
//! A simulation runs connections, timers and commits on threads of which only one runs at a
//! time. It installs a hook on each of these threads. The code calls [`reached`] wherever
//! another thread could act on a multi-core machine: before a lock is taken, after it is
//! released, before operations are submitted to the store, before a timer runs, around a
//! commit. The hook returns when the thread may continue.
//!
//! Without the feature `failpoints`, or without a hook on the thread, this does nothing.

/// A point at which other threads may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A lock is about to be taken.
    Acquire,
    /// The lock is held by another thread. It is tried again when the hook returns.
    Blocked(Blocked),
    /// A lock has been released.
    Release,
    /// A client's step has changed memory and is about to be submitted; no lock is held.
    EndOfStep,
    /// A step is about to submit its operations to the store.
    Submit,
    /// The receivers of a message that is to be retained have been found, and it is not
    /// retained yet.
    Retain,
    /// A timer has fallen due and is about to run.
    Timer,
    /// All statements of a transaction have run, and COMMIT has not.
    BeforeCommit,
    /// COMMIT has returned, and no waiting task has been woken.
    AfterCommit,
}

/// The lock for which a thread waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// The type behind the lock.
    pub lock: &'static str,
    /// Where it is being taken.
    pub at: &'static std::panic::Location<'static>,
}

/// Called at each point that its thread reaches.
#[cfg(feature = "failpoints")]
pub type Hook = Box<dyn FnMut(Point)>;

#[cfg(feature = "failpoints")]
thread_local! {
    static HOOK: std::cell::RefCell<Option<Hook>> = const { std::cell::RefCell::new(None) };
}

/// Installs `hook` on this thread. It is not called for points that it reaches itself.
#[cfg(feature = "failpoints")]
pub fn set_hook(hook: Option<Hook>) {
    HOOK.set(hook);
}

/// True if this thread has a hook.
#[cfg(feature = "failpoints")]
pub fn is_scheduled() -> bool {
    HOOK.with_borrow(Option::is_some)
}

/// The thread has reached `point`, and others may run now.
#[cfg(feature = "failpoints")]
pub fn reached(point: Point) {
    let Some(mut hook) = HOOK.take() else { return };
    hook(point);
    HOOK.set(Some(hook));
}

/// Does nothing without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn reached(_: Point) {}
