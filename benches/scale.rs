//! A long queue, from its first message to an empty file:
//! `cargo bench --bench scale -- --help`.
//!
//! Messages are queued for an offline session, the broker is killed and started again, the
//! client drains the queue, and a publisher and a subscriber beside it show whether others are
//! delayed. The tests do the same with fewer messages (`tests/backlog.rs`, `tests/scale.rs`).

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench may stop where it stands; figures for people"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser as _;
use common::broker::Broker;
use common::drain;
use common::pair::{self, Kind, Pair, Seen};
use common::publisher::Publisher;
use common::subscriber::Subscriber;
use common::waits::{Span, Waits};

#[path = "../tests/common/mod.rs"]
mod common;

/// Messages per printed rate.
const STEP: u64 = 100_000;

/// Queues messages for an offline session, kills the broker, drains the queue.
#[derive(clap::Parser)]
#[command(name = "scale", bin_name = "cargo bench --bench scale --")]
struct Args {
    /// Number of queued messages.
    #[arg(long, default_value_t = 10_000_000)]
    messages: u64,
    /// Bytes of each payload.
    #[arg(long, default_value_t = 256)]
    payload: usize,
    /// Messages per second between the publisher and the subscriber beside it.
    #[arg(long, default_value_t = 200)]
    pair_rate: u32,
    /// Seconds for which these two are measured before and after the drain.
    #[arg(long, default_value_t = 10)]
    pair_seconds: u64,
    /// Write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Set by cargo bench and not by cargo test: this is not a test.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if !args.bench {
        println!("nothing to test here; run it with: cargo bench --bench scale");
        return;
    }
    let mut figures = serde_json::Map::new();
    let most = args.messages.to_string();
    let mut broker = Broker::with(&[
        ("FERRYMQ_SESSION__MAX_QUEUED_MESSAGES", &most),
        ("FERRYMQ_SESSION__MAX_QUEUED_BYTES", "1TiB"),
        ("FERRYMQ_PERSISTENCE__MAX_SIZE", "1TiB"),
    ]);
    let mut note = |key: &str, unit: &str, value: f64| {
        println!("{key}: {value:.2} {unit}");
        figures.insert(format!("{key} ({unit})"), value.into());
    };
    fill(&mut broker, &args, &mut note);
    let ready = broker.up();
    note("ready after kill -9", "s", ready.as_secs_f64());
    memory(&broker, "after the restart", &mut note);
    empty(&broker, &args, &mut note);
    assert_eq!(broker.stop(), Some(0));
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&figures).unwrap()).unwrap();
    }
}

type Note<'a> = dyn FnMut(&str, &str, f64) + 'a;

fn fill(broker: &mut Broker, args: &Args, note: &mut Note<'_>) {
    Subscriber::new("away", 4).subscribe(broker.port, "crash/#", 1);
    let started = Instant::now();
    let mut publisher = Publisher::new("p", 4, 1, 2000).with_payload(args.payload);
    for step in 1..=args.messages.div_ceil(1_000_000) {
        publisher.run(broker.port, (step * 1_000_000).min(args.messages)).unwrap();
        println!("  {} queued after {:.0?}", publisher.acknowledged, started.elapsed());
    }
    note("published", "s", started.elapsed().as_secs_f64());
    note("published", "messages/s", args.messages as f64 / started.elapsed().as_secs_f64());
    memory(broker, "while they wait", note);
    disk(broker, "while they wait", note);
    note("on disk", "bytes a message", (file(broker) + wal(broker)) as f64 / args.messages as f64);
    broker.kill();
}

fn empty(broker: &Broker, args: &Args, note: &mut Note<'_>) {
    let clock = Instant::now();
    let kind = Kind { rate: args.pair_rate, ..pair::DURABLE };
    let pair = Pair::start_stored(broker.port, kind, clock);
    let watch = Duration::from_secs(args.pair_seconds);
    std::thread::sleep(watch);
    let mut client = Subscriber::new("away", 4).connect(broker.port).unwrap();
    assert!(client.session_present);
    let begin = clock.elapsed();
    let rates = drain::in_order(&mut client, args.messages, STEP.min(args.messages));
    let end = clock.elapsed();
    let seconds = end.saturating_sub(begin).as_secs_f64();
    note("drained", "s", seconds);
    note("drained", "messages/s", args.messages as f64 / seconds);
    for (name, rate) in ["least", "median", "greatest"].iter().zip(drain::spread(&rates)) {
        note(&format!("drained, of each {STEP}, {name}"), "messages/s", rate);
    }
    memory(broker, "after the drain", note);
    let deleted = drain::until("deleted", Duration::from_mins(5), || {
        broker.metric("ferrymq_persistence_pending_writes") == 0.0
    });
    note("all deleted on disk, later by", "s", deleted.as_secs_f64());
    disk(broker, "after the drain", note);
    std::thread::sleep(watch);
    disk(broker, "while the pair went on", note);
    let given = drain::until("given back", Duration::from_mins(10), || file(broker) < 64 << 20);
    note("file below 64 MiB, later by", "s", given.as_secs_f64());
    let after = clock.elapsed();
    tell(&pair.stop(), [begin.saturating_sub(watch), begin, end, after], note);
    drain::until("idle", Duration::from_mins(1), || wal(broker) == 0);
    disk(broker, "when idle", note);
}

/// Reports the latencies of the pair before, during and after the drain.
fn tell(seen: &Seen, moments: [Duration; 4], note: &mut Note<'_>) {
    let spans = ["before", "during", "after"].iter().zip(moments.windows(2));
    for (when, span) in spans {
        let span = Span { from: span[0], to: span[1] };
        let mut three = |what: &str, waits: Waits| {
            for (name, value) in [("p50", waits.p50), ("p99", waits.p99), ("longest", waits.max)] {
                note(&format!("pair {what} {when} the drain, {name}"), "ms", value);
            }
        };
        three("acknowledged", seen.acknowledged.within(span));
        three("delivered", seen.delivered.within(span));
    }
}

fn memory(broker: &Broker, when: &str, note: &mut Note<'_>) {
    note(&format!("memory {when}"), "MiB", broker.memory("VmRSS") as f64 / 1024.0);
    note(&format!("peak memory {when}"), "MiB", broker.memory("VmHWM") as f64 / 1024.0);
}

fn disk(broker: &Broker, when: &str, note: &mut Note<'_>) {
    note(&format!("database {when}"), "MiB", file(broker) as f64 / f64::from(1 << 20));
    note(&format!("write-ahead log {when}"), "MiB", wal(broker) as f64 / f64::from(1 << 20));
}

fn file(broker: &Broker) -> u64 {
    std::fs::metadata(broker.database()).unwrap().len()
}

fn wal(broker: &Broker) -> u64 {
    std::fs::metadata(broker.database().with_extension("db-wal")).map_or(0, |file| file.len())
}
