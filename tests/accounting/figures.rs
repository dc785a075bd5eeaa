//! The two figures that are compared, and their tolerance.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ALLOCATOR;

/// Smaller growth is not compared: memory that is not charged, such as tables that double,
/// would weigh too much.
const ENOUGH: i64 = 1 << 20;
/// Largest difference in percent.
const TOLERANCE: i64 = 15;

/// The allocator counts for the whole process, so tests run one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes allocated and not freed in the process. SQLite's are not included: it has its own
/// allocator.
pub fn allocated() -> i64 {
    let stats = ALLOCATOR.stats();
    signed(stats.bytes_allocated) - signed(stats.bytes_deallocated)
}

pub fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap()
}

/// The figures at one moment, or their growth since another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub charged: i64,
    /// Allocated bytes without those of the test's clients.
    pub live: i64,
}

impl Figures {
    pub fn since(self, before: Self) -> Self {
        Self { charged: self.charged - before.charged, live: self.live - before.live }
    }

    /// Bytes allocated and not charged; negative if too much is charged.
    pub fn lag(self) -> i64 {
        self.live - self.charged
    }

    /// True if there is enough growth to compare.
    pub fn count(self) -> bool {
        self.live.max(self.charged) >= ENOUGH
    }

    /// # Panics
    /// The figures differ by more than the tolerance.
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
