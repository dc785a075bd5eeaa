use proptest::prelude::*;

use super::super::{Granted, MosquittoFile, Origin, Problem, Rules, Subject};
use super::{client, topics};
use crate::auth::acl::Access;
use crate::protocol::QoS;

fn access(text: &str, username: Option<&str>, client_id: &str) -> Access {
    let file = MosquittoFile::parse(text).unwrap();
    Rules::Mosquitto(file).access(Subject::Client(&client(username, client_id)), None)
}

fn writes(access: &Access, topic: &str) -> bool {
    access.publish(topic, QoS::AtMostOnce, false).is_allowed()
}

fn reads(access: &Access, topic: &str) -> bool {
    access.deliver(topic).is_allowed()
}

const FILE: &str = "
# For anonymous clients.
topic read news/#

user ann
topic write cmd/+
topic log/#
topic deny log/secret
user bob smith
topic readwrite a topic with spaces

pattern readwrite home/%u/#
pattern write devices/%c/state
pattern deny home/ann/closed
";

#[test]
fn lines_before_the_first_user_are_for_clients_without_a_name() {
    let nobody = access(FILE, None, "d1");
    assert!(reads(&nobody, "news/today") && !writes(&nobody, "news/today"));
    assert!(!reads(&access(FILE, Some("ann"), "d1"), "news/today"));
}

#[test]
fn a_user_line_that_allows_beats_a_pattern_that_denies_and_its_own_denials_come_first() {
    let ann = access(FILE, Some("ann"), "d1");
    assert!(writes(&ann, "cmd/x") && !reads(&ann, "cmd/x"));
    assert!(writes(&ann, "log/x") && !writes(&ann, "log/secret"));
    assert!(writes(&ann, "home/ann/x") && !writes(&ann, "home/ann/closed"));
    let own = format!("user ann\ntopic home/ann/closed\n{FILE}");
    assert!(writes(&access(&own, Some("ann"), "d1"), "home/ann/closed"));
    assert!(writes(&access(FILE, Some("bob smith"), "d"), "a topic with spaces"));
}

#[test]
fn patterns_are_for_everybody_who_has_the_names() {
    let other = access(FILE, Some("cy"), "d7");
    assert!(writes(&other, "home/cy/x") && !writes(&other, "home/ann/x"));
    assert!(writes(&other, "devices/d7/state") && !writes(&other, "devices/d8/state"));
    let nobody = access(FILE, None, "d7");
    assert!(!writes(&nobody, "home//x") && writes(&nobody, "devices/d7/state"));
}

#[test]
fn wildcards_do_not_match_dollar_topics() {
    let all = access("topic #\ntopic +/x", None, "d");
    assert!(writes(&all, "a/b") && !reads(&all, "$SYS/x"));
    assert!(reads(&access("topic read $SYS/#", None, "d"), "$SYS/x"));
}

#[test]
fn a_name_with_a_wildcard_may_do_only_what_its_users_lines_say() {
    let file = "user a+\ntopic own\npattern home/%u";
    let access = access(file, Some("a+"), "d");
    assert!(writes(&access, "own") && !writes(&access, "home/a+"));
    assert_eq!(access.publish("x", QoS::AtMostOnce, false).origin, Origin::UnsafeName);
}

#[test]
fn without_patterns_a_name_with_a_wildcard_is_a_name_like_others() {
    let access = access("user a+\ntopic own", Some("a+"), "#");
    assert!(writes(&access, "own"));
    assert_eq!(access.publish("x", QoS::AtMostOnce, false).origin, Origin::NoRule);
}

#[test]
fn a_pattern_that_begins_with_a_name_matches_no_dollar_topics() {
    let access = access("pattern %c/#", None, "$SYS");
    assert!(!writes(&access, "$SYS/x") && !reads(&access, "$SYS/x"));
}

#[test]
fn in_topic_lines_placeholders_are_text_and_in_patterns_they_are_whole_levels() {
    let ann = |file: &str| access(file, Some("ann"), "d");
    assert!(!writes(&ann("user ann\ntopic home/%u"), "home/ann"));
    assert!(writes(&ann("user ann\ntopic home/%u"), "home/%u"));
    assert!(!writes(&ann("pattern home/x%u"), "home/xann"));
    assert!(writes(&ann("pattern %u/%c/#"), "ann/d") && !writes(&ann("pattern %u/#"), "an/d"));
}

