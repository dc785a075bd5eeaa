//! Maintenance errors. Each text says what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::store::OpenError;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// What a start would say as well: foreign, newer, damaged, not to be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no file.
    #[error("{path} does not exist")]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A directory, a device, a pipe.
    #[error("{path} is {kind} and no file: name the database file itself")]
    NotAFile {
        /// Which.
        path: PathBuf,
        /// With its article.
        kind: &'static str,
    },
    /// A file without contents, or a database without tables.
    #[error("{path} is empty: no broker has used it yet")]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// A running broker, or another tool.
    #[error("{path} is in use by the process {pid}: stop it before you {to}")]
    InUse {
        /// The database.
        path: PathBuf,
        /// As its holder wrote it.
        pid: String,
        /// What was to be done.
        to: &'static str,
    },
    /// A hard link: its WAL stands beside the other name.
    #[error(
        "{path} is in use by the process {pid}, which has opened it by another name: use that name"
    )]
    OtherName {
        /// The name that was given.
        path: PathBuf,
        /// The holder, as the kernel tells it.
        pid: String,
    },
    /// There are commits in the WAL, and SQLite cannot make what it needs to read them.
    #[error(
        "{path}: its -wal file holds {wal_bytes} bytes that belong to it, and cannot be read here ({source}): copy both files to a directory that is writable for this user, and look at the copy"
    )]
    WalUnreadable {
        /// The database.
        path: PathBuf,
        /// Size of the -wal file.
        wal_bytes: u64,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// Read without locks, since nobody had it open; then somebody did.
    #[error("{path} was taken into use while it was being read: do it again")]
    Changed {
        /// The database.
        path: PathBuf,
    },
    /// Some other program locks it.
    #[error("{path} is locked by another program: end that one (an open sqlite3?) and try again")]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// Reading or writing it failed.
    #[error("cannot {what} {path}: {source}")]
    Sqlite {
        /// A verb.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// A file beside the database, a backup or a directory.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// A verb.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The copy would not fit.
    #[error(
        "{path} needs {needed} bytes, {available} are available on its volume: make room first"
    )]
    NoRoom {
        /// What was to be written.
        path: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        available: u64,
    },
    /// It is there already.
    #[error("{path} exists: give another name, or --force to replace it")]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A backup that is to be written to a directory, a device, a link.
    #[error("{path} is {kind}: give the backup a file name of its own")]
    TargetNotAFile {
        /// The target.
        path: PathBuf,
        /// With its article.
        kind: &'static str,
    },
    /// A backup over the database that is being saved.
    #[error("{path} belongs to the database itself: give the backup a name of its own")]
    TargetIsDatabase {
        /// The target.
        path: PathBuf,
    },
    /// There is nothing to restore.
    #[error("the backup {path} does not exist")]
    MissingBackup {
        /// What was named.
        path: PathBuf,
    },
    /// What was to be restored is damaged.
    #[error(
        "the backup {path} is damaged ({detail}): the database was not touched; restore another backup"
    )]
    DamagedBackup {
        /// The backup.
        path: PathBuf,
        /// The first finding.
        detail: String,
    },
    /// What was to be restored is no backup.
    #[error(
        "{path} is no backup of FerryMQ ({found}): name a file that `ferrymq db backup` has made"
    )]
    NoBackup {
        /// What was named.
        path: PathBuf,
        /// What it seems to be.
        found: String,
    },
    /// A restore of the database onto itself.
    #[error("{path} is the database itself: name a backup of it")]
    BackupIsDatabase {
        /// What was named.
        path: PathBuf,
    },
    /// What was written does not read back.
    #[error(
        "a copy of {path} was made and is not sound ({detail}): it was removed; `ferrymq db check` tells whether the database is damaged, otherwise look at the disk of the copy"
    )]
    BadCopy {
        /// The source.
        path: PathBuf,
        /// The first finding.
        detail: String,
    },
    /// No such session.
    #[error("{path} has no session of the client {client_id:?}; `ferrymq db queues` lists them")]
    NoSession {
        /// The database.
        path: PathBuf,
        /// As it was given.
        client_id: String,
    },
    /// Somebody wanted it to stop.
    #[error("interrupted: {left}")]
    Interrupted {
        /// In what state everything is.
        left: &'static str,
    },
}

impl MaintenanceError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_path_buf(), source }
    }

    /// Sorts what SQLite reports: damage and missing rights have the same line as at a
    /// start.
    pub(super) fn sqlite(what: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::CannotOpen) => {
                OpenError::from_sqlite(path, source).into()
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { path: path.to_path_buf() }
            }
            Some(ErrorCode::OperationInterrupted) => {
                Self::Interrupted { left: "nothing was changed" }
            }
            _ => Self::Sqlite { what, path: path.to_path_buf(), source },
        }
    }
}
