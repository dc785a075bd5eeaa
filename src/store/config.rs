//! The store's configuration, with defaults that keep the promises.

use std::path::PathBuf;
use std::time::Duration;

/// What "committed" is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DurabilityMode {
    /// Survives a loss of power: COMMIT returns after fsync.
    #[default]
    Fsync,
    /// Survives a killed process: COMMIT returns when the kernel has the data.
    Commit,
    /// As `Commit`, but only once in each `flush_interval`; nobody is to wait for it.
    Async,
}

/// Who checkpoints the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpoints {
    /// The store does, and may cut the WAL whenever it likes.
    #[default]
    Own,
    /// Another program follows the WAL and checkpoints it. The store copies it back
    /// only past `wal_limit`, and never cuts it.
    External,
}

/// How the store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The database file; `-wal`, `-shm`, `.lock` and `.reserve` stand beside it.
    pub path: PathBuf,
    /// Whether a database that is not there is made. If not, that is an error.
    pub create: bool,
    /// See [`DurabilityMode`].
    pub durability: DurabilityMode,
    /// Time between commits in [`DurabilityMode::Async`].
    pub flush_interval: Duration,
    /// How long a held message waits for its receivers before it is written. Cut to
    /// 10 ms: past that, a receiver that stopped answering costs its publisher more
    /// than the write does.
    pub elision_window: Duration,
    /// Largest size of the database file in bytes, 0 for no limit. The WAL and the
    /// reserve come on top.
    pub max_size: u64,
    /// Past this many bytes the WAL is not only copied back but cut to nothing.
    pub wal_limit: u64,
    /// Past this many pages in the WAL they are copied back into the database.
    pub wal_checkpoint_pages: u32,
    /// See [`Checkpoints`].
    pub checkpoints: Checkpoints,
    /// Bytes of pages that the writer keeps in memory.
    pub cache_size: u64,
    /// Check the file's structure after an unclean stop.
    pub quick_check: bool,
    /// How long the start waits for that check; what is left of it runs in the
    /// background.
    pub quick_check_budget: Duration,
    /// Size of the file that is given up when the volume is full.
    pub reserve_size: u64,
    /// How long one attempt waits while another program (`sqlite3`) locks the file.
    pub busy_timeout: Duration,
    /// How long a full disk's state outlasts the last refusal if room cannot be told by
    /// counting: several times the interval at which clients commonly try again.
    pub full_for: Duration,
    /// Without work for this long, the WAL is emptied and free pages are given back.
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
            // 32 MiB. In single runs of `benches/store.rs` on a busy machine, 64 MiB took
            // 6% less CPU for an insert and 300 instead of 210 ms for one checkpoint, in
            // which nothing is acknowledged: the shorter pause is worth more.
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
