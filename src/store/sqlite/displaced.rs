//! Detects files that are moved, removed or replaced while the broker has them open.
//!
//! Renamed or not, the files stay open, and the open WAL has everything that was acknowledged.
//! It is copied into the open database once more, so that a moved file is complete. Then the
//! broker ends; the error says what to put where before the next start.

use super::files::{beside, identity};
use super::{SqliteEngine, checkpoint};

impl SqliteEngine {
    /// Called after each commit, before it is published: if the files were no longer those at
    /// their paths, what is acknowledged from here on would be lost with the process. It costs
    /// two calls of `stat`, compared with at least a write and usually an fsync for the
    /// commit.
    pub(super) fn is_in_place(&self) -> Result<(), String> {
        if !self.space.is_in_place() {
            return Err(self.database_is_gone());
        }
        if self.checkpointer.is_log_in_place() {
            return Ok(());
        }
        let rest = if self.save_log() {
            "what it held is in the database"
        } else {
            "what it held could not be copied into the database"
        };
        Err(format!("the write-ahead log (-wal) has been removed or replaced; {rest}"))
    }

    /// Copies the WAL into the open database, and waits for readers. True if everything was
    /// copied.
    fn save_log(&self) -> bool {
        matches!(checkpoint::copy_all(&self.connection), Ok(true))
    }

    fn database_is_gone(&self) -> String {
        let saved = self.save_log();
        let path = self.space.path();
        let (wal, database) = (beside(path, "-wal"), path.display());
        let (log, held) = (wal.display(), "what its write-ahead log (-wal) held");
        let rest = if saved { "has been copied into it" } else { "could not be copied into it" };
        let now = self.lock.database_is_at();
        let place = match &now {
            Some(now) => format!("it is now {}, and {held} {rest}", now.display()),
            None => "it has no name any more, or is on another volume".to_owned(),
        };
        let advice = if identity(path).is_some() {
            // The WAL does not belong to the new file, but the next start would apply it
            // there.
            if saved && checkpoint::truncate(&self.connection).is_ok_and(|cut| cut) {
                format!("another file stands at {database}: a restart uses that one")
            } else {
                format!(
                    "another file stands at {database}: before a restart move that one away and \
                     put this one back, or move {log} away, which does not belong to it"
                )
            }
        } else if now.is_some() {
            format!("put it back at {database}, together with {log}, and start again")
        } else {
            format!(
                "put it back at {database}, together with {log}, or restore a backup with \
                 `ferrymq db restore FILE`"
            )
        };
        format!("the database file has been moved, removed or replaced: {place}; {advice}")
    }
}
