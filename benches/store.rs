//! Measures the store on this machine: `cargo bench --bench store`.
//!
//! Prints inserts and deletes per second, the time of a start with a million queued
//! deliveries, and the room for a message. `FERRYMQ_BENCH_DIR` sets the volume (default: a
//! temporary directory), `FERRYMQ_BENCH_MESSAGES` the number of messages.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ferrymq::message::{
    DeliveryId, Message, MessageHead, MessageId, SessionId, SlotState, WallMillis,
};
use ferrymq::protocol::{PacketId, QoS, Version};
use ferrymq::store::{
    Change, Op, PageReply, PageRequest, Recovered, SessionRecord, Store, StoreConfig, StoreMetrics,
    Submission,
};

/// Messages per submission, as in one step of a connection.
const TURN: u64 = 64;
/// Submitters wait while more than this is pending, as the broker does.
const PENDING: usize = 32_768;

fn main() {
    let messages =
        setting("FERRYMQ_BENCH_MESSAGES").and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let temporary = tempfile::tempdir().unwrap();
    let directory =
        setting("FERRYMQ_BENCH_DIR").map_or(temporary.path().to_path_buf(), PathBuf::from);
    let config = StoreConfig::at(directory.join("bench.db"));
    insert(&config, messages);
    start(&config, messages, "after a crash");
    drain(&config, messages);
    small_batches(&StoreConfig::at(directory.join("small.db")));
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn open(config: &StoreConfig) -> (Store, Recovered, Arc<StoreMetrics>) {
    let metrics = Arc::new(StoreMetrics::default());
    let hook = Box::new(|reason: &str| eprintln!("poisoned: {reason}"));
    let (store, recovered) = Store::open(config, Arc::clone(&metrics), hook).unwrap();
    (store, recovered, metrics)
}

fn message(id: u64) -> Arc<Message> {
    let head = MessageHead {
        id: MessageId(id),
        qos: QoS::AtLeastOnce,
        retain: false,
        published_at: WallMillis(1_700_000_000_000 + id),
        expires_at: None,
    };
    let message = Message::new(head, "sensors/hall-7/temperature", &[], &[7; 256], 1, None);
    message.slots.first().unwrap().fill(SlotState {
        retain: false,
        session: SessionId(1),
        delivery: DeliveryId(id),
        packet_id: PacketId::new((id % 65_535) as u16 + 1).unwrap(),
        qos: QoS::AtLeastOnce,
    });
    Arc::new(message)
}

fn submit(store: &Store, submission: &mut Submission) {
    store.submit(submission).unwrap();
    while store.pending() > PENDING {
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn report(what: &str, count: u64, elapsed: Duration) {
    println!("{what}: {:.0}/s ({count} in {elapsed:.2?})", count as f64 / elapsed.as_secs_f64());
}

/// CPU seconds of the writer thread: on a shared machine a better measure than time. 0 without
/// /proc; a tick counts as 10 ms.
fn writer_cpu() -> f64 {
    let ticks = |stat: &str| -> Option<u64> {
        let rest = stat.split_once("(ferrymq-store) ")?.1;
        let mut fields = rest.split(' ').skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats.filter_map(|stat| ticks(&stat)).sum::<u64>() as f64 / 100.0
}

fn insert(config: &StoreConfig, messages: u64) {
    let (store, _, metrics) = open(config);
    let record = SessionRecord {
        id: SessionId(1),
        client_id: "bench".into(),
        owner: None,
        version: Version::V5,
        expiry: u32::MAX,
        disconnected_at: None,
        sent_up_to: DeliveryId(0),
        will: None,
    };
    let mut submission = Submission::default();
    submission.change(store.order(), Change::Session(Box::new(record)));
    submit(&store, &mut submission);
    let start = Instant::now();
    for first in (1..=messages).step_by(TURN as usize) {
        let last = (first + TURN - 1).min(messages);
        submission.ops.extend((first..=last).map(|id| Op::Message(message(id))));
        submit(&store, &mut submission);
    }
    store.flush().unwrap();
    report("insert", messages, start.elapsed());
    println!("  {:.2} µs of the writer's CPU each", writer_cpu() * 1e6 / messages as f64);
    let (commits, batches) =
        (metrics.commit_duration.snapshot(), metrics.batch_messages.snapshot());
    println!(
        "  {:.0} messages a batch, {:.2} ms a commit; {} checkpoints took {:.0} ms",
        batches.sum / batches.count as f64,
        commits.sum * 1e3 / commits.count as f64,
        metrics.checkpoint_duration.snapshot().count,
        metrics.checkpoint_duration.snapshot().sum * 1e3,
    );
    let size = size(&config.path) + size(&config.path.with_extension("db-wal"));
    println!("  {} bytes a message on disk (256 B payload, WAL included)", size / messages);
    // Dropped without shutdown: the next start has a WAL to copy back and a check to do.
}

fn millis(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn start(config: &StoreConfig, messages: u64, what: &str) {
    let mut unchecked = config.clone();
    unchecked.quick_check = false;
    let begin = Instant::now();
    let (store, recovered, _) = open(&unchecked);
    println!("start {what}: {:.0} ms without check", millis(begin));
    assert_eq!(recovered.sessions.first().unwrap().queue.len() as u64, messages);
    drop(store);
    let begin = Instant::now();
    let (store, ..) = open(&unchecked);
    println!("start again, nothing in the WAL: {:.0} ms", millis(begin));
    drop(store);
    let mut unbounded = config.clone();
    unbounded.quick_check_budget = Duration::from_mins(5);
    let begin = Instant::now();
    let (store, ..) = open(&unbounded);
    println!("start with the whole check: {:.0} ms", millis(begin));
    drop(store);
    let begin = Instant::now();
    let (store, ..) = open(config);
    println!("start as configured: {:.0} ms", millis(begin));
    drop(store);
}

fn drain(config: &StoreConfig, messages: u64) {
    let (store, mut recovered, metrics) = open(config);
    let queue = &mut recovered.sessions.first_mut().unwrap().queue;
    let (mut read, mut spent) = (0, Duration::ZERO);
    let mut pages = Vec::new();
    while read < messages / 4 {
        let ids = queue.take_front(256);
        read += ids.len() as u64;
        let (sender, receiver) = channel();
        let begin = Instant::now();
        store.page(PageRequest {
            ids,
            ledger: ferrymq::memory::Ledger::default(),
            reply: PageReply(Box::new(move |page| sender.send(page).unwrap())),
        });
        pages.push(receiver.recv().unwrap().unwrap());
        spent += begin.elapsed();
    }
    report("page", read, spent);
    drop(pages);
    let (begin, cpu) = (Instant::now(), writer_cpu());
    let mut submission = Submission::default();
    for first in (1..=messages).step_by(TURN as usize) {
        let last = (first + TURN - 1).min(messages);
        submission.ops.extend(
            (first..=last)
                .map(|id| Op::Delete { delivery: DeliveryId(id), message: Some(MessageId(id)) }),
        );
        submit(&store, &mut submission);
    }
    store.flush().unwrap();
    report("delete", messages, begin.elapsed());
    println!("  {:.2} µs of the writer's CPU each", (writer_cpu() - cpu) * 1e6 / messages as f64);
    println!(
        "  {} checkpoints took {:.0} ms",
        metrics.checkpoint_duration.snapshot().count,
        metrics.checkpoint_duration.snapshot().sum * 1e3,
    );
    store.shutdown(Duration::from_mins(1)).unwrap();
}

/// One message at a time, each awaited: the latency of a single publisher.
fn small_batches(config: &StoreConfig) {
    let (store, ..) = open(config);
    let mut submission = Submission::default();
    let begin = Instant::now();
    for id in 1..=500 {
        submission.ops.push(Op::Message(message(id)));
        store.submit(&mut submission).unwrap();
        store.flush().unwrap();
    }
    report("one at a time", 500, begin.elapsed());
}
