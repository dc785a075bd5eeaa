//! Yield points: where a deterministic scheduler may let another thread go on.
//!
//! A simulation runs several connections, timers and commits on threads of which one
//! goes on at a time. It installs a hook on each of these threads; the code calls
//! [`reached`] at every moment at which another thread could act on a machine with many
//! cores: before a lock is taken, after it is released, before operations are handed to
//! the store, before a timer runs, around a commit. The hook returns when the thread may
//! go on.
//!
//! Without the feature `failpoints`, or without a hook on the thread, nothing happens.

/// A moment at which others may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A lock is about to be taken.
    Acquire,
    /// The lock is held by another thread: it is tried again when the hook returns.
    Blocked(Blocked),
    /// A lock has been released.
    Release,
    /// A client's step has changed memory and is about to be submitted; no lock is held.
    EndOfStep,
    /// A step is about to hand its operations to the store.
    Submit,
    /// The receivers of a message that is to be retained have been found, and it is not
    /// retained yet.
    Retain,
    /// A timer has fallen due and is about to run.
    Timer,
    /// All statements of a transaction have run, COMMIT has not.
    BeforeCommit,
    /// COMMIT has returned, and nobody has been told.
    AfterCommit,
}

/// What a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// The type behind the lock.
    pub lock: &'static str,
    /// Where it is being taken.
    pub at: &'static std::panic::Location<'static>,
}

/// Called at each point of the thread that it is installed on.
#[cfg(feature = "failpoints")]
pub type Hook = Box<dyn FnMut(Point)>;

#[cfg(feature = "failpoints")]
thread_local! {
    static HOOK: std::cell::RefCell<Option<Hook>> = const { std::cell::RefCell::new(None) };
}

/// Has `hook` called at each point that this thread reaches, but for those that it
/// reaches within the hook.
#[cfg(feature = "failpoints")]
pub fn set_hook(hook: Option<Hook>) {
    HOOK.set(hook);
}

/// True if this thread has a hook.
#[cfg(feature = "failpoints")]
pub fn is_scheduled() -> bool {
    HOOK.with_borrow(Option::is_some)
}

/// The thread has come to `point`: others may act now.
#[cfg(feature = "failpoints")]
pub fn reached(point: Point) {
    let Some(mut hook) = HOOK.take() else { return };
    hook(point);
    HOOK.set(Some(hook));
}

/// Nothing, without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn reached(_: Point) {}
