//! A batch: everything that was submitted between two swaps of the open batch.

use std::sync::Arc;
use std::time::Instant;

use super::op::Op;
use super::room::allowance::Promise;
use crate::message::{CommitNo, DeliveryId, Message, MessageId, SessionId, Waiter, WakeCause};

/// Vectors with a larger capacity are shrunk after the batch, so that a burst does not hold
/// its memory until the restart.
const KEEP: usize = 1 << 16;

/// The submissions of one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The commit number, assigned when the previous batch was swapped out.
    pub(super) number: CommitNo,
    pub(super) ops: Vec<Op>,
    /// Held messages whose elision window has passed.
    pub(super) held: Vec<Arc<Message>>,
    pub(super) waiters: Vec<Waiter>,
    /// When the first operation was added.
    pub(super) since: Option<Instant>,
    /// The disk space reserved for its rows.
    pub(super) promise: Option<Promise>,
}

impl Batch {
    /// The number of operations and held messages.
    pub(super) fn len(&self) -> usize {
        self.ops.len() + self.held.len()
    }

    /// True if it has no operations, no held messages and no waiters.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.waiters.is_empty()
    }

    /// True if it contains messages.
    pub(super) fn has_messages(&self) -> bool {
        !self.held.is_empty() || self.ops.iter().any(|op| matches!(op, Op::Message(_)))
    }

    /// Wakes every session that waits for this batch.
    pub(super) fn notify(&self) {
        let messages = self.ops.iter().filter_map(|op| match op {
            Op::Message(message) => Some(message),
            _ => None,
        });
        let publishers =
            messages.chain(&self.held).filter_map(|message| message.publisher.as_ref());
        publishers.for_each(|publisher| publisher.notify_session(WakeCause::Direct));
        self.waiters.iter().for_each(Waiter::notify);
    }

    /// Empties the batch and keeps its memory for the next one.
    pub(super) fn reset(&mut self) {
        self.ops.clear();
        self.held.clear();
        self.waiters.clear();
        self.since = None;
        self.promise = None;
        self.ops.shrink_to(KEEP);
        self.held.shrink_to(KEEP);
        self.waiters.shrink_to(KEEP);
    }
}

/// The largest ids that a batch contains, or that are reserved.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Highest {
    pub(super) message: MessageId,
    pub(super) delivery: DeliveryId,
    pub(super) session: SessionId,
}
