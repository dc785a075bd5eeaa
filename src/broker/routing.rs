//! Finds the receivers of a topic, over as many polls as necessary: many filters may partly
//! match a topic, and each visit to a node costs time.

use std::sync::Arc;

use super::budget::{Budget, NODE, NODES_AT_ONCE};
use super::{Broker, SessionHandle};
use crate::message::SessionId;
use crate::router::Routes;

/// How often a search restarts after a change of the router. The last one runs under one hold
/// of the lock.
const TRIES: usize = 4;

/// A search in progress. Its position is in the [`Routes`].
#[derive(Debug, Default)]
pub struct Routing {
    /// The router's generation in this search.
    generation: Option<u64>,
    tries: usize,
}

impl Broker {
    /// Finds the receivers of a topic.
    pub fn route(
        &self,
        topic: &str,
        publisher: Option<SessionId>,
        routes: &mut Routes<Arc<SessionHandle>>,
    ) {
        let mut routing = Routing::default();
        self.route_some(topic, publisher, routes, &mut routing, &mut Budget::unlimited());
    }

    /// Continues a search as far as the budget allows, and releases the router's lock from
    /// time to time. True when it is done.
    pub fn route_some(
        &self,
        topic: &str,
        publisher: Option<SessionId>,
        routes: &mut Routes<Arc<SessionHandle>>,
        routing: &mut Routing,
        budget: &mut Budget,
    ) -> bool {
        loop {
            let table = self.subscriptions.read();
            if routing.generation != Some(table.generation()) {
                // Receivers may have been removed, and new ones may have been missed.
                routing.generation = Some(table.generation());
                routing.tries += 1;
                routes.begin();
            }
            let nodes = if routing.tries < TRIES { NODES_AT_ONCE } else { usize::MAX };
            let before = routes.visited();
            let availability = |handle: &Arc<SessionHandle>| handle.availability();
            let done = table.route_some(topic, publisher, routes, nodes, availability);
            drop(table);
            budget.spend(NODE * (routes.visited() - before));
            if done || budget.is_spent() {
                return done;
            }
        }
    }
}
