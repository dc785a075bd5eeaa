//! Two brokers and the bridges between them under one seeded schedule: publishers and durable
//! subscribers at both, a link that carries bytes in pieces, stalls and breaks anywhere, commits
//! of each broker at any moment, and crashes of either. The real connection driver, dialling end,
//! sessions and stores, and a model of what may and must arrive.
//!
//! Not here: how long a link waits between attempts and which version it tries next
//! (`src/bridge/`), and disks that fail (`tests/simulation`).
//!
//! `BRIDGE_SEEDS=N` plays N seeds, `BRIDGE_FROM` sets the first, `BRIDGE_SEED=S` replays one and
//! prints what happens; `BRIDGE_ENOUGH=N` stops after N failures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // The disks do not fail here.
#[path = "../simulation/disk.rs"]
mod disk;
#[path = "../liveness/executor.rs"]
mod executor;
#[path = "../simulation/place.rs"]
mod place;
#[allow(dead_code)] // Made for clients with more habits.
#[path = "../liveness/stream.rs"]
mod stream;
#[path = "../simulation/vfs.rs"]
mod vfs;

mod bridge;
mod client;
mod end;
mod faults;
mod link;
mod model;
mod node;
mod paths;
mod run;
mod shape;
mod summary;
mod wire;

use common::seeds::Seeds;
use summary::Summary;

const SEEDS: u64 = 1_000;

const BRIDGES: Seeds<Summary> = Seeds { prefix: "BRIDGE", binary: "bridge_simulation", play };

fn play(seed: u64, trace: bool) -> Summary {
    vfs::install();
    run::play(seed, trace)
}

#[test]
fn no_seed_loses_repeats_or_reorders_a_message_between_two_brokers() {
    let seeds = BRIDGES.asked_for(SEEDS);
    let are_enough = seeds.end - seeds.start >= SEEDS;
    let missing = BRIDGES.check("seeds", seeds).missing();
    assert!(!are_enough || missing.is_empty(), "no history had: {missing:?}");
}

fn is_noticed(sabotage: &str) {
    let test = "no_seed_loses_repeats_or_reorders_a_message_between_two_brokers";
    BRIDGES.is_noticed(sabotage, test);
}

#[test]
fn a_row_that_is_deleted_before_the_remote_broker_has_acknowledged_it_is_noticed() {
    is_noticed("delete-when-sent");
}

#[test]
fn acknowledgements_to_the_remote_broker_before_the_commit_are_noticed() {
    is_noticed("acknowledge-early");
}

#[test]
fn a_pubrel_that_leaves_before_the_receipt_is_on_disk_is_noticed() {
    is_noticed("ungated-pubrel");
}

#[test]
fn a_connection_that_is_not_woken_is_noticed() {
    is_noticed("forget-wake-up");
}

/// Runs only if requested: see the module.
#[test]
fn replay() {
    BRIDGES.replay();
}
