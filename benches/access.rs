//! Measures a decision of the access rules in nanoseconds, for clients to whom few, many or all
//! rules apply.
//!
//! `cargo bench --bench access`. Prints figures and checks nothing: compare them before and
//! after a change on the same machine.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ferrymq::auth::Principal;
use ferrymq::auth::acl::{Access, Effect, Pattern, Rule, Rules, Subject, Who};
use ferrymq::protocol::QoS;

/// The topics of `speed --topics 8`.
const TOPICS: [&str; 8] = [
    "speed/0/0",
    "speed/0/1",
    "speed/0/2",
    "speed/0/3",
    "speed/0/4",
    "speed/0/5",
    "speed/0/6",
    "speed/0/7",
];

fn main() {
    println!("The last of so many rules allows the topic; the others are of other topics.");
    for count in [1, 2, 4, 8, 12, 13, 16, 24, 100, 1000] {
        measure(count, &list(count, |number| rule(&format!("other/{number}/#"), Effect::Deny)));
    }
    println!("The others are of the topic and of other users, but for so many of other topics.");
    for own in [0, 3, 7, 11, 12, 15, 23, 47, 99] {
        let step = 999 / own.max(1);
        let rules = list(1000, |number| {
            if number % step == 0 && number / step <= own {
                return rule(&format!("other/{number}/#"), Effect::Deny);
            }
            let users = vec![format!("user-{number}").into()];
            Rule { who: Who { users, ..Who::default() }, ..rule("speed/#", Effect::Deny) }
        });
        measure(own + 1, &rules);
    }
    println!(
        "The others are of the topic, and allow QoS 0, which leaves the decision to the last."
    );
    for count in [12, 100, 1000] {
        let lower = || Rule { max_qos: QoS::AtMostOnce, ..rule("speed/#", Effect::Allow) };
        measure(count, &list(count, |_| lower()));
    }
}

/// Rules of which the last one allows the topics.
fn list(count: usize, other: impl Fn(usize) -> Rule) -> Vec<Rule> {
    (1..count).map(other).chain([rule("speed/#", Effect::Allow)]).collect()
}

fn rule(topic: &str, effect: Effect) -> Rule {
    Rule {
        who: Who::default(),
        publish: true,
        subscribe: true,
        effect,
        topics: vec![Pattern::new(topic).unwrap()],
        max_qos: QoS::ExactlyOnce,
        retain: true,
    }
}

/// Nanoseconds per decision: the best of five rounds over all topics in turn.
fn measure(apply: usize, rules: &[Rule]) {
    let client = Principal {
        client_id: "d".into(),
        username: None,
        address: ([127, 0, 0, 1], 1).into(),
        listener: "tcp".into(),
        certificate: None,
    };
    let access: Access = Rules::own(rules.to_vec()).access(Subject::Client(&client), None);
    let mut best = Duration::MAX;
    let rounds = 200_000;
    for _ in 0..5 {
        let start = Instant::now();
        for topic in TOPICS.iter().cycle().take(rounds) {
            let decision = access.publish(black_box(topic), QoS::AtLeastOnce, false);
            assert!(black_box(decision).is_allowed());
        }
        best = best.min(start.elapsed());
    }
    #[allow(clippy::cast_precision_loss)]
    let each = best.as_secs_f64() * 1e9 / rounds as f64;
    println!("{:>8} rules, {apply:>6} apply {each:>12.1} ns", rules.len());
}
