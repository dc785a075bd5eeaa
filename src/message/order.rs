//! One order over all changes of durable state.
//!
//! Every change draws its number under the lock that decides it, so the numbers of one
//! key rise in the order in which memory changed. Steps submit their changes later, and
//! not in that order; the store applies them by key and number: an older number never
//! replaces a newer one. A number need be remembered only until every step that may
//! carry an older one has submitted, which is what [`Order::advance`] finds out.
//!
//! Steps that carry numbers are counted in one of two generations. The generation moves
//! on when the one before it has emptied (epoch-based reclamation), so no step that has
//! yet to submit is older than the one before the last; what was submitted may wait one
//! more in the open batch (`store/latest.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The place of one change among all others. Never repeats within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChangeNo(pub u64);

/// Hands out numbers and knows which steps have yet to submit theirs.
#[derive(Debug, Default)]
pub struct Order {
    last: AtomicU64,
    generation: AtomicU64,
    /// Steps that have drawn numbers and not submitted, by the parity of their generation.
    open: [AtomicU64; 2],
}

impl Order {
    /// Begins to carry numbers. To be called before the first one is drawn, and dropped
    /// after they have been submitted.
    pub fn enter(self: &Arc<Self>) -> OpenStep {
        loop {
            let generation = self.generation.load(Ordering::SeqCst);
            self.slot(generation).fetch_add(1, Ordering::SeqCst);
            if self.generation.load(Ordering::SeqCst) == generation {
                return OpenStep { order: Arc::clone(self), generation };
            }
            // The generation moved on in between: it may already have been found empty.
            self.slot(generation).fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Moves on to the next generation if no step of the one before is left. Only the
    /// store's writer calls this. True if it moved.
    pub fn advance(&self) -> bool {
        let generation = self.generation.load(Ordering::SeqCst);
        // The generation before has the same parity as the one behind.
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

/// A step that carries numbers which it has not submitted yet.
#[derive(Debug)]
pub struct OpenStep {
    order: Arc<Order>,
    generation: u64,
}

impl OpenStep {
    /// The next number. To be drawn under the lock that decides the change.
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
