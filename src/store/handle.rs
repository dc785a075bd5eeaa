//! [`Store`]: the broker's interface to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::checkpoint_request::CheckpointReply;
use super::clock::ClockMark;
use super::config::StoreConfig;
use super::dead_letter::DeadLetterRequest;
use super::engine::{DeferredCheck, OpenedEngine};
use super::error::{OpenError, SubmitError};
use super::metrics::StoreMetrics;
use super::op::{PageRequest, Submission};
use super::pages::{ReadRequest, Reader, ReaderThread};
use super::queue::Phase;
use super::record::Recovered;
use super::references::References;
use super::room::allowance::{Claimant, Promise};
use super::shared::{PoisonHook, Shared, StoreState};
use super::sqlite;
use super::writer::{Writer, thread};
use crate::message::{CommitNo, CommitObserver, MessageId, Order};
use crate::sync::Mutex;

/// The database of one broker. Clones share it. If the last clone is dropped without
/// [`Store::shutdown`], everything that was not committed is discarded, as in a crash.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    threads: parking_lot::Mutex<Option<Threads>>,
    /// Set for a store without threads, which is stepped by its caller.
    stepped: Option<Mutex<Option<Stepped>>>,
    /// Of a stepped store. Separate, so that pages can be read while a step commits.
    reader: Mutex<Option<Reader>>,
}

#[derive(Debug)]
struct Threads {
    writer: JoinHandle<()>,
    reader: ReaderThread,
    /// The rest of the check at the start.
    check: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Stepped {
    writer: Writer,
    batch: Batch,
}

impl Store {
    /// Opens or creates the database and starts the store's threads. What is on disk at the
    /// start counts as commit 1.
    ///
    /// # Errors
    /// See [`OpenError`]; each message says what to do.
    pub fn open(
        config: &StoreConfig,
        metrics: Arc<StoreMetrics>,
        on_poisoned: PoisonHook,
    ) -> Result<(Self, Recovered), OpenError> {
        let config = &resolved(config);
        let opened = sqlite::open(config, &metrics)?;
        let prepared = prepare(config, opened, metrics, Some(on_poisoned));
        let Prepared { shared, writer, reader, recovered, check } = prepared;
        let start = || {
            let check = check.map(|check| check_in_background(check, Arc::clone(&shared)));
            Ok(Threads {
                check: check.transpose()?,
                reader: ReaderThread::spawn(reader)?,
                writer: thread::spawn(writer, Arc::clone(&shared), config.idle_after)?,
            })
        };
        let threads =
            start().map_err(|source| OpenError::Thread { path: config.path.clone(), source })?;
        let threads = parking_lot::Mutex::new(Some(threads));
        let reader = Mutex::default();
        Ok((Self { inner: Arc::new(Inner { shared, threads, stepped: None, reader }) }, recovered))
    }

    /// As [`Store::open`], but without threads: [`Store::step`] commits, and [`Store::page`]
    /// reads on the caller's thread. For tests and simulations.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_stepped(
        config: &StoreConfig,
        metrics: Arc<StoreMetrics>,
    ) -> Result<(Self, Recovered), OpenError> {
        let waits = StoreConfig { quick_check_budget: Duration::from_hours(1), ..resolved(config) };
        let opened = sqlite::open(&waits, &metrics)?;
        Ok(Self::stepped(&waits, opened, metrics))
    }

    /// A stepped store on an open engine.
    pub(super) fn stepped(
        config: &StoreConfig,
        opened: OpenedEngine,
        metrics: Arc<StoreMetrics>,
    ) -> (Self, Recovered) {
        let prepared = prepare(config, opened, metrics, None);
        let Prepared { shared, writer, reader, recovered, .. } = prepared;
        let stepped = Some(Mutex::new(Some(Stepped { writer, batch: Batch::default() })));
        let (threads, reader) = (parking_lot::Mutex::default(), Mutex::new(Some(reader)));
        (Self { inner: Arc::new(Inner { shared, threads, stepped, reader }) }, recovered)
    }

