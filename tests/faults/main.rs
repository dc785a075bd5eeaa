//! Real faults on the real binary: power cuts, failing and full disks, clocks that are set,
//! damaged files, killed processes, bad networks.
//!
//! `shim/` is loaded into the broker with `LD_PRELOAD`; `shim.rs` controls it. `recording.rs`,
//! `disk.rs` and `scenario.rs` are the building blocks; each other file holds scenarios of one
//! kind. Each scenario prints one line with its counts. `FAULT_ROUNDS=N` runs each of them N
//! times as often; `CRASH_SEED` repeats the random choices.

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

/// The factor for the number of rounds.
fn rounds() -> usize {
    std::env::var("FAULT_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1).max(1)
}
