//! Replacement for what `src/primitives.rs` imports.
//!
//! Loom treats a `SeqCst` load or store as `Acquire` or `Release`, and would report impossible
//! races; its fences are correct. So each `SeqCst` operation has additional fences that make
//! it `SeqCst`.

use std::task::Waker;

pub use loom::sync::atomic::{Ordering, fence};
pub use tokio::sync::Notify;

fn fence_for(order: Ordering) {
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        pub struct $name(loom::sync::atomic::$name);

        impl $name {
            pub fn load(&self, order: Ordering) -> $value {
                fence_for(order);
                self.0.load(if order == Ordering::SeqCst { Ordering::Acquire } else { order })
            }

            pub fn store(&self, value: $value, order: Ordering) {
                self.0.store(
                    value,
                    if order == Ordering::SeqCst { Ordering::Release } else { order },
                );
                fence_for(order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                fence_for(order);
                let before = self.0.swap(value, order);
                fence_for(order);
                before
            }

            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                fence_for(success);
                let exchanged = self.0.compare_exchange(current, new, success, failure);
                fence_for(success);
                exchanged
            }

            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                fence_for(success);
                let updated = self.0.fetch_update(success, failure, update);
                fence_for(success);
                updated
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU8, u8);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);

/// With the interface of `atomic_waker`.
#[derive(Debug, Default)]
pub struct AtomicWaker(loom::future::AtomicWaker);

impl AtomicWaker {
    pub fn register(&self, waker: &Waker) {
        self.0.register_by_ref(waker);
    }

    pub fn wake(&self) {
        self.0.wake();
    }
}
