//! Liveness: the real connection driver over simulated streams, plain or with TLS and WebSocket
//! on them, on an executor that polls a
//! task only if its waker was rung. At rest, every wake-up is rung and every task is polled
//! once more; any progress is a lost wake-up. A client that reads and acknowledges must be
//! answered, and must have received what it is owed.
//!
//! `LIVENESS_SEEDS=N` plays N seeds, `LIVENESS_FROM` sets the first, `LIVENESS_SEED=S` replays
//! one and prints what happens; `LIVENESS_ENOUGH=N` stops after N failures; `LIVENESS_TRACE=1`
//! prints what happens in the tests of `known`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // Only the full disk is used.
#[path = "../simulation/disk.rs"]
mod disk;
#[path = "../simulation/vfs.rs"]
mod vfs;

mod api;
mod carrier;
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

/// Runs only if requested: see the module.
#[test]
fn replay() {
    LIVENESS.replay();
}
