//! Atomics and the waker of the files in which threads synchronize: `message/durability.rs`
//! and `message/wake.rs`. They are imported from here because the models in `tests/loom`
//! compile the same files with loom's types.

pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

pub use atomic_waker::AtomicWaker;
pub use tokio::sync::Notify;
