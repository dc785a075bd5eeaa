//! Opens a database for reading, in one of three ways:
//! - beside a running broker: as any reader of a WAL database, with the `-wal` and `-shm`
//!   files that the broker has made;
//! - without a broker, with commits in the WAL (after a crash): the same, and SQLite makes the
//!   `-shm` file if it is missing;
//! - without a broker and with an empty WAL: `immutable=1`, without locks and without making a
//!   file, so also on a read-only volume. [`Database::still_holds`] checks afterwards that no
//!   process has opened the file meanwhile.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::error::MaintenanceError;
use super::holder::{Holder, holder, holder_by_another_name};
use crate::store::{beside, follow, identify};

/// SQLite waits this long for a lock that a checkpoint or a recovery holds.
const BUSY: Duration = Duration::from_secs(5);

/// How the database is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Beside a process that has it open.
    Live,
    /// No process has it open; the WAL holds commits, which are read with it.
    WithWal,
    /// No process has it open and the WAL is empty: read as a file that does not change.
    Immutable,
}

/// A read-only connection to a FerryMQ database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) access: Access,
    pub(super) holder: Option<Holder>,
    stamp: Stamp,
}

/// Metadata that a write to the file would change.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    wal: u64,
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            wal: wal_size(path),
        })
    }
}

impl Database {
    /// Opens the database in the way that fits, and checks that it belongs to FerryMQ.
    pub(super) fn open(path: &Path) -> Result<Self, MaintenanceError> {
        let path = &follow(path);
        must_be_a_file(path)?;
        let holder = holder(path);
        if holder.is_none()
            && let Some(Holder { pid }) = holder_by_another_name(path)
        {
            let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            return Err(MaintenanceError::OtherName { path: path.clone(), pid });
        }
        let stamp = Stamp::of(path).map_err(|source| MaintenanceError::io("read", path, source))?;
        if stamp.size == 0 && stamp.wal == 0 {
            return Err(MaintenanceError::Empty { path: path.clone() });
        }
        let access = match (&holder, stamp.wal) {
            (Some(_), _) => Access::Live,
            (None, 0) => Access::Immutable,
            (None, _) => Access::WithWal,
        };
        let connection = connect(path, access)
            .map_err(|source| MaintenanceError::sqlite("open", path, source))?;
        let empty = identify(&connection, path).map_err(|error| explain(error, path, &stamp))?;
        if empty {
            return Err(MaintenanceError::Empty { path: path.clone() });
        }
        Ok(Self { connection, path: path.clone(), access, holder, stamp })
    }

    /// Call this after all reads. Fails if the database was read without locks and a process
    /// has opened it meanwhile.
    pub(super) fn still_holds(&self) -> Result<(), MaintenanceError> {
        let same = || {
            holder(&self.path).is_none()
                && Stamp::of(&self.path).is_ok_and(|stamp| stamp == self.stamp)
        };
        if self.access != Access::Immutable || same() {
            Ok(())
        } else {
            Err(MaintenanceError::Changed { path: self.path.clone() })
        }
    }

    /// Converts an error of a read.
    pub(super) fn failed(&self, source: rusqlite::Error) -> MaintenanceError {
        MaintenanceError::sqlite("read", &self.path, source)
    }
}

/// Size of the database's `-wal` file in bytes, 0 if it is missing.
pub(super) fn wal_size(database: &Path) -> u64 {
    std::fs::metadata(beside(database, "-wal")).map_or(0, |metadata| metadata.len())
}

fn must_be_a_file(path: &Path) -> Result<(), MaintenanceError> {
    let kind = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return Ok(()),
        Ok(metadata) if metadata.is_dir() => "a directory",
        Ok(_) => "a device, pipe or socket",
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(MaintenanceError::Missing { path: path.to_path_buf() });
        }
        Err(error) => return Err(MaintenanceError::io("read", path, error)),
    };
    Err(MaintenanceError::NotAFile { path: path.to_path_buf(), kind })
}

fn connect(path: &Path, access: Access) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if access == Access::Immutable {
        Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(path, flags)?
    };
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    // A container may have no directory for temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The file may be untrusted: its views must not call functions with side effects.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// `file:PATH?immutable=1`, with all special characters of a URI escaped.
fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = String::from("file:");
    // Two leading slashes would begin a host name.
    if path.as_os_str().as_bytes().starts_with(b"//") {
        uri.push_str("//");
    }
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?immutable=1"
}

/// Names an unreadable WAL in the error: SQLite only says "unable to open database file".
fn explain(error: crate::store::OpenError, path: &Path, stamp: &Stamp) -> MaintenanceError {
    match error {
        crate::store::OpenError::Unopened { source, .. } if stamp.wal > 0 => {
            MaintenanceError::WalUnreadable {
                path: path.to_path_buf(),
                wal_bytes: stamp.wal,
                source,
            }
        }
        crate::store::OpenError::Sqlite { source, .. } => {
            MaintenanceError::sqlite("read", path, source)
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_not_taken_for_the_parts_of_a_uri() {
        let uri = immutable_uri(Path::new("a b/100%?x=1#.db"));
        assert_eq!(uri, "file:a%20b/100%25%3Fx%3D1%23.db?immutable=1");
    }
}
