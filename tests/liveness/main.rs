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
mod engine;
mod executor;
mod known;
mod model;
mod rest;
mod run;
mod shape;
mod stream;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use run::{Summary, play};

const SEEDS: u64 = 1_000;
/// After so many failures there is no need for more.
const ENOUGH: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Plays `seeds` on all cores. Answers the sum, and what failed, by seed.
fn play_all(seeds: impl Iterator<Item = u64> + Send) -> (Summary, Vec<(u64, String)>) {
    vfs::install();
    // A failure is reported once, below, and not by each thread.
    if number("LIVENESS_SEED").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let enough = number("LIVENESS_ENOUGH").map_or(ENOUGH, |n| usize::try_from(n).unwrap());
    let seeds = Mutex::new(seeds);
    let sum = Mutex::new(Summary::default());
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        while failed.lock().unwrap().len() < enough {
            let Some(seed) = seeds.lock().unwrap().next() else { return };
            match catch_unwind(AssertUnwindSafe(|| play(seed, false))) {
                Ok(summary) => sum.lock().unwrap().add(&summary),
                Err(panic) => failed.lock().unwrap().push((seed, words(&*panic))),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    (sum.into_inner().unwrap(), failed)
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()))
        .unwrap_or_default()
}

#[test]
fn nobody_falls_silent() {
    let started = Instant::now();
    let from = number("LIVENESS_FROM").unwrap_or(0);
    let count = number("LIVENESS_SEEDS").unwrap_or(SEEDS);
    let (sum, failed) = play_all(from..from + count);
    println!("{sum:?} in {:.1?}", started.elapsed());
    for (seed, why) in &failed {
        println!(
            "seed {seed} failed: {why}\n  replay: LIVENESS_SEED={seed} cargo test --features \
             failpoints --test liveness -- --exact replay --nocapture"
        );
    }
    assert!(failed.is_empty(), "{} seeds failed", failed.len());
}

/// Plays seeds with a wake-up forgotten in the broker itself, and wants to be told of it.
fn is_noticed(sabotage: &str) {
    let played = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nobody_falls_silent", "--nocapture"])
        .env("FERRYMQ_SABOTAGE", sabotage)
        .env("LIVENESS_SEEDS", "300")
        .env_remove("LIVENESS_FROM")
        .env_remove("LIVENESS_SEED")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&played.stdout);
    let failed = said.lines().filter(|line| line.starts_with("seed ")).count();
    println!("{sabotage}: {failed} seeds noticed it");
    assert!(!played.status.success() && failed > 0, "{sabotage} went unnoticed: {said}");
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
    if let Some(seed) = number("LIVENESS_SEED") {
        vfs::install();
        println!("{:?}", play(seed, true));
    }
}
