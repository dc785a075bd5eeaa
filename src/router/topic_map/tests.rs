//! Examples of Mosquitto's meaning of prefixes, and random rules against a naive model.

use proptest::prelude::*;

use super::*;

fn rule(filter: &str, local: &str, remote: &str) -> BridgeRule {
    BridgeRule {
        filter: filter.to_owned(),
        local_prefix: local.to_owned(),
        remote_prefix: remote.to_owned(),
        ..BridgeRule::default()
    }
}

fn forwarded(rules: &[BridgeRule], topic: &str) -> Result<String, MapError> {
    let map = TopicMap::forward(rules).unwrap();
    map.map(topic).map(|mapped| mapped.topic().into_owned())
}

fn received(rules: &[BridgeRule], topic: &str) -> Result<String, MapError> {
    let map = TopicMap::subscribe(rules).unwrap();
    map.map(topic).map(|mapped| mapped.topic().into_owned())
}

/// The table of mosquitto.conf(5), and its two examples.
#[test]
fn prefixes_mean_what_they_mean_in_mosquitto() {
    for (filter, local, remote, here, there) in [
        ("pattern", "L/", "R/", "L/pattern", "R/pattern"),
        ("pattern", "L/", "", "L/pattern", "pattern"),
        ("pattern", "", "R/", "pattern", "R/pattern"),
        ("pattern", "", "", "pattern", "pattern"),
        ("", "local", "remote", "local", "remote"),
        ("#", "local/topic/", "remote/topic/", "local/topic/a/b", "remote/topic/a/b"),
        (
            "clients/total",
            "test/mosquitto/org/",
            "$SYS/broker/",
            "test/mosquitto/org/clients/total",
            "$SYS/broker/clients/total",
        ),
    ] {
        let rules = [rule(filter, local, remote)];
        if !there.starts_with("$SYS") {
            assert_eq!(forwarded(&rules, here).unwrap(), there);
        }
        assert_eq!(received(&rules, there).unwrap(), here);
    }
}

#[test]
fn what_is_subscribed_to_is_the_prefix_of_the_source_and_the_filter() {
    let rules = [rule("a/#", "l/", "r/"), rule("$share/g/b", "l/", "r/")];
    let filters =
        |map: &TopicMap| map.subscriptions().map(|one| one.filter.to_string()).collect::<Vec<_>>();
    assert_eq!(filters(&TopicMap::forward(&rules).unwrap()), ["l/a/#", "$share/g/l/b"]);
    assert_eq!(filters(&TopicMap::subscribe(&rules).unwrap()), ["r/a/#", "$share/g/r/b"]);
    assert!(TopicMap::forward(&[]).unwrap().is_empty());
}

#[test]
fn the_first_rule_that_matches_decides_about_topic_qos_and_retain() {
    let first = BridgeRule { qos: 0, retain: false, ..rule("a/+", "", "first/") };
    let rules = [first, rule("a/#", "", "second/"), rule("$share/g/#", "", "third/")];
    let map = TopicMap::forward(&rules).unwrap();
    for (topic, prefix, qos, retain) in [
        ("a/b", "first/", QoS::AtMostOnce, false),
        ("a/b/c", "second/", QoS::ExactlyOnce, true),
        ("a", "second/", QoS::ExactlyOnce, true),
        ("b", "third/", QoS::ExactlyOnce, true),
    ] {
        assert_eq!(map.map(topic), Ok(Mapped { prefix, rest: topic, qos, retain }));
    }
}

#[test]
fn a_topic_without_the_prefix_keeps_its_levels() {
    // `#` also matches the parent level.
    assert_eq!(forwarded(&[rule("#", "a/", "r/")], "a").unwrap(), "r/a");
    assert_eq!(received(&[rule("#", "", "a/")], "a").unwrap(), "a");
}

#[test]
fn what_is_no_topic_at_the_other_end_is_an_error() {
    let all = [rule("#", "a/", "")];
    assert_eq!(forwarded(&all, "a/"), Err(MapError::Empty));
    assert_eq!(forwarded(&all, "b"), Err(MapError::NoRule));
    assert_eq!(forwarded(&all, "a/$SYS/x"), Err(MapError::Reserved));
    assert_eq!(received(&[rule("#", "$SY", "x/")], "x/S/a"), Err(MapError::Reserved));
    assert_eq!(forwarded(&all, "a/$SYSTEM/x").unwrap(), "$SYSTEM/x");
    let long = "t".repeat(65_535);
    assert_eq!(forwarded(&[rule("#", "", "r")], &long), Err(MapError::TooLong(65_536)));
    let longer = [rule("#", "", "r/")];
    assert_eq!(forwarded(&longer, &long), Err(MapError::TooLong(65_537)));
    assert_eq!(forwarded(&longer, &long[2..]).unwrap().len(), 65_535);
}

