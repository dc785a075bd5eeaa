use proptest::prelude::*;

use super::super::pattern::Pattern;
use super::super::{Access, Effect, Granted, LogInRules, Origin, Rule, Rules, Subject, Who};
use super::{client, topics};
use crate::auth::Principal;
use crate::protocol::{QoS, matches};

fn rule(effect: Effect, topics: &[&str]) -> Rule {
    Rule {
        who: Who::default(),
        publish: true,
        subscribe: true,
        effect,
        topics: topics.iter().map(|topic| Pattern::new(topic).unwrap()).collect(),
        max_qos: QoS::ExactlyOnce,
        retain: true,
    }
}

fn allow(topics: &[&str]) -> Rule {
    rule(Effect::Allow, topics)
}

fn deny(topics: &[&str]) -> Rule {
    rule(Effect::Deny, topics)
}

fn access(rules: &[Rule], client: &Principal) -> Access {
    Rules::own(rules.to_vec()).access(Subject::Client(client), None)
}

fn may_publish(access: &Access, topic: &str) -> bool {
    access.publish(topic, QoS::AtMostOnce, false).is_allowed()
}

fn is_granted(access: &Access, filter: &str) -> bool {
    matches!(access.subscribe(filter), Granted::UpTo(..))
}

#[test]
fn without_rules_everything_is_allowed_and_with_one_what_none_allows_is_denied() {
    let ann = client(Some("ann"), "d1");
    let none = Rules::None.access(Subject::Client(&ann), None);
    assert!(may_publish(&none, "$SYS/x") && is_granted(&none, "#") && none.is_unlimited());
    let one = access(&[allow(&["a/#"])], &ann);
    assert!(may_publish(&one, "a/b") && !may_publish(&one, "b"));
    assert!(is_granted(&one, "#") && !is_granted(&one, "b/#"));
    assert!(one.deliver("a/x").is_allowed() && !one.deliver("b").is_allowed());
}

#[test]
fn the_first_rule_that_matches_decides() {
    let ann = client(Some("ann"), "d1");
    let access = access(&[allow(&["a/ok"]), deny(&["a/#"]), allow(&["#"])], &ann);
    assert!(may_publish(&access, "a/ok") && !may_publish(&access, "a/no"));
    assert!(is_granted(&access, "a/+"), "a/ok can be received");
    assert!(!is_granted(&access, "a/no"));
}

#[test]
fn deny_covers_dollar_topics_and_allow_does_not() {
    let ann = client(Some("ann"), "d1");
    let open = access(&[allow(&["#"])], &ann);
    assert!(!may_publish(&open, "$SYS/x") && !is_granted(&open, "$SYS/#"));
    let closed = access(&[deny(&["+/x"]), allow(&["$SYS/#"])], &ann);
    assert!(!may_publish(&closed, "$SYS/x") && may_publish(&closed, "$SYS/y"));
}

#[test]
fn a_name_that_is_more_than_a_name_is_denied_where_a_rule_has_its_placeholder() {
    let rules = [deny(&["secret/%u/#"]), allow(&["home/%c/#"]), allow(&["secret/#", "home/#"])];
    let (plain, wild) = (client(Some("ann"), "d1"), client(Some("a/b"), "d/1"));
    let plain = access(&rules, &plain);
    assert!(!may_publish(&plain, "secret/ann/x") && may_publish(&plain, "secret/bob/x"));
    let wild = access(&rules, &wild);
    assert!(!may_publish(&wild, "secret/a/b/x") && !may_publish(&wild, "secret/bob"));
    assert!(!may_publish(&wild, "home/d/1/x"));
}

#[test]
fn a_rule_concerns_a_client_that_is_in_each_of_its_lists() {
    let mut only = allow(&["#"]);
    only.who.users = vec!["ann".into()];
    only.who.networks = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()];
    let rules = [only];
    assert!(may_publish(&access(&rules, &client(Some("ann"), "d")), "a"));
    assert!(!may_publish(&access(&rules, &client(Some("bob"), "d")), "a"));
    assert!(!may_publish(&access(&rules, &client(None, "d")), "a"));
    let mut far = client(Some("ann"), "d");
    far.address = ([192, 0, 2, 1], 1).into();
    assert!(!may_publish(&access(&rules, &far), "a"));
}

