//! Finds the process that has the database open, without interfering with it.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::store::{beside, follow, locked_by, open_to_lock};

/// The process that holds the lock: a broker, or a tool that writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The process identifier from the lock file; `None` if the holder has not written it yet.
    /// If the holder runs in a container, it is that container's number.
    pub pid: Option<u32>,
}

/// Reads the lock file, without creating it. `None`: no holder, or the lock file cannot be
/// read.
///
/// Takes a shared lock for a moment, since only a lock detects holders in other containers. A
/// broker that starts in this moment tries again (`store/sqlite/lock.rs`).
pub fn holder(database: &Path) -> Option<Holder> {
    let mut file = File::open(beside(&follow(database), ".lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without a number it is still a holder.
            let _ = file.read_to_string(&mut text);
            Some(Holder { pid: text.trim().parse().ok() })
        }
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// The process that has the database open by another name (a hard link), with another lock
/// file and another WAL. Call it only if [`holder`] has returned `None`, so that this process
/// is not the holder: closing the file would release SQLite's locks of this process.
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
