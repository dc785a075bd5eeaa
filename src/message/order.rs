//! The order of all changes of durable state.
//!
//! Every change draws its number under the lock that decides it, so the numbers for one key
//! rise in the order in which memory changed. Steps submit their changes later and in another
//! order. The store applies them by key and number: an older number never replaces a newer
//! one. A number has to be remembered only until all steps with older numbers have submitted,
//! which [`Order::advance`] detects.
//!
//! Steps with numbers are counted in one of two generations. The generation advances when the
//! one before it is empty (epoch-based reclamation), so no step that has yet to submit is
//! older than the generation before the current one. Submitted changes may wait one generation
//! longer in the open batch (`store/plan/latest.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The place of a change in the order of all changes. Unique within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChangeNo(pub u64);

/// Draws numbers, and tracks the steps that have not submitted theirs.
#[derive(Debug, Default)]
pub struct Order {
    last: AtomicU64,
    generation: AtomicU64,
    /// Steps that have drawn numbers and not submitted them, by parity of their generation.
    open: [AtomicU64; 2],
}

impl Order {
    /// Begins a step with numbers. To be called before the first number is drawn. The result
    /// is dropped after the changes are submitted.
    pub fn enter(self: &Arc<Self>) -> OpenStep {
        loop {
            let generation = self.generation.load(Ordering::SeqCst);
            self.slot(generation).fetch_add(1, Ordering::SeqCst);
            if self.generation.load(Ordering::SeqCst) == generation {
                return OpenStep { order: Arc::clone(self), generation };
            }
            // The generation has advanced meanwhile, and this one may have been found empty.
            self.slot(generation).fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Advances the generation if no step of the one before is left. Called by the store's
    /// writer only. True if it advanced.
    pub fn advance(&self) -> bool {
        let generation = self.generation.load(Ordering::SeqCst);
        // The generations before and after the current one have the same parity.
        if self.slot(generation + 1).load(Ordering::SeqCst) > 0 {
            return false;
        }
        self.generation.store(generation + 1, Ordering::SeqCst);
        true
    }

    fn slot(&self, generation: u64) -> &AtomicU64 {
        let [even, odd] = &self.open;
        if generation.is_multiple_of(2) { even } else { odd }
    }
}

/// A step with numbers that it has not submitted yet.
#[derive(Debug)]
pub struct OpenStep {
    order: Arc<Order>,
    generation: u64,
}

impl OpenStep {
    /// Draws the next number. To be called under the lock that decides the change.
    pub fn draw(&self) -> ChangeNo {
        ChangeNo(self.order.last.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

impl Drop for OpenStep {
    fn drop(&mut self) {
        self.order.slot(self.generation).fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise() {
        let order = Arc::new(Order::default());
        let (first, second) = (order.enter(), order.enter());
        assert!(first.draw() < second.draw());
        assert!(second.draw() < first.draw());
    }

    #[test]
    fn the_generation_waits_for_steps_that_have_not_submitted() {
        let order = Arc::new(Order::default());
        let early = order.enter();
        assert!(order.advance(), "the generation before is empty");
        assert!(!order.advance(), "a step of the generation before is open");
        let late = order.enter();
        drop(early);
        assert!(order.advance());
        assert!(!order.advance(), "the later step is open");
        drop(late);
        assert!(order.advance() && order.advance());
    }
}
