//! Promises 1 to 4 under power cuts: the broker is killed at full rate, and started on what a
//! disk may have kept of its files at that moment or an earlier one. Clients continue with
//! their state of the same moment.

use std::thread;
use std::time::Duration;

use crate::common::broker::{Broker, binary, binary_with_failpoints};
use crate::common::journal;
use crate::common::rng::Rng;
use crate::disk::{self, ALL_LEAVES, Disk, Leaves};
use crate::recording::Recording;
use crate::rounds;
use crate::scenario::Scenario;
use crate::shim::Shim;
use crate::tally::Tally;

/// Number of disk states made from one recording.
const STATES: usize = 40;

/// Small enough for a recording to contain checkpoints and a restart of the write-ahead log.
const CHECKPOINTS: [(&str, &str); 2] = [
    ("FERRYMQ_PERSISTENCE__WAL_CHECKPOINT_PAGES", "60"),
    ("FERRYMQ_PERSISTENCE__WAL_LIMIT", "1MiB"),
];

#[test]
fn power_loss_qos_1_v311_offline() {
    kept("power loss, QoS 1, 3.1.1, offline", &[], || {
        Scenario::default().publishers(2, 4, 1, 20).members(1, 4, false, false)
    });
}

#[test]
fn power_loss_qos_1_v5_offline_and_online() {
    kept("power loss, QoS 1, 5.0, offline and online", &CHECKPOINTS, || {
        let scenario = Scenario::default().publishers(2, 5, 1, 20);
        scenario.members(1, 5, false, false).members(1, 5, true, false)
    });
}

#[test]
fn power_loss_qos_2_v5_offline() {
    kept("power loss, QoS 2, 5.0, offline", &CHECKPOINTS, || {
        Scenario::default().publishers(2, 5, 2, 20).members(1, 5, false, false)
    });
}

#[test]
fn power_loss_qos_2_v311_offline_and_online() {
    kept("power loss, QoS 2, 3.1.1, offline and online", &[], || {
        let scenario = Scenario::default().publishers(2, 4, 2, 20);
        scenario.members(1, 4, false, false).members(1, 4, true, false)
    });
}

#[test]
fn power_loss_qos_1_v5_online_alone() {
    kept("power loss, QoS 1, 5.0, online", &[], || {
        Scenario::default().publishers(2, 5, 1, 20).members(1, 5, true, false)
    });
}

#[test]
fn power_loss_both_qos_fan_out_of_three() {
    kept("power loss, QoS 1 and 2, both versions, three sessions", &CHECKPOINTS, || {
        let scenario = Scenario::default().publishers(1, 4, 1, 20).publishers(1, 5, 2, 20);
        scenario.members(1, 4, false, false).members(1, 5, false, false).members(1, 5, true, false)
    });
}

#[test]
fn power_loss_shared_subscription() {
    kept("power loss, QoS 1 and 2, shared subscription", &[], || {
        let scenario = Scenario::default().publishers(1, 4, 1, 20).publishers(1, 5, 2, 20);
        scenario.members(2, 5, false, true).members(1, 5, true, true)
    });
}

#[test]
fn power_loss_retained() {
    kept("power loss, QoS 1 and 2, retained", &CHECKPOINTS, || {
        let scenario = Scenario::default().publishers(2, 4, 1, 20).publishers(1, 5, 2, 20);
        scenario.retaining().members(1, 4, false, false)
    });
}

/// Power cuts while the files are created and nothing is acknowledged yet.
#[test]
fn power_loss_in_the_first_start_leaves_what_can_be_started() {
    let mut rng = Rng::new();
    let mut broker = Broker::stopped(binary(), &[]);
    let shim = Shim::recording(&mut broker);
    broker.up();
    broker.kill();
    let recording = shim.read();
    let mut disk = Disk::default();
    let mut starts = 0;
    for record in &recording.records {
        disk.apply(record);
        let leaves = ALL_LEAVES[usize::try_from(rng.between(0, 5)).unwrap()];
        if rng.between(0, 3) == 0 {
            let mut broker = Broker::stopped(binary(), &[]);
            disk::write(&disk.cut(leaves, &mut rng), broker.directory());
            broker.up();
            starts += 1;
        }
    }
    println!("power loss in the first start: {starts} rounds, all started");
    assert!(starts > 10);
}