    /// Commits what has been submitted to a stepped store, with or without held messages.
    /// Returns the last commit number.
    ///
    /// # Errors
    /// [`SubmitError::Closed`] if the store is shut down or was not opened stepped;
    /// [`SubmitError::Poisoned`] if it failed.
    pub fn step(&self, with_held: bool) -> Result<CommitNo, SubmitError> {
        let Some(stepped) = &self.inner.stepped else { return Err(SubmitError::Closed) };
        let mut guard = stepped.lock();
        let Stepped { writer, batch, .. } = guard.as_mut().ok_or(SubmitError::Closed)?;
        if self.state() == StoreState::Poisoned {
            return Err(SubmitError::Poisoned);
        }
        self.inner.shared.take(batch, with_held);
        let count = batch.len();
        let result = writer.commit_batch(batch);
        if let Err(fault) = result {
            self.inner.shared.poison(&fault.0);
            batch.notify();
            writer.notify_all();
            return Err(SubmitError::Poisoned);
        }
        batch.reset();
        self.inner.shared.finished(count);
        Ok(self.committed())
    }

    /// True if the writer of a stepped store has something to commit or a session to wake.
    #[cfg(feature = "failpoints")]
    pub fn has_work(&self) -> bool {
        self.inner.shared.has_work()
    }

    /// Runs one step of the housekeeping that the writer does while there is nothing to
    /// commit. For a stepped store. True if there is more to do.
    ///
    /// # Errors
    /// [`SubmitError::Poisoned`] if it failed, [`SubmitError::Closed`] unless the store
    /// was opened stepped.
    pub fn step_idle(&self) -> Result<bool, SubmitError> {
        let Some(stepped) = &self.inner.stepped else { return Err(SubmitError::Closed) };
        let mut guard = stepped.lock();
        let Stepped { writer, .. } = guard.as_mut().ok_or(SubmitError::Closed)?;
        if self.state() == StoreState::Poisoned {
            return Err(SubmitError::Poisoned);
        }
        // A stepped store has no timer: allow the next batch to retry parked messages.
        writer.allow_probe();
        writer.idle().map_err(|fault| {
            self.inner.shared.poison(&fault.0);
            SubmitError::Poisoned
        })
    }

    /// Submits the operations of one step of a connection and returns the number of their
    /// batch: they are committed once [`Store::committed`] has reached it. The vectors are
    /// drained and keep their memory.
    ///
    /// # Errors
    /// [`SubmitError::Poisoned`] or [`SubmitError::Closed`]; nothing was taken.
    pub fn submit(&self, submission: &mut Submission) -> Result<CommitNo, SubmitError> {
        self.inner.shared.submit(submission)
    }

    /// Reserves disk space for a row of about `row` bytes; the promise is submitted with the
    /// row. `None` if there is no space. Call it before the change is decided; a row that does
    /// not grow needs no promise.
    pub fn promise(&self, row: u64, claimant: Claimant) -> Option<Promise> {
        let promise = self.inner.shared.allowance.promise(row, claimant);
        if promise.is_none() {
            self.inner.shared.look_for_room();
        }
        promise
    }

    /// The source of the numbers of [`super::Op::State`].
    pub fn order(&self) -> &Arc<Order> {
        &self.inner.shared.order
    }

    /// The last batch that is on disk.
    pub fn committed(&self) -> CommitNo {
        self.inner.shared.committed.load(Ordering::Acquire)
    }

    /// Registers a message with `count` durable deliveries, if that is more than one.
    pub fn add_references(&self, message: MessageId, count: u32) {
        self.inner.shared.references.add(message, count);
    }

    /// Removes one delivery of a message from the count. True if it was the last, so that the
    /// message's row is deleted with it.
    pub fn release(&self, message: MessageId) -> bool {
        self.inner.shared.references.release(message)
    }

    /// The messages with more than one delivery.
    pub fn references(&self) -> &References {
        &self.inner.shared.references
    }

    /// Reads part of a queue back. Missing rows are left out. The reply is called on the
    /// reader's thread.
    pub fn page(&self, request: PageRequest) {
        self.read(ReadRequest::Page(request));
    }

    /// Reads dead letters, as of the last commit or a later one. The reply is called on the
    /// reader's thread.
    pub fn dead_letters(&self, request: DeadLetterRequest) {
        self.read(ReadRequest::DeadLetters(request));
    }

    fn read(&self, request: ReadRequest) {
        if self.inner.stepped.is_some() {
            return match self.inner.reader.lock().as_ref() {
                Some(reader) => reader.serve(request),
                None => request.refuse(),
            };
        }
        let refused = match self.inner.threads.lock().as_ref() {
            Some(threads) => threads.reader.requests.send(request).map_err(|refused| refused.0),
            None => Err(request),
        };
        if let Err(request) = refused {
            request.refuse();
        }
    }