#[test]
fn access_is_asked_by_direction_and_deny_is_both() {
    let file = "topic read a\ntopic write a/w\ntopic b\ntopic deny b/no\ntopic read b/no";
    let access = access(file, None, "d");
    for (topic, may_write, may_read) in [
        ("a", false, true),
        ("a/w", true, false),
        ("b", true, true),
        ("b/no", false, false),
        ("c", false, false),
    ] {
        assert_eq!(
            (writes(&access, topic), reads(&access, topic)),
            (may_write, may_read),
            "{topic}"
        );
    }
}

#[test]
fn a_file_without_lines_denies_everything() {
    let nobody = access("# nothing\n", None, "d");
    assert!(!writes(&nobody, "a") && !nobody.is_unlimited());
}

#[test]
fn a_user_who_is_named_twice_has_the_lines_of_both() {
    let file = "user ann\ntopic a\nuser bob\ntopic b\nuser ann\ntopic c\ntopic deny a";
    let ann = access(file, Some("ann"), "d");
    assert!(!writes(&ann, "a") && !writes(&ann, "b") && writes(&ann, "c"));
}

#[test]
fn a_decision_names_its_line() {
    let ann = access(FILE, Some("ann"), "d1");
    assert_eq!(ann.publish("cmd/x", QoS::AtMostOnce, false).origin, Origin::Line(6));
    assert_eq!(ann.subscribe("log/#"), Granted::UpTo(QoS::ExactlyOnce, Origin::Line(7)));
    assert_eq!(ann.subscribe("log/secret"), Granted::Nothing(Origin::Line(8)));
}

#[test]
fn a_line_without_a_meaning_is_an_error_with_its_number() {
    let problem = |text: &str| {
        let error = MosquittoFile::parse(text).unwrap_err();
        (error.line, error.problem)
    };
    assert_eq!(problem("\ntopics a"), (2, Problem::Keyword("topics".into())));
    assert_eq!(problem("user "), (1, Problem::NoUser));
    assert_eq!(problem("topic read "), (1, Problem::NoTopic("topic")));
    assert_eq!(problem("topic raed a"), (1, Problem::Access("raed".into())));
    assert!(matches!(problem("pattern a/#/b"), (1, Problem::Filter(_))));
}

fn any_line() -> impl Strategy<Value = String> {
    let keyword = proptest::sample::select(vec!["topic", "pattern"]);
    let access = proptest::sample::select(vec!["", "read ", "write ", "deny "]);
    let level = proptest::sample::select(vec!["a", "b", "+", "%u", "%c", "$s"]);
    let filter = (proptest::collection::vec(level, 1..3), any::<bool>());
    (keyword, access, filter).prop_map(|(keyword, access, (levels, rest))| {
        format!("{keyword} {access}{}{}", levels.join("/"), if rest { "/#" } else { "" })
    })
}

proptest! {
    /// A subscription of a single topic is granted exactly if the topic can be delivered.
    #[test]
    fn suback_tells_the_truth(
        lines in proptest::collection::vec(any_line(), 0..6),
        user in proptest::option::of(Just("a")),
        client_id in proptest::sample::select(vec!["b", "$s", "a/b", "+"]),
    ) {
        let user_line = user.map(|user| format!("user {user}\n")).unwrap_or_default();
        let access = access(&format!("{user_line}{}", lines.join("\n")), user, client_id);
        for topic in topics(&["a", "b", "$s"]) {
            let granted = matches!(access.subscribe(&topic), Granted::UpTo(..));
            prop_assert_eq!(granted, reads(&access, &topic), "{}", &topic);
        }
    }
}

#[test]
fn a_name_that_begins_with_a_dollar_opens_no_dollar_topics_to_a_subscription_either() {
    let other = access("pattern readwrite %c/#\npattern read a/%c", None, "$SYS");
    assert!(!reads(&other, "$SYS/x") && reads(&other, "a/$SYS"));
    assert!(matches!(other.subscribe("$SYS/#"), Granted::Nothing(_)));
    assert!(matches!(other.subscribe("a/$SYS"), Granted::UpTo(..)));
}
