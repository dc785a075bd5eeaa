//! Clauses of the specification, and both tries compared with a simple matcher.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::similar_names)]

mod clauses;
mod limits;
mod model;
mod retained;
mod shared;

use super::{Receiver, Router, Routes, Subscription};
use crate::message::SessionId;
use crate::protocol::{QoS, SubscriptionOptions, TopicFilter};

/// A router whose handles tell which subscription a receiver came from.
type TestRouter = Router<usize>;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::new(text).unwrap()
}

fn at(qos: QoS) -> Subscription {
    Subscription { options: SubscriptionOptions { qos, ..Default::default() }, identifier: None }
}

/// Subscribes with default options; the session's number is the handle.
fn subscribe(router: &mut TestRouter, text: &str, session: u64) -> bool {
    let handle = usize::try_from(session).unwrap();
    router.subscribe(&filter(text), SessionId(session), handle, Subscription::default())
}

fn unsubscribe(router: &mut TestRouter, text: &str, session: u64) -> bool {
    router.unsubscribe(&filter(text), SessionId(session))
}

fn route(router: &TestRouter, topic: &str) -> Vec<Receiver<usize>> {
    let mut routes = Routes::new();
    router.route(topic, None, &mut routes, |_| true);
    routes.receivers
}

/// The sessions that receive a message, sorted.
fn sessions(router: &TestRouter, topic: &str) -> Vec<u64> {
    let mut sessions: Vec<u64> = route(router, topic).iter().map(|r| r.session.0).collect();
    sessions.sort_unstable();
    sessions
}

/// Section 4.7, implemented in the simplest way.
fn naive_match(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let topic: Vec<&str> = topic.split('/').collect();
    let filter: Vec<&str> = filter.split('/').collect();
    for (at, level) in filter.iter().enumerate() {
        match (*level, topic.get(at)) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (name, Some(other)) if name == *other => {}
            _ => return false,
        }
    }
    filter.len() == topic.len()
}
