//! Completes a delivery: the effect of an acknowledgement, an expiry or a drop on the message
//! and its rows.

use std::sync::Arc;

use super::{Broker, Step, traced};
use crate::message::{End, MessageId, RowCommit, Stored, WakeCause};
use crate::sabotage::Sabotage;
use crate::session::{Entry, Home, Session};
use crate::store::Op;
use crate::telemetry::{DropReason, Label};

/// The row of a delivery has to be deleted.
struct RowEnd {
    /// The message's row is to be deleted with it.
    message: Option<MessageId>,
}

impl Broker {
    /// Completes a delivery. The last delivery of a message settles it: the message is either
    /// never written (write elision), or its rows are deleted.
    pub fn complete(&self, entry: &Entry, step: &mut Step) {
        if let Some(RowEnd { message }) = self.end_delivery(entry, step) {
            step.write(Op::Delete { delivery: entry.delivery, message });
        }
    }

    /// As [`Broker::complete`], for a delivery that moves to another session. Returns the
    /// commit that removes its row. `None`: it has no row and will get none.
    pub(super) fn complete_first(&self, entry: &Entry, step: &mut Step) -> Option<Arc<RowCommit>> {
        let RowEnd { message } = self.end_delivery(entry, step)?;
        let change = Arc::new(RowCommit::default());
        let told = Arc::clone(&change);
        step.write(Op::Remove { delivery: entry.delivery, message, change: told });
        Some(change)
    }

    /// Ends the delivery. Returns what has to be deleted, if anything.
    fn end_delivery(&self, entry: &Entry, step: &mut Step) -> Option<RowEnd> {
        // The first report counts, so a cause that was reported before is kept.
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

    /// Completes deliveries that left the session's queue because the disk had no room for
    /// their message, so that the message no longer waits for them.
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
            // A durable publisher's packet identifier still has to be committed, so such a
            // message is never elided. Its receivers got it after the commit.
            let written = if message.must_commit() {
                message.durability.is_taken()
            } else {
                message.durability.complete()
            };
            if let Some(publisher) = &message.publisher {
                step.wake(publisher, WakeCause::Direct);
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
