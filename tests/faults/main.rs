//! Real faults on the real binary: power that goes, disks that fail or are full, clocks
//! that are set, files that are damaged, processes that are killed, networks that stall.
//!
//! `shim/` is loaded into the broker with `LD_PRELOAD`; `shim.rs` is its handle.
//! `recording.rs`, `disk.rs` and `scenario.rs` are what the scenarios are made of, and each
//! other file holds scenarios of one kind. Each prints one line with what it counted.
//! `FAULT_ROUNDS=N` does each of them N times as often; `CRASH_SEED` repeats a choice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stdout)] // As in tests/common.

#[path = "../common/mod.rs"]
mod common;

mod disk;
mod proxy;
mod recording;
mod scenario;
mod shim;
mod tally;

mod clock;
mod full;
mod io_errors;
mod kill;
mod network;
mod power;
mod readonly;
mod refused;

/// How many times as many rounds as by default.
fn rounds() -> usize {
    std::env::var("FAULT_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1).max(1)
}
