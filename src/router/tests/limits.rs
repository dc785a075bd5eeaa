//! The largest topics and filters, and the most expensive sets of them.

use super::*;

#[test]
fn the_deepest_topic_costs_no_stack() {
    let deepest = "/".repeat(65_535);
    let mut router = TestRouter::new();
    subscribe(&mut router, &deepest, 1);
    subscribe(&mut router, &format!("{}#", "+/".repeat(32_767)), 2);
    subscribe(&mut router, "#", 3);
    assert_eq!(sessions(&router, &deepest), [1, 2, 3]);
    for (text, session) in [(deepest.as_str(), 1), (&format!("{}#", "+/".repeat(32_767)), 2)] {
        assert!(unsubscribe(&mut router, text, session));
    }
    assert_eq!(sessions(&router, &deepest), [3]);
}

/// There are 4,096 filters of names and `+` over 12 levels, and all of them match. Each node
/// is visited once.
#[test]
fn overlapping_wildcards_cost_no_more_than_their_nodes() {
    let mut router = TestRouter::new();
    for bits in 0..4096u32 {
        let levels: Vec<&str> =
            (0..12).map(|n| if bits >> n & 1 == 0 { "a" } else { "+" }).collect();
        subscribe(&mut router, &levels.join("/"), u64::from(bits) + 1);
    }
    assert_eq!(route(&router, &["a"; 12].join("/")).len(), 4096);
    assert_eq!(route(&router, &["a"; 13].join("/")).len(), 0);
}

#[test]
fn ten_thousand_receivers_of_two_filters_are_merged_without_comparing_all_to_all() {
    let mut router = TestRouter::new();
    for session in 1..=10_000 {
        subscribe(&mut router, "a/b", session);
        subscribe(&mut router, "a/+", session + 5_000);
        subscribe(&mut router, "$share/g/#", session);
    }
    let receivers = route(&router, "a/b");
    assert_eq!(receivers.len(), 15_001);
    let mut own: Vec<u64> =
        receivers.iter().filter(|r| r.share.is_none()).map(|r| r.session.0).collect();
    own.sort_unstable();
    assert!(own.iter().copied().eq(1..=15_000));
}

#[test]
fn a_buffer_is_used_again_without_allocating() {
    let mut router = TestRouter::new();
    for session in 1..=100 {
        subscribe(&mut router, "a/b", session);
        subscribe(&mut router, "a/+", session);
    }
    let mut routes = Routes::new();
    router.route("a/b", None, &mut routes, |_| true);
    let (address, capacity) = (routes.receivers.as_ptr(), routes.receivers.capacity());
    for _ in 0..10 {
        router.route("a/c", None, &mut routes, |_| true);
        router.route("a/b", None, &mut routes, |_| true);
        assert_eq!(routes.receivers.len(), 100);
    }
    assert_eq!((address, capacity), (routes.receivers.as_ptr(), routes.receivers.capacity()));
}

/// Measured in `benches/router.rs`. This test detects growth of a type.
#[test]
fn a_node_with_one_subscriber_takes_eighty_bytes() {
    assert_eq!(
        size_of::<crate::router::trie::Node<crate::router::table::NodeSubscribers<usize>>>(),
        80
    );
    assert_eq!(size_of::<crate::router::trie::Node<Option<Box<u8>>>>(), 48);
}

/// Random filters of names and `+` that match the topic up to its last level.
fn nearly_matching(filters: u64, levels: usize) -> (TestRouter, String) {
    let mut router = TestRouter::new();
    let mut random = 1u64;
    for filter in 0..filters {
        let mut text = String::new();
        for _ in 1..levels {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(if random >> 63 == 0 { "a/" } else { "+/" });
        }
        subscribe(&mut router, &format!("{text}b"), filter % 3 + 1);
    }
    (router, vec!["a"; levels].join("/"))
}

#[test]
fn a_long_walk_is_made_in_slices_and_ends_as_one_in_one_piece() {
    let (mut router, topic) = nearly_matching(300, 100);
    subscribe(&mut router, &format!("{topic}/#"), 7);
    subscribe(&mut router, "#", 8);
    assert_eq!(sessions(&router, &topic), [7, 8]);
    let (mut routes, mut slices) = (Routes::new(), 1);
    routes.begin();
    while !router.route_some(&topic, None, &mut routes, 1000, |_| true) {
        assert_eq!(routes.visited(), 1000 * slices);
        slices += 1;
    }
    assert!(slices > 20, "{slices}");
    let mut found: Vec<u64> = routes.receivers.iter().map(|r| r.session.0).collect();
    found.sort_unstable();
    assert_eq!(found, [7, 8]);
}

/// To measure: `cargo test --release -- --ignored --nocapture nearly`.
#[test]
#[ignore = "a measurement"]
fn three_thousand_filters_of_a_hundred_levels_that_nearly_match() {
    let (router, topic) = nearly_matching(3000, 100);
    let mut routes = Routes::new();
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        router.route(&topic, None, &mut routes, |_| true);
        println!("{} nodes in {:?}", routes.visited(), begun.elapsed());
    }
}
