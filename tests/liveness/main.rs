//! Nobody falls silent: the real connection driver over simulated streams, on an executor
//! that polls a task only if its waker was rung. When everything has come to rest, every
//! wake-up is rung and every task is polled once more; whoever gets on by that had been
//! forgotten. And whoever reads and acknowledges is answered, and has received what it was
//! owed.
//!
//! `LIVENESS_SEEDS=N` plays more seeds, `LIVENESS_FROM` begins elsewhere, `LIVENESS_SEED=S`
//! replays one and prints what happens; `LIVENESS_ENOUGH=N` goes on until N have failed;
//! `LIVENESS_TRACE=1` prints what happens in the tests
//! of `known`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // Its disk only fills.
#[path = "../simulation/disk.rs"]
mod disk;
#[path = "../simulation/vfs.rs"]
mod vfs;

mod api;
mod client;
mod dialled;
mod engine;
mod executor;
mod known;
mod model;
mod rest;
mod run;
mod shape;
mod stream;
mod wire;

use common::seeds::Seeds;
use run::Summary;

const SEEDS: u64 = 1_000;

const LIVENESS: Seeds<Summary> = Seeds { prefix: "LIVENESS", binary: "liveness", play };

fn play(seed: u64, trace: bool) -> Summary {
    vfs::install();
    run::play(seed, trace)
}

#[test]
fn nobody_falls_silent() {
    LIVENESS.check("seeds", LIVENESS.asked_for(SEEDS));
}

fn is_noticed(sabotage: &str) {
    LIVENESS.is_noticed(sabotage, "nobody_falls_silent");
}

#[test]
fn a_connection_that_is_not_woken_is_noticed() {
    is_noticed("forget-wake-up");
}

#[test]
fn a_read_interest_that_is_forgotten_is_noticed() {
    is_noticed("forget-read-interest");
}

/// Only if it is asked for: see the module.
#[test]
fn replay() {
    LIVENESS.replay();
}
