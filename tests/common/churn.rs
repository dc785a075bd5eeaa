//! Inserts and deletes messages through the store's API for a given number of messages: mixed
//! sizes, one or two receivers, several sessions with one slow one, and queues that grow and
//! drain in waves. The sizes of the files are watched from outside.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferrymq::message::{
    DeliveryId, Message, MessageHead, MessageId, SessionId, SlotState, WallMillis,
};
use ferrymq::protocol::{PacketId, QoS, Version};
use ferrymq::store::{
    Change, Op, RetainedRecord, SessionRecord, Store, StoreConfig, StoreMetrics, Submission,
};

use super::waits::Waits;

/// Messages per submission, as in one step of a busy connection.
const TURN: u64 = 64;
/// Submitters wait while more than this is pending, as the broker's connections do.
const PENDING: usize = 32_768;
/// Bytes of free pages that the store keeps at any load (`store/sqlite/space.rs`).
const FREE_ANYWAY: u64 = 16 << 20;
/// Bytes of a page (`store/sqlite/open.rs`).
const PAGE: u64 = 8192;

/// Parameters of a run.
#[derive(Debug, Clone, Copy)]
pub struct Churn {
    pub messages: u64,
    pub sessions: usize,
    /// Queued deliveries at the bottom and at the top of a wave.
    pub depth: (u64, u64),
    /// Messages from the bottom of one wave to the next.
    pub wave: u64,
    /// Longest payload in bytes.
    pub longest: usize,
}

/// Sizes on disk at one moment, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    pub done: u64,
    pub elapsed: Duration,
    /// Queued deliveries.
    pub depth: u64,
    pub file: u64,
    pub wal: u64,
    /// Bytes of used pages.
    pub live: u64,
    /// Largest allowed size of the file.
    pub allowed: u64,
}

impl Sample {
    /// Size of the file as a fraction of what is allowed.
    pub fn excess(&self) -> f64 {
        self.file as f64 / self.allowed.max(1) as f64
    }
}

/// Largest allowed size of a file: 1.5 times the used pages; a small file may also have the
/// free pages that the store always keeps and those that the next checkpoint removes.
fn allowed(live: u64, config: &StoreConfig) -> u64 {
    let spare = FREE_ANYWAY + u64::from(config.wal_checkpoint_pages) * PAGE;
    (live * 3 / 2).max(live + spare)
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    pub elapsed: Duration,
    pub largest_wal: u64,
    /// The sample with the largest file compared with what is allowed.
    pub worst: Sample,
    pub largest_file: u64,
    pub smallest_file_after: u64,
    /// Time that a single small write waited for its commit.
    pub waits: Waits,
    /// Milliseconds of one commit and messages of one batch, on average.
    pub commit_millis: f64,
    pub batch: f64,
    pub checkpoints: u64,
}

struct Session {
    id: SessionId,
    /// (delivery, message, has two receivers)
    queue: VecDeque<(u64, u64)>,
    packet_id: PacketId,
}

struct Run<'a> {
    churn: &'a Churn,
    store: &'a Store,
    rng: u64,
    payload: Vec<u8>,
    sessions: Vec<Session>,
    deliveries: u64,
    depth: u64,
}

