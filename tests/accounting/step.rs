//! Checks that the charge keeps up with the allocated memory within one long step.

use std::cell::Cell;
use std::rc::Rc;

use ferrymq::schedule::set_hook;

use crate::figures::{Figures, allocated};
use crate::game::Game;

/// Bytes that may be allocated and not charged within a step that handles small packets: the
/// step's own buffers, and one doubling of a queue.
pub const LAG: i64 = 96 << 10;

struct Watch;

impl Drop for Watch {
    fn drop(&mut self) {
        set_hook(None);
    }
}

impl Game {
    /// Largest lag of the charge behind the memory during `act`, measured at each point at
    /// which another thread could act.
    pub fn lag_within(&mut self, act: impl FnOnce(&mut Self)) -> i64 {
        let ledger = self.world.broker.metrics.messages.memory;
        let now = move || Figures { charged: ledger.get(), live: allocated() };
        let (worst, before) = (Rc::new(Cell::new(0)), now());
        let seen = Rc::clone(&worst);
        let _watch = Watch;
        set_hook(Some(Box::new(move |_| {
            seen.set(now().since(before).lag().max(seen.get()));
        })));
        act(self);
        worst.get()
    }
}
