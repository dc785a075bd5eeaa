//! Reports the progress of traced messages.

use std::sync::Arc;

use super::{Broker, Now};
use crate::message::{End, Message};
use crate::session::Entry;
use crate::store::PagedDelivery;
use crate::telemetry::Tracing;

impl Broker {
    /// Begins to trace messages. Only the first call has an effect.
    pub fn trace_with(&self, tracing: Tracing) {
        if let Some(store) = self.persistence.store() {
            store.observe_commits(Arc::new(tracing.clone()));
        }
        let _ = self.tracing.set(tracing);
    }

    /// The tracer, if messages are traced.
    pub fn tracing(&self) -> Option<&Tracing> {
        self.tracing.get()
    }

    /// Decides whether a message is traced, before it is shared.
    pub(super) fn begin_trace(&self, message: &mut Message, from_client: bool, now: Now) {
        if let Some(tracing) = self.tracing.get() {
            message.trace = if from_client {
                tracing.begin(message, now.instant)
            } else {
                tracing.resume(message, now.wall)
            };
        }
    }

    /// As [`Broker::begin_trace`], for messages that were read back from disk.
    pub(super) fn resume_traces(&self, rows: &mut [PagedDelivery], now: Now) {
        if self.tracing.get().is_none() {
            return;
        }
        for row in rows {
            // A message that several of these deliveries share is not traced. A session has
            // more than one delivery of a message only through shared subscriptions.
            if let Some(message) = Arc::get_mut(&mut row.message) {
                self.begin_trace(message, false, now);
            }
        }
    }
}

/// Reports that deliveries were dropped, with the reason.
pub(super) fn dropped<'a>(entries: impl IntoIterator<Item = &'a Entry>, reason: &'static str) {
    for entry in entries {
        ended(entry, End::Dropped(reason));
    }
}

/// Reports the end of a delivery.
#[inline]
pub(super) fn ended(entry: &Entry, how: End) {
    if let Some(trace) = &entry.message.trace {
        trace.delivered(entry.delivery, how);
    }
}

/// Reports that a delivery was queued.
#[inline]
pub(super) fn queued(entry: &Entry, client_id: &str) {
    if let Some(trace) = &entry.message.trace {
        trace.queued(entry.delivery, client_id, entry.qos);
    }
}
