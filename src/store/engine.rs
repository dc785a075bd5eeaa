//! What the store needs of a storage engine, and what an engine promises in return.
//!
//! Everything above this line (batches, the plan of a transaction, write elision, refusal
//! on a full disk, commit numbers) is the same for every engine; everything below it (files,
//! pages, locks, the log) is the engine's own. SQLite's stands in `sqlite`, one that keeps
//! its rows in memory for the tests in `tests/memory_engine.rs`.

use std::time::Duration;

use super::checkpoint_request::Checkpointed;
use super::clock::ClockMark;
use super::plan::Plan;
use super::record::{PagedDelivery, Recovered};
use super::references::References;
use crate::memory::Ledger;
use crate::message::{CommitNo, DeliveryId, IdList, QueuedId};

/// What a failed operation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No room: the quota, or the volume. Nothing was changed.
    Full,
    /// Another program holds the lock. Nothing was changed; the operation may be repeated.
    Busy,
    /// The disk or the file cannot be trusted any more.
    Fatal,
}

/// An operation failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(super) struct EngineError {
    /// What can be done about it.
    pub(super) failure: Failure,
    /// The engine's own number for it, for `ferrymq_persistence_errors_total`.
    pub(super) code: i32,
    /// The engine's own words, with its number.
    pub(super) text: String,
}

pub(super) type Result<T> = std::result::Result<T, EngineError>;

/// How much of a plan one transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of it.
    All,
    /// Only what needs no new pages: acknowledgements and deletes.
    Deletes,
}

/// How far the database may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// For all that may be refused: the quota.
    Messages,
    /// For all but messages.
    Changes,
    /// For deletes alone.
    Deletes,
}

/// Room for what grows the file and is no message, in bytes of the file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Growth {
    /// All of it.
    pub(super) room: u64,
    /// The part that nothing takes that may be refused.
    pub(super) beyond_quota: u64,
}

/// When free space is given back to the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GiveBack {
    /// Nobody has come for a second.
    WhenIdle,
    /// In a pause between two commits: the next one may come meanwhile and wait for it.
    BetweenCommits,
}

/// One transaction, for an engine to apply.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    /// What it does. A message is written if [`Plan::take`] says so at the moment at which
    /// it would be; dropped deliveries are looked up and counted down in `references`.
    pub(super) plan: &'a mut Plan,
    pub(super) scope: Scope,
    /// Its commit number.
    pub(super) number: CommitNo,
    pub(super) references: &'a References,
    /// The broker's clock, to be written along if it is time.
    pub(super) clock: Option<ClockMark>,
    /// Free space may be given back along with it.
    pub(super) gives_back: bool,
}

