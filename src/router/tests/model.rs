//! The router against a list of subscriptions and the naive matcher.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::router::slab::NodeId;

const SESSIONS: u64 = 6;

#[derive(Debug, Clone)]
struct Step {
    filter: String,
    group: Option<&'static str>,
    session: u64,
    /// `None` unsubscribes.
    subscription: Option<Subscription>,
}

impl Step {
    fn full(&self) -> String {
        self.group.map_or(self.filter.clone(), |group| format!("$share/{group}/{}", self.filter))
    }
}

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "$SYS", "é"])
}

pub(super) fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic name is never empty", |topic| !topic.is_empty())
}

pub(super) fn topic_filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 2 => Just("+")];
    (prop::collection::vec(level, 0..5), any::<bool>())
        .prop_map(|(mut levels, all)| {
            if all || levels.is_empty() {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a topic filter is never empty", |filter| !filter.is_empty())
}

fn subscription() -> impl Strategy<Value = Subscription> {
    (0..3u8, any::<bool>(), any::<bool>(), prop::option::of(1..50u32)).prop_map(
        |(qos, no_local, retain_as_published, identifier)| Subscription {
            options: SubscriptionOptions {
                qos: QoS::from_bits(qos).unwrap(),
                no_local,
                retain_as_published,
                ..Default::default()
            },
            identifier,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let group = prop_oneof![2 => Just(None), 1 => Just(Some("g")), 1 => Just(Some("h"))];
    (topic_filter(), group, 1..=SESSIONS, prop::option::weighted(0.7, subscription())).prop_map(
        |(filter, group, session, subscription)| Step { filter, group, session, subscription },
    )
}

/// Subscriptions by full filter and session, with the position of their step as the handle.
type Model = BTreeMap<(String, u64), (usize, Step)>;

fn apply(router: &mut TestRouter, model: &mut Model, at: usize, step: &Step) -> bool {
    let (filter, session) = (filter(&step.full()), SessionId(step.session));
    let key = (step.full(), step.session);
    match step.subscription {
        Some(sub) => {
            router.subscribe(&filter, session, at, sub)
                == model.insert(key, (at, step.clone())).is_none()
        }
        None => router.unsubscribe(&filter, session) == model.remove(&key).is_some(),
    }
}

/// By session: `QoS`, Retain As Published and sorted identifiers.
type Own = BTreeMap<u64, (QoS, bool, Vec<u32>)>;

fn expected(model: &Model, topic: &str, publisher: u64) -> Own {
    let mut own = Own::new();
    for (_, step) in model.values().filter(|(_, step)| step.group.is_none()) {
        let Some(sub) = step.subscription else { continue };
        let options = sub.options;
        if !naive_match(&step.filter, topic) || (options.no_local && step.session == publisher) {
            continue;
        }
        let entry = own.entry(step.session).or_default();
        entry.0 = entry.0.max(options.qos);
        entry.1 |= options.retain_as_published;
        entry.2.extend(sub.identifier);
        entry.2.sort_unstable();
    }
    own
}

fn check(
    router: &TestRouter,
    model: &Model,
    topic: &str,
    publisher: u64,
) -> Result<(), TestCaseError> {
    let online = |handle: &usize| handle.is_multiple_of(3);
    let mut routes = Routes::new();
    router.route(topic, Some(SessionId(publisher)), &mut routes, online);
    let (shared, own): (Vec<_>, Vec<_>) =
        routes.receivers.into_iter().partition(|r| r.share.is_some());

    let sorted = |ids: &[u32]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    let seen: Own = own
        .iter()
        .map(|r| (r.session.0, (r.qos, r.retain_as_published, sorted(&r.identifiers))))
        .collect();
    prop_assert_eq!(own.len(), seen.len(), "each session once");
    prop_assert_eq!(seen, expected(model, topic, publisher));

    // Each matching group, and whether a member is online.
    let mut groups = BTreeMap::new();
    for ((full, _), (handle, step)) in model {
        if step.group.is_some() && naive_match(&step.filter, topic) {
            *groups.entry(full.clone()).or_insert(false) |= online(handle);
        }
    }
    prop_assert_eq!(shared.len(), groups.len());
    let mut served = BTreeSet::new();
    for receiver in shared {
        let subscribed = model.iter().find(|(_, (handle, _))| *handle == receiver.handle);
        let ((full, session), _) = subscribed.unwrap();
        prop_assert_eq!(*session, receiver.session.0);
        prop_assert_eq!(Some(&online(&receiver.handle)), groups.get(full));
        prop_assert!(served.insert(full.clone()), "one member of each group");
    }
    Ok(())
}

proptest! {
    #[test]
    fn routes_as_the_naive_matcher_does(
        steps in prop::collection::vec(step(), 1..80),
        topics in prop::collection::vec((topic(), 1..=SESSIONS), 1..20),
    ) {
        let (mut router, mut model) = (TestRouter::new(), Model::new());
        for (at, step) in steps.iter().enumerate() {
            prop_assert!(apply(&mut router, &mut model, at, step));
            prop_assert_eq!(router.len(), model.len());
        }
        for (topic, publisher) in &topics {
            check(&router, &model, topic, *publisher)?;
        }
        for (full, session) in model.keys() {
            prop_assert!(unsubscribe(&mut router, full, *session));
        }
        prop_assert!(router.is_empty());
        let left: Vec<NodeId> = router.trie.iter_from(0).map(|(id, _)| id).collect();
        prop_assert_eq!(left, vec![NodeId::ROOT], "no node outlives its subscriptions");
    }
}