    /// Has the writer checkpoint the WAL before its next batch, and truncate it if permitted.
    /// The reply is called on the writer's thread.
    ///
    /// # Errors
    /// [`SubmitError::Poisoned`] or [`SubmitError::Closed`] if there is no writer any more.
    pub fn checkpoint(&self, reply: CheckpointReply) -> Result<(), SubmitError> {
        let Some(stepped) = &self.inner.stepped else {
            return self.inner.shared.ask_for_checkpoint(reply);
        };
        let mut guard = stepped.lock();
        let Stepped { writer, .. } = guard.as_mut().ok_or(SubmitError::Closed)?;
        writer.checkpoint_on_demand(vec![reply]).map_err(|fault| {
            self.inner.shared.poison(&fault.0);
            SubmitError::Poisoned
        })
    }

    /// Records the broker's clock in the file: with a commit every ten seconds, or `at_once`.
    pub fn mark_clock(&self, mark: ClockMark, at_once: bool) {
        self.inner.shared.mark_clock(mark, at_once);
    }

    /// The number of operations and held messages that are waiting or being committed.
    pub fn pending(&self) -> usize {
        usize::try_from(self.metrics().pending.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Registers `observer` for commits that contain a traced message. Only the first call has
    /// an effect.
    pub fn observe_commits(&self, observer: Arc<dyn CommitObserver>) {
        let _ = self.inner.shared.observer.set(observer);
    }

    /// The state of the store.
    pub fn state(&self) -> StoreState {
        self.inner.shared.state()
    }

    /// The store's metrics.
    pub fn metrics(&self) -> &StoreMetrics {
        &self.inner.shared.metrics
    }

    /// Blocks until everything that was submitted, held messages included, is committed. Not
    /// for a thread that serves connections.
    ///
    /// # Errors
    /// [`SubmitError::Poisoned`] or [`SubmitError::Closed`] if it will not be committed.
    pub fn flush(&self) -> Result<CommitNo, SubmitError> {
        if self.inner.stepped.is_some() { self.step(true) } else { self.inner.shared.flush(None) }
    }

    /// Commits everything, empties the WAL into the database, closes it and joins the threads.
    /// Submissions are refused from the start of the call.
    ///
    /// # Errors
    /// [`SubmitError::TimedOut`] if it takes longer than `timeout`: nothing that was
    /// acknowledged is lost, but the next start has more to do.
    pub fn shutdown(&self, timeout: Duration) -> Result<(), SubmitError> {
        if let Some(stepped) = &self.inner.stepped {
            self.step(true)?;
            let Some(Stepped { writer, .. }) = stepped.lock().take() else { return Ok(()) };
            self.inner.shared.abandon();
            return writer.close().map_err(|_| SubmitError::Poisoned);
        }
        let result = self.inner.shared.close(Instant::now() + timeout);
        if result != Err(SubmitError::TimedOut) {
            join(self.inner.threads.lock().take());
        }
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.abandon();
        join(self.threads.lock().take());
    }
}

fn join(threads: Option<Threads>) {
    let Some(Threads { writer, reader, check }) = threads else { return };
    drop(reader.requests);
    for handle in [writer, reader.handle].into_iter().chain(check) {
        // A reply or a hook may drop the last handle on a store thread, which cannot join
        // itself.
        if handle.thread().id() != std::thread::current().id() {
            let _ = handle.join();
        }
    }
}

/// Resolves a symbolic link to the path of the database itself.
fn resolved(config: &StoreConfig) -> StoreConfig {
    StoreConfig { path: sqlite::follow(&config.path), ..config.clone() }
}

struct Prepared {
    shared: Arc<Shared>,
    writer: Writer,
    reader: Reader,
    recovered: Recovered,
    check: Option<DeferredCheck>,
}

fn prepare(
    config: &StoreConfig,
    opened: OpenedEngine,
    metrics: Arc<StoreMetrics>,
    hook: Option<PoisonHook>,
) -> Prepared {
    let OpenedEngine { engine, pages, growth, recovered, references, orphans, check } = opened;
    let shared = Arc::new(Shared::new(config, references, metrics, hook));
    let reader = Reader::new(pages, Arc::clone(&shared));
    let writer = Writer::new(engine, growth, orphans, config, Arc::clone(&shared));
    Prepared { shared, writer, reader, recovered, check }
}

/// Finishes the check of the start in the background. Damage poisons the store.
fn check_in_background(
    check: DeferredCheck,
    shared: Arc<Shared>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("ferrymq-check".into()).spawn(move || {
        let asked = Arc::clone(&shared);
        let gives_up = Box::new(move || asked.phase() > Phase::Open);
        if let Some(detail) = check(gives_up) {
            shared.poison(&format!("the database is damaged: {detail}"));
        }
    })
}
