//! Finds the process that has the database open, without disturbing it.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::store::{beside, follow, locked_by, open_to_lock};

/// The process that holds the lock: a broker, or a tool that writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// As it wrote it into the lock file; `None` if it had not done so yet. In a
    /// container it counts in that container's numbers.
    pub pid: Option<u32>,
}

/// Looks at the lock file; makes none. `None`: nobody, or the lock file may not be
/// read.
///
/// For a moment it takes a shared lock, since only that sees holders in other
/// containers too. A broker that starts in this moment tries again
/// (`store/lock.rs`).
pub fn holder(database: &Path) -> Option<Holder> {
    let mut file = File::open(beside(&follow(database), ".lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without its number it is a holder all the same.
            let _ = file.read_to_string(&mut text);
            Some(Holder { pid: text.trim().parse().ok() })
        }
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// Whoever has the database open by another name (a hard link), with another lock file
/// and another WAL. To be asked only where [`holder`] has found nobody, so that this
/// process is not the holder: closing the file would take SQLite's locks from it.
pub(super) fn holder_by_another_name(database: &Path) -> Option<Holder> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata(database).ok()?.nlink() < 2 {
        return None;
    }
    let file = open_to_lock(database)?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(Holder { pid: locked_by(&file) }),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}
