//! What the store requires of a storage engine, and what an engine guarantees.
//!
//! Everything above this interface (batches, the plan of a transaction, write elision, refusal
//! on a full disk, commit numbers) is the same for every engine; everything below it (files,
//! pages, locks, the log) belongs to the engine. `sqlite` implements it;
//! `tests/memory_engine.rs` has an engine for tests that keeps its rows in memory.

use std::time::Duration;

use super::checkpoint_request::Checkpointed;
use super::clock::ClockMark;
use super::dead_letter::{DeadLetterPage, DeadLetterQuery};
use super::plan::Plan;
use super::record::{PagedDelivery, Recovered};
use super::references::References;
use crate::memory::Ledger;
use crate::message::{CommitNo, DeliveryId, IdList, QueuedId};

/// What a failed operation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No space within the quota or on the volume. Nothing was changed.
    Full,
    /// Another program holds the lock. Nothing was changed; the operation may be repeated.
    Busy,
    /// The disk or the file can no longer be trusted.
    Fatal,
}

/// An operation failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(super) struct EngineError {
    /// What the caller can do about it.
    pub(super) failure: Failure,
    /// The engine's own error code, for `ferrymq_persistence_errors_total`.
    pub(super) code: i32,
    /// The engine's own message, with its error code.
    pub(super) text: String,
}

pub(super) type Result<T> = std::result::Result<T, EngineError>;

/// How much of a plan a transaction applies.
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
    /// For messages and whatever else may be refused: the quota.
    Messages,
    /// For dead letters, which replace deliveries: some of what everything but messages has.
    DeadLetters,
    /// For everything but messages.
    Changes,
    /// For deletes only.
    Deletes,
}

/// Space for growth that is not messages, in bytes of the file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Growth {
    /// The total.
    pub(super) room: u64,
    /// The part that may not be used by anything that can be refused.
    pub(super) beyond_quota: u64,
}

/// When free pages are returned to the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GiveBack {
    /// There has been no work for `idle_after`.
    WhenIdle,
    /// Between two commits: the next commit may arrive meanwhile and has to wait.
    BetweenCommits,
}

/// One transaction, for an engine to apply.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    /// What to apply. A message is written if [`Plan::take`] allows it immediately before the
    /// insert; dropped deliveries are looked up and their messages' counts reduced in
    /// `references`; dead letters are written through [`super::plan::Letters::write`].
    pub(super) plan: &'a mut Plan,
    pub(super) scope: Scope,
    /// Its commit number.
    pub(super) number: CommitNo,
    pub(super) references: &'a References,
    /// The broker's clock, to be written with this transaction if it is due.
    pub(super) clock: Option<ClockMark>,
    /// Whether free pages may be returned to the volume in this transaction.
    pub(super) gives_back: bool,
}