#[test]
fn topics_of_the_broker_itself_pass_only_where_the_filter_names_them() {
    assert_eq!(forwarded(&[rule("#", "", "r/")], "$SYS/broker/x"), Err(MapError::NoRule));
    let named = [rule("$SYS/#", "", "r/")];
    assert_eq!(forwarded(&named, "$SYS/broker/x").unwrap(), "r/$SYS/broker/x");
    let without = [rule("broker/#", "$SYS/", "r/")];
    assert_eq!(forwarded(&without, "$SYS/broker/x").unwrap(), "r/broker/x");
}

#[test]
fn without_a_new_prefix_nothing_is_copied() {
    let map = TopicMap::forward(&[rule("a/#", "", ""), rule("#", "x/", "")]).unwrap();
    for (topic, expected) in [("a/b", "a/b"), ("x/b", "b")] {
        let mapped = map.map(topic).unwrap().topic();
        assert!(matches!(mapped, Cow::Borrowed(text) if text == expected), "{mapped}");
    }
}

#[test]
fn a_rule_that_is_none_is_told_with_its_number() {
    let bad = [rule("a", "", ""), rule("#", "x", "")];
    let error = TopicMap::forward(&bad).unwrap_err();
    assert!(error.to_string().starts_with("rule 2: \"x#\" is `#`"), "{error}");
    let bad = [BridgeRule { qos: 3, ..rule("a", "", "") }];
    assert_eq!(TopicMap::subscribe(&bad).unwrap_err(), RuleError::QoS { rule: 1, qos: 3 });
}

/// Topic matching level by level, by recursion.
fn naive_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        ([level, filter @ ..], [found, topic @ ..]) => {
            (*level == "+" || level == found) && naive_match(filter, topic)
        }
        _ => false,
    }
}

fn naive_map(rules: &[BridgeRule], topic: &str) -> Option<(String, u8)> {
    for rule in rules {
        let filter = format!("{}{}", rule.local_prefix, rule.filter);
        let levels: Vec<&str> = filter.split('/').collect();
        let is_hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
        if is_hidden || !naive_match(&levels, &topic.split('/').collect::<Vec<_>>()) {
            continue;
        }
        let rest = match topic.find(&rule.local_prefix) {
            Some(0) => topic.chars().skip(rule.local_prefix.chars().count()).collect(),
            _ => topic.to_owned(),
        };
        return Some((rule.remote_prefix.clone() + &rest, rule.qos));
    }
    None
}

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "é", "$S"])
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..5).prop_map(|levels| levels.join("/"))
}

/// Nothing, or whole levels.
fn prefix() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 0..3)
        .prop_map(|levels| levels.iter().fold(String::new(), |all, one| all + one + "/"))
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 1 => Just("+")];
    let end = prop_oneof![Just(None), Just(Some("#"))];
    (prop::collection::vec(level, 0..3), end).prop_map(|(mut levels, end)| {
        levels.extend(end);
        levels.join("/")
    })
}

fn rules() -> impl Strategy<Value = Vec<BridgeRule>> {
    let rule = (filter(), prefix(), prefix(), 0..=2_u8).prop_map(|(filter, local, remote, qos)| {
        BridgeRule { qos, ..rule(&filter, &local, &remote) }
    });
    // Without those that the configuration refuses.
    let rule = rule.prop_filter("an empty filter", |rule| !rule.local_filter().is_empty());
    prop::collection::vec(rule, 0..4)
}

proptest! {
    #[test]
    fn random_rules_do_what_the_model_does(rules in rules(), topic in topic()) {
        prop_assume!(!topic.is_empty());
        let map = TopicMap::forward(&rules).unwrap();
        let expected = match naive_map(&rules, &topic) {
            None => Err(MapError::NoRule),
            Some((mapped, _)) if mapped.is_empty() => Err(MapError::Empty),
            Some(mapped) => Ok(mapped),
        };
        let found = map.map(&topic).map(|mapped| {
            assert_eq!(mapped.topic().len(), mapped.topic_len());
            (mapped.topic().into_owned(), mapped.qos as u8)
        });
        prop_assert_eq!(found, expected);
    }

    /// There and back with one rule, as with `both` in Mosquitto.
    #[test]
    fn a_topic_below_the_prefix_comes_back_as_it_was(
        filter in filter(), local in prefix(), remote in prefix(), topic in topic(),
    ) {
        let rules = [rule(&filter, &local, &remote)];
        prop_assume!(!rules[0].local_filter().is_empty() && !rules[0].remote_filter().is_empty());
        let topic = local.clone() + &topic;
        if let Ok(there) = forwarded(&rules, &topic)
            && let Ok(back) = received(&rules, &there)
        {
            prop_assert_eq!(back, topic);
        }
    }
}