#[test]
fn an_allow_rule_limits_qos_and_retain() {
    let ann = client(Some("ann"), "d1");
    let limited = Rule { max_qos: QoS::AtLeastOnce, retain: false, ..allow(&["a/#"]) };
    let access = access(&[limited, Rule { max_qos: QoS::AtMostOnce, ..allow(&["b/#"]) }], &ann);
    assert!(access.publish("a/x", QoS::AtLeastOnce, false).is_allowed());
    assert!(!access.publish("a/x", QoS::ExactlyOnce, false).is_allowed());
    assert!(!access.publish("a/x", QoS::AtMostOnce, true).is_allowed());
    let most = |filter| match access.subscribe(filter) {
        Granted::UpTo(qos, _) => Some(qos),
        Granted::Nothing(_) => None,
    };
    assert_eq!(most("b/#"), Some(QoS::AtMostOnce));
    assert_eq!(most("#"), Some(QoS::AtLeastOnce));
    assert_eq!(most("c"), None);
}

#[test]
fn a_group_is_a_list_of_users_beside_the_others() {
    let group = std::sync::Arc::new(["bob".into()].into_iter().collect());
    let mut staff = allow(&["#"]);
    staff.who = Who { users: vec!["ann".into()], groups: vec![group], ..Who::default() };
    let rules = [staff];
    for (user, expected) in
        [(Some("ann"), true), (Some("bob"), true), (Some("cy"), false), (None, false)]
    {
        assert_eq!(may_publish(&access(&rules, &client(user, "d")), "a"), expected, "{user:?}");
    }
}

#[test]
fn each_condition_is_asked() {
    let mut ann = client(Some("ann"), "d1");
    let subject = |subject: &str| crate::peer::ClientCertificate {
        subject: subject.into(),
        ..crate::peer::ClientCertificate::default()
    };
    ann.certificate = Some(std::sync::Arc::new(subject("CN=ann")));
    let mut rule = allow(&["#"]);
    rule.who = Who {
        client_ids: vec!["d1".into()],
        listeners: vec!["tcp".into()],
        certificates: vec!["CN=ann".into()],
        ..Who::default()
    };
    let rules = [rule];
    assert!(may_publish(&access(&rules, &ann), "a"));
    let other = [
        Principal { client_id: "d2".into(), ..ann.clone() },
        Principal { listener: "ws".into(), ..ann.clone() },
        Principal { certificate: None, ..ann.clone() },
        Principal { certificate: Some(std::sync::Arc::new(subject("CN=bob"))), ..ann.clone() },
    ];
    for other in other {
        assert!(!may_publish(&access(&rules, &other), "a"), "{other:?}");
    }
    rules_of_networks_leave_out_local_clients(&ann);
}

fn rules_of_networks_leave_out_local_clients(ann: &Principal) {
    let mut rule = allow(&["#"]);
    rule.who.networks = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let local = Principal { address: crate::peer::PeerAddr::Local, ..ann.clone() };
    assert!(may_publish(&access(&[rule.clone()], ann), "a"));
    assert!(!may_publish(&access(&[rule], &local), "a"));
}

#[test]
fn rules_that_came_with_the_log_in_are_asked_first_and_deny_what_no_rule_allows() {
    let ann = client(Some("ann"), "d1");
    let log_in = LogInRules::new(vec![deny(&["a/x"]), allow(&["b/%c"])]);
    let with = |rules: &Rules| rules.access(Subject::Client(&ann), Some(&log_in));
    let own = with(&Rules::own(vec![allow(&["a/#"])]));
    assert!(!may_publish(&own, "a/x") && may_publish(&own, "a/y") && may_publish(&own, "b/d1"));
    assert_eq!(own.deliver("a/x").origin, Origin::LogIn(1));
    assert_eq!(own.deliver("a/y").origin, Origin::Rule(1));
    assert_eq!(own.deliver("c").origin, Origin::NoRule);
    let alone = with(&Rules::None);
    assert!(!alone.is_unlimited() && may_publish(&alone, "b/d1") && !may_publish(&alone, "a/y"));
}

