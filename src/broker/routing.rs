//! Finds the receivers of a topic, over as many polls as necessary: many filters may partly
//! match a topic, and each visit to a node costs time. Those that may not receive the message
//! are left out, so that it takes no room in their queues. They are asked again when it is
//! delivered, since the rules may change while it waits.

use std::cell::Cell;
use std::sync::Arc;

use super::budget::{Budget, NODE, NODES_AT_ONCE};
use super::{Broker, SessionHandle};
use crate::message::SessionId;
use crate::router::{Availability, Receiver, Routes};

/// How often a search restarts after a change of the router. The last one runs under one hold
/// of the lock.
const TRIES: usize = 4;

/// Rules that are asked whether they concern a client, at the cost of a node: 10 ns each.
const RULES_A_NODE: usize = 32;

/// A search in progress. Its position is in the [`Routes`].
#[derive(Debug, Default)]
pub struct Routing {
    /// The router's generation in this search.
    generation: Option<u64>,
    tries: usize,
    /// Receivers that may receive the message.
    authorized: usize,
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
        let limited = self.rules.limit_anyone();
        let asked = Cell::new(0);
        let availability = |handle: &Arc<SessionHandle>| {
            let availability = handle.availability();
            if !limited || availability < Availability::Full {
                return availability;
            }
            let (may_receive, rules) = handle.may_receive_counting(topic, &self.rules);
            asked.set(asked.get() + 1 + rules / RULES_A_NODE);
            if may_receive { availability } else { Availability::NotAuthorized }
        };
        loop {
            let table = self.subscriptions.read();
            if routing.generation != Some(table.generation()) {
                // Receivers may have been removed, and new ones may have been missed.
                routing.generation = Some(table.generation());
                routing.tries += 1;
                routing.authorized = 0;
                routes.begin();
            }
            let nodes = if routing.tries < TRIES { NODES_AT_ONCE } else { usize::MAX };
            let before = routes.visited();
            let done = table.route_some(topic, publisher, routes, nodes, availability);
            drop(table);
            budget.spend(NODE * (routes.visited() - before + asked.take()));
            if done {
                return !limited || self.authorize_some(topic, routes, routing, budget);
            }
            if budget.is_spent() {
                return false;
            }
        }
    }

    /// Leaves out receivers that may not receive the message. Members of shared groups were
    /// asked when they were selected. True when it is done.
    fn authorize_some(
        &self,
        topic: &str,
        routes: &mut Routes<Arc<SessionHandle>>,
        routing: &mut Routing,
        budget: &mut Budget,
    ) -> bool {
        while let Some(receiver) = routes.receivers.get(routing.authorized) {
            if budget.is_spent() {
                return false;
            }
            budget.spend(NODE);
            let is_asked = receiver.share.is_none();
            let ask = || receiver.handle.may_receive_counting(topic, &self.rules);
            let (may_receive, rules) = if is_asked { ask() } else { (true, 0) };
            budget.spend(NODE * (rules / RULES_A_NODE));
            if may_receive {
                routing.authorized += 1;
            } else {
                routes.leave_out(routing.authorized);
            }
        }
        true
    }

    /// Selects another member of a shared subscription that may receive a message of this topic.
    /// Those in `tried` are excluded: their sessions have ended, or they have no room.
    pub(super) fn other_member(
        &self,
        share: Option<&Arc<str>>,
        topic: &str,
        tried: &[SessionId],
    ) -> Option<Receiver<Arc<SessionHandle>>> {
        let limited = self.rules.limit_anyone();
        self.subscriptions.read().choose_member(share?, |handle| {
            let availability = handle.availability();
            if tried.contains(&handle.id) {
                Availability::Ended
            } else if limited
                && availability > Availability::Full
                && !handle.may_receive(topic, &self.rules)
            {
                Availability::NotAuthorized
            } else {
                availability
            }
        })
    }

    /// Changes whenever the receivers of a topic may have changed.
    pub(super) fn routes_generation(&self) -> (u64, u64) {
        (self.subscriptions.generation(), self.rules.changes())
    }
}
