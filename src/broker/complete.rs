//! Completes a delivery: what an acknowledgement, an expiry or a drop does to the message and
//! its rows.

use std::sync::Arc;

use super::{Broker, Step, traced};
use crate::message::{End, MessageId, RowCommit, Stored};
use crate::sabotage::Sabotage;
use crate::session::{Entry, Home, Session};
use crate::store::Op;
use crate::telemetry::{DropReason, Label};

/// A delivery's row has to go.
struct RowEnd {
    /// And the message's with it.
    message: Option<MessageId>,
}

impl Broker {
    /// The delivery is over. The last one of a message settles it: either it was
    /// never written and never will be (write elision), or its rows go.
    pub fn complete(&self, entry: &Entry, step: &mut Step) {
        if let Some(RowEnd { message }) = self.end_delivery(entry, step) {
            step.write(Op::Delete { delivery: entry.delivery, message });
        }
    }

    /// As [`Broker::complete`], for a delivery that goes on elsewhere. Tells when its row is
    /// gone; `None`: there is none, and there will be none.
    pub(super) fn complete_first(&self, entry: &Entry, step: &mut Step) -> Option<Arc<RowCommit>> {
        let RowEnd { message } = self.end_delivery(entry, step)?;
        let change = Arc::new(RowCommit::default());
        let told = Arc::clone(&change);
        step.write(Op::Remove { delivery: entry.delivery, message, change: told });
        Some(change)
    }

    /// What is to be deleted for it, if anything is.
    fn end_delivery(&self, entry: &Entry, step: &mut Step) -> Option<RowEnd> {
        // Whoever knows how it ended has said so before.
        traced::ended(entry, End::Dropped("dropped"));
        match entry.home {
            Home::Memory => None,
            Home::Slot(slot) => self.end_slot(entry, slot, step),
            Home::Row => {
                let last = self.persistence.release(entry.message.id);
                Some(RowEnd { message: last.then_some(entry.message.id) })
            }
        }
    }

    /// Ends the deliveries that have left the session's queue because the disk had no
    /// room for them: other receivers of the message may go on to count on it.
    pub(super) fn complete_refused(&self, session: &mut Session, step: &mut Step) {
        for entry in session.take_refused() {
            self.metrics.messages.dropped.add(DropReason::DiskFull, 1);
            traced::ended(&entry, End::Dropped(DropReason::DiskFull.as_str()));
            self.complete(&entry, step);
        }
    }

    fn end_slot(&self, entry: &Entry, slot: u32, step: &mut Step) -> Option<RowEnd> {
        let message = &entry.message;
        if let Some(slot) = message.slots.get(slot as usize) {
            slot.acknowledge();
        }
        let last = message.slots.len() <= 1
            || self.persistence.release(message.id)
            || Sabotage::ElideEarly.is_on();
        if last {
            // A durable publisher's packet id still has to reach the disk: such a
            // message is never elided, and its receivers saw it after the commit.
            let written = if message.must_commit() {
                message.durability.is_taken()
            } else {
                message.durability.complete()
            };
            if let Some(publisher) = &message.publisher {
                step.wake(publisher);
            }
            if written {
                return Some(RowEnd { message: Some(message.id) });
            }
            if let Some(trace) = &message.trace
                && !message.must_commit()
                && !message.durability.is_refused()
            {
                trace.stored(Stored::Elided);
            }
            return None;
        }
        message.durability.is_taken().then_some(RowEnd { message: None })
    }
}
