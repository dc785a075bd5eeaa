//! Makes a consistent copy of a database, also beside a running broker.
//!
//! SQLite's backup API copies pages in steps, and starts over when another connection has
//! committed in between: under load it would never end. So the source stays inside one read
//! transaction over all steps. In WAL mode that is one state of the database, and no commit
//! restarts the copy. The cost: the WAL cannot be truncated meanwhile and grows by what is
//! committed.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::OFlags;

use super::access::{Database, wal_size};
use super::error::MaintenanceError;
use super::status::{unsigned, volume};
use super::watch::{Phase, Watch};
use crate::store::{APPLICATION_ID, pragma};

/// Pages between two checks of the clock and the watch: 2 MiB. With a rate, at most what is
/// due in a tenth of a second, so that the disk is not loaded in bursts.
const PAGES: u64 = 256;

/// The result of a copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) pages: u64,
    /// Size of the source's WAL in bytes: when the copy began, and the largest seen.
    pub(super) wal_before: u64,
    pub(super) wal_peak: u64,
}

/// An unfinished file, removed on drop unless [`Partial::keep`] is called.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Partial {
    /// Creates or empties the file. A lock excludes a second process that writes it.
    pub(super) fn create(path: PathBuf) -> Result<Self, MaintenanceError> {
        let failed = |source| MaintenanceError::io("write", &path, source);
        let mut options = File::options();
        // The file is emptied: a link could lead to another file.
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let file = options.read(true).write(true).create(true).truncate(false).custom_flags(flags);
        let file = file.open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() || metadata.nlink() > 1 {
            let what = "it is no plain file of its own: remove it, or choose another name";
            return Err(failed(std::io::Error::other(what)));
        }
        if file.try_lock().is_err() {
            return Err(failed(std::io::Error::other("another process is writing it")));
        }
        file.set_len(0).map_err(failed)?;
        Ok(Self { path, file, kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the copy the permissions of the source.
    pub(super) fn permit_as(&self, source: &Path) -> std::io::Result<()> {
        let mode = std::fs::metadata(source)?.permissions().mode();
        self.file.set_permissions(std::fs::Permissions::from_mode(mode & 0o777))
    }

    /// Syncs the file to disk.
    pub(super) fn sync(&self) -> Result<(), MaintenanceError> {
        self.file.sync_all().map_err(|source| MaintenanceError::io("write", &self.path, source))
    }

    /// Does not remove the file: it has been renamed.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            // Ignored: this happens while another error is being reported.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Copies at most `rate` bytes per second (0: unlimited), and syncs.
pub(super) fn copy(
    source: &Database,
    partial: &Partial,
    rate: u64,
    watch: &Watch,
) -> Result<Copied, MaintenanceError> {
    let read = |error| source.failed(error);
    let connection = &source.connection;
    let wal_before = wal_size(&source.path);
    connection.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1;").map_err(read)?;
    let page_size = unsigned(pragma(connection, "page_size").map_err(read)?);
    let bytes = unsigned(pragma(connection, "page_count").map_err(read)?) * page_size;
    has_room(partial.path(), bytes)?;
    let write = |error| MaintenanceError::sqlite("write", partial.path(), error);
    let mut target = open_target(partial.path()).map_err(write)?;
    let mut copied = Copied { bytes, pages: 0, wal_before, wal_peak: wal_before };
    let result = run(source, &mut target, &mut copied, page_size, rate, watch);
    // On success and failure alike, the WAL may be truncated again now.
    connection.execute_batch("ROLLBACK").map_err(read)?;
    result.map_err(|fault| match fault {
        Fault::Stopped => MaintenanceError::Interrupted { left: "no copy was made" },
        // Reads and writes return the same error type; only the source can be corrupt.
        Fault::Sqlite(error) if is_corrupt(&error) => read(error),
        Fault::Sqlite(error) => write(error),
    })?;
    target.close().map_err(|(_, error)| write(error))?;
    partial.sync()?;
    Ok(copied)
}

enum Fault {
    Stopped,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn run(
    source: &Database,
    target: &mut Connection,
    copied: &mut Copied,
    page_size: u64,
    rate: u64,
    watch: &Watch,
) -> Result<(), Fault> {
    let start = Instant::now();
    let due = if rate == 0 { PAGES } else { (rate / 10 / page_size.max(1)).clamp(1, PAGES) };
    let pages = i32::try_from(due).unwrap_or(1);
    let backup = Backup::new(&source.connection, target)?;
    loop {
        let step = backup.step(pages)?;
        let progress = backup.progress();
        let (total, left) = (unsigned(progress.pagecount.into()), progress.remaining.into());
        copied.pages = total;
        let done = total.saturating_sub(unsigned(left)) * page_size;
        copied.wal_peak = copied.wal_peak.max(wal_size(&source.path));
        if !watch.goes_on(Phase::Copying, done, total * page_size) {
            return Err(Fault::Stopped);
        }
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => hold_back(start, done, rate, total * page_size, watch)?,
            // Busy: only another user of the copy's file could cause this, and there is none.
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Sleeps until `done` bytes are due at `rate`; calls the watch every 100 ms.
fn hold_back(start: Instant, done: u64, rate: u64, total: u64, watch: &Watch) -> Result<(), Fault> {
    if rate == 0 {
        return Ok(());
    }
    let millis = u128::from(done) * 1000 / u128::from(rate);
    let due = start + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    {
        std::thread::sleep(left.min(Duration::from_millis(100)));
        if !watch.goes_on(Phase::Copying, done, total) {
            return Err(Fault::Stopped);
        }
    }
    Ok(())
}

/// Opens the copy without a journal and without syncs: an unfinished copy is removed.
fn open_target(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let target = Connection::open_with_flags(path, flags)?;
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    target.pragma_update(None, "synchronous", "OFF")?;
    // Pages are written once and not read again.
    target.pragma_update(None, "cache_size", -512)?;
    Ok(target)
}

/// Checks for room before anything is written: the broker may write to the same volume.
fn has_room(path: &Path, needed: u64) -> Result<(), MaintenanceError> {
    match volume(path) {
        Some(volume) if volume.available_bytes < needed => Err(MaintenanceError::NoRoom {
            path: path.to_path_buf(),
            needed,
            available: volume.available_bytes,
        }),
        _ => Ok(()),
    }
}

/// Verifies a copy: SQLite's `quick_check`, and that it is a FerryMQ database.
pub(super) fn verify(path: &Path, source: &Path, watch: &Watch) -> Result<(), MaintenanceError> {
    let bad = |detail| MaintenanceError::BadCopy { path: source.to_path_buf(), detail };
    let mut copy = Database::open(path).map_err(|error| bad(error.to_string()))?;
    let application = pragma(&copy.connection, "application_id");
    if application.map_err(|error| bad(error.to_string()))? != APPLICATION_ID {
        return Err(bad("application_id".to_owned()));
    }
    let findings = super::check::structure(&mut copy.connection, "quick_check(1)", watch);
    let findings = findings.map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => {
            MaintenanceError::Interrupted { left: "no copy was made" }
        }
        _ => bad(error.to_string()),
    })?;
    findings.into_iter().next().map_or(Ok(()), |finding| Err(bad(finding)))
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}
