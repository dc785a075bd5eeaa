//! Puts one message into the queues of its receivers, over as many polls as necessary.
//!
//! Nothing of it reaches the store before the last receiver has it: the message, its
//! deliveries and the publisher's packet id are one transaction.

use std::sync::Arc;

use super::budget::{Budget, DROPPED, RECEIVER};
use super::{Broker, SessionHandle, Step, Way, traced};
use crate::message::{DeliveryId, End, Message, SlotState};
use crate::protocol::QoS;
use crate::router::{Receiver, Routes};
use crate::sabotage::Sabotage;
use crate::session::{DeliveryState, Entry, Home, Room, Session};
use crate::store::Op;
use crate::telemetry::{DropReason, Label};

/// A fan-out that has begun. It has to be brought to its end, whatever becomes of the
/// publisher: some receivers may have the message.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is true or false by itself.
pub struct Fanout {
    message: Arc<Message>,
    /// The receiver that comes next.
    next: usize,
    /// No receiver may see it before the commit.
    gate_all: bool,
    /// Nobody can be told that a queue is full: its message is dropped there, and all
    /// others get it.
    lenient: bool,
    next_slot: u32,
    durable: usize,
    hold: bool,
    /// The session that was served last is away and has just begun to keep
    /// messages in memory.
    evict: bool,
    /// A connected receiver had no room for it at QoS 0.
    dropped: bool,
}

impl Broker {
    /// Begins to deliver a message to the receivers that it was prepared for.
    pub fn begin_fanout(&self, message: Arc<Message>, lenient: bool) -> Fanout {
        // One reference is the publisher's own, so that quick receivers cannot
        // complete the message before all of them have it.
        if message.slots.len() > 1 {
            let references = u32::try_from(message.slots.len()).unwrap_or(u32::MAX - 1) + 1;
            self.persistence.add_references(message.id, references);
        }
        Fanout {
            gate_all: message.incoming.is_some() && self.persistence.waits(),
            message,
            next: 0,
            lenient,
            next_slot: 0,
            durable: 0,
            hold: true,
            evict: false,
            dropped: false,
        }
    }

    /// Goes on with it as far as the budget lasts. True when it is done: then the message
    /// is part of `step`, and its publisher may be acknowledged as soon as
    /// [`crate::message::Durability::may_acknowledge`] says so.
    pub fn fan_out(
        &self,
        fanout: &mut Fanout,
        routes: &Routes<Arc<SessionHandle>>,
        step: &mut Step,
        budget: &mut Budget,
    ) -> bool {
        while let Some(receiver) = routes.receivers.get(fanout.next) {
            if budget.is_spent() {
                return false;
            }
            budget.spend(RECEIVER);
            fanout.next += 1;
            self.enqueue(receiver, fanout, step);
        }
        if fanout.dropped {
            // What a slow reader loses costs its publisher, so that sending gets its turn.
            budget.spend(DROPPED);
        }
        self.end_fanout(fanout, step);
        true
    }

    /// Delivers a message in turns with other tasks. Not to be cancelled.
    pub(super) async fn fan_out_in_polls(
        &self,
        message: Arc<Message>,
        routes: &Routes<Arc<SessionHandle>>,
        step: &mut Step,
    ) {
        let mut fanout = self.begin_fanout(message, true);
        let mut turn = None;
        while !self.fan_out(&mut fanout, routes, step, &mut Budget::of_long_poll()) {
            step.ring();
            self.long_polls.pause(&mut turn).await;
        }
    }

    /// Delivers a message at once, for publications with few receivers.
    pub(super) fn deliver_at_once(
        &self,
        message: Arc<Message>,
        routes: &Routes<Arc<SessionHandle>>,
        step: &mut Step,
    ) {
        let mut fanout = self.begin_fanout(message, true);
        self.fan_out(&mut fanout, routes, step, &mut Budget::unlimited());
    }

