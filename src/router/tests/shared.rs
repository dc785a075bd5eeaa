//! Shared subscriptions, MQTT 5.0 section 4.8.2.

use std::collections::BTreeMap;

use super::*;
use crate::router::Availability;

/// How many of `count` messages to `topic` each session gets.
fn shares(
    router: &TestRouter,
    topic: &str,
    count: usize,
    online: impl Fn(u64) -> bool,
) -> BTreeMap<u64, usize> {
    let mut routes = Routes::new();
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        router.route(topic, None, &mut routes, |handle| online(*handle as u64));
        for receiver in &routes.receivers {
            *shares.entry(receiver.session.0).or_default() += 1;
        }
    }
    shares
}

fn group(members: std::ops::RangeInclusive<u64>) -> TestRouter {
    let mut router = TestRouter::new();
    for session in members {
        assert!(subscribe(&mut router, "$share/g/a/+", session));
    }
    router
}

#[test]
fn mqtt_4_8_2_each_message_goes_to_one_member_in_turn() {
    let router = group(1..=4);
    assert_eq!(shares(&router, "a/b", 400, |_| true), (1..=4).map(|s| (s, 100)).collect());
}

#[test]
fn members_that_are_offline_are_passed_over_and_their_share_is_spread_evenly() {
    let router = group(1..=5);
    let shares = shares(&router, "a/b", 300, |session| session > 2);
    assert_eq!(shares, (3..=5).map(|s| (s, 100)).collect());
}

#[test]
fn with_every_member_offline_the_messages_wait_for_all_of_them_in_turn() {
    let router = group(1..=3);
    assert_eq!(shares(&router, "a/b", 300, |_| false), (1..=3).map(|s| (s, 100)).collect());
}

#[test]
fn turns_stay_fair_when_members_come_and_go() {
    let mut router = group(1..=40);
    shares(&router, "a/b", 57, |_| true);
    for session in 1..=37 {
        assert!(unsubscribe(&mut router, "$share/g/a/+", session));
    }
    assert_eq!(shares(&router, "a/b", 300, |_| true), (38..=40).map(|s| (s, 100)).collect());
}

#[test]
fn every_group_on_every_matching_filter_gets_its_own_copy() {
    let mut router = TestRouter::new();
    for text in ["$share/g/a", "$share/h/a", "$share/g/+", "$share/g/b"] {
        subscribe(&mut router, text, 1);
    }
    let receivers = route(&router, "a");
    assert_eq!(receivers.len(), 3, "g and h on `a`, g on `+`");
    let mut shares: Vec<&str> = receivers.iter().filter_map(|r| r.share.as_deref()).collect();
    shares.sort_unstable();
    assert_eq!(shares, ["$share/g/+", "$share/g/a", "$share/h/a"]);
    assert!(receivers.iter().all(|r| r.session == SessionId(1)));
}

#[test]
fn a_shared_delivery_stands_beside_the_sessions_own_with_its_own_options() {
    let mut router = TestRouter::new();
    for (text, qos, id) in
        [("a", QoS::AtMostOnce, 1), ("$share/g/a", QoS::ExactlyOnce, 2), ("+", QoS::AtLeastOnce, 3)]
    {
        let sub = Subscription { identifier: Some(id), ..at(qos) };
        router.subscribe(&filter(text), SessionId(1), 0, sub);
    }
    let mut receivers = route(&router, "a");
    receivers.sort_by_key(|r| r.share.is_some());
    assert_eq!(receivers.len(), 2);
    assert_eq!(receivers[0].qos, QoS::AtLeastOnce);
    assert_eq!(receivers[0].identifiers.len(), 2);
    assert_eq!(receivers[1].qos, QoS::ExactlyOnce);
    assert_eq!(receivers[1].identifiers.as_slice(), [2]);
}

#[test]
fn the_publisher_may_be_the_one_whose_turn_it_is() {
    let router = group(1..=1);
    let mut routes = Routes::new();
    router.route("a/b", Some(SessionId(1)), &mut routes, |_| true);
    assert_eq!(routes.receivers.len(), 1);
}

#[test]
fn mqtt_4_8_2_another_member_is_found_for_what_one_cannot_get_any_more() {
    let router = group(1..=4);
    let choose = |accepts: &dyn Fn(u64) -> bool, online: &dyn Fn(u64) -> bool| {
        router.choose_member("$share/g/a/+", |handle| match *handle as u64 {
            full if !accepts(full) => Availability::Full,
            session => online(session).into(),
        })
    };
    let mut shares = BTreeMap::<u64, usize>::new();
    for _ in 0..300 {
        let receiver = choose(&|session| session != 2, &|_| true).unwrap();
        assert_eq!(receiver.share.as_deref(), Some("$share/g/a/+"));
        *shares.entry(receiver.session.0).or_default() += 1;
    }
    assert_eq!(shares.keys().copied().collect::<Vec<_>>(), [1, 3, 4], "each has a turn");
    let online = choose(&|session| session != 2, &|session| session <= 2).unwrap();
    assert_eq!(online.session, SessionId(1), "of those that may have it");
    let offline = choose(&|session| session == 3, &|session| session == 2).unwrap();
    assert_eq!(offline.session, SessionId(3), "it waits for one that is away");
    assert!(choose(&|_| false, &|_| true).is_none());
    for none in ["$share/h/a/+", "$share/g/b", "a/+", "$share/g"] {
        assert!(router.choose_member(none, |_| true).is_none(), "{none}");
    }
}

#[test]
fn a_member_that_has_ended_is_never_chosen_and_one_without_room_last() {
    let router = group(1..=5);
    let chosen = |availability: &dyn Fn(u64) -> Availability| {
        let mut routes = Routes::new();
        router.route("a/b", None, &mut routes, |handle| availability(*handle as u64));
        routes.receivers.first().map(|receiver| receiver.session.0)
    };
    for _ in 0..10 {
        let all_but = |session, others: Availability| {
            move |other| if other == session { Availability::Full } else { others }
        };
        assert_eq!(chosen(&all_but(2, Availability::Ended)), Some(2));
        assert_ne!(chosen(&all_but(2, Availability::Away)), Some(2));
        assert_eq!(chosen(&|_| Availability::Ended), None);
    }
}

#[test]
fn members_that_are_passed_over_are_charged_for() {
    let mut router = TestRouter::new();
    for session in 1..=800 {
        subscribe(&mut router, "$share/g/t", session);
    }
    let mut routes = Routes::new();
    router.route("t", None, &mut routes, |_| false);
    assert!(routes.visited() > 100);
    router.route("t", None, &mut routes, |_| true);
    assert!(routes.visited() < 5);
}
