//! Topic names, topic filters and matching: sections 4.7 and 4.8.2.

use std::collections::HashSet;

use super::*;

#[test]
fn mqtt_4_7_0_1_a_topic_name_has_no_wildcards() {
    for good in ["a", "/", "a/", "/a", "a b", "$SYS/x", "é/✓", "a//b"] {
        assert_eq!(TopicName::new(good).unwrap().as_str(), good);
    }
    for (bad, why) in [
        ("", TopicError::Empty),
        ("a\0", TopicError::Nul),
        ("+", TopicError::Wildcard),
        ("a/#", TopicError::Wildcard),
    ] {
        assert_eq!(TopicName::new(bad), Err(why));
    }
}

#[test]
fn mqtt_4_7_3_3_topics_end_at_65_535_bytes() {
    assert!(TopicName::new(&"x".repeat(65_535)).is_ok());
    assert_eq!(TopicName::new(&"x".repeat(65_536)), Err(TopicError::TooLong));
    assert!(TopicFilter::new(&"x".repeat(65_535)).is_ok());
    assert_eq!(TopicFilter::new(&"x".repeat(65_536)), Err(TopicError::TooLong));
}

#[test]
fn mqtt_4_7_1_1_the_multi_level_wildcard_is_the_whole_last_level() {
    for good in ["#", "a/#", "/#", "+/#"] {
        assert!(TopicFilter::new(good).is_ok(), "{good}");
    }
    for bad in ["a#", "#/a", "a/#/b", "a/b#", "##", "+#"] {
        assert_eq!(TopicFilter::new(bad), Err(TopicError::MultiLevelWildcard), "{bad}");
    }
}

#[test]
fn mqtt_4_7_1_2_the_single_level_wildcard_is_a_whole_level() {
    for good in ["+", "+/a", "a/+/b", "+/+", "/+"] {
        assert!(TopicFilter::new(good).is_ok(), "{good}");
    }
    for bad in ["a+", "a/+b", "++"] {
        assert_eq!(TopicFilter::new(bad), Err(TopicError::SingleLevelWildcard), "{bad}");
    }
}

#[test]
fn mqtt_4_8_2_1_a_share_has_a_name_without_wildcards() {
    let filter = TopicFilter::new("$share/group/a/+/#").unwrap();
    assert_eq!((filter.shared(), filter.matched()), (Some("group"), "a/+/#"));
    assert_eq!(filter.as_str(), "$share/group/a/+/#");
    assert_eq!(filter.levels().collect::<Vec<_>>(), ["a", "+", "#"]);
    for bad in ["$share//a", "$share/+/a", "$share/g#/a", "$share/a+b/c"] {
        assert_eq!(TopicFilter::new(bad), Err(TopicError::Share), "{bad}");
    }
}

#[test]
fn mqtt_4_8_2_2_a_share_has_a_filter() {
    for bad in ["$share/", "$share/g", "$share/g/"] {
        assert_eq!(TopicFilter::new(bad), Err(TopicError::Share), "{bad}");
    }
    assert_eq!(TopicFilter::new("$share/g/a#"), Err(TopicError::MultiLevelWildcard));
    assert_eq!(TopicFilter::new("$share/g//").unwrap().matched(), "/");
}

#[test]
fn a_filter_that_is_not_shared_is_matched_whole() {
    for plain in ["a/b", "$share", "$shared/g/a", "x/$share/g/a"] {
        let filter = TopicFilter::new(plain).unwrap();
        assert_eq!((filter.shared(), filter.matched()), (None, plain));
    }
}

#[test]
fn topics_are_equal_by_their_text() {
    let set: HashSet<_> = ["a", "a", "b"].map(|text| TopicFilter::new(text).unwrap()).into();
    assert_eq!(set.len(), 2);
    assert_eq!(TopicName::new("a/b").unwrap().to_string(), "a/b");
}

#[test]
fn wildcards_match_as_in_the_examples_of_section_4_7() {
    for (filter, topic) in [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
        ("sport/#", "sport"),
        ("#", "a/b"),
        ("sport/tennis/+", "sport/tennis/player1"),
        ("sport/+", "sport/"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("a//b", "a//b"),
        ("é/#", "é/a"),
    ] {
        assert!(matches(filter, topic), "{filter} {topic}");
    }
    for (filter, topic) in [
        ("sport/tennis/+", "sport/tennis/player1/ranking"),
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("ACCOUNTS", "Accounts"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("a", "/a"),
    ] {
        assert!(!matches(filter, topic), "{filter} {topic}");
    }
}

#[test]
fn mqtt_4_7_2_1_leading_wildcards_do_not_look_into_dollar_topics() {
    for (filter, topic) in [("#", "$SYS/x"), ("+/x", "$SYS/x"), ("+/#", "$SYS/x"), ("#", "$SYS")] {
        assert!(!matches(filter, topic), "{filter} {topic}");
    }
    for (filter, topic) in
        [("$SYS/#", "$SYS/x"), ("$SYS/#", "$SYS"), ("$SYS/+", "$SYS/x"), ("#", "a/$x")]
    {
        assert!(matches(filter, topic), "{filter} {topic}");
    }
}

#[test]
fn each_slash_begins_a_level_even_if_it_is_empty() {
    for topic in ["a", "/", "a/b", "//a/", "ä/ö/ü", "a/b/c/d"] {
        assert_eq!(level_count(topic), topic.split('/').count(), "{topic}");
    }
}
