//! The store's configuration, with defaults that keep the durability guarantees.

use std::path::PathBuf;
use std::time::Duration;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DurabilityMode {
    /// Survives a loss of power: COMMIT returns after fsync.
    #[default]
    Fsync,
    /// Survives a killed process: COMMIT returns when the kernel has the data.
    Commit,
    /// As `Commit`, but with one commit per `flush_interval`; nothing may wait for it.
    Async,
}

/// Which program checkpoints the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpoints {
    /// The store checkpoints, and may truncate the WAL at any time.
    #[default]
    Own,
    /// Another program follows the WAL and checkpoints it. The store checkpoints only past
    /// `wal_limit`, and never truncates.
    External,
}

/// How the store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The database file; `-wal`, `-shm`, `.lock` and `.reserve` are beside it.
    pub path: PathBuf,
    /// Whether a missing database is created. If not, a missing database is an error.
    pub create: bool,
    /// See [`DurabilityMode`].
    pub durability: DurabilityMode,
    /// Time between commits in [`DurabilityMode::Async`].
    pub flush_interval: Duration,
    /// How long a held message waits for its receivers before it is written. Limited to 10 ms:
    /// beyond that, a receiver that stopped answering delays its publisher more than the write
    /// does.
    pub elision_window: Duration,
    /// Largest size of the database file in bytes, 0 for no limit. The WAL and the reserve are
    /// not included.
    pub max_size: u64,
    /// Size of the WAL in bytes past which a checkpoint also truncates it.
    pub wal_limit: u64,
    /// Number of pages in the WAL past which they are checkpointed.
    pub wal_checkpoint_pages: u32,
    /// See [`Checkpoints`].
    pub checkpoints: Checkpoints,
    /// Size of the writer's page cache in bytes.
    pub cache_size: u64,
    /// Check the structure of the file after an unclean stop.
    pub quick_check: bool,
    /// How long the start waits for that check; the rest of it runs in the background.
    pub quick_check_budget: Duration,
    /// Size in bytes of the file that is deleted to free space when the volume is full.
    pub reserve_size: u64,
    /// How long one attempt waits while another program (`sqlite3`) locks the file.
    pub busy_timeout: Duration,
    /// How long the full state continues after the last refusal if counting cannot show that
    /// there is space: several times the interval at which clients commonly try again.
    pub full_for: Duration,
    /// After this time without work, the WAL is emptied and free pages are returned to the
    /// volume.
    pub idle_after: Duration,
}

impl StoreConfig {
    /// The defaults for a database at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data/ferrymq.db"),
            create: true,
            durability: DurabilityMode::Fsync,
            flush_interval: Duration::from_millis(500),
            elision_window: Duration::from_millis(5),
            max_size: 0,
            wal_limit: 256 << 20,
            // 32 MiB. In single runs of `benches/store.rs` on a busy machine, 64 MiB took 6%
            // less CPU for an insert, but 300 instead of 210 ms for one checkpoint, during
            // which nothing is acknowledged. The shorter pause is worth more.
            wal_checkpoint_pages: 4096,
            checkpoints: Checkpoints::Own,
            cache_size: 16 << 20,
            quick_check: true,
            quick_check_budget: Duration::from_millis(500),
            reserve_size: 4 << 20,
            busy_timeout: Duration::from_secs(2),
            full_for: Duration::from_secs(10),
            idle_after: Duration::from_secs(1),
        }
    }
}
