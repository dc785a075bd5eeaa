//! All bridges of a broker: what a change of the configuration does to each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Bridges;
use crate::broker::Broker;
use crate::broker::bridge::principal_of;
use crate::config::{Bridge, BridgeRule, List};
use crate::net::dial::tests::support;

/// A bridge to where nobody listens.
fn bridge(filter: &str) -> Bridge {
    Bridge {
        addresses: List(vec!["mqtt://127.0.0.1:1".parse().unwrap()]),
        forward: vec![BridgeRule { filter: filter.into(), ..BridgeRule::default() }],
        ..Bridge::default()
    }
}

fn one(filter: &str) -> BTreeMap<String, Bridge> {
    [("up".to_owned(), bridge(filter))].into()
}

fn filters(broker: &Broker) -> Vec<String> {
    let page = broker.subscriptions_of(&principal_of("up"), None, 10);
    page.into_iter().flat_map(|(found, _)| found).map(|it| it.filter.to_string()).collect()
}

/// Runs the tasks of bridges until nothing changes any more for a while.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_bridge_subscribes_when_it_is_configured_and_no_longer_when_it_is_removed() {
    let broker = support::broker(|_| {});
    let bridges = Bridges::start(&broker, &one("a")).await;
    assert_eq!(filters(&broker), ["a"]);
    bridges.replace(&one("b"));
    settle().await;
    assert_eq!(filters(&broker), ["b"]);
    bridges.replace(&BTreeMap::new());
    settle().await;
    assert!(filters(&broker).is_empty());
    assert!(broker.has_bridge_session("up"), "its queue is kept");
}

#[tokio::test]
async fn a_bridge_that_is_removed_and_added_again_at_once_is_subscribed() {
    let broker = support::broker(|_| {});
    let bridges = Bridges::start(&broker, &one("a")).await;
    for _ in 0..3 {
        bridges.replace(&BTreeMap::new());
        bridges.replace(&one("a"));
    }
    settle().await;
    assert_eq!(filters(&broker), ["a"]);
    assert_eq!(bridges.list().len(), 1);
}

#[tokio::test]
async fn a_bridge_whose_session_an_operator_removes_goes_on_queueing() {
    let broker = support::broker(|_| {});
    let bridges = Bridges::start(&broker, &one("a")).await;
    Arc::clone(&broker).remove_session(&principal_of("up"), true).await.unwrap().unwrap();
    assert!(!broker.has_bridge_session("up"));
    assert!(bridges.open_again("up").await);
    assert_eq!(filters(&broker), ["a"]);
    assert!(!bridges.open_again("another").await);
}

#[tokio::test]
async fn all_bridges_have_ended_when_the_broker_is_stopped() {
    let broker = support::broker(|_| {});
    let bridges = Bridges::start(&broker, &one("a")).await;
    let ended = tokio::spawn(bridges.clone().until_ended());
    broker.shut_down();
    ended.await.unwrap();
    assert!(bridges.list().is_empty());
}
