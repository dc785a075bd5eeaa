//! Subscriptions of single sessions, clause by clause.

use super::*;

/// True if a subscriber to `text` gets a message to `topic`.
fn reaches(text: &str, topic: &str) -> bool {
    let mut router = TestRouter::new();
    subscribe(&mut router, text, 1);
    !route(&router, topic).is_empty()
}

#[test]
fn mqtt_4_7_1_2_multi_level_wildcard_includes_the_parent() {
    for topic in ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/"] {
        assert!(reaches("sport/tennis/player1/#", topic), "{topic}");
    }
    assert!(reaches("sport/#", "sport"));
    assert!(reaches("#", "a/b/c"));
    assert!(reaches("+/#", "a"));
    assert!(!reaches("sport/#", "sports"));
    assert!(!reaches("sport/+/#", "sport"));
}

#[test]
fn mqtt_4_7_1_3_single_level_wildcard_matches_one_level_even_if_empty() {
    assert!(reaches("sport/tennis/+", "sport/tennis/player1"));
    assert!(!reaches("sport/tennis/+", "sport/tennis/player1/ranking"));
    assert!(!reaches("sport/+", "sport"));
    assert!(reaches("sport/+", "sport/"));
    assert!(reaches("+/+", "/finance"));
    assert!(reaches("/+", "/finance"));
    assert!(!reaches("+", "/finance"));
    assert!(reaches("+/tennis/#", "/tennis"));
}

#[test]
fn mqtt_4_7_2_1_wildcards_at_the_start_do_not_match_dollar_topics() {
    assert!(!reaches("#", "$SYS/broker"));
    assert!(!reaches("+/broker", "$SYS/broker"));
    assert!(!reaches("+", "$SYS"));
    assert!(!reaches("$share/g/#", "$SYS/broker"));
    assert!(reaches("$SYS/#", "$SYS/broker"));
    assert!(reaches("$SYS/#", "$SYS"));
    assert!(reaches("$SYS/+", "$SYS/broker"));
    assert!(reaches("+/$SYS", "a/$SYS"), "only the first level is special");
}

#[test]
fn mqtt_4_7_3_4_topics_match_byte_by_byte() {
    assert!(!reaches("ACCOUNTS", "Accounts"));
    assert!(!reaches("e\u{301}", "é"), "no normalization");
    assert!(reaches("é/+/€", "é/a/€"));
    let long = "n".repeat(300);
    assert!(reaches(&long, &long));
    assert!(!reaches(&long, &long[1..]));
}

#[test]
fn mqtt_3_8_4_3_the_same_filter_again_replaces_the_subscription() {
    let mut router = TestRouter::new();
    let session = SessionId(1);
    assert!(router.subscribe(&filter("a/+"), session, 1, at(QoS::AtMostOnce)));
    let again = Subscription { identifier: Some(7), ..at(QoS::ExactlyOnce) };
    assert!(!router.subscribe(&filter("a/+"), session, 2, again));
    assert_eq!(router.len(), 1);
    let receivers = route(&router, "a/b");
    assert_eq!(receivers.len(), 1);
    assert_eq!((receivers[0].handle, receivers[0].qos), (2, QoS::ExactlyOnce));
    assert_eq!(receivers[0].identifiers.as_slice(), [7]);
}

#[test]
fn mqtt_3_3_4_2_overlapping_subscriptions_deliver_once_at_the_highest_qos() {
    let mut router = TestRouter::new();
    let wants = [("a/b", QoS::AtMostOnce), ("a/+", QoS::ExactlyOnce), ("a/#", QoS::AtLeastOnce)];
    for (text, qos) in wants {
        router.subscribe(&filter(text), SessionId(1), 1, at(qos));
    }
    subscribe(&mut router, "#", 2);
    let receivers = route(&router, "a/b");
    assert_eq!(receivers.len(), 2);
    let first = receivers.iter().find(|r| r.session == SessionId(1)).unwrap();
    assert_eq!(first.qos, QoS::ExactlyOnce);
    assert!(first.share.is_none() && !first.retain_as_published);
}

