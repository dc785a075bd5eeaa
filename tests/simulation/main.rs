//! All promises at once, under one seeded schedule of clients, network, commits, time,
//! disk faults and crashes: the real broker, session, router and store, and a model
//! that knows what may and must come of it.
//!
//! `SIMULATION_SEEDS=N` plays more seeds, `SIMULATION_FROM` begins elsewhere,
//! `SIMULATION_SEED=S` replays one and prints what happens, `SIMULATION_WATCH=M` with
//! it where message M stands on the disk. `SIMULATION_ATOMIC=1` lets every turn be one
//! step, as if there was one thread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

mod client;
mod contest;
mod disk;
mod end;
mod habits;
mod interleave;
mod interval;
mod model;
mod retained;
mod run;
mod scheduler;
mod vfs;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use run::{Summary, play};

/// Seeds that found something once. A seed means another history whenever the generator
/// or the broker's yield points change; those that begin the list are older than
/// interleaving.
const KEPT: &[(u64, &str)] = &[
    (17, "an MQTT 3 publisher with a full queue of its own could never empty it"),
    (565, "a clean session was opened before the end of its predecessor was on disk"),
    (846, "an MQTT 3 publisher was refused before it was told what had been taken"),
    (867, "DISCONNECT had a reason code that only CONNACK may have"),
    (1579, "PUBREL stood behind a publish that waited for room"),
    (5058, "what an old connection had left unread overtook the new one"),
    (7158, "nobody woke the receiver of a message that had waited for room"),
    (144, "PUBREL of an old turn removed a packet id that the new connection had used again"),
    (22, "PUBREL left after a take-over, before the old turn's PUBREC was on disk"),
    (669, "a delayed will wrote its old session's row over that of the new one"),
    (18, "what was retained anew was removed by the expiry of its predecessor"),
    (39, "of two publishers' retained messages memory kept one and the file the other"),
    (671, "UNSUBSCRIBE of an old turn was written after SUBSCRIBE of the new connection"),
    (40, "SUBSCRIBE of an old turn was written after UNSUBSCRIBE of the new connection"),
];
const SEEDS: u64 = 2_000;
/// After so many broken promises there is no need for more, unless `SIMULATION_ENOUGH`
/// says so.
const ENOUGH: u64 = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

fn prepare() {
    vfs::install();
    if number("SIMULATION_SEED").is_none() {
        // A broken promise is reported once, below, and not by each thread.
        std::panic::set_hook(Box::new(|_| {}));
    }
}

/// Plays `seeds` on all cores. Answers the sum, and what broke, by seed.
fn play_all(seeds: impl Iterator<Item = u64> + Send) -> (Summary, Vec<(u64, String)>) {
    prepare();
    let seeds = Mutex::new(seeds);
    let sum = Mutex::new(Summary::default());
    let broken = Mutex::new(Vec::new());
    let done = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let enough = number("SIMULATION_ENOUGH").unwrap_or(ENOUGH);
    let work = || {
        while (broken.lock().unwrap().len() as u64) < enough {
            let Some(seed) = seeds.lock().unwrap().next() else { return };
            match catch_unwind(AssertUnwindSafe(|| play(seed, false))) {
                Ok(summary) => sum.lock().unwrap().add(&summary),
                Err(panic) => broken.lock().unwrap().push((seed, words(&*panic))),
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(500) {
                println!("{done} seeds");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    (sum.into_inner().unwrap(), broken.into_inner().unwrap())
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()))
        .unwrap_or_default()
}

fn check(name: &str, seeds: impl Iterator<Item = u64> + Send) {
    let started = Instant::now();
    let (sum, broken) = play_all(seeds);
    println!("{name}: {sum:?} in {:.1?}", started.elapsed());
    for (seed, why) in &broken {
        println!(
            "seed {seed} broke a promise: {why}\n  replay: SIMULATION_SEED={seed} cargo test \
             --features failpoints --test simulation -- --exact replay --nocapture"
        );
    }
    assert!(broken.is_empty(), "{} seeds broke a promise", broken.len());
}

#[test]
fn no_seed_breaks_a_promise() {
    let from = number("SIMULATION_FROM").unwrap_or(0);
    let count = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    check("seeds", from..from + count);
}

#[test]
fn no_seed_that_broke_a_promise_once_does_so_again() {
    check("kept seeds", KEPT.iter().map(|(seed, _)| *seed));
}

/// Plays seeds with a promise broken in the broker itself, and wants to be told of it.
fn is_noticed(sabotage: &str) {
    let played = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_seed_breaks_a_promise", "--nocapture"])
        .env("FERRYMQ_SABOTAGE", sabotage)
        .env("SIMULATION_SEEDS", "300")
        .env_remove("SIMULATION_FROM")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&played.stdout);
    let broken: Vec<&str> = said.lines().filter(|line| line.contains("broke a promise")).collect();
    println!("{sabotage}: {} seeds noticed it, such as\n  {}", broken.len(), broken.join("\n  "));
    assert!(!played.status.success() && !broken.is_empty(), "{sabotage} went unnoticed: {said}");
}

#[test]
fn acknowledgements_that_leave_one_batch_early_are_noticed() {
    is_noticed("acknowledge-early");
}

#[test]
fn a_skipped_fsync_is_noticed() {
    is_noticed("skip-fsync");
}

#[test]
fn elision_that_does_not_wait_for_every_receiver_is_noticed() {
    is_noticed("elide-early");
}

#[test]
fn operations_that_reach_the_store_in_another_order_are_noticed() {
    is_noticed("submit-before-lock");
}

#[test]
fn a_pubrel_that_leaves_before_the_receipt_is_on_disk_is_noticed() {
    is_noticed("ungated-pubrel");
}

/// Only if it is asked for: see the module.
#[test]
fn replay() {
    if let Some(seed) = number("SIMULATION_SEED") {
        vfs::install();
        println!("{:?}", play(seed, true));
    }
}
