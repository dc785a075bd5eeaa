//! Finds the receivers of a topic, over as many polls as necessary: many filters may nearly
//! match a topic, and each costs a node for each of its levels.

use std::sync::Arc;

use super::budget::{Budget, NODE, NODES_AT_ONCE};
use super::{Broker, SessionHandle};
use crate::message::SessionId;
use crate::router::Routes;

/// How often a walk begins again because the router has changed, before it is made under
/// one hold of the lock.
const TRIES: usize = 4;

/// A walk that has begun; its place is kept in the [`Routes`].
#[derive(Debug, Default)]
pub struct Routing {
    /// Of the router, as the walk knows it.
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

    /// Goes on with it as far as the budget lasts, and lets go of the router's lock from
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
                // What was found may be there no longer, and what is there may be missed.
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