    fn end_fanout(&self, fanout: &Fanout, step: &mut Step) {
        let Fanout { message, durable, hold, .. } = fanout;
        let must_commit = message.must_commit() && self.persistence.is_enabled();
        if message.slots.len() > 1 && self.persistence.release(message.id) && !must_commit {
            // All that are durable have acknowledged already, or none is.
            message.durability.complete();
            return;
        }
        if *durable == 0 && !must_commit {
            message.durability.complete();
            return;
        }
        if let Some(trace) = &message.trace {
            trace.submitted();
        }
        // A will is gone from its session's row with the rest of the step: it must not come
        // after it.
        if *hold && message.publisher.is_some() && !must_commit {
            step.hold(Arc::clone(message));
        } else {
            step.write(Op::Message(Arc::clone(message)));
        }
    }

    fn enqueue(
        &self,
        receiver: &Receiver<Arc<SessionHandle>>,
        fanout: &mut Fanout,
        step: &mut Step,
    ) {
        let qos = fanout.message.qos.min(receiver.qos);
        let slot = (qos > QoS::AtMostOnce).then(|| {
            fanout.next_slot += 1;
            fanout.next_slot - 1
        });
        if self.enqueue_in(slot, receiver, fanout, step) {
            return;
        }
        // Its session has ended since it was chosen: it is another member's turn.
        let mut tried = smallvec::SmallVec::<[_; 1]>::from_elem(receiver.session, 1);
        while let Some(other) = self.other_member(receiver.share.as_ref(), &tried) {
            if self.enqueue_in(slot, &other, fanout, step) {
                return;
            }
            tried.push(other.session);
        }
        if slot.is_some() {
            self.metrics.messages.dropped.add(DropReason::SessionEnded, 1);
            if fanout.message.slots.len() > 1 {
                self.persistence.release(fanout.message.id);
            }
        }
    }

    /// False if another member of a shared subscription is to get it, since this session
    /// has ended.
    fn enqueue_in(
        &self,
        slot: Option<u32>,
        receiver: &Receiver<Arc<SessionHandle>>,
        fanout: &mut Fanout,
        step: &mut Step,
    ) -> bool {
        let qos = fanout.message.qos.min(receiver.qos);
        let handle = &receiver.handle;
        let mut session = handle.lock();
        if receiver.share.is_some() && session.life.is_ended() {
            return false;
        }
        let entry = Entry {
            message: Arc::clone(&fanout.message),
            delivery: DeliveryId(0),
            packet_id: None,
            qos,
            retain: fanout.message.retain && receiver.retain_as_published,
            dup: false,
            state: if fanout.gate_all {
                DeliveryState::AwaitingCommit
            } else {
                DeliveryState::Ready
            },
            home: Home::Memory,
            row_change: None,
            share: receiver.share.clone(),
            identifiers: receiver.identifiers.clone(),
        };
        // Another member may have subscribed at QoS 0.
        let place = slot.filter(|_| qos > QoS::AtMostOnce);
        let queued = match place {
            None => self.enqueue_qos0(handle, &mut session, entry),
            Some(slot) => self.enqueue_kept(handle, &mut session, entry, (slot, fanout, step)),
        };
        if queued {
            let awaits_commit = fanout.gate_all || (session.durable && qos == QoS::ExactlyOnce);
            if awaits_commit && self.persistence.waits() {
                // Whoever is connected by then: it may be another connection.
                if !Sabotage::ForgetWakeUp.is_on() {
                    step.wake_at_commit(handle.session_wake());
                }
            } else if let Some(wake) = session.wake() {
                step.wake(wake);
            }
        }
        fanout.dropped |= !queued && place.is_none() && session.life.connected().is_some();
        if slot.is_some() && !(queued && place.is_some()) && fanout.message.slots.len() > 1 {
            self.persistence.release(fanout.message.id);
        }
        if Sabotage::ChargeLate.is_on() {
            session.follow_later();
            step.follow_at_end(handle);
        }
        drop(session);
        if std::mem::take(&mut fanout.evict) {
            self.evict_later(handle);
        }
        true
    }