/// A storage engine, as the writer's thread uses it.
///
/// # Promises
/// - [`Engine::commit`] is atomic and durable: after `Ok` all of the transaction survives
///   whatever the configured durability says (a loss of power, or the end of the process);
///   after [`Failure::Full`] or [`Failure::Busy`] nothing of it is in the database, now or
///   later. After [`Failure::Fatal`] the next start may find all of it or nothing: nobody
///   may be told anything of it.
/// - Transactions take effect in the order of their calls.
/// - Within a transaction inserts run before deletes, and a session's end takes its
///   subscriptions and incoming packet ids along. Of two sessions with one client id the one
///   with the larger id stays.
/// - [`Failure::Full`] and [`Failure::Busy`] leave the engine usable; after
///   [`Failure::Fatal`] it is only dropped.
/// - Deletes find room whatever messages have taken, within what [`Limit`] allows.
/// - Every error that is not returned has been counted in the metrics.
pub(super) trait Engine: std::fmt::Debug + Send {
    /// Applies one transaction. [`Failure::Busy`]: before anything of it was applied.
    ///
    /// # Errors
    /// See [`Failure`].
    fn commit(&mut self, transaction: Transaction<'_>) -> Result<()>;

    /// Writes the broker's clock alone, at once.
    fn commit_clock(&mut self, mark: &ClockMark) -> Result<()>;

    /// To be called after each commit, before anybody learns of it.
    ///
    /// # Errors
    /// What to tell the operator, if what was committed would be gone with the process: the
    /// files were moved or removed.
    fn check_files(&mut self) -> std::result::Result<(), String>;

    /// The orderly end, with the broker's clock.
    fn close(self: Box<Self>, mark: Option<ClockMark>) -> Result<()>;

    // Room.

    /// Bytes of messages that would find room, carefully estimated.
    fn room(&self) -> Result<u64>;

    /// Bytes of the largest message that could ever find room.
    fn largest_message(&self) -> u64;

    /// Room for what grows the file and is no message.
    fn growth(&self) -> Result<Growth>;

    /// True if the database is larger than its quota.
    fn is_over_quota(&mut self) -> Result<bool>;

    /// True if messages of so many bytes leave enough on the volume for deletes and
    /// checkpoints. May make room first.
    fn has_room_for(&mut self, bytes: u64) -> Result<bool>;

    /// Sees to it that a batch that changes so many rows cannot fill the volume to the last
    /// block.
    fn prepare_for(&mut self, changes: usize) -> Result<()>;

    /// How far the database may grow from now on.
    fn set_limit(&mut self, limit: Limit) -> Result<()>;

    /// Frees the space that is reserved for a full volume. True if there was some.
    fn release_reserve(&mut self) -> bool;

    /// Reserves it again, if the volume has room to spare.
    fn restore_reserve(&mut self);

    /// In numbers, for the log.
    fn describe_room(&self) -> String;

    // Maintenance.

    /// The log's housekeeping after a commit.
    fn after_commit(&mut self) -> Result<()>;

    /// The log's housekeeping while there is nothing to commit.
    fn when_idle(&mut self) -> Result<()>;

    /// Copies the log back as far as can be done without waiting.
    fn copy_log_back(&mut self) -> Result<()>;

    /// Copies the log back and empties it, without waiting for readers.
    fn empty_log(&mut self) -> Result<()>;

    /// A checkpoint that somebody asked for.
    fn checkpoint(&mut self) -> Result<Checkpointed>;

    /// Gives some free space back to the volume.
    fn give_back(&mut self, when: GiveBack) -> Result<()>;

    /// True if there was more to give back at the last look.
    fn has_surplus(&self) -> bool;

    /// Refreshes the gauges of sizes.
    fn measure(&mut self) -> Result<()>;
}

/// Part of a queue, read back.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) deliveries: Vec<PagedDelivery>,
    /// Deliveries whose message is gone: a crash between the deletes of two receivers can
    /// leave such rows.
    pub(super) dangling: Vec<DeliveryId>,
}

/// Reads queues back, on a thread of its own, beside the [`Engine`] that writes.
pub(super) trait PageReader: std::fmt::Debug + Send {
    /// The deliveries with these rising ids, as of the last commit or a later one. Rows that
    /// are missing are left out.
    ///
    /// # Errors
    /// [`Failure::Busy`] may be repeated.
    fn read(&self, ids: &[QueuedId], ledger: Ledger) -> Result<Page>;
}

/// What is left of the check of the database at the start. Called with a question that says
/// whether to give up; answers what is damaged.
pub(super) type DeferredCheck =
    Box<dyn FnOnce(Box<dyn Fn() -> bool + Send>) -> Option<String> + Send>;

/// An engine that is open, and what it found.
pub(super) struct OpenedEngine {
    pub(super) engine: Box<dyn Engine>,
    pub(super) pages: Box<dyn PageReader>,
    /// What [`Engine::growth`] says now.
    pub(super) growth: Growth,
    pub(super) recovered: Recovered,
    pub(super) references: References,
    /// Deliveries of sessions that are no more.
    pub(super) orphans: IdList,
    pub(super) check: Option<DeferredCheck>,
}

/// How long to wait before an operation is repeated that was [`Failure::Busy`].
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(10);