#[test]
fn what_a_subscription_costs_is_counted_in_pairs() {
    let ann = client(Some("ann"), "d1");
    let numbered = |effect, rest: &str| {
        let topics: Vec<_> = (0..100).map(|n| format!("a/{n}{rest}")).collect();
        rule(effect, &topics.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let asked = |denied: &str| {
        let rules = [numbered(Effect::Deny, denied), numbered(Effect::Allow, "/b")];
        access(&rules, &ann).subscribe_counting("a/+/b")
    };
    // None of them denies anything of the filter.
    let (granted, compared) = asked("");
    assert!(matches!(granted, Granted::UpTo(..)) && compared < 300, "{granted:?}, {compared}");
    // What the second half allows, the first denies: each is compared with all before it.
    let (granted, compared) = asked("/#");
    assert!(matches!(granted, Granted::Nothing(_)) && compared > 5_000, "{granted:?}, {compared}");
}

#[test]
fn no_rule_concerns_a_superuser() {
    let ann = client(Some("ann"), "d1");
    let rules = Rules::own(vec![deny(&["#", "$internal/#"])]);
    let access = rules.access(Subject::Client(&ann), Some(&LogInRules::Superuser));
    assert!(access.is_unlimited() && access.is_empty());
    // What `#` and `$SYS/#` would leave out.
    assert!(may_publish(&access, "$internal/a") && access.deliver("$internal/a").is_allowed());
    let granted = access.subscribe("$internal/#");
    assert!(matches!(granted, Granted::UpTo(QoS::ExactlyOnce, _)), "{granted:?}");
}

#[test]
fn what_is_not_known_of_a_client_is_decided_against_it() {
    let (id, owner) = ("d1".into(), Some("ann"));
    let found = |rules: &[Rule], owner| {
        let subject = Subject::Recovered { client_id: &id, owner };
        Rules::own(rules.to_vec()).access(subject, None)
    };
    let mut of_ann = allow(&["a"]);
    of_ann.who.users = vec!["ann".into()];
    assert!(!may_publish(&found(&[of_ann.clone()], None), "a"));
    assert!(may_publish(&found(&[of_ann.clone()], owner), "a"));
    assert!(!may_publish(&found(&[of_ann.clone()], Some("bob")), "a"));
    let denied = Rule { effect: Effect::Deny, ..of_ann };
    assert!(!may_publish(&found(&[denied.clone(), allow(&["#"])], None), "a"));
    assert!(may_publish(&found(&[denied, allow(&["#"])], Some("bob")), "a"));
    let mut near = allow(&["a"]);
    near.who.networks = vec!["10.0.0.0/8".parse().unwrap()];
    assert!(!may_publish(&found(&[near], owner), "a"));
    let named = [allow(&["own/%u"]), allow(&["id/%c"]), deny(&["no/%u"]), allow(&["no/#"])];
    let unknown = found(&named, None);
    assert!(!may_publish(&unknown, "own/ann") && may_publish(&unknown, "id/d1"));
    assert!(!may_publish(&unknown, "no/x"));
    assert!(may_publish(&found(&named, owner), "no/x"));
}

#[test]
fn two_clients_with_the_same_names_and_rules_may_do_the_same() {
    let rules = Rules::own(vec![allow(&["a/%u"]), allow(&["b"])]);
    let of = |rules: &Rules, user| rules.access(Subject::Client(&client(Some(user), "d1")), None);
    assert!(of(&rules, "ann").says_the_same(&of(&rules, "ann")));
    assert!(!of(&rules, "ann").says_the_same(&of(&rules, "bob")));
    assert!(!of(&rules, "ann").says_the_same(&of(&Rules::None, "ann")));
}

#[test]
fn suback_names_the_rule_and_what_one_earlier_denial_contains_is_not_granted() {
    let ann = client(Some("ann"), "d1");
    let rules = [deny(&["a/secret/#"]), allow(&["a/#"])];
    let access = access(&rules, &ann);
    assert_eq!(access.subscribe("a/secret/x"), Granted::Nothing(Origin::Rule(1)));
    assert_eq!(access.subscribe("b"), Granted::Nothing(Origin::NoRule));
    assert_eq!(access.subscribe("a/+"), Granted::UpTo(QoS::ExactlyOnce, Origin::Rule(2)));
}

/// A rule of one of these users, or of all.
fn any_rule_of(users: Vec<Option<&'static str>>) -> impl Strategy<Value = Rule> {
    let level = prop_oneof![Just("a"), Just("b"), Just("+"), Just("$s"), Just("%u")];
    let topic = (proptest::collection::vec(level, 0..3), any::<bool>()).prop_filter_map(
        "an empty filter",
        |(mut levels, rest)| {
            if rest {
                levels.push("#");
            }
            (!levels.is_empty()).then(|| levels.join("/"))
        },
    );
    let topics = proptest::collection::vec(topic, 1..3);
    (topics, any::<bool>(), 0..3_u8, proptest::sample::select(users)).prop_map(
        |(topics, allows, actions, user)| Rule {
            who: Who { users: user.map(Into::into).into_iter().collect(), ..Who::default() },
            publish: actions != 1,
            subscribe: actions != 0,
            effect: if allows { Effect::Allow } else { Effect::Deny },
            topics: topics.iter().map(|topic| Pattern::new(topic).unwrap()).collect(),
            max_qos: QoS::ExactlyOnce,
            retain: true,
        },
    )
}

fn any_rule() -> impl Strategy<Value = Rule> {
    any_rule_of(vec![None, Some("ann")])
}

/// Asks the rules one by one, as the documentation says it.
fn naive(rules: &[Rule], client: &Principal, publishes: bool, topic: &str) -> bool {
    for rule in rules {
        if !rule.applies_to(Subject::Client(client))
            || !(if publishes { rule.publish } else { rule.subscribe })
        {
            continue;
        }
        let denies = rule.effect == Effect::Deny;
        for pattern in &rule.topics {
            let filter = pattern.as_str().replace("%u", "ann");
            if client.username.is_none() && pattern.as_str().contains("%u") {
                continue;
            }
            // As if the topic did not begin with `$`.
            let hidden = denies && topic.starts_with('$') && filter.starts_with(['+', '#']);
            let plain = topic.strip_prefix('$').unwrap_or(topic);
            if if hidden { matches(&filter, plain) } else { matches(&filter, topic) } {
                return !denies;
            }
        }
    }
    false
}

fn check_decisions(rules: &[Rule], user: Option<&str>) -> Result<(), TestCaseError> {
    let client = client(user, "d");
    let access = access(rules, &client);
    for topic in topics(&["a", "b", "$s", "ann"]) {
        let published = may_publish(&access, &topic);
        prop_assert_eq!(published, naive(rules, &client, true, &topic), "{}", &topic);
        let delivered = access.deliver(&topic).is_allowed();
        prop_assert_eq!(delivered, naive(rules, &client, false, &topic), "{}", &topic);
    }
    Ok(())
}

proptest! {
    #[test]
    fn rules_decide_as_the_naive_evaluator(
        rules in proptest::collection::vec(any_rule(), 0..5),
        named in any::<bool>(),
    ) {
        check_decisions(&rules, named.then_some("ann"))?;
    }

    /// Few or many of them concern the client.
    #[test]
    fn rules_decide_the_same_among_those_of_other_users(
        few in proptest::collection::vec(
            any_rule_of(vec![None, Some("ann"), Some("bob"), Some("bob"), Some("bob")]),
            10..50,
        ),
        many in proptest::collection::vec(any_rule_of(vec![None, Some("ann"), Some("bob")]), 40),
        named in any::<bool>(),
    ) {
        check_decisions(&few, named.then_some("ann"))?;
        check_decisions(&many, named.then_some("ann"))?;
    }

    /// A refused subscription could not have delivered anything, and one of a single topic is
    /// granted exactly if the topic can be delivered.
    #[test]
    fn suback_tells_the_truth(
        rules in proptest::collection::vec(any_rule(), 0..5),
        filter in proptest::sample::select(vec!["#", "+", "a/#", "+/b", "a/b", "$s/#", "$s", "a"]),
    ) {
        let client = client(Some("ann"), "d");
        let access = access(&rules, &client);
        let topics = topics(&["a", "b", "c", "$s", "ann"]);
        let allowed = topics
            .iter()
            .any(|topic| matches(filter, topic) && access.deliver(topic).is_allowed());
        if allowed {
            prop_assert!(is_granted(&access, filter));
        }
        if !filter.contains(['+', '#']) {
            prop_assert_eq!(is_granted(&access, filter), allowed);
        }
    }
}
