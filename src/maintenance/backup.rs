//! Copies the database into one file, also beside a running broker.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::access::{Access, Database};
use super::copy::{Partial, copy, verify};
use super::error::MaintenanceError;
use super::place;
use super::watch::Watch;
use crate::store::{beside, directory_of};

/// Source and target of a backup.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// The database.
    pub database: PathBuf,
    /// The backup file to create.
    pub target: PathBuf,
    /// Replace an existing file.
    pub force: bool,
    /// Bytes a second, 0 for no limit.
    pub rate: u64,
}

/// The result of a backup.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    /// The source.
    pub database: String,
    /// The backup.
    pub backup: String,
    /// How the source was read.
    pub access: Access,
    /// Size of the backup in bytes.
    pub bytes: u64,
    /// Pages copied.
    pub pages: u64,
    /// Duration in milliseconds, including verification.
    pub milliseconds: u64,
    /// Size in bytes of the source's write-ahead log when the backup began.
    pub wal_before_bytes: u64,
    /// Largest size seen of that log during the backup, in bytes.
    pub wal_peak_bytes: u64,
}

/// Copies the database into `target.partial`, syncs and verifies it, and renames it. The
/// backup holds everything that was committed before the call.
///
/// # Errors
/// The database cannot be opened or read; the target exists, is part of the database or cannot
/// be written; the watch requests a stop. Then no file has the target's name.
pub fn backup(options: &BackupOptions, watch: &Watch) -> Result<Backup, MaintenanceError> {
    let start = Instant::now();
    let target = options.target.as_path();
    may_be_written(target, &options.database, options.force)?;
    let source = Database::open(&options.database)?;
    let partial = beside(target, ".partial");
    if belongs_to(&partial, &options.database) {
        return Err(MaintenanceError::TargetIsDatabase { path: partial });
    }
    let partial = Partial::create(partial)?;
    partial
        .permit_as(&options.database)
        .map_err(|error| MaintenanceError::io("write", partial.path(), error))?;
    let copied = copy(&source, &partial, options.rate, watch)?;
    source.still_holds()?;
    verify(partial.path(), &options.database, watch)?;
    place::put(partial.path(), target, options.force)?;
    partial.keep();
    Ok(Backup {
        database: options.database.display().to_string(),
        backup: target.display().to_string(),
        access: source.access,
        bytes: copied.bytes,
        pages: copied.pages,
        milliseconds: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        wal_before_bytes: copied.wal_before,
        wal_peak_bytes: copied.wal_peak,
    })
}

/// Refuses a target that must not be overwritten, before the copy begins.
fn may_be_written(target: &Path, database: &Path, force: bool) -> Result<(), MaintenanceError> {
    let path = target.to_path_buf();
    if belongs_to(target, database) {
        return Err(MaintenanceError::TargetIsDatabase { path });
    }
    match std::fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => {
            Err(MaintenanceError::TargetNotAFile { path, kind: "a directory" })
        }
        Ok(metadata) if !metadata.is_file() => {
            Err(MaintenanceError::TargetNotAFile { path, kind: "a link, device, pipe or socket" })
        }
        Ok(_) if !force => Err(MaintenanceError::Exists { path }),
        _ => Ok(()),
    }
}

/// True if the target is the database or a file that the broker keeps beside it.
fn belongs_to(target: &Path, database: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let same = |a: &Path, b: &Path| identity(a).is_some() && identity(a) == identity(b);
    if target == database || same(target, database) {
        return true;
    }
    let near = same(directory_of(target), directory_of(database));
    ["-wal", "-shm", "-journal", ".lock", ".reserve", ".damaged", ".restoring"]
        .iter()
        .any(|suffix| near && beside(database, suffix).file_name() == target.file_name())
}
