//! Promises of a bridge under chaos: while the link is cut, stalled, half-open and throttled at
//! random, and brokers at both ends are killed or restarted, every message that a broker has
//! acknowledged arrives at the other end: at QoS 2 exactly once, and in order on each topic.
//!
//! `flow.rs`, `receiver.rs` and `tally.rs` are clients and what they count, `link.rs` is the link,
//! `fault.rs` what happens to it, `remote.rs` the broker that is dialled,
//! `chaos.rs` plays it all. Each test prints one line.
//!
//! `BRIDGE_CHAOS_MESSAGES=N` publishes N messages; `CRASH_SEED` repeats the random choices.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stdout)] // As in tests/common.

#[path = "../common/mod.rs"]
mod common;

mod chaos;
mod fault;
mod flow;
mod link;
mod receiver;
mod remote;
mod tally;

use chaos::{Chaos, Outcome};
use common::broker::binary_with_failpoints;
use common::mosquitto::{self, Mosquitto};
use common::rng::Rng;
use fault::{ALL, Fault, WITHOUT_KILLS_OF_THE_REMOTE, deal};
use remote::Remote;

/// Messages of a run, unless there is `BRIDGE_CHAOS_MESSAGES`.
const MESSAGES: u64 = 20_000;
/// Messages between two faults, at most.
const MESSAGES_A_FAULT: u64 = 2_000;
const LEAST_FAULTS: usize = 24;
/// Of Mosquitto's configuration.
const PERSISTENT: [&str; 3] =
    ["persistence true", "autosave_interval 1", "max_inflight_messages 200"];

#[test]
fn chaos_between_two_ferrymqs_loses_nothing() {
    let mut broker = remote::ferrymq();
    broker.up();
    let outcome = play(Remote::FerryMq(broker), &ALL);
    must_be_kept("bridge chaos, FerryMQ at both ends", &outcome);
}

#[test]
fn chaos_with_mosquitto_as_the_remote_broker_loses_nothing() {
    if !mosquitto::is_installed() {
        return println!("bridge chaos, Mosquitto as the remote: LEFT OUT, it is not installed");
    }
    let remote = Remote::Mosquitto(Mosquitto::start(&PERSISTENT));
    let outcome = play(remote, &WITHOUT_KILLS_OF_THE_REMOTE);
    must_be_kept("bridge chaos, Mosquitto as the remote", &outcome);
}

fn play(remote: Remote, kinds: &[Fault]) -> Outcome {
    let messages = std::env::var("BRIDGE_CHAOS_MESSAGES").ok().and_then(|n| n.parse().ok());
    let messages = messages.unwrap_or(MESSAGES).max(100);
    let faults = usize::try_from(messages / MESSAGES_A_FAULT).unwrap().max(LEAST_FAULTS);
    let mut rng = Rng::new();
    let faults = deal(kinds, faults, &mut rng);
    Chaos::begin(remote::ferrymq(), remote, rng).run(messages, &faults)
}

fn must_be_kept(what: &str, outcome: &Outcome) {
    let Outcome { up, down, dead_letters, seconds, counts } = outcome;
    let rest = format!("{dead_letters} dead letters; {counts}; {seconds:.0} s");
    up.print(&format!("{what}, to the remote"), &rest);
    if down.acknowledged > 0 {
        down.print(&format!("{what}, from the remote"), "the same faults");
    }
    assert!(up.acknowledged > 0 && up.is_kept() && down.is_kept(), "{what}: {up:?}, {down:?}");
}

/// A broken promise is noticed if it is broken at the moment of a fault: on a fast disk not each
/// time.
const ATTEMPTS: u32 = 5;

/// Tests of the test: the edge broker breaks a promise, and is killed all the time.
#[test]
fn a_row_that_is_deleted_before_the_acknowledgement_is_noticed() {
    let kinds = [Fault::KillEdge, Fault::SilentToRemote];
    let noticed = || broken("delete-when-sent", &kinds).up.lost > 0;
    assert!((0..ATTEMPTS).any(|_| noticed()), "nothing was missed");
}

#[test]
fn an_acknowledgement_to_the_remote_before_the_commit_is_noticed() {
    let noticed = || broken("acknowledge-early", &[Fault::KillEdge]).down.lost > 0;
    assert!((0..ATTEMPTS).any(|_| noticed()), "nothing was missed");
}

fn broken(promise: &str, kinds: &[Fault]) -> Outcome {
    let mut remote = remote::ferrymq();
    remote.up();
    let mut edge = remote::without_limits(binary_with_failpoints());
    edge.set("FERRYMQ_SABOTAGE", promise);
    let mut rng = Rng::new();
    let faults = deal(kinds, 12, &mut rng);
    let outcome = Chaos::begin(edge, Remote::FerryMq(remote), rng).run(10_000, &faults);
    let rest = format!("{}; {:.0} s", outcome.counts, outcome.seconds);
    outcome
        .up
        .print(&format!("bridge chaos, broken on purpose by {promise}, to the remote"), &rest);
    outcome.down.print("from the remote", "the same faults");
    outcome
}