    pub(super) fn enqueue_qos0(
        &self,
        handle: &SessionHandle,
        session: &mut Session,
        mut entry: Entry,
    ) -> bool {
        if session.life.connected().is_none() && !session.limits.queue_qos0 {
            return false;
        }
        let reason = if !self.may_hold(handle, entry.size()) {
            self.gives_way(Way::Dropped, 1);
            DropReason::MemoryLimit
        } else if session.life.is_ended() {
            DropReason::SessionEnded
        } else if session.room_for(entry.message.size()) != Room::Yes {
            DropReason::QueueFull
        } else {
            entry.delivery = self.ids.delivery();
            traced::queued(&entry, &session.client_id);
            session.enqueue(entry, self.persistence.committed(), false);
            return true;
        };
        self.metrics.messages.dropped.add(reason, 1);
        false
    }

    fn enqueue_kept(
        &self,
        handle: &SessionHandle,
        session: &mut Session,
        mut entry: Entry,
        (slot, fanout, step): (u32, &mut Fanout, &mut Step),
    ) -> bool {
        if session.life.is_ended() {
            self.metrics.messages.dropped.add(DropReason::SessionEnded, 1);
            return false;
        }
        let durable = session.durable;
        let promised = session.outlives() && session.refuses() && !fanout.lenient;
        if !durable && !promised && !self.may_hold(handle, entry.size()) {
            self.metrics.messages.dropped.add(DropReason::MemoryLimit, 1);
            self.gives_way(Way::Lost, 1);
            self.note_lost_message(handle, session, step);
            return false;
        }
        match session.room_for(entry.message.size()) {
            Room::Yes => {}
            Room::AfterDropping if self.drop_oldest(session, step) => {}
            // Looked at in `prepare`; what came in between may stand above the
            // limit, since it was promised a place.
            Room::No if promised => {}
            Room::No | Room::AfterDropping => {
                self.metrics.messages.dropped.add(DropReason::QueueFull, 1);
                return false;
            }
        }
        let packet_id = session.draw_packet_id();
        entry.delivery = self.ids.delivery();
        entry.packet_id = Some(packet_id);
        if durable {
            entry.home = Home::Slot(slot);
            if entry.qos == QoS::ExactlyOnce && self.persistence.waits() {
                entry.state = DeliveryState::AwaitingCommit;
            }
            let state = SlotState {
                session: session.id,
                delivery: entry.delivery,
                packet_id,
                qos: entry.qos,
                retain: entry.retain,
            };
            if let Some(slot) = entry.message.slots.get(slot as usize) {
                slot.fill(state);
            }
            fanout.durable += 1;
            fanout.hold &= entry.qos == QoS::AtLeastOnce && session.is_answering(step.now.instant);
        } else if entry.message.slots.len() > 1 {
            // Not the store's business: its reference is given back at once.
            self.persistence.release(entry.message.id);
        }
        traced::queued(&entry, &session.client_id);
        let spill = durable && self.has_to_spill(handle, entry.size());
        session.enqueue(entry, self.persistence.committed(), spill);
        self.complete_refused(session, step);
        if durable && session.is_forgettable() {
            fanout.evict = true;
        }
        true
    }

    /// A QoS 1 or 2 message of a clean session is lost for want of memory: its client is not
    /// left in the belief that it gets everything.
    fn note_lost_message(&self, handle: &SessionHandle, session: &Session, step: &mut Step) {
        if let Some(wake) = session.wake()
            && !self.is_shutting_down()
            && !Sabotage::ForgetToTell.is_on()
        {
            handle.note_lost_message();
            step.wake(wake);
        }
    }

    /// False: nothing that waits may be dropped, so the new message finds no room.
    pub(super) fn drop_oldest(&self, session: &mut Session, step: &mut Step) -> bool {
        while session.room_for(0) == Room::AfterDropping {
            match session.drop_oldest() {
                Some(Ok(entry)) => {
                    traced::ended(&entry, End::Dropped(DropReason::QueueFull.as_str()));
                    self.complete(&entry, step);
                }
                Some(Err(delivery)) => step.write(Op::Drop(delivery)),
                None => return false,
            }
            self.metrics.messages.dropped.add(DropReason::QueueFull, 1);
        }
        true
    }
}
