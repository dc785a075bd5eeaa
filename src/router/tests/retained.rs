//! The index of retained topics, compared with a map and the naive matcher.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::{topic, topic_filter};
use super::*;
use crate::protocol::matches;
use crate::router::Retained;

fn matching(retained: &Retained<usize>, filter: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    retained.matching(filter, &mut |topic, value| found.push((topic.to_owned(), *value)));
    found.sort();
    found
}

fn topics(retained: &Retained<usize>, filter: &str) -> Vec<String> {
    matching(retained, filter).into_iter().map(|(topic, _)| topic).collect()
}

fn filled(topics: &[&str]) -> Retained<usize> {
    let mut retained = Retained::new();
    for (value, topic) in topics.iter().enumerate() {
        assert_eq!(retained.insert(topic, value), None);
    }
    retained
}

#[test]
fn mqtt_3_3_1_5_a_new_retained_message_replaces_the_one_before() {
    let mut retained = filled(&["a/b"]);
    assert_eq!(retained.insert("a/b", 7), Some(0));
    assert_eq!((retained.len(), retained.get("a/b")), (1, Some(&7)));
    assert_eq!(retained.remove("a"), None);
    assert_eq!(retained.remove("a/b"), Some(7));
    assert_eq!(retained.remove("a/b"), None);
    assert!(retained.is_empty());
}

#[test]
fn mqtt_4_7_wildcards_find_what_they_match() {
    let retained = filled(&["a", "a/b", "a/b/c", "a/", "/a", "b", "$SYS/a", "$SYS"]);
    assert_eq!(topics(&retained, "a/#"), ["a", "a/", "a/b", "a/b/c"]);
    assert_eq!(topics(&retained, "a/+"), ["a/", "a/b"]);
    assert_eq!(topics(&retained, "+/a"), ["/a"]);
    assert_eq!(topics(&retained, "#").len(), 6);
    assert_eq!(topics(&retained, "$SYS/#"), ["$SYS", "$SYS/a"]);
    assert_eq!(topics(&retained, "a/b/c"), ["a/b/c"]);
    assert!(topics(&retained, "a/b/c/d").is_empty());
}

#[test]
fn the_deepest_topic_costs_no_stack() {
    let deepest = "/".repeat(65_535);
    let mut retained = filled(&[&deepest]);
    assert_eq!(topics(&retained, "#"), [deepest.as_str()]);
    assert_eq!(topics(&retained, &format!("{}#", "+/".repeat(32_767))), [deepest.as_str()]);
    assert_eq!(retained.remove(&deepest), Some(0));
}

proptest! {
    #[test]
    fn finds_as_the_naive_matcher_does(
        steps in prop::collection::vec((topic(), any::<bool>()), 0..120),
        filters in prop::collection::vec(topic_filter(), 1..20),
    ) {
        let (mut retained, mut model) = (Retained::new(), BTreeMap::new());
        for (value, (topic, insert)) in steps.into_iter().enumerate() {
            if insert {
                prop_assert_eq!(retained.insert(&topic, value), model.insert(topic, value));
            } else {
                prop_assert_eq!(retained.remove(&topic), model.remove(&topic));
            }
        }
        prop_assert_eq!(retained.len(), model.len());
        let (mut all, mut from) = (Vec::new(), Some(0));
        while let Some(first) = from {
            let (mut some, next) = retained.scan(first, 3, |_| true);
            all.append(&mut some);
            from = next;
        }
        all.sort();
        prop_assert!(all.iter().eq(model.keys()));
        for filter in filters {
            let expected: Vec<(String, usize)> =
                model.clone().into_iter().filter(|(topic, _)| naive_match(&filter, topic)).collect();
            prop_assert_eq!(matching(&retained, &filter), expected);
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Insert(String),
    Remove(String),
    Advance(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        topic().prop_map(Act::Insert),
        topic().prop_map(Act::Remove),
        (1usize..4).prop_map(Act::Advance),
    ]
}

proptest! {
    #[test]
    fn a_walk_finds_what_is_there_all_the_time(
        before in prop::collection::vec(topic(), 0..40),
        filter in topic_filter(),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut retained = Retained::new();
        for topic in &before {
            retained.insert(topic, 0);
        }
        let mut stays = topics(&retained, &filter);
        let mut was_there = stays.clone();
        let (mut walk, mut found) = (retained.walk(&filter), Vec::new());
        for act in acts.into_iter().chain([Act::Advance(usize::MAX)]) {
            match act {
                Act::Insert(topic) => {
                    retained.insert(&topic, 1);
                    was_there.push(topic);
                }
                Act::Remove(topic) => {
                    retained.remove(&topic);
                    stays.retain(|other| *other != topic);
                }
                Act::Advance(nodes) => {
                    let seen = retained.advance(&mut walk, nodes, &mut |topic, _| {
                        found.push(topic.to_owned());
                    });
                    prop_assert!(seen <= nodes);
                }
            }
        }
        prop_assert!(walk.is_done());
        for topic in &stays {
            prop_assert!(found.contains(topic), "{} is not found", topic);
        }
        for topic in &found {
            prop_assert!(was_there.contains(topic) && matches(&filter, topic));
        }
        drop(walk);
        // Slots that the search has kept are reused.
        let kept = retained.unlinked.len();
        for _ in 0..=kept {
            retained.insert("x/y/z/new", 2);
            retained.remove("x/y/z/new");
        }
        prop_assert_eq!(retained.unlinked.len(), 0);
    }
}

#[test]
fn walks_that_follow_upon_each_other_keep_no_nodes_for_ever() {
    let mut retained = Retained::new();
    let mut walk = retained.walk("#");
    for n in 0..100_000 {
        retained.insert(&format!("a/{n}"), n);
        retained.remove(&format!("a/{n}"));
        if n % 1000 == 0 {
            let next = retained.walk("#");
            walk = next;
        }
        assert!(retained.unlinked.len() < 5000);
    }
    drop(walk);
}
