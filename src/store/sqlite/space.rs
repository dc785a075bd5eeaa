//! Disk space: the quota, the reserve that is deleted when the volume is full, and free pages
//! that are returned to the volume.
//!
//! Free pages beyond 16 MiB or a quarter of the pages in use are returned to the volume: some
//! with each batch, in its transaction, in proportion to what it inserts; 64 in a pause
//! between two commits; 512 at a time when idle. While a queue only drains, few are returned:
//! the end of the file becomes free without moving pages. SQLite's limit on the file is never
//! below its length: if the headroom has been used, the file is shrunk before messages are
//! tried again.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use rusqlite::Connection;

use super::files::{beside, directory_of, file_size, identity, mode_of};
use super::schema::pragma;
use crate::store::config::StoreConfig;
use crate::store::engine::{Growth, Limit};
use crate::store::metrics::StoreMetrics;

/// Pages beyond the quota for what must continue when it is reached: sessions,
/// acknowledgements, retained messages that replace larger ones.
const HEADROOM: i64 = 256;

/// The part of the headroom that is promised to sessions that reconnect. The rest is for what
/// cannot be refused: rows that change, and pages that are split for a short row.
const GROWTH: i64 = 128;

/// The part of the headroom that only deletes may use.
const DELETES: i64 = 32;

/// Free pages up to this many bytes are kept for the next burst.
const KEEP_FREE: i64 = 16 << 20;

/// Pages that are returned to a full volume at a time: moving them first takes about twice as
/// much space in the WAL.
const GIVE_BACK: i64 = 32;

/// Bytes kept for deletes and for checkpoints of deletes; small volumes keep an eighth.
const MARGIN: u64 = 4 << 20;

/// Watches the disk space.
#[derive(Debug)]
pub(super) struct Space {
    path: PathBuf,
    reserve: PathBuf,
    reserve_size: u64,
    page_size: i64,
    /// 0 for no limit.
    max_pages: i64,
    /// SQLite's current limit in pages: never below the file's length when it was set.
    limited_to: Cell<i64>,
    /// Device and inode of the file that was opened.
    identity: Option<(u64, u64)>,
}

impl Space {
    pub(super) fn new(connection: &Connection, config: &StoreConfig) -> rusqlite::Result<Self> {
        let page_size = pragma(connection, "page_size")?.max(1);
        let max_pages = i64::try_from(config.max_size).unwrap_or(i64::MAX) / page_size;
        let space = Self {
            path: config.path.clone(),
            reserve: beside(&config.path, ".reserve"),
            reserve_size: config.reserve_size,
            page_size,
            max_pages,
            limited_to: Cell::new(0),
            identity: identity(&config.path),
        };
        space.limit(connection, Limit::Messages)?;
        space.restore_reserve();
        Ok(space)
    }

    /// Logs a warning if a start finds little space.
    pub(super) fn warn_if_nearly_full(&self, connection: &Connection, wal: u64) {
        /// Less than this, or than a tenth of the quota, would be used up before anyone
        /// reacts.
        const LITTLE: u64 = 64 << 20;
        let Ok(room) = self.room(connection, wal) else { return };
        let quota = u64::try_from(self.max_pages * self.page_size).unwrap_or(0);
        let little = if quota == 0 { LITTLE } else { LITTLE.min(quota / 10) };
        if room < little {
            tracing::warn!(
                room = self.describe(connection),
                "little room for messages: enlarge persistence.max_size or the volume, or let \
                 subscribers drain their queues"
            );
        }
    }

