//! The store's errors, classified by what the caller can do about them.

use std::path::PathBuf;

/// Why the store could not be opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another broker has it open.
    #[error(
        "{path} is in use by the process {pid}: stop it, or give this broker a database of its own"
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// The process id that the holder wrote to the lock file.
        pid: String,
    },
    /// An SQLite database of another application, or not a database.
    #[error(
        "{path} is not a FerryMQ database ({found}): it was not touched; set persistence.path to another file"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What the file appears to be.
        found: String,
    },
    /// Written by a later release.
    #[error(
        "{path} has schema version {found}, this release knows up to {known}: run the release that wrote it, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's `user_version`.
        found: i64,
        /// The newest version that this release supports.
        known: i64,
    },
    /// SQLite found damage in the file's structure.
    #[error(
        "{path} is damaged ({detail}): keep a copy of it and of its -wal file, then put a backup in its place with `ferrymq db restore FILE`, or move it away to start empty"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first finding.
        detail: String,
    },
    /// A restore was interrupted between two renames.
    #[error(
        "a restore of {path} was interrupted: run `ferrymq db restore` again; it keeps what is there, the database that was there before stands beside it as {path}.before-restore-..."
    )]
    Unfinished {
        /// The database.
        path: PathBuf,
    },
    /// The path is a directory, a device or a pipe.
    #[error("{path} is {kind} and no file: set persistence.path to the database file itself")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A WAL exists without the database that it belongs to.
    #[error(
        "{path} is {state}, but its {log} is there: put the database back, or restore a backup with `ferrymq db restore FILE`, or move {path}{log} away to start empty"
    )]
    Orphaned {
        /// The database.
        path: PathBuf,
        /// What was found at the path: "missing" or "empty".
        state: &'static str,
        /// The suffix of the log's file name.
        log: &'static str,
    },
    /// The directory or a file cannot be created, read or locked.
    #[error("{path}: {source}: check that the volume is mounted and writable for this user")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The system does not let this process start another thread.
    #[error(
        "no thread could be started for {path}: {source}: raise the limit of processes (--pids-limit, TasksMax, ulimit -u) or give the machine more memory"
    )]
    Thread {
        /// The database.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The database can be read, but not written.
    #[error(
        "{path} cannot be written ({detail}): check that file and directory are writable for this user, and the volume too"
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// SQLite's message.
        detail: String,
    },
    /// SQLite could not open the file, most often because permissions are missing.
    #[error(
        "{path} cannot be opened ({source}): check that it is a file, that file and directory are readable and writable for this user, and that the volume is mounted"
    )]
    Unopened {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The database does not exist, and `create` is false.
    #[error(
        "{path} {found}, and persistence.create is false: mount the volume that holds the database, correct persistence.path, or set persistence.create = true to begin with a new one"
    )]
    NoDatabase {
        /// Where it was expected.
        path: PathBuf,
        /// What was found instead.
        found: &'static str,
    },
    /// Any other error from SQLite.
    #[error("cannot open {path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(super) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }
}

/// Why a submission was not accepted. Its vectors are unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The store failed earlier; nothing is acknowledged any more.
    #[error("the store has failed and accepts nothing more")]
    Poisoned,
    /// [`super::Store::shutdown`] was called.
    #[error("the store is closed")]
    Closed,
    /// The deadline passed, or the disk is full.
    #[error("not everything could be committed in time")]
    TimedOut,
}

/// Why part of a queue, or dead letters, could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PageError {
    /// SQLite's message.
    #[error("cannot read the database: {0}")]
    Read(String),
    /// The store is shut down or poisoned.
    #[error("the store is closed")]
    Closed,
}
