//! Checkpoints: copies the WAL back into the database, and truncates it.
//!
//! The writer does it between two batches. While it does, the next batch fills: a
//! thread of its own brought no throughput and a larger WAL.
//!
//! `wal_autocheckpoint` is 0. PASSIVE past `wal_checkpoint_pages`; TRUNCATE if the file is past
//! `wal_limit` (without waiting for readers, tried once a second while one is in the way), when
//! idle, at a shutdown and at a start. With `checkpoints = "external"` another program
//! checkpoints, and the writer only past `wal_limit`, PASSIVE (docs/litestream.md).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;

use super::error::failure_of;
use super::files::{beside, file_size, identity};
use super::io_accounting::{self, WalAccounting};
use super::schema::pragma;
use crate::store::config::{Checkpoints, StoreConfig};
use crate::store::engine::Failure;
use crate::store::metrics::{StoreMetrics, add, stamp};

/// Follows the WAL's length.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// What is in the WAL after the last COMMIT, told by SQLite.
    written: Arc<WalAccounting>,
    wal: PathBuf,
    /// Device and inode of the WAL: SQLite keeps it open, and never makes it anew while
    /// it is.
    identity: Option<(u64, u64)>,
    threshold: u32,
    limit: u64,
    /// A checkpoint that a reader cut short is not tried again at each commit.
    next_at: u32,
    /// When cutting the WAL was last tried in vain.
    tried_at: Option<Instant>,
    busy_timeout: Duration,
    checkpoints: Checkpoints,
    /// Bytes of a page in the WAL, its header included.
    frame: u64,
    /// Frames that an incomplete checkpoint had copied; 0 after a complete one.
    reached: AtomicU64,
    /// The other program was found not to keep up, and that has been told.
    told: bool,
}

/// Of each page in the WAL (SQLite's file format, 4.1).
const FRAME_HEADER: u64 = 24;

/// How long the WAL stays over its limit before cutting it is tried again, while some
/// reader keeps it from being cut.
const RETRY_TRUNCATE: Duration = Duration::from_secs(1);

/// What a start does with a WAL that a crash may have left: copies it back and syncs
/// it, and cuts it unless another program follows it.
pub(super) fn at_start(connection: &Connection, checkpoints: Checkpoints) -> rusqlite::Result<()> {
    let mode = match checkpoints {
        Checkpoints::Own => CheckpointMode::TRUNCATE,
        Checkpoints::External => CheckpointMode::PASSIVE,
    };
    run(connection, mode).map(|_| ())
}

/// Cuts the WAL to nothing.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<bool> {
    run(connection, CheckpointMode::TRUNCATE).map(|copied| copied.all)
}

/// Copies back all that can be, waits for readers that are in the way as long as for other
/// locks, and syncs it. True if that was all.
pub(super) fn copy_all(connection: &Connection) -> rusqlite::Result<bool> {
    run(connection, CheckpointMode::FULL).map(|copied| copied.all)
}

/// What a checkpoint has done.
#[derive(Debug, Clone, Copy)]
struct Copied {
    /// Nothing is left in the WAL that is not in the database.
    all: bool,
    /// Frames of the WAL that are in the database, from earlier checkpoints too.
    frames: u64,
}

fn run(connection: &Connection, mode: CheckpointMode) -> rusqlite::Result<Copied> {
    match connection.wal_checkpoint_v2(None::<&str>, mode) {
        Ok((log, copied)) => {
            Ok(Copied { all: log == copied, frames: u64::try_from(copied).unwrap_or(0) })
        }
        // A reader, or somebody's `sqlite3`: there is a next time.
        Err(error) if failure_of(&error) == Failure::Busy => Ok(Copied { all: false, frames: 0 }),
        Err(error) => Err(error),
    }
}

