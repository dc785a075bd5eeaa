//! The thread that reads parts of queues back from disk, through the engine's
//! [`PageReader`].
//!
//! A panic poisons the store. Every request is answered, also those that wait or arrive later:
//! without an answer the queue would never be sent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

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
    pub(super) fn serve(&self, request: PageRequest) {
        let PageRequest { ids, ledger, reply } = request;
        let answer = if self.shared.state() == StoreState::Poisoned {
            Err(PageError::Closed)
        } else {
            catch_unwind(AssertUnwindSafe(|| self.answer(&ids, ledger))).unwrap_or_else(|_| {
                self.shared.poison("the reader of pages panicked");
                Err(PageError::Closed)
            })
        };
        // The reply is code of the requester, and runs in this thread.
        if catch_unwind(AssertUnwindSafe(|| (reply.0)(answer))).is_err() {
            self.shared.poison("what waited for a page panicked");
        }
    }

    fn answer(&self, ids: &[QueuedId], ledger: Ledger) -> Result<Vec<PagedDelivery>, PageError> {
        let is_busy = |result: &engine::Result<_>| {
            result.as_ref().is_err_and(|error| error.failure == Failure::Busy)
        };
        let mut result = self.pages.read(ids, ledger);
        // An unanswered page would be missing from its queue until the next start, so locks of
        // other programs are waited for.
        while is_busy(&result) && self.shared.phase() < Phase::Closing {
            std::thread::sleep(BUSY_PAUSE);
            result = self.pages.read(ids, ledger);
        }
        match result {
            Ok(page) => {
                self.remove(page.dangling);
                Ok(page.deliveries)
            }
            Err(error) => {
                self.shared.metrics.count_error(error.code);
                if error.failure == Failure::Fatal {
                    self.shared.poison(&format!("reading a queue back: {error}"));
                }
                Err(PageError::Read(error.to_string()))
            }
        }
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

/// The reader's thread and the queue of its requests.
#[derive(Debug)]
pub(super) struct ReaderThread {
    pub(super) requests: Sender<PageRequest>,
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

fn run(reader: &Reader, requests: &Receiver<PageRequest>) {
    for request in requests {
        reader.serve(request);
    }
}
