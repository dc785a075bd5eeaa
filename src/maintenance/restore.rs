//! Replaces the database with a backup, with the broker stopped.
//!
//! The order of steps makes sure that a crash or a power cut at any point loses nothing:
//! 1. The backup is copied to `DATABASE.restore-partial`, synced and checked. Nothing else has
//!    changed yet.
//! 2. The copy is renamed to `DATABASE.restoring`. From here on the broker refuses to start
//!    until a restore has completed: it would find a database without its WAL, or with
//!    another's.
//! 3. The old database and its WAL are moved aside; its marks are removed.
//! 4. `DATABASE.restoring` is renamed to the database.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::access::Database;
use super::check;
use super::copy::{Partial, copy};
use super::error::MaintenanceError;
use super::place;
use super::watch::Watch;
use crate::store::{LockFile, OpenError, beside, directory_of, give_to_owner_of};

/// Source and target of a restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The database, which need not exist.
    pub database: PathBuf,
    /// The backup, which is only read.
    pub backup: PathBuf,
    /// Remove the old database instead of moving it aside.
    pub discard: bool,
}

/// The result of a restore.
#[derive(Debug, Clone, Serialize)]
pub struct Restore {
    /// The database.
    pub database: String,
    /// The backup that was restored.
    pub backup: String,
    /// Size of the database in bytes.
    pub bytes: u64,
    /// New path of the old database; `None` if there was none, or if it was discarded.
    pub kept_as: Option<String>,
    /// Number of durable sessions restored.
    pub sessions: u64,
    /// Number of messages restored.
    pub messages: u64,
    /// Number of deliveries restored.
    pub deliveries: u64,
    /// Number of retained messages restored.
    pub retained: u64,
    /// Number of dead letters restored.
    pub dead_letters: u64,
}

/// Verifies the backup and puts it in the database's place.
///
/// # Errors
/// A broker is running; the backup is foreign, newer, damaged or unreadable; a file cannot be
/// written; the watch requests a stop. If a step before the last renames fails, the database
/// is unchanged. If one of these fails, the error names the file, and the broker refuses to
/// start until a restore has completed.
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
        dead_letters: rows.dead_letters,
    })
}

/// Rewords errors for a backup: the texts for a database that a broker uses would mislead.
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

/// True if the file holds only the beginning of SQLite's header.
fn is_cut_short(path: &Path) -> bool {
    const HEADER: u64 = 100;
    let begin = b"SQLite format 3\0";
    let Ok(bytes) = std::fs::metadata(path).map(|metadata| metadata.len()) else { return false };
    bytes < HEADER
        && std::fs::read(path).is_ok_and(|read| read.iter().zip(begin).all(|(a, b)| a == b))
}

/// Takes the lock that excludes brokers.
pub(super) fn lock(path: &Path, to: &'static str) -> Result<LockFile, MaintenanceError> {
    LockFile::acquire(path).map_err(|error| match error {
        OpenError::Locked { path, pid } => MaintenanceError::InUse { path, pid, to },
        error => error.into(),
    })
}

/// Runs the full check on the copy; an error names the backup.
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

/// Renames the database and its WAL so that SQLite can open them together under the new name.
/// Marks that belong only to the old file are removed.
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

/// A free name, since two restores may happen within one second.
fn free_name(path: &Path, time: &str) -> PathBuf {
    let name = |suffix: &str| beside(path, &format!(".before-restore-{time}{suffix}"));
    let mut names = std::iter::once(name("")).chain((2..).map(|n| name(&format!("-{n}"))));
    names.find(|name| !name.exists()).unwrap_or_else(|| name(""))
}

/// The time as `20261124T143522Z`, computed by SQLite.
fn now(any: &Database) -> Result<String, MaintenanceError> {
    any.connection
        .query_row("SELECT strftime('%Y%m%dT%H%M%SZ', 'now')", [], |row| row.get(0))
        .map_err(|source| any.failed(source))
}
