//! Counts the bytes that SQLite writes.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::store::config::Checkpoints;
use crate::store::metrics::{StoreMetrics, stamp};

/// Bytes of the WAL's header (SQLite's file format, 4.1).
const HEADER: u64 = 32;

/// Follows the length of the WAL from commit to commit.
#[derive(Debug)]
pub(super) struct WalAccounting {
    /// Frames in the WAL after the last COMMIT.
    pages: AtomicU32,
    /// The WAL's round, see [`round`], while the WAL may restart: after a complete checkpoint,
    /// or at any time if another program checkpoints.
    round: Mutex<Option<u32>>,
    wal: PathBuf,
    /// Bytes of a frame, frame header included.
    frame: u64,
    checkpoints: Checkpoints,
    metrics: Arc<StoreMetrics>,
}

impl WalAccounting {
    pub(super) fn new(
        wal: PathBuf,
        frame: u64,
        checkpoints: Checkpoints,
        metrics: Arc<StoreMetrics>,
    ) -> Self {
        // What the start wrote is not counted.
        let bytes = super::files::file_size(&wal).saturating_sub(HEADER);
        let pages = AtomicU32::new(u32::try_from(bytes / frame.max(1)).unwrap_or(0));
        let round = Mutex::new(round(&wal));
        Self { pages, round, wal, frame, checkpoints, metrics }
    }

    /// Called after a COMMIT: the WAL now has `pages` frames.
    pub(super) fn committed(&self, pages: u32) {
        let before = self.pages.swap(pages, Ordering::Relaxed);
        let restarted = self.has_restarted() || pages < before;
        if restarted && self.checkpoints == Checkpoints::External {
            // SQLite restarts the WAL only after a complete checkpoint.
            stamp(&self.metrics.last_checkpoint);
        }
        let written = if restarted { pages } else { pages - before };
        let bytes = u64::from(written) * self.frame;
        self.metrics.wal_written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// True if the WAL has restarted. The header is read only if it can have changed, since
    /// that takes some microseconds.
    fn has_restarted(&self) -> bool {
        let mut known = self.round.lock();
        let now = match (*known, self.checkpoints) {
            (None, Checkpoints::Own) => return false,
            _ => round(&self.wal),
        };
        let last = match self.checkpoints {
            Checkpoints::Own => known.take(),
            Checkpoints::External => std::mem::replace(&mut *known, now),
        };
        last.zip(now).is_some_and(|(last, now)| last != now)
    }

    /// Called after a complete checkpoint: the next commit may restart the WAL.
    pub(super) fn copied(&self) {
        *self.round.lock() = round(&self.wal);
    }

    /// Called after the WAL was truncated.
    pub(super) fn cut(&self) {
        self.pages.store(0, Ordering::Relaxed);
        *self.round.lock() = None;
    }

    /// Frames in the WAL after the last COMMIT.
    pub(super) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }
}

/// The checkpoint sequence number in the WAL's header, which changes each time the WAL is
/// written from its beginning again (SQLite's file format, 4.1).
fn round(wal: &Path) -> Option<u32> {
    let mut header = [0; 16];
    std::fs::File::open(wal).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    let [.., a, b, c, d] = header;
    Some(u32::from_be_bytes([a, b, c, d]))
}

/// Bytes that this thread has passed to `write` so far. `None` if the system does not report
/// it (Linux does, in proc(5)).
pub(super) fn by_this_thread() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("wchar:"))?;
    line.trim().parse().ok()
}

/// Counts the pages that a checkpoint has copied: the bytes written, or `frames` if the system
/// does not report them, which counts a page once for each time it changed.
pub(super) fn count_copied(metrics: &StoreMetrics, before: Option<u64>, frames: u64, page: u64) {
    let bytes = match before.zip(by_this_thread()) {
        Some((before, now)) => now.saturating_sub(before),
        None => frames * page,
    };
    metrics.database_written.fetch_add(bytes, Ordering::Relaxed);
    add_pages(&metrics.checkpointed_pages, bytes, page);
}

fn add_pages(pages: &AtomicU64, bytes: u64, page: u64) {
    pages.fetch_add(bytes / page.max(1), Ordering::Relaxed);
}