/// A test of the test: without fsync it must fail.
#[test]
fn power_loss_is_noticed_if_fsync_is_left_out() {
    red("FERRYMQ_SABOTAGE", "skip-fsync", binary_with_failpoints());
}

#[test]
fn power_loss_is_noticed_if_acknowledgements_leave_early() {
    red("FERRYMQ_SABOTAGE", "acknowledge-early", binary_with_failpoints());
}

#[test]
fn power_loss_is_noticed_with_durability_commit() {
    red("FERRYMQ_PERSISTENCE__DURABILITY", "commit", binary());
}

fn red(key: &str, value: &str, binary: std::path::PathBuf) {
    let mut rng = Rng::new();
    let mut broker = Broker::stopped(binary, &[(key, value)]);
    let scenario = Scenario::default().publishers(2, 4, 1, 20).members(1, 4, false, false);
    let tally = lose_power(&mut broker, scenario, STATES / 2, &mut rng);
    tally.print(&format!("power loss, broken on purpose by {key}={value}"), STATES / 2);
    assert!(tally.lost > 0, "nothing was missed");
}

fn kept(what: &str, settings: &[(&str, &str)], scenario: impl Fn() -> Scenario) {
    let mut rng = Rng::new();
    let mut sum = Tally::default();
    for _ in 0..rounds() {
        let mut broker = Broker::stopped(binary(), settings);
        sum += lose_power(&mut broker, scenario(), STATES, &mut rng);
    }
    sum.must_be_kept(what, STATES * rounds());
}

/// Makes one recording and starts the broker on `states` disks that may result from it.
fn lose_power(broker: &mut Broker, mut scenario: Scenario, states: usize, rng: &mut Rng) -> Tally {
    let shim = Shim::recording(broker);
    broker.up();
    assert!(shim.is_loaded(), "the shim is not loaded: is the binary dynamically linked?");
    scenario.subscribe(broker.port);
    let begin = journal::now();
    let pause = Duration::from_millis(rng.between(60, 200));
    scenario.run_until(broker, |broker| {
        thread::sleep(pause);
        broker.kill();
    });
    let moments = moments(&scenario, begin, states, rng);
    restart_on_each(&shim.read(), &scenario, &moments, rng)
}

/// Moments of power cuts, in order: half of them at the end, the others just after an
/// acknowledgement was read.
fn moments(scenario: &Scenario, begin: u64, states: usize, rng: &mut Rng) -> Vec<u64> {
    let read: Vec<u64> =
        scenario.publishers.iter().flat_map(super::common::publisher::Publisher::moments).collect();
    assert!(!read.is_empty(), "nothing was acknowledged");
    let mut moments: Vec<_> = (0..states / 2)
        .map(|_| read[usize::try_from(rng.between(0, read.len() as u64)).unwrap()])
        .collect();
    moments.resize(states, journal::now());
    moments.sort_unstable();
    assert!(moments[0] > begin);
    moments
}

fn restart_on_each(
    recording: &Recording,
    scenario: &Scenario,
    moments: &[u64],
    rng: &mut Rng,
) -> Tally {
    let mut records = recording.records.iter().peekable();
    let mut disk = Disk::default();
    let mut sum = Tally::default();
    for (index, moment) in moments.iter().enumerate() {
        while let Some(record) = records.next_if(|record| record.at <= *moment) {
            disk.apply(record);
        }
        let leaves = ALL_LEAVES[index % ALL_LEAVES.len()];
        sum += restart(&disk, leaves, &scenario.as_of(*moment), rng);
    }
    sum
}

/// Starts the broker on the disk after a power cut and counts what clients get.
pub fn restart(disk: &Disk, leaves: Leaves, scenario: &Scenario, rng: &mut Rng) -> Tally {
    let mut broker = Broker::stopped(binary(), &[]);
    disk::write(&disk.cut(leaves, rng), broker.directory());
    broker.up();
    let mut scenario = scenario.clone();
    let tally = scenario.drain_and_count(broker.port);
    assert!(broker.is_alive(), "{}", broker.log());
    tally
}
