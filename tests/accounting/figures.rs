//! The two figures that are compared, and how far they may differ.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ALLOCATOR;

/// Growth below this is not compared: what is not charged, such as tables that double, would
/// count too much in it.
const ENOUGH: i64 = 1 << 20;
/// Percent.
const TOLERANCE: i64 = 15;

/// The allocator counts for the whole process: one test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that were asked for and not given back, by whomever. SQLite's are not among them:
/// it has an allocator of its own.
pub fn allocated() -> i64 {
    let stats = ALLOCATOR.stats();
    signed(stats.bytes_allocated) - signed(stats.bytes_deallocated)
}

pub fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap()
}

/// At one moment, or what has come since another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub charged: i64,
    /// Without what the clients of the test hold themselves.
    pub live: i64,
}

impl Figures {
    pub fn since(self, before: Self) -> Self {
        Self { charged: self.charged - before.charged, live: self.live - before.live }
    }

    /// Bytes that are charged too little; negative: too much.
    pub fn lag(self) -> i64 {
        self.live - self.charged
    }

    /// True if there is enough to be compared.
    pub fn count(self) -> bool {
        self.live.max(self.charged) >= ENOUGH
    }

    /// # Panics
    /// They do not agree.
    pub fn agree(self, what: &str) {
        let Self { charged, live } = self;
        let percent = charged * 100 / live.max(1);
        println!("{what}: charged {charged}, allocated {live}: {percent}%");
        assert!(self.count(), "{what}: {live} bytes are too few to be compared");
        assert!(
            (live - charged).abs() * 100 <= live * TOLERANCE,
            "{what}: charged {charged} bytes, allocated {live}: {percent}%"
        );
    }
}
