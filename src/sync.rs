//! The locks around the broker's state.
//!
//! They are those of `parking_lot`. With the feature `failpoints`, each acquisition and
//! release is a yield point of [`crate::schedule`], and a scheduled thread does not block on a
//! lock: it lets other threads run and tries again.

#[cfg(not(feature = "failpoints"))]
pub use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "failpoints")]
pub use scheduled::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "failpoints")]
mod scheduled {
    use std::ops::{Deref, DerefMut};
    use std::panic::Location;

    use crate::schedule::{Blocked, Point, is_scheduled, reached};

    /// As [`parking_lot::Mutex`].
    #[derive(Debug, Default)]
    pub struct Mutex<T: ?Sized>(parking_lot::Mutex<T>);

    /// As [`parking_lot::RwLock`].
    #[derive(Debug, Default)]
    pub struct RwLock<T: ?Sized>(parking_lot::RwLock<T>);

    /// The last field of a guard, dropped after the lock is released.
    #[derive(Debug)]
    struct Released;

    impl Drop for Released {
        fn drop(&mut self) {
            reached(Point::Release);
        }
    }

    macro_rules! guard {
        ($(#[$doc:meta])* $name:ident) => {
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name<'a, T: ?Sized> {
                guard: parking_lot::$name<'a, T>,
                _released: Released,
            }

            impl<T: ?Sized> Deref for $name<'_, T> {
                type Target = T;

                fn deref(&self) -> &T {
                    &self.guard
                }
            }
        };
    }

    guard!(
        /// As [`parking_lot::MutexGuard`].
        MutexGuard
    );
    guard!(
        /// As [`parking_lot::RwLockReadGuard`].
        RwLockReadGuard
    );
    guard!(
        /// As [`parking_lot::RwLockWriteGuard`].
        RwLockWriteGuard
    );

    impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    /// Acquires a lock by `try_lock`, with a yield point before each attempt, or by `lock` on
    /// a thread that is not scheduled.
    fn acquire<G>(
        what: &'static str,
        at: &'static Location<'static>,
        try_lock: impl Fn() -> Option<G>,
        lock: impl FnOnce() -> G,
    ) -> G {
        if !is_scheduled() {
            return lock();
        }
        reached(Point::Acquire);
        loop {
            if let Some(guard) = try_lock() {
                return guard;
            }
            reached(Point::Blocked(Blocked { lock: what, at }));
        }
    }

    impl<T> Mutex<T> {
        /// As [`parking_lot::Mutex::new`].
        pub const fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }
    }

    impl<T: ?Sized> Mutex<T> {
        /// As [`parking_lot::Mutex::lock`].
        #[track_caller]
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let (what, at) = (std::any::type_name::<T>(), Location::caller());
            let guard = acquire(what, at, || self.0.try_lock(), || self.0.lock());
            MutexGuard { guard, _released: Released }
        }
    }

    impl<T> RwLock<T> {
        /// As [`parking_lot::RwLock::new`].
        pub const fn new(value: T) -> Self {
            Self(parking_lot::RwLock::new(value))
        }
    }

    impl<T: ?Sized> RwLock<T> {
        /// As [`parking_lot::RwLock::read`].
        #[track_caller]
        pub fn read(&self) -> RwLockReadGuard<'_, T> {
            let (what, at) = (std::any::type_name::<T>(), Location::caller());
            let guard = acquire(what, at, || self.0.try_read(), || self.0.read());
            RwLockReadGuard { guard, _released: Released }
        }

        /// As [`parking_lot::RwLock::write`].
        #[track_caller]
        pub fn write(&self) -> RwLockWriteGuard<'_, T> {
            let (what, at) = (std::any::type_name::<T>(), Location::caller());
            let guard = acquire(what, at, || self.0.try_write(), || self.0.write());
            RwLockWriteGuard { guard, _released: Released }
        }
    }
}
