//! Simulates a week of messages in minutes: `cargo bench --bench churn -- --help`.
//!
//! Shows whether the write-ahead log stays under its limit and the file within 1.5 times the
//! used pages, and the cost. `tests/scale.rs` does the same with fewer messages.

#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench may stop where it stands; figures for people"
)]

use std::path::PathBuf;

use clap::Parser as _;
use ferrymq::store::StoreConfig;

#[path = "../tests/common/churn.rs"]
mod churn;
#[path = "../tests/common/waits.rs"]
#[allow(dead_code)] // Times with their moments are for the tests.
mod waits;

/// Inserts and deletes messages through the store, in waves, and watches the files.
#[derive(clap::Parser)]
#[command(name = "churn", bin_name = "cargo bench --bench churn --")]
struct Args {
    /// Number of messages to insert and delete.
    #[arg(long, default_value_t = 50_000_000)]
    messages: u64,
    /// Number of receiving sessions; the first is slow.
    #[arg(long, default_value_t = 20)]
    sessions: usize,
    /// Deliveries queued at the bottom of a wave.
    #[arg(long, default_value_t = 20_000)]
    low: u64,
    /// Deliveries queued at the top of a wave.
    #[arg(long, default_value_t = 500_000)]
    high: u64,
    /// Messages from the bottom of one wave to the next.
    #[arg(long, default_value_t = 2_500_000)]
    wave: u64,
    /// `persistence.wal_limit`, in bytes.
    #[arg(long, default_value_t = 256 << 20)]
    wal_limit: u64,
    /// Directory of the database: use a real disk, or durability is not measured.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"), hide_default_value = true)]
    dir: PathBuf,
    /// Write the figures and all samples to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Set by cargo bench and not by cargo test: this is not a test.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if !args.bench {
        println!("nothing to test here; run it with: cargo bench --bench churn");
        return;
    }
    let directory = tempfile::tempdir_in(&args.dir).unwrap();
    let wal_limit = args.wal_limit;
    let config = StoreConfig { wal_limit, ..StoreConfig::at(directory.path().join("churn.db")) };
    let plan = churn::Churn {
        messages: args.messages,
        sessions: args.sessions,
        depth: (args.low, args.high),
        wave: args.wave,
        longest: 64 << 10,
    };
    let mut samples = Vec::new();
    let mut told = std::time::Instant::now();
    let outcome = churn::run(&config, &plan, 2000, |sample| {
        samples.push(*sample);
        if told.elapsed().as_secs() >= 5 {
            told = std::time::Instant::now();
            println!("{}", line(sample, args.messages));
        }
    });
    print(&outcome, &args);
    if let Some(path) = &args.json {
        let figures = json(&outcome, &samples, &args);
        std::fs::write(path, serde_json::to_vec_pretty(&figures).unwrap()).unwrap();
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

fn line(sample: &churn::Sample, messages: u64) -> String {
    format!(
        "{:3}% {:6.0}/s  waiting {:7}  file {:4} MiB, live {:4} ({:.2})  wal {:3}",
        sample.done * 100 / messages,
        sample.done as f64 / sample.elapsed.as_secs_f64(),
        sample.depth,
        mib(sample.file),
        mib(sample.live),
        sample.file as f64 / sample.live.max(1) as f64,
        mib(sample.wal),
    )
}

fn print(outcome: &churn::Outcome, args: &Args) {
    let rate = args.messages as f64 / outcome.elapsed.as_secs_f64();
    println!("{} messages in {:.0?}: {rate:.0}/s in and out", args.messages, outcome.elapsed);
    println!(
        "write-ahead log at most {} MiB, its limit {} MiB",
        mib(outcome.largest_wal),
        mib(args.wal_limit)
    );
    let worst = &outcome.worst;
    println!(
        "closest to its bound: file {} MiB, live {} MiB, allowed {} MiB ({:.2} of it)",
        mib(worst.file),
        mib(worst.live),
        mib(worst.allowed),
        worst.excess()
    );
    println!(
        "file at most {} MiB, later down to {} MiB",
        mib(outcome.largest_file),
        mib(outcome.smallest_file_after)
    );
    println!(
        "{:.0} messages a batch, {:.2} ms a commit, {} checkpoints; a lonely write waited \
         {:.2} ms (p50), {:.2} ms (p99), {:.0} ms at most",
        outcome.batch,
        outcome.commit_millis,
        outcome.checkpoints,
        outcome.waits.p50,
        outcome.waits.p99,
        outcome.waits.max
    );
}

fn json(outcome: &churn::Outcome, samples: &[churn::Sample], args: &Args) -> serde_json::Value {
    let sample = |sample: &churn::Sample| {
        serde_json::json!({
            "done": sample.done, "seconds": sample.elapsed.as_secs_f64(), "waiting": sample.depth,
            "file_bytes": sample.file, "live_bytes": sample.live, "wal_bytes": sample.wal,
        })
    };
    serde_json::json!({
        "messages": args.messages,
        "seconds": outcome.elapsed.as_secs_f64(),
        "largest_wal_bytes": outcome.largest_wal,
        "largest_file_bytes": outcome.largest_file,
        "worst": sample(&outcome.worst),
        "share_of_allowed": outcome.worst.excess(),
        "wait_millis_p50_p99_max": [outcome.waits.p50, outcome.waits.p99, outcome.waits.max],
        "commit_millis": outcome.commit_millis,
        "messages_a_batch": outcome.batch,
        "checkpoints": outcome.checkpoints,
        "samples": samples.iter().map(sample).collect::<Vec<_>>(),
    })
}
