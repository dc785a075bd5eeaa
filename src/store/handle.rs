//! [`Store`]: the interface for the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::checkpoint_request::CheckpointReply;
use super::clock::ClockMark;
use super::config::StoreConfig;
use super::engine::{DeferredCheck, OpenedEngine};
use super::error::{OpenError, PageError, SubmitError};
use super::metrics::StoreMetrics;
use super::op::{PageRequest, Submission};
use super::pages::{Reader, ReaderThread};
use super::queue::Phase;
use super::record::Recovered;
use super::references::References;
use super::room::allowance::{Claimant, Promise};
use super::shared::{PoisonHook, Shared, StoreState};
use super::sqlite;
use super::writer::{Writer, thread};
use crate::message::{CommitNo, CommitObserver, MessageId, Order};
use crate::sync::Mutex;

/// The database of one broker. Clones share it; when the last one is dropped without
/// [`Store::shutdown`], whatever was not committed is given up, as in a crash.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    threads: parking_lot::Mutex<Option<Threads>>,
    /// Without threads: stepped by hand.
    stepped: Option<Mutex<Option<Stepped>>>,
    /// Of a stepped store. Apart, so that pages can be read while a step commits.
    reader: Mutex<Option<Reader>>,
}

#[derive(Debug)]
struct Threads {
    writer: JoinHandle<()>,
    reader: ReaderThread,
    /// What is left of the check at the start.
    check: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Stepped {
    writer: Writer,
    batch: Batch,
}

impl Store {
    /// Opens or creates the database and starts its threads. What was on disk counts
    /// as commit 1.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
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

    /// As [`Store::open`], but nothing happens by itself: [`Store::step`] commits, and
    /// pages are read within [`Store::page`]. For tests and simulations.
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

    /// A stepped store on an engine that is open.
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

    /// Commits what has been submitted to a stepped store, with or without what is
    /// held. Returns the last commit number.
    ///
    /// # Errors
    /// [`SubmitError::Closed`] unless the store was opened stepped.
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
            batch.ring();
            writer.ring_all();
            return Err(SubmitError::Poisoned);
        }
        batch.reset();
        self.inner.shared.finished(count);
        Ok(self.committed())
    }

    /// True if the writer of a stepped store would have something to commit, or somebody
    /// to ring.
    #[cfg(feature = "failpoints")]
    pub fn has_work(&self) -> bool {
        self.inner.shared.has_work()
    }

    /// Does one step of what the writer of a stepped store would do while there is
    /// nothing to commit. True if there is more.
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
        // Time passes for who steps by hand: what waits for room may be tried again.
        writer.allow_probe();
        writer.idle().map_err(|fault| {
            self.inner.shared.poison(&fault.0);
            SubmitError::Poisoned
        })
    }

    /// Hands over what one turn of a connection asks for, and returns the number of
    /// the batch that its operations are in: they are done once [`Store::committed`]
    /// has reached it. The vectors are drained and keep their memory.
    ///
    /// # Errors
    /// [`SubmitError::Poisoned`] or [`SubmitError::Closed`]; nothing was taken then.
    pub fn submit(&self, submission: &mut Submission) -> Result<CommitNo, SubmitError> {
        self.inner.shared.submit(submission)
    }

    /// Promises room for a row of about so many bytes, which goes into the submission with
    /// it. `None`: there is no room. To be asked before anything is decided; a row that
    /// does not grow needs no promise.
    pub fn promise(&self, row: u64, claimant: Claimant) -> Option<Promise> {
        let promise = self.inner.shared.allowance.promise(row, claimant);
        if promise.is_none() {
            self.inner.shared.look_for_room();
        }
        promise
    }

    /// Where the numbers of [`super::Op::State`] come from.
    pub fn order(&self) -> &Arc<Order> {
        &self.inner.shared.order
    }

    /// The last batch that is on disk.
    pub fn committed(&self) -> CommitNo {
        self.inner.shared.committed.load(Ordering::Acquire)
    }

    /// A message has `count` durable deliveries. Only for more than one.
    pub fn add_references(&self, message: MessageId, count: u32) {
        self.inner.shared.references.add(message, count);
    }

    /// One delivery of a message is gone. True: it was the last, and the message's
    /// row goes with it.
    pub fn release(&self, message: MessageId) -> bool {
        self.inner.shared.references.release(message)
    }

    /// Messages with more than one delivery.
    pub fn references(&self) -> &References {
        &self.inner.shared.references
    }

    /// Reads part of a queue back. Rows that are missing are left out of the answer,
    /// which comes on the reader's thread.
    pub fn page(&self, request: PageRequest) {
        if self.inner.stepped.is_some() {
            return match self.inner.reader.lock().as_ref() {
                Some(reader) => reader.serve(request),
                None => (request.reply.0)(Err(PageError::Closed)),
            };
        }
        let refused = match self.inner.threads.lock().as_ref() {
            Some(threads) => threads.reader.requests.send(request).map_err(|refused| refused.0),
            None => Err(request),
        };
        if let Err(request) = refused {
            (request.reply.0)(Err(PageError::Closed));
        }
    }

    /// Has the writer copy the write-ahead log back before its next batch, and cut it if
    /// it may. The answer comes on the writer's thread.
    ///
    /// # Errors
    /// [`SubmitError::Poisoned`] or [`SubmitError::Closed`]: there is no writer any more.
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

    /// The broker's clock goes into the file: along with a commit every ten seconds, or
    /// `at_once`.
    pub fn mark_clock(&self, mark: ClockMark, at_once: bool) {
        self.inner.shared.mark_clock(mark, at_once);
    }

    /// Operations that wait or are being committed, held messages included.
    pub fn pending(&self) -> usize {
        usize::try_from(self.metrics().pending.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// From now on `observer` is told of commits that hold a message that is traced. Only
    /// the first one counts.
    pub fn observe_commits(&self, observer: Arc<dyn CommitObserver>) {
        let _ = self.inner.shared.observer.set(observer);
    }

    /// How the store is.
    pub fn state(&self) -> StoreState {
        self.inner.shared.state()
    }

    /// What it counts.
    pub fn metrics(&self) -> &StoreMetrics {
        &self.inner.shared.metrics
    }

    /// Blocks until everything that has been submitted is committed, held messages
    /// too. Not for a thread that serves connections.
    ///
    /// # Errors
    /// [`SubmitError::Poisoned`] or [`SubmitError::Closed`] if that will not happen.
    pub fn flush(&self) -> Result<CommitNo, SubmitError> {
        if self.inner.stepped.is_some() { self.step(true) } else { self.inner.shared.flush(None) }
    }

    /// Commits everything, empties the WAL into the database, closes it, and waits
    /// for the threads. Submissions are refused from the first moment on.
    ///
    /// # Errors
    /// [`SubmitError::TimedOut`] if it takes longer than `timeout`: nothing that was
    /// acknowledged is lost then, the next start only has more to do.
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
        // A reply or a hook may hold the last handle: a thread cannot wait for itself.
        if handle.thread().id() != std::thread::current().id() {
            let _ = handle.join();
        }
    }
}

/// With the path of the database itself, if that is a symbolic link.
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

/// Finishes the check of the start. Damage poisons the store.
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
