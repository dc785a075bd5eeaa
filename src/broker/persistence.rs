//! The store, which may be absent, as the broker uses it.

use std::sync::Arc;

use crate::message::{CommitNo, MessageId, Order};
use crate::store::{Claimant, PageRequest, Promise, Store, StoreState, Submission};

/// The store is poisoned or closed: nothing may be acknowledged any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store takes no more work")]
pub struct StoreDown;

/// The disk has no room for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// With a store, deliveries of durable sessions are written. Without one, everything is in
/// memory and nothing waits for commits.
#[derive(Debug)]
pub struct Persistence {
    store: Option<Store>,
    waits: bool,
    order: Arc<Order>,
}

impl Persistence {
    /// `waits`: acknowledgements wait for commits; false for `durability = "async"`.
    pub fn new(store: Option<Store>, waits: bool) -> Self {
        let waits = waits && store.is_some();
        let order = store.as_ref().map(|store| Arc::clone(store.order())).unwrap_or_default();
        Self { store, waits, order }
    }

    /// The store, if there is one.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// The source of change numbers.
    pub fn order(&self) -> &Arc<Order> {
        &self.order
    }

    /// True if sessions can be durable.
    pub fn is_enabled(&self) -> bool {
        self.store.is_some()
    }

    /// True if acknowledgements wait for commits.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// The number of the last commit.
    pub fn committed(&self) -> CommitNo {
        self.store.as_ref().map_or(0, Store::committed)
    }

    /// Pending writes.
    pub fn pending(&self) -> usize {
        self.store.as_ref().map_or(0, Store::pending)
    }

    /// True if the disk has no room for messages.
    pub fn is_full(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.state() == StoreState::Full)
    }

    /// Reserves room for a row of about `row` bytes: see [`Store::promise`].
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn promise(&self, row: usize, of: Claimant) -> Result<Option<Promise>, NoRoom> {
        match &self.store {
            Some(store) => store.promise(row as u64, of).map(Some).ok_or(NoRoom),
            None => Ok(None),
        }
    }

    pub(super) fn add_references(&self, message: MessageId, count: u32) {
        if let Some(store) = &self.store {
            store.add_references(message, count);
        }
    }

    /// Releases a reference. True if it was the last.
    pub(super) fn release(&self, message: MessageId) -> bool {
        self.store.as_ref().is_none_or(|store| store.release(message))
    }

    pub(super) fn submit(&self, submission: &mut Submission) -> Result<CommitNo, StoreDown> {
        let nothing = submission.ops.is_empty()
            && submission.held.is_empty()
            && submission.waiters.is_empty();
        match &self.store {
            Some(_) if nothing => Ok(0),
            Some(store) => store.submit(submission).map_err(|_| StoreDown),
            None => {
                submission.ops.clear();
                submission.held.clear();
                submission.numbers = None;
                submission.promise = None;
                for waiter in submission.waiters.drain(..) {
                    waiter.notify();
                }
                Ok(0)
            }
        }
    }

    pub(super) fn page(&self, request: PageRequest) {
        if let Some(store) = &self.store {
            store.page(request);
        }
    }
}
