//! Who has the database open, without getting in anybody's way.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::store::beside;

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
    let mut file = File::open(beside(database, ".lock")).ok()?;
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
