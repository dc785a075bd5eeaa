//! Plays seeds on all cores and reports which of them failed and how to replay them.

use std::fmt::Debug;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Stops after this many failures, unless `NAME_ENOUGH` is set.
const ENOUGH: u64 = 5;

/// One kind of game. Its environment variables begin with `prefix`; its test binary is
/// `binary`.
pub struct Seeds<S> {
    pub prefix: &'static str,
    pub binary: &'static str,
    /// Plays one seed; with `true` it prints what happens. Panics if the seed fails.
    pub play: fn(u64, bool) -> S,
}

impl<S: Default + Debug + Send + for<'a> AddAssign<&'a S>> Seeds<S> {
    /// The value of the variable `NAME_what`, if set.
    pub fn number(&self, what: &str) -> Option<u64> {
        let name = format!("{}_{what}", self.prefix);
        std::env::var(name).ok().map(|value| value.parse().expect("a number"))
    }

    /// The seeds from `NAME_FROM` on, `NAME_SEEDS` of them, or by default `count`.
    pub fn asked_for(&self, count: u64) -> std::ops::Range<u64> {
        let from = self.number("FROM").unwrap_or(0);
        from..from + self.number("SEEDS").unwrap_or(count)
    }

    /// Plays the seeds and returns the sum of their results.
    ///
    /// # Panics
    /// A seed has failed.
    pub fn check(&self, name: &str, seeds: impl Iterator<Item = u64> + Send) -> S {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        self.check_on(threads, name, seeds)
    }

    /// As [`Seeds::check`], one at a time: for what is counted per process.
    ///
    /// # Panics
    /// A seed has failed.
    pub fn check_in_turn(&self, name: &str, seeds: impl Iterator<Item = u64> + Send) -> S {
        self.check_on(1, name, seeds)
    }

    fn check_on(&self, threads: usize, name: &str, seeds: impl Iterator<Item = u64> + Send) -> S {
        let started = Instant::now();
        if self.number("SEED").is_none() {
            // A failure is reported once below, not by each thread.
            std::panic::set_hook(Box::new(|_| {}));
        }
        let (seeds, sum, failed) =
            (Mutex::new(seeds), Mutex::new(S::default()), Mutex::new(Vec::new()));
        let done = AtomicU64::new(0);
        let enough = self.number("ENOUGH").unwrap_or(ENOUGH);
        let work = || {
            while (failed.lock().unwrap().len() as u64) < enough {
                let Some(seed) = seeds.lock().unwrap().next() else { return };
                match catch_unwind(AssertUnwindSafe(|| (self.play)(seed, false))) {
                    Ok(summary) => *sum.lock().unwrap() += &summary,
                    Err(panic) => failed.lock().unwrap().push((seed, words(&*panic))),
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
        let sum = sum.into_inner().unwrap();
        println!("{name}: {sum:?} in {:.1?}", started.elapsed());
        let mut failed = failed.into_inner().unwrap();
        failed.sort();
        for (seed, why) in &failed {
            println!(
                "seed {seed} failed: {why}\n  replay: {}_SEED={seed} cargo test --features \
                 failpoints --test {} -- --exact replay --nocapture",
                self.prefix, self.binary
            );
        }
        assert!(failed.is_empty(), "{} seeds failed", failed.len());
        sum
    }

    /// Plays 300 seeds of `test` with sabotage in the broker, which must make them fail.
    pub fn is_noticed(&self, sabotage: &str, test: &str) {
        self.is_noticed_from(0, sabotage, test);
    }

    /// As [`Seeds::is_noticed`], with seeds from `from` on.
    pub fn is_noticed_from(&self, from: u64, sabotage: &str, test: &str) {
        let variable = |what: &str| format!("{}_{what}", self.prefix);
        let played = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("FERRYMQ_SABOTAGE", sabotage)
            .env(variable("SEEDS"), "300")
            .env(variable("FROM"), from.to_string())
            .env_remove(variable("SEED"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&played.stdout);
        let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("seed ")).collect();
        println!(
            "{sabotage}: {} seeds noticed it, such as\n  {}",
            failed.len(),
            failed.join("\n  ")
        );
        assert!(
            !played.status.success() && !failed.is_empty(),
            "{sabotage} went unnoticed: {said}"
        );
    }

    /// Plays the seed in `NAME_SEED`, if set.
    pub fn replay(&self) {
        if let Some(seed) = self.number("SEED") {
            println!("{:?}", (self.play)(seed, true));
        }
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()))
        .unwrap_or_default()
}
