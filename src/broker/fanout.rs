//! Puts one message into the queues of its receivers, over as many polls as necessary.
//!
//! Nothing is submitted before the last receiver has the message: the message, its deliveries
//! and the publisher's packet identifier are one transaction.

use std::sync::Arc;

use super::budget::{Budget, DROPPED, RECEIVER};
use super::{Broker, SessionHandle, Step, Way, traced};
use crate::message::{DeliveryId, End, Message, SlotState, WakeCause};
use crate::protocol::QoS;
use crate::router::{Receiver, Routes};
use crate::sabotage::Sabotage;
use crate::session::{DeliveryState, Entry, Home, Room, Session};
use crate::store::Op;
use crate::telemetry::{DropReason, Label};

/// A fan-out in progress. It must be completed even if the publisher's connection ends,
/// because some receivers may have the message.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is true or false by itself.
pub struct Fanout {
    message: Arc<Message>,
    /// The index of the next receiver.
    next: usize,
    /// True if no receiver may be sent the message before its commit.
    gate_all: bool,
    /// True if the publisher cannot be told that a queue is full. The message is then dropped
    /// for that receiver, and all others get it.
    drop_if_full: bool,
    next_slot: u32,
    durable: usize,
    hold: bool,
    /// Set if the last receiver is offline and has its first message in memory.
    evict: bool,
    /// A connected receiver had no room for the message at QoS 0.
    dropped: bool,
    /// How its receivers are woken.
    cause: WakeCause,
}

impl Broker {
    /// Begins the fan-out of a message to the receivers for which it was prepared.
    pub fn begin_fanout(&self, message: Arc<Message>, drop_if_full: bool) -> Fanout {
        // One more reference belongs to the publisher, so that receivers cannot complete the
        // message before the fan-out is done.
        if message.slots.len() > 1 {
            let references = u32::try_from(message.slots.len()).unwrap_or(u32::MAX - 1) + 1;
            self.persistence.add_references(message.id, references);
        }
        Fanout {
            gate_all: message.incoming.is_some() && self.persistence.waits(),
            message,
            next: 0,
            drop_if_full,
            next_slot: 0,
            durable: 0,
            hold: true,
            evict: false,
            dropped: false,
            cause: WakeCause::Direct,
        }
    }

    /// Continues the fan-out as far as the budget allows. True when it is done: then the
    /// message is in `step`, and its publisher may be acknowledged as soon as
    /// [`crate::message::Durability::may_acknowledge`] is true.
    pub fn fan_out(
        &self,
        fanout: &mut Fanout,
        routes: &Routes<Arc<SessionHandle>>,
        step: &mut Step,
        budget: &mut Budget,
    ) -> bool {
        if routes.receivers.len() > self.settings.receivers_at_once {
            fanout.cause = WakeCause::FanOut;
        }
        while let Some(receiver) = routes.receivers.get(fanout.next) {
            if budget.is_spent() {
                return false;
            }
            budget.spend(RECEIVER);
            fanout.next += 1;
            self.enqueue(receiver, fanout, step);
        }
        if fanout.dropped {
            // The publisher pays for messages that slow receivers lose, so that output gets
            // its turn.
            budget.spend(DROPPED);
        }
        self.end_fanout(fanout, step);
        true
    }

    /// Delivers a message in turns with other tasks. Must not be cancelled.
    pub(super) async fn fan_out_in_polls(
        &self,
        message: Arc<Message>,
        routes: &Routes<Arc<SessionHandle>>,
        step: &mut Step,
    ) {
        let mut fanout = self.begin_fanout(message, true);
        let mut turn = None;
        while !self.fan_out(&mut fanout, routes, step, &mut Budget::of_long_poll()) {
            step.notify();
            self.turns.pause(&mut turn).await;
        }
    }

    /// Delivers a message without yielding, for publications with few receivers.
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
            // Either all durable receivers have acknowledged already, or there are none.
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
        // A will is removed from its session's row in the same step, so its message must not
        // be held for a later commit.
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
        // The session ended after it was selected, so another member is selected.
        let mut tried = smallvec::SmallVec::<[_; 1]>::from_elem(receiver.session, 1);
        while let Some(other) =
            self.other_member(receiver.share.as_ref(), fanout.message.topic(), &tried)
        {
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

    /// False if the session of a shared subscription's member has ended, so that another
    /// member has to be selected.
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
        // The other member may have subscribed at QoS 0.
        let place = slot.filter(|_| qos > QoS::AtMostOnce);
        let queued = match place {
            None => self.enqueue_qos0(handle, &mut session, entry),
            Some(slot) => self.enqueue_kept(handle, &mut session, entry, (slot, fanout, step)),
        };
        if queued {
            let awaits_commit = fanout.gate_all || (session.durable && qos == QoS::ExactlyOnce);
            if awaits_commit && self.persistence.waits() {
                // Wakes whichever connection holds the session at the commit.
                if !Sabotage::ForgetWakeUp.is_on() {
                    step.wake_at_commit(handle.session_wake(), fanout.cause);
                }
            } else if let Some(wake) = session.wake() {
                step.wake(wake, fanout.cause);
            }
        }
        fanout.dropped |= !queued && place.is_none() && session.life.connected().is_some();
        if slot.is_some() && !(queued && place.is_some()) && fanout.message.slots.len() > 1 {
            self.persistence.release(fanout.message.id);
        }
        if Sabotage::ChargeLate.is_on() {
            session.defer_update();
            step.update_at_end(handle);
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
        let promised = session.outlives() && session.refuses() && !fanout.drop_if_full;
        if !durable && !promised && !self.may_hold(handle, entry.size()) {
            self.metrics.messages.dropped.add(DropReason::MemoryLimit, 1);
            self.gives_way(Way::Lost, 1);
            self.note_lost_message(handle, session, step);
            return false;
        }
        match session.room_for(entry.message.size()) {
            Room::Yes => {}
            // It would be dropped before it is sent, so it takes no other message's room.
            Room::No | Room::AfterDropping if handle.leads_back(entry.message.hops()) => {
                return false;
            }
            Room::AfterDropping if self.drop_oldest(session, step) => {}
            // `prepare` has found room and accepted the message, so it is queued even if the
            // limit has been reached since.
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
            // The store does not count this receiver, so its reference is released.
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

    /// A QoS 1 or 2 message of a session that ends with its connection is lost for lack of
    /// memory. The client is disconnected, so that it knows.
    fn note_lost_message(&self, handle: &SessionHandle, session: &Session, step: &mut Step) {
        if let Some(wake) = session.wake()
            && !self.is_shutting_down()
            && !Sabotage::ForgetToTell.is_on()
        {
            handle.note_lost_message();
            step.wake(wake, WakeCause::Direct);
        }
    }

    /// False: no waiting message may be dropped, so there is no room for the new one.
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
