//! `kill -9` with a mixed load, beyond `tests/crash.rs`: publishers of both versions and both
//! QoS, some of them offline; durable sessions, a shared subscription and retained messages;
//! subscribers that connect and disconnect from round to round.

use std::thread;
use std::time::Duration;

use crate::common::broker::{Broker, binary};
use crate::common::rng::Rng;
use crate::rounds;
use crate::scenario::Scenario;
use crate::tally::Tally;

const ROUNDS: usize = 6;

#[test]
fn kill_9_of_a_mixed_house() {
    mixed("kill -9, all shapes together", &[]);
}

#[test]
fn kill_9_of_a_mixed_house_with_constant_checkpoints() {
    mixed(
        "kill -9, all shapes together, constant checkpoints",
        &[
            ("FERRYMQ_PERSISTENCE__WAL_CHECKPOINT_PAGES", "60"),
            ("FERRYMQ_PERSISTENCE__WAL_LIMIT", "1MiB"),
            ("FERRYMQ_SESSION__MEMORY_WINDOW", "20"),
        ],
    );
}

fn mixed(what: &str, settings: &[(&str, &str)]) {
    let mut rng = Rng::new();
    let mut broker = Broker::stopped(binary(), settings);
    broker.up();
    let scenario = Scenario::default().publishers(1, 4, 1, 50).publishers(1, 5, 1, 50);
    let scenario = scenario.retaining().publishers(1, 4, 2, 50).publishers(1, 5, 2, 50);
    let scenario = scenario.members(2, 4, false, false).members(1, 5, true, false);
    let mut scenario = scenario.members(2, 5, false, true).members(1, 4, true, true);
    scenario.subscribe(broker.port);
    let mut last = Tally::default();
    for _ in 0..ROUNDS * rounds() {
        for member in &mut scenario.members {
            member.online = rng.between(0, 2) == 0;
        }
        let pause = Duration::from_millis(rng.between(20, 300));
        // One publisher stays offline, with its messages in flight.
        let away = usize::try_from(rng.between(0, scenario.publishers.len() as u64)).unwrap();
        let away = scenario.publishers.remove(away);
        scenario.run_until(&mut broker, |broker| {
            thread::sleep(pause);
            broker.kill();
        });
        scenario.publishers.push(away);
        broker.up();
        last = scenario.drain_and_count(broker.port);
        assert!(last.is_kept(), "{last:?}");
    }
    last.must_be_kept(what, ROUNDS * rounds());
}
