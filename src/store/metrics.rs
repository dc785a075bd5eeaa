//! The store's counters: plain atomics that may be read at any time. `server/observe` has
//! their names and their export.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::dead_letter::DeadLetterCount;
use super::room::forecast::Forecast;
use crate::telemetry::AtomicHistogram;

/// The counters, gauges and histograms of the store.
#[derive(Debug)]
pub struct StoreMetrics {
    /// From BEGIN to the return of COMMIT.
    pub commit_duration: Arc<AtomicHistogram>,
    /// The COMMIT statement alone, which writes the WAL and syncs it.
    pub sync_duration: Arc<AtomicHistogram>,
    /// Messages written in one batch.
    pub batch_messages: Arc<AtomicHistogram>,
    /// From the first operation of a batch to its BEGIN.
    pub queue_wait: Arc<AtomicHistogram>,
    /// Duration of one checkpoint.
    pub checkpoint_duration: Arc<AtomicHistogram>,
    /// From opening the file to the end of the scan.
    pub recovery_duration: Arc<AtomicHistogram>,
    /// Bytes of the database file.
    pub database_size: AtomicU64,
    /// Bytes of the WAL file.
    pub wal_size: AtomicU64,
    /// Bytes of unused pages within the database file.
    pub free_bytes: AtomicU64,
    /// Free bytes of the volume.
    pub volume_available: AtomicU64,
    /// Size of the volume in bytes; 0 before it was measured.
    pub volume_size: AtomicU64,
    /// Largest size of the database file in bytes; 0 for no limit.
    pub max_size: AtomicU64,
    /// Bytes past which the WAL is truncated; 0 for no limit.
    pub wal_limit: AtomicU64,
    /// When the oldest message on disk was accepted, in milliseconds since 1970; 0 if there is
    /// none.
    pub oldest_message: AtomicU64,
    /// Messages that wait for disk space, and whose publishers wait with them.
    pub stalled: AtomicU64,
    /// Operations that are waiting or being committed.
    pub pending: AtomicU64,
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Messages written and committed.
    pub committed_messages: AtomicU64,
    /// Bytes of topics, properties and payloads of what was committed.
    pub payload_bytes: AtomicU64,
    /// Bytes written to the WAL.
    pub wal_written: AtomicU64,
    /// Bytes written to the database file.
    pub database_written: AtomicU64,
    /// Pages copied from the WAL into the database.
    pub checkpointed_pages: AtomicU64,
    /// When a transaction was last committed, in milliseconds since 1970; 0 if none was.
    pub last_commit: AtomicU64,
    /// When a checkpoint last made progress, in milliseconds since 1970. If another program
    /// ran it: the commit at which the restarted WAL was noticed.
    pub last_checkpoint: AtomicU64,
    /// Messages acknowledged by all receivers before they were written.
    pub elided_messages: AtomicU64,
    /// Messages refused because the disk is full.
    pub refused_messages: AtomicU64,
    /// Deliveries deleted, whether or not they had been written.
    pub deleted_deliveries: AtomicU64,
    /// Dead letters that wait for their message or for room on the disk.
    pub dead_letters_waiting: AtomicU64,
    /// Dead letters that were given up because too many waited; their deliveries stay on disk.
    pub dead_letters_forgotten: AtomicU64,
    /// Checkpoints run.
    pub checkpoints: AtomicU64,
    /// Checkpoints that another program should have run.
    pub forced_checkpoints: AtomicU64,
    errors: Mutex<BTreeMap<i32, u64>>,
    dead_letters: Mutex<BTreeMap<Box<str>, DeadLetterCount>>,
    forecast: Mutex<Forecast>,
    /// The origin of the forecast's time.
    made: Instant,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            commit_duration: seconds(),
            sync_duration: seconds(),
            batch_messages: Arc::new(AtomicHistogram::counts()),
            queue_wait: seconds(),
            checkpoint_duration: seconds(),
            recovery_duration: seconds(),
            database_size: AtomicU64::new(0),
            wal_size: AtomicU64::new(0),
            free_bytes: AtomicU64::new(0),
            volume_available: AtomicU64::new(0),
            volume_size: AtomicU64::new(0),
            max_size: AtomicU64::new(0),
            wal_limit: AtomicU64::new(0),
            oldest_message: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            committed_messages: AtomicU64::new(0),
            payload_bytes: AtomicU64::new(0),
            wal_written: AtomicU64::new(0),
            database_written: AtomicU64::new(0),
            checkpointed_pages: AtomicU64::new(0),
            last_commit: AtomicU64::new(0),
            last_checkpoint: AtomicU64::new(0),
            elided_messages: AtomicU64::new(0),
            refused_messages: AtomicU64::new(0),
            deleted_deliveries: AtomicU64::new(0),
            dead_letters_waiting: AtomicU64::new(0),
            dead_letters_forgotten: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            forced_checkpoints: AtomicU64::new(0),
            errors: Mutex::default(),
            dead_letters: Mutex::default(),
            forecast: Mutex::default(),
            made: Instant::now(),
        }
    }
}

impl StoreMetrics {
    /// Errors so far, by SQLite's extended result code.
    pub fn errors(&self) -> Vec<(i32, u64)> {
        self.errors.lock().iter().map(|(code, count)| (*code, *count)).collect()
    }

    /// The dead letters of each bridge that has, or had, any.
    pub fn dead_letters(&self) -> Vec<(Box<str>, DeadLetterCount)> {
        let counts = self.dead_letters.lock();
        counts.iter().map(|(bridge, count)| (bridge.clone(), *count)).collect()
    }

    pub(super) fn set_dead_letters(&self, counts: &BTreeMap<Box<str>, DeadLetterCount>) {
        self.dead_letters.lock().clone_from(counts);
    }

    /// True once the files have been measured; before that, their sizes are all 0.
    pub fn is_measured(&self) -> bool {
        self.database_size.load(Ordering::Relaxed) > 0
    }

    /// Bytes that may still be used: free pages, and what `max_size` and the volume allow to
    /// add.
    pub fn room(&self) -> u64 {
        let load = |size: &AtomicU64| size.load(Ordering::Relaxed);
        let volume = load(&self.volume_available).saturating_add(load(&self.free_bytes));
        match load(&self.max_size) {
            0 => volume,
            most => volume.min(most.saturating_sub(self.used())),
        }
    }

    /// Seconds until the database is full at the growth rate of the last minutes: 0 if it is
    /// full, infinity while it does not grow.
    pub fn seconds_to_full(&self, now: Instant) -> f64 {
        self.look_ahead(now);
        self.forecast.lock().seconds_to_full(self.room())
    }

    /// Adds a sample to the forecast.
    pub(super) fn look_ahead(&self, now: Instant) {
        let at = now.saturating_duration_since(self.made);
        self.forecast.lock().see(at, self.used());
    }

    fn used(&self) -> u64 {
        let size = self.database_size.load(Ordering::Relaxed);
        size.saturating_sub(self.free_bytes.load(Ordering::Relaxed))
    }

    pub(super) fn count_error(&self, code: i32) {
        *self.errors.lock().entry(code).or_default() += 1;
    }
}

fn seconds() -> Arc<AtomicHistogram> {
    Arc::new(AtomicHistogram::seconds())
}

/// Stores the current time, in milliseconds since 1970.
pub(super) fn stamp(at: &AtomicU64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    at.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}
