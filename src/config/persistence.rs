//! `[persistence]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{AutoSize, ByteSize, Span};

/// What an acknowledgement to a publisher promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On disk: survives a killed process and a power cut.
    #[default]
    Fsync,
    /// Committed: survives a killed process, not a power cut.
    Commit,
    /// Accepted: messages of the last `flush_interval` may be lost.
    Async,
}

impl Durability {
    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Commit => "commit",
            Self::Async => "async",
        }
    }
}

/// Who copies the write-ahead log back into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checkpoints {
    /// The broker.
    #[default]
    Own,
    /// Another program that replicates the log, such as Litestream; the broker only past
    /// `wal_limit`.
    External,
}

/// `[persistence]`: the database file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// False: all data is in memory, and nothing survives the process.
    pub enabled: bool,
    /// The database; `-wal` and `-shm` files stand beside it.
    pub path: PathBuf,
    /// Whether a missing database is created; if false, the broker refuses to start without
    /// one.
    pub create: bool,
    /// `fsync`, `commit` or `async`.
    pub durability: Durability,
    /// How often a database with durability `async` commits, 1ms to 1m.
    pub flush_interval: Span,
    /// How long a message is held back from the disk if all its receivers are online and
    /// answer quickly, 0s to 10ms. If they acknowledge it meanwhile, it is never written.
    pub elision_window: Span,
    /// Largest size of the database, at least 1MiB. Set it well below the size of the volume.
    pub max_size: ByteSize,
    /// WAL size past which the next checkpoint truncates it, at least 1MiB.
    pub wal_limit: ByteSize,
    /// Pages of 8KiB in the WAL past which a checkpoint copies them back, 1 to `wal_limit`.
    pub wal_checkpoint_pages: u32,
    /// `own` or `external`.
    pub checkpoints: Checkpoints,
    /// SQLite's page cache for each of its connections, 64KiB to 64GiB. `auto`: 8MiB, or
    /// a sixty-fourth of the memory if that is less.
    pub cache_size: AutoSize,
    /// Check the file for damage after an unclean stop.
    pub quick_check: bool,
    /// Size of a file beside the database that is removed when the volume is full, so that
    /// deletes still work; at most `max_size`, 0 for none.
    pub reserve_size: ByteSize,
    /// Writes waiting for the database past which publishers are slowed, 1 to 100,000,000.
    pub max_pending: usize,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            enabled: true,
            path: PathBuf::from("data/ferrymq.db"),
            create: true,
            durability: Durability::Fsync,
            flush_interval: Span::seconds(1),
            elision_window: Span::millis(5),
            max_size: ByteSize::gib(10),
            wal_limit: ByteSize::mib(256),
            wal_checkpoint_pages: 4000,
            checkpoints: Checkpoints::Own,
            cache_size: AutoSize::Auto,
            quick_check: true,
            reserve_size: ByteSize::mib(1),
            max_pending: 200_000,
        }
    }
}
