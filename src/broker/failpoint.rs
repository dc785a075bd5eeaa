//! Turns within turns: a point at which a simulation lets others act although a turn has
//! not been submitted yet. Compiled in by the feature `failpoints` alone.

/// Called by the thread whose turn it is.
#[cfg(feature = "failpoints")]
pub type Hook = Box<dyn FnMut()>;

#[cfg(feature = "failpoints")]
thread_local! {
    static HOOK: std::cell::RefCell<Option<Hook>> = const { std::cell::RefCell::new(None) };
}

/// Has `hook` called whenever a client's turn of this thread is about to be submitted:
/// memory has changed, the store has not heard of it, and no lock is held. Not within
/// itself.
#[cfg(feature = "failpoints")]
pub fn set_hook(hook: Option<Hook>) {
    HOOK.set(hook);
}

/// See [`set_hook`].
#[cfg(feature = "failpoints")]
pub(super) fn before_submission() {
    let Some(mut hook) = HOOK.take() else { return };
    hook();
    HOOK.set(Some(hook));
}

/// Nothing, without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(super) fn before_submission() {}
