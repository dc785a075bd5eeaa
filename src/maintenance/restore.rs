//! Replaces the database by a backup, with the broker stopped.
//!
//! The order, so that a crash or a loss of power at any point loses nothing:
//! 1. The backup is copied to `DATABASE.restore-partial`, synced and checked. Nothing
//!    else has been touched.
//! 2. The copy is renamed to `DATABASE.restoring`. From here on a start is refused
//!    until a restore has ended: a database without its WAL, or one with the WAL of
//!    another, would be worse than none.
//! 3. The old database and its WAL are moved aside, together; its marks are removed.
//! 4. `DATABASE.restoring` is renamed to the database, which ends it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::access::Database;
use super::check;
use super::copy::{Partial, copy};
use super::error::MaintenanceError;
use super::place;
use super::watch::Watch;
use crate::store::{LockFile, OpenError, beside, directory_of, give_to_owner_of};

/// What to restore where.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The database, which need not exist.
    pub database: PathBuf,
    /// The backup. It is only read.
    pub backup: PathBuf,
    /// Remove what was there, instead of moving it aside.
    pub discard: bool,
}

/// What was restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restore {
    /// The database.
    pub database: String,
    /// What is in it now.
    pub backup: String,
    /// Size of the database.
    pub bytes: u64,
    /// Where the database that was there is now; `None` if there was none, or if it
    /// was discarded.
    pub kept_as: Option<String>,
    /// Durable sessions in it.
    pub sessions: u64,
    /// Messages in it.
    pub messages: u64,
    /// Deliveries in it.
    pub deliveries: u64,
    /// Retained messages in it.
    pub retained: u64,
}

/// Verifies the backup and puts it in the database's place.
///
/// # Errors
/// A broker is running; the backup is foreign, newer, damaged or not to be read; a
/// file cannot be written; the watch says stop. If anything but the last renames
/// fails, the database is as it was; if these do, the text names the file, and a
/// start is refused until a restore has ended.
pub fn restore(options: &RestoreOptions, watch: &Watch) -> Result<Restore, MaintenanceError> {
    let path = options.database.as_path();
    if let (Ok(backup), Ok(database)) = (options.backup.canonicalize(), path.canonicalize())
        && backup == database
    {
        return Err(MaintenanceError::BackupIsDatabase { path: options.backup.clone() });
    }
    let of_backup = |error| of_backup(error, &options.backup);
    let source = Database::open(&options.backup).map_err(of_backup)?;
    let directory = directory_of(path);
    std::fs::create_dir_all(directory)
        .map_err(|error| MaintenanceError::io("make", directory, error))?;
    let _lock = lock(path, "restore")?;
    let partial = Partial::create(beside(path, ".restore-partial"))?;
    let like = if path.exists() { path } else { options.backup.as_path() };
    let owner = if path.exists() { path } else { directory };
    partial
        .permit_as(like)
        .and_then(|()| give_to_owner_of(partial.path(), owner))
        .map_err(|error| MaintenanceError::io("write", partial.path(), error))?;
    let copied = copy(&source, &partial, 0, watch).map_err(of_backup)?;
    source.still_holds()?;
    let rows = sound(partial.path(), &options.backup, watch)?;
    let restoring = beside(path, ".restoring");
    place::put(partial.path(), &restoring, true)?;
    partial.keep();
    let kept = move_aside(path, &source, options.discard)?;
    place::put(&restoring, path, true)?;
    Ok(Restore {
        database: path.display().to_string(),
        backup: options.backup.display().to_string(),
        bytes: copied.bytes,
        kept_as: kept.map(|kept| kept.display().to_string()),
        sessions: rows.sessions,
        messages: rows.messages,
        deliveries: rows.deliveries,
        retained: rows.retained,
    })
}

/// The words for a database that a broker is to use would mislead.
fn of_backup(error: MaintenanceError, backup: &Path) -> MaintenanceError {
    let path = backup.to_path_buf();
    match error {
        MaintenanceError::Missing { .. } => MaintenanceError::MissingBackup { path },
        MaintenanceError::Empty { .. } => {
            MaintenanceError::DamagedBackup { path, detail: "it is empty".to_owned() }
        }
        MaintenanceError::Open(OpenError::Damaged { detail, .. }) => {
            MaintenanceError::DamagedBackup { path, detail }
        }
        MaintenanceError::Open(OpenError::Foreign { found, .. }) if is_cut_short(backup) => {
            MaintenanceError::DamagedBackup { path, detail: found }
        }
        MaintenanceError::Open(OpenError::Foreign { found, .. }) => {
            MaintenanceError::NoBackup { path, found }
        }
        other => other,
    }
}

/// True if all that is left of the file is the begin of SQLite's header.
fn is_cut_short(path: &Path) -> bool {
    const HEADER: u64 = 100;
    let begin = b"SQLite format 3\0";
    let Ok(bytes) = std::fs::metadata(path).map(|metadata| metadata.len()) else { return false };
    bytes < HEADER
        && std::fs::read(path).is_ok_and(|read| read.iter().zip(begin).all(|(a, b)| a == b))
}

/// Takes the lock that keeps brokers out.
pub(super) fn lock(path: &Path, to: &'static str) -> Result<LockFile, MaintenanceError> {
    LockFile::acquire(path).map_err(|error| match error {
        OpenError::Locked { path, pid } => MaintenanceError::InUse { path, pid, to },
        error => error.into(),
    })
}

/// The full check, on the copy that is going to be used; told of the backup.
fn sound(copy: &Path, backup: &Path, watch: &Watch) -> Result<check::Rows, MaintenanceError> {
    let report = check::check(copy, watch)?;
    match report.findings.iter().find(|finding| finding.severity == check::Severity::Damage) {
        None => Ok(report.rows),
        Some(finding) => {
            let (path, detail) = (backup.to_path_buf(), finding.detail.clone());
            Err(MaintenanceError::DamagedBackup { path, detail })
        }
    }
}

/// The database and its WAL, under a name that SQLite reads together. What belongs to
/// the old file alone is removed.
fn move_aside(
    path: &Path,
    any: &Database,
    discard: bool,
) -> Result<Option<PathBuf>, MaintenanceError> {
    place::remove_if_there(&beside(path, ".damaged"))?;
    if discard {
        place::remove_if_there(&beside(path, "-wal"))?;
        place::remove_if_there(&beside(path, "-shm"))?;
        place::sync_directory_of(path)?;
        return Ok(None);
    }
    let kept = free_name(path, &now(any)?);
    place::move_if_there(&beside(path, "-wal"), &beside(&kept, "-wal"))?;
    place::move_if_there(&beside(path, "-shm"), &beside(&kept, "-shm"))?;
    let moved = place::move_if_there(path, &kept)?;
    place::sync_directory_of(path)?;
    Ok(moved.then_some(kept))
}

/// Two restores within one second must not meet.
fn free_name(path: &Path, time: &str) -> PathBuf {
    let name = |suffix: &str| beside(path, &format!(".before-restore-{time}{suffix}"));
    let mut names = std::iter::once(name("")).chain((2..).map(|n| name(&format!("-{n}"))));
    names.find(|name| !name.exists()).unwrap_or_else(|| name(""))
}

/// `20261124T143522Z`: SQLite has a calendar.
fn now(any: &Database) -> Result<String, MaintenanceError> {
    any.connection
        .query_row("SELECT strftime('%Y%m%dT%H%M%SZ', 'now')", [], |row| row.get(0))
        .map_err(|source| any.failed(source))
}
