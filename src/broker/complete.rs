//! Completes a delivery: what an acknowledgement, an expiry or a drop does to the message and
//! its rows.

use super::{Broker, Step, traced};
use crate::message::{End, Stored};
use crate::sabotage::Sabotage;
use crate::session::{Entry, Home, Session};
use crate::store::Op;
use crate::telemetry::{DropReason, Label};

impl Broker {
    /// The delivery is over. The last one of a message settles it: either it was
    /// never written and never will be (write elision), or its rows go.
    pub fn complete(&self, entry: &Entry, step: &mut Step) {
        // Whoever knows how it ended has said so before.
        traced::ended(entry, End::Dropped("dropped"));
        match entry.home {
            Home::Memory => {}
            Home::Slot(slot) => self.complete_slot(entry, slot, step),
            Home::Row => {
                let last = self.persistence.release(entry.message.id);
                step.write(Op::Delete {
                    delivery: entry.delivery,
                    message: last.then_some(entry.message.id),
                });
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

    fn complete_slot(&self, entry: &Entry, slot: u32, step: &mut Step) {
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
            if written {
                let message = Some(message.id);
                step.write(Op::Delete { delivery: entry.delivery, message });
            } else if let Some(trace) = &message.trace
                && !message.must_commit()
                && !message.durability.is_refused()
            {
                trace.stored(Stored::Elided);
            }
            if let Some(publisher) = &message.publisher {
                step.wake(publisher);
            }
        } else if message.durability.is_taken() {
            step.write(Op::Delete { delivery: entry.delivery, message: None });
        }
    }
}