impl Checkpointer {
    pub(super) fn new(
        connection: &mut Connection,
        config: &StoreConfig,
        metrics: &Arc<StoreMetrics>,
    ) -> rusqlite::Result<Self> {
        let wal = beside(&config.path, "-wal");
        let frame = u64::try_from(pragma(connection, "page_size")?).unwrap_or(0) + FRAME_HEADER;
        let written = Arc::new(WalAccounting::new(
            wal.clone(),
            frame,
            config.checkpoints,
            Arc::clone(metrics),
        ));
        let seen = Arc::clone(&written);
        connection.wal_hook(Some(move |_: &mut Wal, pages: i32| {
            seen.committed(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }))?;
        let threshold = config.wal_checkpoint_pages.max(1);
        Ok(Self {
            written,
            identity: identity(&wal),
            wal,
            threshold,
            limit: config.wal_limit,
            next_at: threshold,
            tried_at: None,
            busy_timeout: config.busy_timeout,
            checkpoints: config.checkpoints,
            frame,
            reached: AtomicU64::new(0),
            told: false,
        })
    }

    /// After a commit.
    pub(super) fn after_commit(
        &mut self,
        connection: &Connection,
        metrics: &StoreMetrics,
    ) -> rusqlite::Result<()> {
        let pages = self.written.pages();
        if self.is_external() {
            return self.hold_limit(connection, metrics, pages);
        }
        if pages < self.next_at {
            return Ok(());
        }
        let over = self.limit > 0 && self.measure(metrics) > self.limit;
        let complete = if over && self.tried_at.is_none_or(|at| at.elapsed() >= RETRY_TRUNCATE) {
            let cut = self.truncate_at_once(connection, metrics)?;
            self.tried_at = if cut { None } else { Some(Instant::now()) };
            cut
        } else {
            self.passive(connection, metrics)?
        };
        if complete {
            self.next_at = self.threshold;
        } else {
            self.next_at = pages.saturating_add(self.threshold / 4).max(self.threshold);
        }
        Ok(())
    }

    /// False if the WAL that is written to is no longer the one at its path.
    pub(super) fn is_log_in_place(&self) -> bool {
        self.identity.is_none() || identity(&self.wal) == self.identity
    }

    pub(super) fn is_external(&self) -> bool {
        self.checkpoints == Checkpoints::External
    }

    /// The other program has let the WAL grow past its limit. PASSIVE copies back what
    /// that program has already read, or all of it if it is gone, and cuts nothing.
    fn hold_limit(
        &mut self,
        connection: &Connection,
        metrics: &StoreMetrics,
        pages: u32,
    ) -> rusqlite::Result<()> {
        let bytes = u64::from(pages) * self.frame;
        if self.limit == 0 || bytes <= self.limit {
            self.told = false;
            return Ok(());
        }
        if self.tried_at.is_some_and(|at| at.elapsed() < RETRY_TRUNCATE) {
            return Ok(());
        }
        self.tried_at = Some(Instant::now());
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                wal_bytes = bytes,
                wal_limit = self.limit,
                "the program that checkpoints the database (persistence.checkpoints = \"external\") \
                 does not keep up or does not run: the broker copies the write-ahead log back itself"
            );
        }
        add(&metrics.forced_checkpoints, 1);
        self.passive(connection, metrics).map(|_| ())
    }

    /// Copies back what can be without waiting. True if that was all.
    pub(super) fn passive(
        &self,
        connection: &Connection,
        metrics: &StoreMetrics,
    ) -> rusqlite::Result<bool> {
        let all = self.timed(connection, CheckpointMode::PASSIVE, metrics)?;
        if all {
            self.written.copied();
        }
        Ok(all)
    }

    fn timed(
        &self,
        connection: &Connection,
        mode: CheckpointMode,
        metrics: &StoreMetrics,
    ) -> rusqlite::Result<bool> {
        let (start, before) = (Instant::now(), io_accounting::by_this_thread());
        let copied = run(connection, mode)?;
        metrics.checkpoint_duration.record_duration(start.elapsed());
        io_accounting::count_copied(metrics, before, copied.frames, self.frame - FRAME_HEADER);
        add(&metrics.checkpoints, 1);
        // One that a reader keeps from getting on is none.
        if copied.all || copied.frames > self.reached.load(Ordering::Relaxed) {
            let reached = if copied.all { 0 } else { copied.frames };
            self.reached.store(reached, Ordering::Relaxed);
            stamp(&metrics.last_checkpoint);
        }
        Ok(copied.all)
    }

    /// Does not wait for readers: commits would wait with it.
    fn truncate_at_once(
        &self,
        connection: &Connection,
        metrics: &StoreMetrics,
    ) -> rusqlite::Result<bool> {
        connection.busy_timeout(Duration::ZERO)?;
        let cut = self.timed(connection, CheckpointMode::TRUNCATE, metrics);
        connection.busy_timeout(self.busy_timeout)?;
        if matches!(cut, Ok(true)) {
            self.written.cut();
        }
        cut
    }

    /// Nothing else to do: copy what is there, then cut the file.
    pub(super) fn when_idle(
        &mut self,
        connection: &Connection,
        metrics: &StoreMetrics,
    ) -> rusqlite::Result<()> {
        if self.measure(metrics) == 0 || self.is_external() {
            return Ok(());
        }
        // PASSIVE waits for nobody; TRUNCATE afterwards has little left to do.
        if self.passive(connection, metrics)? {
            self.truncate_at_once(connection, metrics)?;
            self.next_at = self.threshold;
        }
        self.measure(metrics);
        Ok(())
    }

    /// Copies back what is there and cuts the file, without waiting for readers.
    pub(super) fn cut(
        &mut self,
        connection: &Connection,
        metrics: &StoreMetrics,
    ) -> rusqlite::Result<()> {
        if self.is_external() {
            return self.passive(connection, metrics).map(|_| ());
        }
        if self.truncate_at_once(connection, metrics)? {
            self.next_at = self.threshold;
        }
        Ok(())
    }

    /// Bytes of the WAL file, without telling anyone.
    pub(super) fn wal_bytes(&self) -> u64 {
        file_size(&self.wal)
    }

    /// Bytes of the WAL file.
    pub(super) fn measure(&self, metrics: &StoreMetrics) -> u64 {
        let size = file_size(&self.wal);
        metrics.wal_size.store(size, Ordering::Relaxed);
        size
    }
}
