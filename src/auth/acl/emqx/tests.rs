use serde_json::json;

use super::*;
use crate::protocol::TopicFilter;

fn only(rules: &Value) -> Rule {
    let [rule] = <[Rule; 1]>::try_from(from_emqx(rules).unwrap()).unwrap();
    rule
}

fn problem(rule: &Value) -> Problem {
    match from_emqx(&json!([rule])).unwrap_err() {
        EmqxError::Rule { number: 1, problem } => problem,
        other => panic!("{other}"),
    }
}

fn topics(rule: &Rule) -> Vec<&str> {
    rule.topics.iter().map(Pattern::as_str).collect()
}

#[test]
fn a_rule_says_here_what_it_says_there() {
    let rule = only(&json!([{
        "permission": "allow", "action": "publish", "topic": "t/${clientid}/${username}/#",
        "qos": [0, "1"], "retain": false,
    }]));
    assert_eq!((rule.publish, rule.subscribe, rule.effect), (true, false, Effect::Allow));
    assert_eq!((rule.max_qos, rule.retain), (QoS::AtLeastOnce, false));
    assert_eq!(topics(&rule), ["t/%c/%u/#"]);
    assert_eq!(rule.who, Who::default());

    let rule = only(&json!([{"permission": "deny", "action": "all", "topics": ["a", "eq b"]}]));
    assert_eq!((rule.publish, rule.subscribe, rule.effect), (true, true, Effect::Deny));
    assert_eq!(topics(&rule), ["a", "b"]);
}

#[test]
fn qos_and_retain_are_read_in_all_their_forms() {
    let with = |qos: Value, retain: Value| {
        let rule = only(&json!([{
            "permission": "allow", "action": "sub", "topic": "t", "qos": qos, "retain": retain,
        }]));
        (rule.max_qos as u8, rule.retain)
    };
    assert_eq!(with(json!(null), json!(null)), (2, true));
    assert_eq!(with(json!(1), json!("all")), (1, true));
    assert_eq!(with(json!("0,1"), json!(0)), (1, false));
    assert_eq!(with(json!([0]), json!("1")), (0, true));
}

#[test]
fn lists_by_action_allow() {
    let rules = from_emqx(&json!({"pub": ["p/1", "p/2"], "sub": ["s/#"], "all": ["a"]})).unwrap();
    let shown: Vec<_> =
        rules.iter().map(|rule| (rule.publish, rule.subscribe, topics(rule))).collect();
    assert_eq!(
        shown,
        [(true, false, vec!["p/1", "p/2"]), (false, true, vec!["s/#"]), (true, true, vec!["a"])]
    );
    assert_eq!(from_emqx(&json!({})).unwrap(), []);
    assert_eq!(from_emqx(&json!([])).unwrap(), []);
}

#[test]
fn what_would_mean_something_else_here_is_an_error() {
    let rule = |more: Value| {
        let mut rule = json!({"permission": "allow", "action": "all", "topic": "t"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    for (more, expected) in [
        (json!({"permission": "deny", "retain": true}), Problem::PartialDeny),
        (json!({"permission": "deny", "qos": [2]}), Problem::PartialDeny),
        (json!({"topic": "eq t/#"}), Problem::Eq),
        (json!({"topic": "t/${cert_common_name}"}), Problem::Placeholder),
        (json!({"topic": "t/#/x"}), Problem::Topic(TopicFilter::new("t/#/x").unwrap_err())),
        (json!({"topic": "$share/g/t"}), Problem::Topic(TopicError::Share)),
        (json!({"topics": ["t"]}), Problem::Topics),
        (json!({"qos": 3}), Problem::Qos),
        (json!({"qos": []}), Problem::Qos),
        (json!({"retain": "yes"}), Problem::Retain),
        (json!({"permission": "ALLOW"}), Problem::Members),
        (json!({"clientid_re": "^x"}), Problem::Members),
        (json!({"action": "read"}), Problem::Members),
    ] {
        assert_eq!(problem(&rule(more.clone())), expected, "{more}");
    }
    for shape in [json!("all"), json!(null), json!({"publish": ["t"]}), json!({"pub": "t"})] {
        assert_eq!(from_emqx(&shape), Err(EmqxError::Shape), "{shape}");
    }
    assert_eq!(
        from_emqx(&json!({"sub": ["a/#/b"]})).unwrap_err().to_string(),
        format!("the list sub: a topic is invalid: {}", TopicFilter::new("a/#/b").unwrap_err())
    );
}

#[test]
fn more_topics_than_a_connection_may_keep_are_an_error() {
    let many = |count| json!({"pub": vec!["t"; count]});
    assert_eq!(from_emqx(&many(MOST_TOPICS)).unwrap().len(), 1);
    assert_eq!(from_emqx(&many(MOST_TOPICS + 1)), Err(EmqxError::TooMany));
}
