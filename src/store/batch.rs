//! The batch: what was submitted between two swaps.

use std::sync::Arc;
use std::time::Instant;

use super::op::Op;
use super::room::allowance::Promise;
use crate::message::{CommitNo, DeliveryId, Message, MessageId, SessionId, SessionWake};

/// Vectors larger than this give their memory back after the batch: a burst is not
/// paid for until the next restart.
const KEEP: usize = 1 << 16;

/// One transaction's worth of submissions.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Given when the batch before it was swapped out.
    pub(super) number: CommitNo,
    pub(super) ops: Vec<Op>,
    /// Held messages whose time was up.
    pub(super) held: Vec<Arc<Message>>,
    pub(super) waiters: Vec<Arc<SessionWake>>,
    /// When the first operation came in.
    pub(super) since: Option<Instant>,
    /// Room for what is in it.
    pub(super) promise: Option<Promise>,
}

impl Batch {
    /// Operations and messages in it.
    pub(super) fn len(&self) -> usize {
        self.ops.len() + self.held.len()
    }

    /// True if nobody would notice if it were left out.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.waiters.is_empty()
    }

    /// True if there are messages in it.
    pub(super) fn has_messages(&self) -> bool {
        !self.held.is_empty() || self.ops.iter().any(|op| matches!(op, Op::Message(_)))
    }

    /// Rings everyone who waits for it.
    pub(super) fn ring(&self) {
        let messages = self.ops.iter().filter_map(|op| match op {
            Op::Message(message) => Some(message),
            _ => None,
        });
        let publishers =
            messages.chain(&self.held).filter_map(|message| message.publisher.as_ref());
        publishers.for_each(|publisher| publisher.ring_session());
        self.waiters.iter().for_each(|waiter| waiter.ring());
    }

    /// Empties it and keeps its memory for the next one.
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

/// The largest ids that a batch mentions, or that are reserved.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Highest {
    pub(super) message: MessageId,
    pub(super) delivery: DeliveryId,
    pub(super) session: SessionId,
}
