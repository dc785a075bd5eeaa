//! The thread that reads parts of queues and dead letters back from disk, through the engine's
//! [`PageReader`].
//!
//! A panic poisons the store. Every request is answered, also those that wait or arrive later:
//! without an answer the queue would never be sent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::dead_letter::DeadLetterRequest;
use super::engine::{self, BUSY_PAUSE, Failure, PageReader};
use super::error::PageError;
use super::op::{Op, PageRequest, Submission};
use super::queue::Phase;
use super::record::PagedDelivery;
use super::shared::{Shared, StoreState};
use crate::memory::Ledger;
use crate::message::{DeliveryId, QueuedId};

/// Answers requests on the calling thread.
#[derive(Debug)]
pub(super) struct Reader {
    pages: Box<dyn PageReader>,
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(pages: Box<dyn PageReader>, shared: Arc<Shared>) -> Self {
        Self { pages, shared }
    }

    /// Answers one request.
    pub(super) fn serve(&self, request: ReadRequest) {
        match request {
            ReadRequest::Page(PageRequest { ids, ledger, reply }) => {
                self.answer(|| self.page(&ids, ledger), reply.0);
            }
            ReadRequest::DeadLetters(DeadLetterRequest { query, reply }) => {
                self.answer(|| self.read(|pages| pages.dead_letters(&query)), reply.0);
            }
        }
    }

    fn answer<T>(
        &self,
        read: impl FnOnce() -> Result<T, PageError>,
        reply: Box<dyn FnOnce(Result<T, PageError>) + Send>,
    ) {
        let answer = if self.shared.state() == StoreState::Poisoned {
            Err(PageError::Closed)
        } else {
            catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
                self.shared.poison("the reader of pages panicked");
                Err(PageError::Closed)
            })
        };
        // The reply is code of the requester, and runs in this thread.
        if catch_unwind(AssertUnwindSafe(|| reply(answer))).is_err() {
            self.shared.poison("what waited for a page panicked");
        }
    }

    fn page(&self, ids: &[QueuedId], ledger: Ledger) -> Result<Vec<PagedDelivery>, PageError> {
        let page = self.read(|pages| pages.read(ids, ledger))?;
        self.remove(page.dangling);
        Ok(page.deliveries)
    }

    fn read<T>(&self, read: impl Fn(&dyn PageReader) -> engine::Result<T>) -> Result<T, PageError> {
        let is_busy = |result: &engine::Result<_>| {
            result.as_ref().is_err_and(|error| error.failure == Failure::Busy)
        };
        let mut result = read(&*self.pages);
        // An unanswered page would be missing from its queue until the next start, so locks of
        // other programs are waited for.
        while is_busy(&result) && self.shared.phase() < Phase::Closing {
            std::thread::sleep(BUSY_PAUSE);
            result = read(&*self.pages);
        }
        result.map_err(|error| {
            self.shared.metrics.count_error(error.code);
            if error.failure == Failure::Fatal {
                self.shared.poison(&format!("reading the database: {error}"));
            }
            PageError::Read(error.to_string())
        })
    }

    /// Deletes the rows of deliveries that all receivers have acknowledged.
    fn remove(&self, dangling: Vec<DeliveryId>) {
        if !dangling.is_empty() {
            let ops = dangling
                .into_iter()
                .map(|delivery| Op::Delete { delivery, message: None })
                .collect();
            // If the store is closing, the next start finds them again.
            let _ = self.shared.submit(&mut Submission { ops, ..Submission::default() });
        }
    }
}

/// What the reader may be asked for.
#[derive(Debug)]
pub(super) enum ReadRequest {
    /// Part of a queue.
    Page(PageRequest),
    /// Dead letters.
    DeadLetters(DeadLetterRequest),
}

impl ReadRequest {
    /// Answers that the store is closed.
    pub(super) fn refuse(self) {
        match self {
            Self::Page(request) => (request.reply.0)(Err(PageError::Closed)),
            Self::DeadLetters(request) => (request.reply.0)(Err(PageError::Closed)),
        }
    }
}

/// The reader's thread and the queue of its requests.
#[derive(Debug)]
pub(super) struct ReaderThread {
    pub(super) requests: Sender<ReadRequest>,
    pub(super) handle: JoinHandle<()>,
}

impl ReaderThread {
    /// Starts the thread. It ends when the sender is dropped and every request is answered.
    pub(super) fn spawn(reader: Reader) -> std::io::Result<Self> {
        let (requests, receiver) = channel();
        let handle = std::thread::Builder::new()
            .name("ferrymq-pages".into())
            .spawn(move || run(&reader, &receiver))?;
        Ok(Self { requests, handle })
    }
}

fn run(reader: &Reader, requests: &Receiver<ReadRequest>) {
    for request in requests {
        reader.serve(request);
    }
}
