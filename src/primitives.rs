//! Atomics and the waker of those files whose threads meet in them: `message/durability.rs`
//! and `message/wake.rs`. In one place, since the models in `tests/loom` compile the same
//! files with loom's instead.

pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

pub use atomic_waker::AtomicWaker;
pub use tokio::sync::Notify;
