//! Measures a route in nanoseconds and a subscription in bytes.
//!
//! `cargo bench --bench router`. Prints figures and checks nothing: compare them before and
//! after a change on the same machine.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrymq::message::SessionId;
use ferrymq::protocol::TopicFilter;
use ferrymq::router::{Retained, Router, Routes, Subscription};

type Handles = Router<Arc<u64>>;

fn main() {
    fan_out();
    distinct_topics();
    wildcards();
    shared();
    // Kept to the end: memory that the allocator reuses would not be counted.
    let _topics = retained();
    million();
}

fn subscribe(router: &mut Handles, text: &str, session: u64, handle: &Arc<u64>) {
    let filter = TopicFilter::new(text).unwrap();
    router.subscribe(&filter, SessionId(session), Arc::clone(handle), Subscription::default());
}

/// Nanoseconds per route: the best of five rounds over all topics in turn.
fn measure(name: &str, router: &Handles, topics: &[String], rounds: u32) {
    let mut out = Routes::new();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for topic in topics.iter().cycle().take(rounds as usize) {
            router.route(black_box(topic), None, &mut out, |_| true);
            black_box(&out.receivers);
        }
        best = best.min(start.elapsed());
    }
    let each = best.as_secs_f64() * 1e9 / f64::from(rounds);
    println!("{name:<48} {:>6} receivers {each:>12.1} ns", out.receivers.len());
}

fn fan_out() {
    let handle = Arc::new(0);
    let topic = ["plant/line4/robot7/state".to_owned()];
    for count in [1, 10, 1_000, 10_000u32] {
        let mut router = Handles::new();
        (1..=count).for_each(|session| subscribe(&mut router, &topic[0], session.into(), &handle));
        measure("one topic", &router, &topic, 20_000_000 / (count + 50));
    }
    let mut router = Handles::new();
    for session in 1..=10_000 {
        subscribe(&mut router, &topic[0], session, &handle);
        subscribe(&mut router, "plant/+/+/state", session + 5_000, &handle);
    }
    measure("two filters, half of the sessions in both", &router, &topic, 500);
}

fn distinct_topics() {
    let handle = Arc::new(0);
    let topics: Vec<String> = (0..1_000).map(|n| format!("fleet/truck{n}/engine/rpm")).collect();
    let mut router = Handles::new();
    for (session, topic) in (1..).zip(&topics) {
        subscribe(&mut router, topic, session, &handle);
    }
    measure("1,000 topics with one subscriber each", &router, &topics, 1_000_000);
    let unknown = ["nobody/listens/to/this".to_owned()];
    measure("no subscriber", &router, &unknown, 1_000_000);
}

fn wildcards() {
    let handle = Arc::new(0);
    let topic = ["plant/line4/robot7/state".to_owned()];
    for filters in
        [&["plant/+/+/state"][..], &["#"], &["plant/#", "+/line4/#", "plant/line4/+/state"]]
    {
        let mut router = Handles::new();
        for filter in filters {
            subscribe(&mut router, filter, 1, &handle);
        }
        measure(&filters.join(" "), &router, &topic, 1_000_000);
    }
    let mut router = Handles::new();
    for bits in 0..4096u32 {
        let levels: Vec<&str> =
            (0..12).map(|n| if bits >> n & 1 == 0 { "a" } else { "+" }).collect();
        subscribe(&mut router, &levels.join("/"), u64::from(bits) + 1, &handle);
    }
    measure("every mix of `a` and `+` over 12 levels", &router, &[["a"; 12].join("/")], 100);
}

fn shared() {
    let handle = Arc::new(0);
    let topic = ["jobs/render/frames".to_owned()];
    let mut router = Handles::new();
    (1..=100).for_each(|session| subscribe(&mut router, "$share/pool/jobs/#", session, &handle));
    measure("a shared group of 100", &router, &topic, 1_000_000);
}

fn million() {
    let handle = Arc::new(0);
    let before = resident();
    let mut router = Handles::new();
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    for session in 1..=100_000 {
        for n in 0..10 {
            let filter = TopicFilter::new(&format!("fleet/truck{session}/sensor/s{n}")).unwrap();
            let one = Instant::now();
            router.subscribe(
                &filter,
                SessionId(session),
                Arc::clone(&handle),
                Subscription::default(),
            );
            slowest = slowest.max(one.elapsed());
        }
    }
    let (took, grown) = (start.elapsed(), resident().saturating_sub(before));
    println!(
        "\n1,000,000 subscriptions: {took:.2?}, slowest {slowest:.2?}, {} bytes each",
        grown / 1_000_000
    );
    let topics: Vec<String> = (0..200_000)
        .map(|n| format!("fleet/truck{}/sensor/s{}", n * 7_919 % 100_000 + 1, n % 10))
        .collect();
    measure("1,000,000 subscriptions, topics at random", &router, &topics, 1_000_000);
    measure("1,000,000 subscriptions, 100 busy topics", &router, &topics[..100], 1_000_000);
    let start = Instant::now();
    for session in 1..=100_000 {
        for n in 0..10 {
            let filter = TopicFilter::new(&format!("fleet/truck{session}/sensor/s{n}")).unwrap();
            assert!(router.unsubscribe(&filter, SessionId(session)));
        }
    }
    println!("unsubscribed in {:.2?}", start.elapsed());
}

fn retained() -> Retained<u32> {
    let before = resident();
    let mut retained = Retained::new();
    for n in 0..1_000_000u32 {
        retained.insert(&format!("fleet/truck{}/sensor/s{}", n / 10, n % 10), n);
    }
    println!(
        "1,000,000 retained topics: {} bytes each",
        resident().saturating_sub(before) / 1_000_000
    );
    for filter in ["fleet/truck77/sensor/s3", "fleet/truck77/sensor/+", "fleet/+/sensor/s3", "#"] {
        let (start, mut found) = (Instant::now(), 0);
        let mut walk = retained.walk(filter);
        retained.advance(&mut walk, usize::MAX, &mut |_, _| found += 1);
        println!("  {filter:<46} {found:>6} topics    {:>12.1?}", start.elapsed());
    }
    retained
}

/// Resident bytes; 0 where the system does not report them.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}
