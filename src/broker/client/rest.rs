//! What a connection keeps between two steps. This is little, since most connections are idle
//! most of the time.

use super::{BlockReason, Client};
use crate::broker::spare;

/// Receivers that are kept for the next message to the same topic. Looking up more costs
/// less than a tenth of delivering to them, and each of them keeps a session in memory,
/// also one that has ended meanwhile.
const ROUTES: usize = 16;
/// Bytes of a topic that is kept with them.
const TOPIC: usize = 1024;

impl Client {
    /// Lets go of what the step that ends has needed and the next one may do without.
    pub(super) fn rest(&mut self) {
        self.leave_line();
        self.discard_routes();
        self.step.shrink();
        self.pending.shrink();
        spare::shrink(&mut self.outgoing);
    }

    /// Bytes of what it keeps from one step to the next, beside what it is asked for.
    pub(super) fn kept_memory(&self) -> usize {
        self.step.memory() + self.outgoing.capacity() * size_of::<crate::session::Outgoing>()
    }

    /// Entries that its buffers have room for.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.step.capacity()
            + self.pending.capacity()
            + self.outgoing.capacity()
            + self.routes.capacity()
    }

    fn discard_routes(&mut self) {
        if self.held == Some(BlockReason::Routing) {
            return;
        }
        self.routing = None;
        let generation = self.broker.subscriptions.generation();
        let keeps = self.routes.receivers.len() <= ROUTES
            && self
                .routed
                .as_ref()
                .is_some_and(|(topic, of)| *of == generation && topic.len() <= TOPIC);
        if !keeps {
            self.routed = None;
            self.routes.shrink();
        }
    }
}
