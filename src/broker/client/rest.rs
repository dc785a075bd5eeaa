//! What a connection keeps between two steps. Most connections are idle most of the time, so
//! it keeps little.

use super::{BlockReason, Client};
use crate::broker::spare;

/// Receivers that are kept for the next message to the same topic. For more of them, a new
/// search costs less than a tenth of the delivery. Each kept receiver keeps its session in
/// memory, even after the session has ended.
const ROUTES: usize = 16;
/// The most bytes of the topic that is kept with them.
const TOPIC: usize = 1024;

impl Client {
    /// Frees what the next step does not need.
    pub(super) fn rest(&mut self) {
        self.leave_line();
        self.discard_routes();
        self.step.shrink();
        self.pending.shrink();
        spare::shrink(&mut self.outgoing);
    }

    /// Bytes that it keeps between steps.
    pub(super) fn kept_memory(&self) -> usize {
        self.step.memory()
            + self.permissions.memory()
            + self.outgoing.capacity() * size_of::<crate::session::Outgoing>()
            + self.publish_limit_memory()
            + self.waits_at.as_ref().map_or(0, |line| line.memory())
    }

    /// Entries that its buffers have memory for.
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
        let generation = self.broker.routes_generation();
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
