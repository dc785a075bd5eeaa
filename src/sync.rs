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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// What runs beside a broker and not in it, and this file.
    const ELSEWHERE: [&str; 6] = ["bench", "cli", "drill", "load", "sandbox", "sync.rs"];

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// Comments do not count.
    fn has_a_lock(source: &str) -> bool {
        let mut code = source.lines().filter_map(|line| line.split("//").next());
        code.any(|code| code.contains("Mutex<") || code.contains("RwLock<"))
    }

    #[test]
    fn each_lock_is_in_the_table_of_the_architecture() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
        let (_, table) = text.split_once("## Locks").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let mut files = Vec::new();
        sources(&root.join("src"), &mut files);
        let mut locks = 0;
        for file in files {
            let name = file.strip_prefix(root.join("src")).unwrap();
            let is_test = name.iter().any(|part| part == "tests" || part == "tests.rs");
            let is_elsewhere = ELSEWHERE.iter().any(|other| name.starts_with(other));
            if is_test || is_elsewhere || !has_a_lock(&fs::read_to_string(&file).unwrap()) {
                continue;
            }
            locks += 1;
            let name = format!("`{}`", name.display());
            assert!(table.contains(&name), "ARCHITECTURE.md, \"Locks\", does not name {name}");
        }
        assert!(locks > 30, "{locks} files with locks were found");
    }
}
