//! The receivers of what the client publishes, which are kept for its next message.

use super::Client;
use crate::broker::{Budget, Routing};

impl Client {
    /// Finds the receivers of a topic. Publishers tend to repeat a topic, so the result is
    /// reused until a subscription changes. False: the search exceeds this poll's budget, and
    /// the packet must be handled again.
    pub(super) fn find_routes(&mut self, topic: &str) -> bool {
        let generation = self.broker.routes_generation();
        if let Some((known, of)) = &self.routed
            && *of == generation
            && known == topic
        {
            return true;
        }
        self.routes_generation = generation.0;
        let known = self.routed.take();
        let begun = self.routing.take().filter(|begun| begun.0 == topic);
        let mut routing = begun.map_or_else(Routing::default, |begun| begun.1);
        // In its last step the packet would not be handled again.
        let mut unlimited = Budget::unlimited();
        let ends = self.output_closed || self.is_last_step;
        let budget = if ends { &mut unlimited } else { &mut self.budget };
        let publisher = Some(self.handle.id);
        if !self.broker.route_some(topic, publisher, &mut self.routes, &mut routing, budget) {
            self.routing = Some(Box::new((topic.to_owned(), routing)));
            return false;
        }
        // A shared subscription selects a member for each message.
        let reusable = !self.routes.receivers.iter().any(|receiver| receiver.share.is_some());
        if reusable {
            let mut buffer = known.map(|(topic, _)| topic).unwrap_or_default();
            buffer.clear();
            buffer.push_str(topic);
            self.routed = Some((buffer, generation));
        }
        true
    }
}
