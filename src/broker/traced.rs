//! Reports the progress of traced messages.

use std::sync::Arc;

use super::{Broker, Now};
use crate::message::{End, Message};
use crate::session::Entry;
use crate::store::PagedDelivery;
use crate::telemetry::Tracing;

impl Broker {
    /// Traces messages from now on. Only the first call counts.
    pub fn trace_with(&self, tracing: Tracing) {
        if let Some(store) = self.persistence.store() {
            store.observe_commits(Arc::new(tracing.clone()));
        }
        let _ = self.tracing.set(tracing);
    }

    /// Who traces messages, if anybody does.
    pub fn tracing(&self) -> Option<&Tracing> {
        self.tracing.get()
    }

    /// Decides whether a message is traced, before anybody else has it.
    pub(super) fn begin_trace(&self, message: &mut Message, from_client: bool, now: Now) {
        if let Some(tracing) = self.tracing.get() {
            message.trace = if from_client {
                tracing.begin(message, now.instant)
            } else {
                tracing.resume(message, now.wall)
            };
        }
    }

    /// The same for what was read back from disk.
    pub(super) fn resume_traces(&self, rows: &mut [PagedDelivery], now: Now) {
        if self.tracing.get().is_none() {
            return;
        }
        for row in rows {
            // One that several of these deliveries share is left out: no session has more
            // than one of a message, unless it takes part in a shared subscription too.
            if let Some(message) = Arc::get_mut(&mut row.message) {
                self.begin_trace(message, false, now);
            }
        }
    }
}

/// Deliveries that are given up, for the reason named.
pub(super) fn dropped<'a>(entries: impl IntoIterator<Item = &'a Entry>, reason: &'static str) {
    for entry in entries {
        ended(entry, End::Dropped(reason));
    }
}

/// A delivery is over.
#[inline]
pub(super) fn ended(entry: &Entry, how: End) {
    if let Some(trace) = &entry.message.trace {
        trace.delivered(entry.delivery, how);
    }
}

/// A delivery has been put into a queue.
#[inline]
pub(super) fn queued(entry: &Entry, client_id: &str) {
    if let Some(trace) = &entry.message.trace {
        trace.queued(entry.delivery, client_id, entry.qos);
    }
}