/// A storage engine, as the writer's thread uses it.
///
/// # Promises
/// - [`Engine::commit`] is atomic and durable: after `Ok` the whole transaction survives what
///   the configured durability covers (a loss of power, or the end of the process); after
///   [`Failure::Full`] or [`Failure::Busy`] nothing of it is in the database, now or later.
///   After [`Failure::Fatal`] the next start may find all of it or nothing, so none of it may
///   be acknowledged.
/// - Transactions take effect in the order of their calls.
/// - Within a transaction inserts run before deletes, and dead letters after both. The end of a
///   session removes its subscriptions and incoming packet identifiers. Of two sessions with one client id the one
///   with the larger id remains.
/// - [`Failure::Full`] and [`Failure::Busy`] leave the engine usable; after [`Failure::Fatal`]
///   it may only be dropped.
/// - Deletes find space however much messages have taken, within what [`Limit`] allows.
/// - Every error that is not returned has been counted in the metrics.
pub(super) trait Engine: std::fmt::Debug + Send {
    /// Applies one transaction. [`Failure::Busy`] is returned only before anything was
    /// applied.
    ///
    /// # Errors
    /// See [`Failure`].
    fn commit(&mut self, transaction: Transaction<'_>) -> Result<()>;

    /// Writes the broker's clock alone, at once.
    fn commit_clock(&mut self, mark: &ClockMark) -> Result<()>;

    /// Called after each commit, before the commit is published.
    ///
    /// # Errors
    /// A message for the operator if the files were moved or removed, so that what was
    /// committed would be lost with the process.
    fn check_files(&mut self) -> std::result::Result<(), String>;

    /// Closes the database in order, with the broker's clock.
    fn close(self: Box<Self>, mark: Option<ClockMark>) -> Result<()>;

    // Space.

    /// Bytes of messages for which there is space: a conservative estimate.
    fn room(&self) -> Result<u64>;

    /// Size in bytes of the largest message that could ever find space.
    fn largest_message(&self) -> u64;

    /// The space for growth that is not messages.
    fn growth(&self) -> Result<Growth>;

    /// True if the database is larger than its quota.
    fn is_over_quota(&mut self) -> Result<bool>;

    /// True if messages of `bytes` bytes leave enough space on the volume for deletes and
    /// checkpoints. May free space first.
    fn has_room_for(&mut self, bytes: u64) -> Result<bool>;

    /// Ensures that a batch that changes `changes` rows cannot fill the volume to its last
    /// block.
    fn prepare_for(&mut self, changes: usize) -> Result<()>;

    /// Sets how far the database may grow from now on.
    fn set_limit(&mut self, limit: Limit) -> Result<()>;

    /// Deletes the file reserved for a full volume. True if there was one.
    fn release_reserve(&mut self) -> bool;

    /// Creates the reserve again, if the volume has space to spare.
    fn restore_reserve(&mut self);

    /// The sizes in words, for the log.
    fn describe_room(&self) -> String;

    // Maintenance.

    /// Maintains the WAL after a commit.
    fn after_commit(&mut self) -> Result<()>;

    /// Maintains the WAL while there is nothing to commit.
    fn when_idle(&mut self) -> Result<()>;

    /// Checkpoints as far as possible without waiting.
    fn copy_log_back(&mut self) -> Result<()>;

    /// Checkpoints and empties the log, without waiting for readers.
    fn empty_log(&mut self) -> Result<()>;

    /// Runs a checkpoint that was requested.
    fn checkpoint(&mut self) -> Result<Checkpointed>;

    /// Returns some free pages to the volume.
    fn give_back(&mut self, when: GiveBack) -> Result<()>;

    /// True if the last look found more pages to return.
    fn has_surplus(&self) -> bool;

    /// Updates the gauges of sizes.
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

/// Reads queues back on its own thread, concurrently with the [`Engine`] that writes.
pub(super) trait PageReader: std::fmt::Debug + Send {
    /// Reads the deliveries with these ascending ids, as of the last commit or a later one.
    /// Missing rows are left out.
    ///
    /// # Errors
    /// On [`Failure::Busy`] the call may be repeated.
    fn read(&self, ids: &[QueuedId], ledger: Ledger) -> Result<Page>;

    /// Reads dead letters, as of the last commit or a later one.
    ///
    /// # Errors
    /// As [`PageReader::read`].
    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage>;
}

/// The rest of the check of the database at the start. The argument says whether to stop
/// early; the result describes the damage, if there is any.
pub(super) type DeferredCheck =
    Box<dyn FnOnce(Box<dyn Fn() -> bool + Send>) -> Option<String> + Send>;

/// An open engine and the state that it found.
pub(super) struct OpenedEngine {
    pub(super) engine: Box<dyn Engine>,
    pub(super) pages: Box<dyn PageReader>,
    /// What [`Engine::growth`] says now.
    pub(super) growth: Growth,
    pub(super) recovered: Recovered,
    pub(super) references: References,
    /// Deliveries of sessions that no longer exist.
    pub(super) orphans: IdList,
    pub(super) check: Option<DeferredCheck>,
}

/// The pause before an operation that failed with [`Failure::Busy`] is repeated.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(10);
