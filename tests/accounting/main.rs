//! Memory accounting is correct: what the broker charges is compared with a counting
//! allocator, within 15% in both directions, and both return to nothing when all clients have
//! left. The real connection driver runs over the simulated streams of `tests/liveness`, on
//! one thread; commits and time are driven by the test.
//!
//! `kinds` has a test for each kind of memory that is charged, `play` mixes them at random.
//! Sessions and connections themselves are limited by number and not charged: they exist
//! before a comparison begins.
//!
//! `ACCOUNTING_SEEDS=N` plays N seeds, `ACCOUNTING_FROM` sets the first, `ACCOUNTING_SEED=S`
//! replays one and prints what happens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // Only the full disk is used.
#[path = "../simulation/disk.rs"]
mod disk;

#[allow(dead_code)] // Wake-ups for all, dialling and the full disk are not used.
#[path = "../liveness/api.rs"]
mod api;
#[allow(dead_code)]
#[path = "../liveness/executor.rs"]
mod executor;
#[allow(dead_code)] // Only the calm shape is used.
#[path = "../liveness/shape.rs"]
mod shape;
#[allow(dead_code)] // No stream is cut here.
#[path = "../liveness/stream.rs"]
mod stream;

mod actions;
mod client;
mod figures;
mod game;
mod kinds;
mod play;
mod step;

use common::seeds::Seeds;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SEEDS: u64 = 6;

const ACCOUNTING: Seeds<play::Summary> =
    Seeds { prefix: "ACCOUNTING", binary: "accounting", play: play::play };

#[test]
fn what_is_charged_is_what_is_allocated_whatever_clients_do() {
    let _alone = figures::alone();
    ACCOUNTING.check_in_turn("seeds", ACCOUNTING.asked_for(SEEDS));
}

fn is_noticed(sabotage: &str) {
    ACCOUNTING.is_noticed(sabotage, "what_is_charged_is_what_is_allocated_whatever_clients_do");
}

#[test]
fn a_queue_that_is_charged_late_is_noticed() {
    is_noticed("charge-late");
}

#[test]
fn a_message_that_is_charged_for_each_receiver_is_noticed() {
    is_noticed("charge-per-receiver");
}

#[test]
fn a_charge_that_is_kept_after_a_disconnect_is_noticed() {
    is_noticed("forget-release");
}

/// Runs only if requested: see the module.
#[test]
fn replay() {
    let _alone = figures::alone();
    ACCOUNTING.replay();
}