    /// Sets the limit on the file: the quota, plus the headroom that `limit` allows.
    pub(super) fn limit(&self, connection: &Connection, limit: Limit) -> rusqlite::Result<()> {
        if self.max_pages == 0 {
            return Ok(());
        }
        let headroom = match limit {
            Limit::Messages => 0,
            Limit::DeadLetters => HEADROOM - DELETES - GROWTH,
            Limit::Changes => HEADROOM - DELETES,
            Limit::Deletes => HEADROOM,
        };
        let pages = self.max_pages + headroom;
        let limit =
            connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0))?;
        self.limited_to.set(limit);
        Ok(())
    }

    /// True if a batch of `bytes` leaves enough space on the volume to checkpoint a WAL of
    /// `wal` bytes, and some more for deletes: a volume that is full to its last block could
    /// do neither and would stay full.
    pub(super) fn has_room_for(&self, bytes: u64, wal: u64) -> bool {
        self.room_on_volume(wal) >= bytes
    }

    /// True if a batch that changes `changes` rows might fill the volume if each row were on a
    /// page of its own.
    pub(super) fn may_be_filled(&self, changes: usize) -> bool {
        let page = u64::try_from(self.page_size).unwrap_or(0);
        let most = MARGIN + (changes as u64).saturating_mul(page);
        self.available().is_some_and(|available| available < most)
    }

    fn room_on_volume(&self, wal: u64) -> u64 {
        let (beside, margin) = self.volume_beside(wal);
        beside.saturating_sub(margin) / 2
    }

    /// Bytes left on the volume after a checkpoint of a WAL of `wal` bytes, and how many of
    /// them messages may not use.
    fn volume_beside(&self, wal: u64) -> (u64, u64) {
        let Ok(volume) = rustix::fs::statvfs(&self.path) else { return (u64::MAX, MARGIN) };
        let size = volume.f_blocks.saturating_mul(volume.f_frsize);
        let available = volume.f_bavail.saturating_mul(volume.f_frsize);
        (available.saturating_sub(wal), MARGIN.min(size / 8))
    }

    /// Bytes of messages that would find space: on the volume, and in pages that are free or
    /// may still be added. A page is assumed to be half full.
    pub(super) fn room(&self, connection: &Connection, wal: u64) -> rusqlite::Result<u64> {
        let volume = self.room_on_volume(wal);
        if self.max_pages == 0 {
            return Ok(volume);
        }
        let used = pragma(connection, "page_count")? - pragma(connection, "freelist_count")?;
        let pages = (self.max_pages - used).max(0);
        Ok(volume.min(u64::try_from(pages * self.page_size / 2).unwrap_or(0)))
    }

    /// True if more pages are in use than the quota allows. Free pages beyond the quota are
    /// returned first: SQLite's limit is never below the file's length.
    pub(super) fn is_over_quota(&self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.limited_to.get() <= self.max_pages {
            return Ok(false);
        }
        let free = count(connection, "PRAGMA freelist_count")?;
        let step = self.excess(connection)?.min(free);
        if step > 0 {
            vacuum(connection, step)?;
        }
        self.limit(connection, Limit::Messages)?;
        Ok(self.limited_to.get() > self.max_pages)
    }

    /// Number of pages of the file beyond the quota.
    fn excess(&self, connection: &Connection) -> rusqlite::Result<i64> {
        match self.max_pages {
            0 => Ok(0),
            most => Ok((count(connection, "PRAGMA page_count")? - most).max(0)),
        }
    }

    /// Space for growth that is not messages: up to the quota plus half of the headroom; on
    /// the volume, half of what messages leave. Deletes that free pages make it available
    /// again.
    pub(super) fn growth(&self, connection: &Connection, wal: u64) -> rusqlite::Result<Growth> {
        let bytes = |pages: i64| u64::try_from(pages.saturating_mul(self.page_size)).unwrap_or(0);
        let (volume, margin) = self.volume_beside(wal);
        let mut growth = Growth {
            room: volume.saturating_sub(margin / 2) / 2,
            beyond_quota: (margin / 4).min(bytes(GROWTH)),
        };
        if self.max_pages > 0 {
            let pages = count(connection, "PRAGMA page_count")?;
            let used = pages - count(connection, "PRAGMA freelist_count")?;
            growth.room = growth.room.min(bytes((self.max_pages + GROWTH - used).max(0)));
        }
        Ok(growth)
    }

    /// Size in bytes of the largest message that could ever find space.
    pub(super) fn most(&self) -> u64 {
        match u64::try_from(self.max_pages * self.page_size / 2) {
            Ok(0) | Err(_) => u64::MAX,
            Ok(most) => most,
        }
    }

    /// The sizes in words, for the log.
    pub(super) fn describe(&self, connection: &Connection) -> String {
        let mib = |bytes: u64| bytes >> 20;
        let pages = pragma(connection, "page_count").unwrap_or(0);
        let bytes = |pages: i64| mib(u64::try_from(pages * self.page_size).unwrap_or(0));
        let limit = match self.max_pages {
            0 => "no limit".to_owned(),
            pages => format!("{} MiB", bytes(pages)),
        };
        let volume = self.available().map_or_else(|| "?".to_owned(), |left| mib(left).to_string());
        format!("database {} MiB of {limit}, {volume} MiB left on the volume", bytes(pages))
    }

    /// The path at which the database was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// False if the open file is no longer the one at the path: what is written to it would be
    /// lost with the process.
    pub(super) fn is_in_place(&self) -> bool {
        self.identity.is_none() || identity(&self.path) == self.identity
    }

    /// Deletes the reserve. True if there was one.
    pub(super) fn release_reserve(&self) -> bool {
        std::fs::remove_file(&self.reserve).is_ok()
    }

    /// Creates the reserve if the volume has space to spare. A broker without a reserve works,
    /// but stops earlier on a full volume.
    pub(super) fn restore_reserve(&self) {
        if self.reserve_size == 0 || file_size(&self.reserve) >= self.reserve_size {
            return;
        }
        if self.available().is_some_and(|bytes| bytes / 4 > self.reserve_size)
            && let Err(error) = write_reserve(&self.reserve, self.reserve_size, mode_of(&self.path))
        {
            tracing::warn!(path = %self.reserve.display(), %error, "cannot create the reserve file (persistence.reserve_size): deletes may fail when the volume is full");
            self.release_reserve();
        }
    }

    /// Updates the gauges.
    pub(super) fn measure(
        &self,
        connection: &Connection,
        metrics: &StoreMetrics,
    ) -> rusqlite::Result<()> {
        let bytes = |pages: i64| u64::try_from(pages * self.page_size).unwrap_or(0);
        metrics.database_size.store(bytes(pragma(connection, "page_count")?), Ordering::Relaxed);
        metrics.free_bytes.store(bytes(pragma(connection, "freelist_count")?), Ordering::Relaxed);
        metrics.oldest_message.store(oldest_message(connection)?, Ordering::Relaxed);
        if let Ok(volume) = rustix::fs::statvfs(directory_of(&self.path)) {
            let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
            metrics.volume_available.store(bytes(volume.f_bavail), Ordering::Relaxed);
            metrics.volume_size.store(bytes(volume.f_blocks), Ordering::Relaxed);
        }
        metrics.look_ahead(Instant::now());
        Ok(())
    }

    /// Number of free pages beyond those kept for the next burst: 16 MiB, or a quarter of the
    /// pages in use. Free pages beyond the quota always count.
    pub(super) fn surplus(&self, connection: &Connection) -> rusqlite::Result<i64> {
        let free = count(connection, "PRAGMA freelist_count")?;
        let excess = self.excess(connection)?.min(free);
        let keep = KEEP_FREE / self.page_size;
        if free <= keep {
            return Ok(excess);
        }
        let used = count(connection, "PRAGMA page_count")? - free;
        Ok((free - keep.max(used / 4)).max(excess))
    }

    /// Returns up to `most` surplus pages to the volume: pages at the end of the file are
    /// moved into free pages before it. Alone or within a transaction. Returns how many
    /// remain.
    pub(super) fn shrink(&self, connection: &Connection, most: i64) -> rusqlite::Result<i64> {
        let surplus = self.surplus(connection)?;
        let step = surplus.min(most);
        if step > 0 {
            vacuum(connection, step)?;
        }
        Ok(surplus - step)
    }

    fn available(&self) -> Option<u64> {
        let directory = directory_of(&self.path);
        let volume = rustix::fs::statvfs(directory).ok()?;
        Some(volume.f_bavail.saturating_mul(volume.f_frsize))
    }
}