#[test]
fn mqtt_3_3_4_4_a_merged_delivery_carries_every_identifier() {
    let mut router = TestRouter::new();
    for (text, identifier) in [("a/b", Some(1)), ("a/+", None), ("a/#", Some(3)), ("x", Some(9))] {
        let sub = Subscription { identifier, ..Subscription::default() };
        router.subscribe(&filter(text), SessionId(1), 1, sub);
    }
    let mut identifiers = route(&router, "a/b")[0].identifiers.clone();
    identifiers.sort_unstable();
    assert_eq!(identifiers.as_slice(), [1, 3]);
}

#[test]
fn mqtt_3_3_1_13_retain_as_published_holds_if_one_subscription_asks_for_it() {
    let mut router = TestRouter::new();
    subscribe(&mut router, "a", 1);
    assert!(!route(&router, "a")[0].retain_as_published);
    let options = SubscriptionOptions { retain_as_published: true, ..Default::default() };
    router.subscribe(&filter("+"), SessionId(1), 1, Subscription { options, identifier: None });
    assert!(route(&router, "a")[0].retain_as_published);
}

#[test]
fn mqtt_3_8_3_3_no_local_skips_that_subscription_for_its_own_messages() {
    let mut router = TestRouter::new();
    let options =
        SubscriptionOptions { no_local: true, qos: QoS::ExactlyOnce, ..Default::default() };
    router.subscribe(
        &filter("a/#"),
        SessionId(1),
        1,
        Subscription { options, identifier: Some(5) },
    );
    let mut routes = Routes::new();
    router.route("a/b", Some(SessionId(1)), &mut routes, |_| true);
    assert!(routes.receivers.is_empty());
    router.route("a/b", Some(SessionId(2)), &mut routes, |_| true);
    assert_eq!(routes.receivers.len(), 1);

    subscribe(&mut router, "a/b", 1);
    router.route("a/b", Some(SessionId(1)), &mut routes, |_| true);
    assert_eq!(routes.receivers.len(), 1, "the other subscription counts");
    assert_eq!(routes.receivers[0].qos, QoS::AtMostOnce);
    assert!(routes.receivers[0].identifiers.is_empty());
}

#[test]
fn mqtt_3_10_4_1_only_the_very_same_filter_is_unsubscribed() {
    let mut router = TestRouter::new();
    subscribe(&mut router, "a/+", 1);
    subscribe(&mut router, "$share/g/a/+", 1);
    for other in ["a", "a/#", "a/b", "a/+/b", "$share/h/a/+", "$share/g/a/#"] {
        assert!(!unsubscribe(&mut router, other, 1), "{other}");
    }
    assert!(!unsubscribe(&mut router, "a/+", 2));
    assert_eq!(sessions(&router, "a/b"), [1, 1]);
    assert!(unsubscribe(&mut router, "a/+", 1));
    assert!(!unsubscribe(&mut router, "a/+", 1));
    assert!(route(&router, "a/b")[0].share.is_some());
    assert!(unsubscribe(&mut router, "$share/g/a/+", 1));
    assert!(router.is_empty() && route(&router, "a/b").is_empty());
}

#[test]
fn the_generation_changes_with_every_change_and_with_nothing_else() {
    let mut router = TestRouter::new();
    let mut seen = vec![router.generation()];
    subscribe(&mut router, "a", 1);
    seen.push(router.generation());
    subscribe(&mut router, "a", 1);
    seen.push(router.generation());
    unsubscribe(&mut router, "b", 1);
    route(&router, "a");
    assert_eq!(seen.last(), Some(&router.generation()));
    unsubscribe(&mut router, "a", 1);
    seen.push(router.generation());
    seen.dedup();
    assert_eq!(seen.len(), 4);
}
