//! Publishes wills, on the broker's own behalf.

use super::{Broker, Budget, Publication, Routing, Step};
use crate::router::Routes;

impl Broker {
    /// Publishes a message that no connection waits for. Must not be cancelled.
    pub(super) async fn publish_internally(&self, publication: &Publication<'_>, step: &mut Step) {
        let generation = self.subscriptions.generation();
        let mut routes = Routes::new();
        let mut routing = Routing::default();
        let mut budget = Budget::of_long_poll();
        let mut turn = None;
        while !self.route_some(publication.topic, None, &mut routes, &mut routing, &mut budget) {
            self.turns.pause(&mut turn).await;
            budget = Budget::of_long_poll();
        }
        drop(turn);
        let message = self.message_of(publication, &routes, None, step);
        if publication.retain {
            self.retained.retain(publication, &message, self.persistence.committed(), step);
            self.deliver_to_late(publication, (&routes, generation), None, step);
        }
        self.fan_out_in_polls(message, &routes, step).await;
    }
}