/// As [`pragma`], with a cached statement, for values that are read at each commit.
fn count(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// Returns some free pages of drained queues to a full volume: while they stay in the file,
/// the volume remains full.
pub(super) fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    let step = pragma(connection, "freelist_count")?.min(GIVE_BACK);
    if step > 0 { vacuum(connection, step) } else { Ok(()) }
}

/// The pragma moves one page per row that is fetched; dropping the rows stops it.
fn vacuum(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
    let mut vacuum = connection.prepare_cached("PRAGMA incremental_vacuum")?;
    let mut rows = vacuum.query([])?;
    for _ in 0..pages {
        if rows.next()?.is_none() {
            break;
        }
    }
    Ok(())
}

/// Writes the whole file: a sparse file would reserve nothing.
fn write_reserve(path: &Path, size: u64, mode: u32) -> std::io::Result<()> {
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(path)?;
    let block = vec![0xF5_u8; 1 << 16];
    let mut left = size;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        file.write_all(block.get(..part).unwrap_or_default())?;
        left -= part as u64;
    }
    file.sync_all()
}

/// Ids increase with time, so the first row is the oldest.
fn oldest_message(connection: &Connection) -> rusqlite::Result<u64> {
    use rusqlite::OptionalExtension as _;
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT published_at FROM message ORDER BY id LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(oldest.and_then(|at| u64::try_from(at).ok()).unwrap_or(0))
}
