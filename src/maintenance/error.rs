//! Errors of maintenance. Each text says what failed, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::store::OpenError;

/// Why maintenance failed.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// An error that a start would also report: foreign, newer, damaged or unreadable.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database file is missing.
    #[error("{path} does not exist")]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The path is a directory, a device or a pipe.
    #[error("{path} is {kind} and no file: name the database file itself")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// The kind of file, with its article.
        kind: &'static str,
    },
    /// The file is empty, or the database has no tables.
    #[error("{path} is empty: no broker has used it yet")]
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// A running broker or another tool has the database open.
    #[error("{path} is in use by the process {pid}: stop it before you {to}")]
    InUse {
        /// The database.
        path: PathBuf,
        /// The process identifier that the holder wrote into the lock file.
        pid: String,
        /// The operation that was refused.
        to: &'static str,
    },
    /// The path is a hard link, and the WAL stands beside the other name.
    #[error(
        "{path} is in use by the process {pid}, which has opened it by another name: use that name"
    )]
    OtherName {
        /// The given path.
        path: PathBuf,
        /// The holder's process identifier, from the kernel.
        pid: String,
    },
    /// The WAL holds commits, and SQLite cannot create the files that it needs to read them.
    #[error(
        "{path}: its -wal file holds {wal_bytes} bytes that belong to it, and cannot be read here ({source}): copy both files to a directory that is writable for this user, and look at the copy"
    )]
    WalUnreadable {
        /// The database.
        path: PathBuf,
        /// Size of the -wal file in bytes.
        wal_bytes: u64,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// The database was opened by a process while it was read without locks.
    #[error("{path} was opened by a broker while it was being read: run the command again")]
    Changed {
        /// The database.
        path: PathBuf,
    },
    /// Another program locks the database.
    #[error("{path} is locked by another program: end that one (an open sqlite3?) and try again")]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// Reading or writing the database failed.
    #[error("cannot {what} {path}: {source}")]
    Sqlite {
        /// The operation, as a verb.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// An I/O error on a file beside the database, a backup or a directory.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The volume has no room for the copy.
    #[error(
        "{path} needs {needed} bytes, {available} are available on its volume: make room first"
    )]
    NoRoom {
        /// The file that was to be written.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
    /// The target exists.
    #[error("{path} exists: give another name, or --force to replace it")]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The target of a backup is a directory, a device or a link.
    #[error("{path} is {kind}: give the backup a file name of its own")]
    TargetNotAFile {
        /// The target.
        path: PathBuf,
        /// The kind of file, with its article.
        kind: &'static str,
    },
    /// The target of a backup is the database that is being saved.
    #[error("{path} belongs to the database itself: give the backup a name of its own")]
    TargetIsDatabase {
        /// The target.
        path: PathBuf,
    },
    /// The backup to restore does not exist.
    #[error("the backup {path} does not exist")]
    MissingBackup {
        /// The given path.
        path: PathBuf,
    },
    /// The backup to restore is damaged.
    #[error(
        "the backup {path} is damaged ({detail}): the database was not touched; restore another backup"
    )]
    DamagedBackup {
        /// The backup.
        path: PathBuf,
        /// The first finding.
        detail: String,
    },
    /// The file to restore is not a backup.
    #[error(
        "{path} is no backup of FerryMQ ({found}): name a file that `ferrymq db backup` has made"
    )]
    NoBackup {
        /// The given path.
        path: PathBuf,
        /// What the file seems to be.
        found: String,
    },
    /// The backup to restore is the database itself.
    #[error("{path} is the database itself: name a backup of it")]
    BackupIsDatabase {
        /// The given path.
        path: PathBuf,
    },
    /// The copy did not pass verification.
    #[error(
        "a copy of {path} was made and is not sound ({detail}): it was removed; `ferrymq db check` tells whether the database is damaged, otherwise look at the disk of the copy"
    )]
    BadCopy {
        /// The source.
        path: PathBuf,
        /// The first finding.
        detail: String,
    },
    /// The client has no session.
    #[error("{path} has no session of the client {client_id:?}; `ferrymq db queues` lists them")]
    NoSession {
        /// The database.
        path: PathBuf,
        /// The client identifier, as given.
        client_id: String,
    },
    /// The watch requested a stop.
    #[error("interrupted: {left}")]
    Interrupted {
        /// The state in which the stop left the files.
        left: &'static str,
    },
}

impl MaintenanceError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_path_buf(), source }
    }

    /// Converts an error of SQLite. Damage and missing permissions have the same text as at a
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
