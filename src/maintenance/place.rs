//! Replaces a file atomically: a crash leaves the old state or the new one.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::error::MaintenanceError;
use crate::store::directory_of;

/// Renames a file, with `replace` over an existing one, and syncs the directory.
pub(super) fn put(from: &Path, to: &Path, replace: bool) -> Result<(), MaintenanceError> {
    let renamed = if replace { std::fs::rename(from, to) } else { without_replacing(from, to) };
    renamed.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => MaintenanceError::Exists { path: to.to_path_buf() },
        _ => MaintenanceError::io("write", to, source),
    })?;
    sync_directory_of(to)
}

fn without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not support the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !to.exists() => {
            std::fs::rename(from, to)
        }
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            Err(io::ErrorKind::AlreadyExists.into())
        }
        result => result.map_err(io::Error::from),
    }
}

/// Moves a file; returns false if it does not exist.
pub(super) fn move_if_there(from: &Path, to: &Path) -> Result<bool, MaintenanceError> {
    match std::fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(MaintenanceError::io("move", from, error)),
    }
}

/// Removes a file if it exists.
pub(super) fn remove_if_there(path: &Path) -> Result<(), MaintenanceError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(MaintenanceError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Syncs the directory of `path`, so that a rename in it is on disk.
pub(super) fn sync_directory_of(path: &Path) -> Result<(), MaintenanceError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| MaintenanceError::io("sync the directory", directory, source))
}
