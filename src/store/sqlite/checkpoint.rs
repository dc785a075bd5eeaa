//! Checkpoints: copies the WAL back into the database, and truncates it.
//!
//! The writer does it between two batches, while the next batch fills: a separate thread
//! brought no throughput and a larger WAL.
//!
//! `wal_autocheckpoint` is 0. PASSIVE past `wal_checkpoint_pages`; TRUNCATE if the file is
//! past `wal_limit` (without waiting for readers, retried once a second while one blocks it),
//! when idle, at a shutdown and at a start. With `checkpoints = "external"` another program
//! checkpoints; the writer does so only past `wal_limit`, PASSIVE (docs/litestream.md).

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

/// Decides about checkpoints from the length of the WAL.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// The contents of the WAL after the last COMMIT, as reported by SQLite.
    written: Arc<WalAccounting>,
    wal: PathBuf,
    /// Device and inode of the WAL: SQLite keeps the file open and does not recreate it
    /// meanwhile.
    identity: Option<(u64, u64)>,
    threshold: u32,
    limit: u64,
    /// The number of pages for the next checkpoint: one that a reader cut short is not
    /// repeated at each commit.
    next_at: u32,
    /// When truncating the WAL last failed.
    tried_at: Option<Instant>,
    busy_timeout: Duration,
    checkpoints: Checkpoints,
    /// Bytes of a page in the WAL, frame header included.
    frame: u64,
    /// Frames copied by an incomplete checkpoint; 0 after a complete one.
    reached: AtomicU64,
    /// True once the warning that the other program does not keep up was logged.
    told: bool,
}

/// Bytes of the header of each page in the WAL (SQLite's file format, 4.1).
const FRAME_HEADER: u64 = 24;

/// The pause before truncating is retried while the WAL is over its limit and a reader
/// prevents it.
const RETRY_TRUNCATE: Duration = Duration::from_secs(1);

/// At a start: checkpoints and syncs a WAL that a crash may have left, and truncates it unless
/// another program follows it.
pub(super) fn at_start(connection: &Connection, checkpoints: Checkpoints) -> rusqlite::Result<()> {
    let mode = match checkpoints {
        Checkpoints::Own => CheckpointMode::TRUNCATE,
        Checkpoints::External => CheckpointMode::PASSIVE,
    };
    run(connection, mode).map(|_| ())
}

/// Checkpoints and truncates the WAL. True if everything was copied.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<bool> {
    run(connection, CheckpointMode::TRUNCATE).map(|copied| copied.all)
}

/// Checkpoints, waiting for readers as long as for other locks, and syncs. True if everything
/// was copied.
pub(super) fn copy_all(connection: &Connection) -> rusqlite::Result<bool> {
    run(connection, CheckpointMode::FULL).map(|copied| copied.all)
}

/// The result of a checkpoint.
#[derive(Debug, Clone, Copy)]
struct Copied {
    /// Everything in the WAL is in the database.
    all: bool,
    /// Frames of the WAL that are in the database, including those of earlier checkpoints.
    frames: u64,
}

fn run(connection: &Connection, mode: CheckpointMode) -> rusqlite::Result<Copied> {
    match connection.wal_checkpoint_v2(None::<&str>, mode) {
        Ok((log, copied)) => {
            Ok(Copied { all: log == copied, frames: u64::try_from(copied).unwrap_or(0) })
        }
        // A reader or another program blocks it: the next checkpoint tries again.
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

    /// Called after each commit: checkpoints if a threshold is passed.
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

    /// False if the WAL that is open is no longer the file at its path.
    pub(super) fn is_log_in_place(&self) -> bool {
        self.identity.is_none() || identity(&self.wal) == self.identity
    }

    pub(super) fn is_external(&self) -> bool {
        self.checkpoints == Checkpoints::External
    }

    /// The other program has let the WAL grow past its limit. PASSIVE copies the frames that
    /// it has already read, or all if it is gone, and truncates nothing.
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

    /// Checkpoints as far as possible without waiting. True if everything was copied.
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
        // A checkpoint that made no progress because of a reader does not count.
        if copied.all || copied.frames > self.reached.load(Ordering::Relaxed) {
            let reached = if copied.all { 0 } else { copied.frames };
            self.reached.store(reached, Ordering::Relaxed);
            stamp(&metrics.last_checkpoint);
        }
        Ok(copied.all)
    }

    /// Checkpoints and truncates without waiting for readers, since commits would wait too.
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

    /// Called when idle: checkpoints and truncates.
    pub(super) fn when_idle(
        &mut self,
        connection: &Connection,
        metrics: &StoreMetrics,
    ) -> rusqlite::Result<()> {
        if self.measure(metrics) == 0 || self.is_external() {
            return Ok(());
        }
        // PASSIVE does not wait; the TRUNCATE that follows has little left to do.
        if self.passive(connection, metrics)? {
            self.truncate_at_once(connection, metrics)?;
            self.next_at = self.threshold;
        }
        self.measure(metrics);
        Ok(())
    }

    /// Checkpoints and truncates without waiting for readers. PASSIVE if another program
    /// follows the WAL.
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

    /// Size of the WAL file in bytes, without updating the gauge.
    pub(super) fn wal_bytes(&self) -> u64 {
        file_size(&self.wal)
    }

    /// Size of the WAL file in bytes. Updates the gauge.
    pub(super) fn measure(&self, metrics: &StoreMetrics) -> u64 {
        let size = file_size(&self.wal);
        metrics.wal_size.store(size, Ordering::Relaxed);
        size
    }
}