/// Runs the load on a new database; `watch` gets `samples` samples.
pub fn run(
    config: &StoreConfig,
    churn: &Churn,
    samples: u64,
    mut watch: impl FnMut(&Sample),
) -> Outcome {
    let metrics = Arc::new(StoreMetrics::default());
    let hook = Box::new(|reason: &str| panic!("poisoned: {reason}"));
    let (store, _) = Store::open(config, Arc::clone(&metrics), hook).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let prober = probe(store.clone(), Arc::clone(&stop));
    let mut outcome = Outcome { smallest_file_after: u64::MAX, ..Outcome::default() };
    let mut run = Run::new(&store, churn);
    let database = rusqlite::Connection::open_with_flags(
        &config.path,
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .unwrap();
    let started = Instant::now();
    let every = (churn.messages / samples).max(TURN);
    let (mut done, mut next) = (0, every);
    let mut submission = Submission::default();
    while done < churn.messages {
        let count = TURN.min(churn.messages - done);
        (1..=count).for_each(|n| run.insert(done + n, &mut submission));
        done += count;
        run.drain_to(churn.depth_at(done), &mut submission);
        store.submit(&mut submission).unwrap();
        while store.pending() > PENDING {
            std::thread::sleep(Duration::from_micros(100));
        }
        let wal = size(&config.path.with_extension("db-wal"));
        outcome.largest_wal = outcome.largest_wal.max(wal);
        if done >= next {
            next += every;
            let live = live(&database);
            let (elapsed, file) = (started.elapsed(), size(&config.path));
            let allowed = allowed(live, config);
            let sample = Sample { done, elapsed, depth: run.depth, file, wal, live, allowed };
            outcome.note(sample);
            watch(&sample);
        }
    }
    store.flush().unwrap();
    outcome.elapsed = started.elapsed();
    stop.store(true, Ordering::Relaxed);
    outcome.waits = Waits::of(prober.join().unwrap().into_iter());
    let (commits, batches) =
        (metrics.commit_duration.snapshot(), metrics.batch_messages.snapshot());
    outcome.commit_millis = commits.sum * 1e3 / commits.count as f64;
    outcome.batch = batches.sum / batches.count as f64;
    outcome.checkpoints = metrics.checkpoint_duration.snapshot().count;
    drop(database);
    store.shutdown(Duration::from_mins(1)).unwrap();
    outcome
}

impl Outcome {
    fn note(&mut self, sample: Sample) {
        if sample.excess() > self.worst.excess() || self.worst.file == 0 {
            self.worst = sample;
        }
        if sample.file > self.largest_file {
            self.largest_file = sample.file;
            self.smallest_file_after = u64::MAX;
        }
        self.smallest_file_after = self.smallest_file_after.min(sample.file);
    }
}

impl Churn {
    /// A triangle wave: growing and draining take equally long.
    fn depth_at(&self, done: u64) -> u64 {
        let (low, high) = self.depth;
        let at = done % self.wave;
        let up = at.min(self.wave - at) * 2;
        low + (high - low) * up / self.wave
    }
}

impl<'a> Run<'a> {
    fn new(store: &'a Store, churn: &'a Churn) -> Self {
        let sessions = (1..=churn.sessions as u64).map(|id| Session {
            id: SessionId(id),
            queue: VecDeque::new(),
            packet_id: PacketId::FIRST,
        });
        let sessions: Vec<_> = sessions.collect();
        let mut submission = Submission::default();
        for session in &sessions {
            submission.change(store.order(), Change::Session(Box::new(record(session.id))));
        }
        store.submit(&mut submission).unwrap();
        let payload = vec![7; churn.longest];
        Self {
            churn,
            store,
            rng: 0x9E37_79B9_7F4A_7C15,
            payload,
            sessions,
            deliveries: 0,
            depth: 0,
        }
    }

    /// Xorshift; the numbers are the same in each run.
    fn roll(&mut self, sides: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng % sides
    }

    /// Mostly small payloads, some larger, few very large: 360 bytes on average.
    fn size(&mut self) -> usize {
        let (low, high) = match self.roll(1000) {
            0..800 => (32, 256),
            800..950 => (256, 1024),
            950..999 => (1024, 4096),
            _ => (16 << 10, 64 << 10),
        };
        (low + usize::try_from(self.roll(high - low as u64)).unwrap()).min(self.churn.longest)
    }

    fn insert(&mut self, id: u64, submission: &mut Submission) {
        let head = MessageHead {
            id: MessageId(id),
            qos: QoS::AtLeastOnce,
            retain: false,
            published_at: WallMillis(1_700_000_000_000 + id),
            expires_at: None,
        };
        let size = self.size();
        let sessions = self.sessions.len() as u64;
        let first = usize::try_from(self.roll(sessions)).unwrap();
        // One message in twenty has two receivers.
        let second =
            (self.roll(20) == 0 && sessions > 1).then(|| (first + 1) % self.sessions.len());
        let receivers: Vec<usize> = [Some(first), second].into_iter().flatten().collect();
        let payload = &self.payload[..size];
        let topic = "sensors/hall-7/temperature";
        let message = Message::new(head, topic, &[], payload, receivers.len(), None);
        if receivers.len() > 1 {
            self.store.add_references(MessageId(id), 2);
        }
        for (slot, receiver) in message.slots.iter().zip(receivers) {
            self.deliveries += 1;
            self.depth += 1;
            let session = &mut self.sessions[receiver];
            session.queue.push_back((self.deliveries, id));
            slot.fill(SlotState {
                retain: false,
                session: session.id,
                delivery: DeliveryId(self.deliveries),
                packet_id: session.packet_id,
                qos: QoS::AtLeastOnce,
            });
            session.packet_id = session.packet_id.next();
        }
        submission.ops.push(Op::Message(Arc::new(message)));
    }

    /// Acknowledges the first messages of random queues. The first session is slow: it
    /// acknowledges one message while each other one acknowledges ten.
    fn drain_to(&mut self, depth: u64, submission: &mut Submission) {
        while self.depth > depth {
            let sessions = self.sessions.len() as u64;
            let mut at = usize::try_from(self.roll(sessions)).unwrap();
            if at == 0 && self.roll(10) > 0 {
                continue;
            }
            // If the other queues are empty, only the slow session's is left.
            while self.sessions[at].queue.is_empty() {
                at = (at + 1) % self.sessions.len();
            }
            let Some((delivery, message)) = self.sessions[at].queue.pop_front() else { return };
            let last = self.store.release(MessageId(message));
            let message = last.then_some(MessageId(message));
            submission.ops.push(Op::Delete { delivery: DeliveryId(delivery), message });
            self.depth -= 1;
        }
    }
}

fn record(id: SessionId) -> SessionRecord {
    SessionRecord {
        id,
        client_id: format!("churn-{}", id.0).into(),
        owner: None,
        version: Version::V5,
        expiry: u32::MAX,
        disconnected_at: Some(WallMillis(1_700_000_000_000)),
        sent_up_to: DeliveryId(0),
        will: None,
    }
}

/// Writes one small row every few milliseconds and waits for each.
fn probe(store: Store, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<Duration>> {
    std::thread::spawn(move || {
        let mut waits = Vec::new();
        let mut submission = Submission::default();
        while !stop.load(Ordering::Relaxed) {
            let record = Arc::new(RetainedRecord {
                topic: "probe".into(),
                properties: Vec::new(),
                payload: vec![1; 16],
                qos: QoS::AtLeastOnce,
                published_at: WallMillis(1_700_000_000_000),
                expires_at: None,
            });
            submission.change(store.order(), Change::Retain(record, None));
            let started = Instant::now();
            let number = store.submit(&mut submission).unwrap();
            while store.committed() < number {
                std::thread::sleep(Duration::from_micros(200));
            }
            waits.push(started.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        }
        waits
    })
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Bytes of the used pages, as of one moment.
fn live(connection: &rusqlite::Connection) -> u64 {
    let number = |pragma: &str| -> u64 {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .unwrap()
            .unsigned_abs()
    };
    connection.execute_batch("BEGIN").unwrap();
    let pages = number("page_count") - number("freelist_count");
    connection.execute_batch("COMMIT").unwrap();
    pages * number("page_size")
}
