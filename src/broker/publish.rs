//! A message's way in: who gets it, what it waits for, and whether it is taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::MEMBERS_TRIED;
use super::{Broker, SessionHandle, Turn, traced};
use crate::message::{
    DeliveryId, End, Message, MessageHead, SessionId, SlotState, Wake, WallMillis,
};
use crate::protocol::{PacketId, QoS, ReasonCode};
use crate::router::{Receiver, Routes};
use crate::session::{DeliveryState, Entry, Home, Room, Session};
use crate::store::Op;
use crate::telemetry::{DropReason, Label};

/// A message that someone wants to publish.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// Where to; no alias any more.
    pub topic: &'a str,
    /// Encoded v5 properties, as in [`Message::properties`].
    pub properties: &'a [u8],
    /// What.
    pub payload: &'a [u8],
    /// How.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
    /// From the Message Expiry Interval.
    pub expires_at: Option<WallMillis>,
    /// A copy of what is retained already, for a new subscription.
    pub is_copy: bool,
    /// A durable publisher's QoS 2 packet id, to be committed with the message.
    pub incoming: Option<(SessionId, PacketId)>,
}

/// A publication that was found acceptable, with the receivers still to be served.
#[derive(Debug)]
pub struct Prepared {
    /// The message.
    pub message: Arc<Message>,
    receivers: usize,
}

impl Prepared {
    /// How many are subscribed.
    pub fn receivers(&self) -> usize {
        self.receivers
    }

    /// True if someone is subscribed.
    pub fn has_receivers(&self) -> bool {
        self.receivers > 0
    }
}

/// What all receivers of one message have in common.
struct Delivering<'a> {
    message: &'a Arc<Message>,
    /// No receiver may see it before the commit.
    gate_all: bool,
    next_slot: u32,
    durable: usize,
    hold: bool,
    /// The session that was served last is away and has just begun to keep
    /// messages in memory.
    forget: bool,
}

impl Broker {
    /// Makes the message of it, unless it has to be refused.
    ///
    /// # Errors
    /// The reason code for the publisher: 0x97 if a receiver's queue, or the disk,
    /// has no room for it.
    pub fn prepare(
        &self,
        publication: &Publication<'_>,
        routes: &Routes<Arc<SessionHandle>>,
        publisher: Option<&Arc<Wake>>,
        turn: &Turn,
    ) -> Result<Prepared, ReasonCode> {
        if publication.qos > QoS::AtMostOnce
            && !routes.receivers.iter().all(|receiver| self.has_room_for(receiver))
        {
            return Err(ReasonCode::QuotaExceeded);
        }
        Ok(self.compose(publication, routes, publisher, turn))
    }

    /// False if publishers of QoS 1 and 2 messages for this receiver are to be refused.
    pub(super) fn has_room_for(&self, receiver: &Receiver<Arc<SessionHandle>>) -> bool {
        let no_memory = || receiver.handle.is_memory_only() && self.is_over_memory();
        receiver.qos == QoS::AtMostOnce || !(receiver.handle.is_full() || no_memory())
    }

    /// As [`Broker::prepare`], whether there is room or not.
    pub(super) fn compose(
        &self,
        publication: &Publication<'_>,
        routes: &Routes<Arc<SessionHandle>>,
        publisher: Option<&Arc<Wake>>,
        turn: &Turn,
    ) -> Prepared {
        let receivers = &routes.receivers;
        let kept = || {
            let kept = publication.qos > QoS::AtMostOnce;
            receivers.iter().filter(move |receiver| kept && receiver.qos > QoS::AtMostOnce)
        };
        let slots = kept().count();
        let head = MessageHead {
            id: self.ids.message(),
            qos: publication.qos,
            retain: publication.retain,
            published_at: turn.now.wall,
            expires_at: publication.expires_at,
        };
        let waits = publication.qos > QoS::AtMostOnce && self.persistence.waits();
        let mut message = Message::new(
            head,
            publication.topic,
            publication.properties,
            publication.payload,
            slots,
            publication.incoming,
            publisher.filter(|_| waits).cloned(),
        );
        message.is_kept = publication.retain && !publication.is_copy && waits;
        if kept().any(|receiver| receiver.share.is_some()) {
            message.shares = Some(kept().map(|receiver| receiver.share.clone()).collect());
        }
        self.begin_trace(&mut message, publisher.is_some(), turn.now);
        Prepared { message: Arc::new(message), receivers: receivers.len() }
    }

    /// Queues it for each receiver and hands it to the store if a durable session
    /// is among them. Afterwards the publisher may be acknowledged as soon as
    /// [`crate::message::Durability::may_acknowledge`] says so.
    pub fn deliver(
        &self,
        prepared: &Prepared,
        routes: &Routes<Arc<SessionHandle>>,
        turn: &mut Turn,
    ) {
        let message = &prepared.message;
        let mut delivering = Delivering {
            message,
            gate_all: message.incoming.is_some() && self.persistence.waits(),
            next_slot: 0,
            durable: 0,
            hold: true,
            forget: false,
        };
        // One reference is the publisher's own, so that quick receivers cannot
        // settle the message before all of them have it.
        let shared = message.slots.len() > 1;
        if shared {
            let references = u32::try_from(message.slots.len()).unwrap_or(u32::MAX - 1) + 1;
            self.persistence.add_references(message.id, references);
        }
        for receiver in &routes.receivers {
            self.enqueue(receiver, &mut delivering, turn);
        }
        let Delivering { durable, hold, .. } = delivering;
        let must_commit = message.must_commit() && self.persistence.is_enabled();
        if shared && self.persistence.release(message.id) && !must_commit {
            // All that are durable have acknowledged already, or none is.
            message.durability.settle();
            return;
        }
        if durable == 0 && !must_commit {
            message.durability.settle();
            return;
        }
        if let Some(trace) = &message.trace {
            trace.submitted();
        }
        if hold && !must_commit {
            turn.hold(Arc::clone(message));
        } else {
            turn.write(Op::Message(Arc::clone(message)));
        }
    }

    fn enqueue(
        &self,
        receiver: &Receiver<Arc<SessionHandle>>,
        delivering: &mut Delivering<'_>,
        turn: &mut Turn,
    ) {
        let qos = delivering.message.qos.min(receiver.qos);
        let slot = (qos > QoS::AtMostOnce).then(|| {
            delivering.next_slot += 1;
            delivering.next_slot - 1
        });
        let mut instead = None;
        for _ in 0..MEMBERS_TRIED {
            let receiver = instead.as_ref().unwrap_or(receiver);
            if self.enqueue_in(slot, receiver, delivering, turn) {
                return;
            }
            // Its session has ended since it was chosen: it is another member's turn.
            let ended = Some(receiver.session);
            let other = self.other_member(receiver.share.as_ref(), ended);
            let Some(other) = other else { break };
            instead = Some(other);
        }
        if slot.is_some() {
            self.metrics.messages.dropped.add(DropReason::SessionEnded, 1);
            if delivering.message.slots.len() > 1 {
                self.persistence.release(delivering.message.id);
            }
        }
    }

    /// False if another member of a shared subscription is to get it, since this session
    /// has ended.
    fn enqueue_in(
        &self,
        slot: Option<u32>,
        receiver: &Receiver<Arc<SessionHandle>>,
        delivering: &mut Delivering<'_>,
        turn: &mut Turn,
    ) -> bool {
        let message = delivering.message;
        let qos = message.qos.min(receiver.qos);
        let handle = &receiver.handle;
        let mut session = handle.lock();
        if receiver.share.is_some() && session.life.is_ended() {
            return false;
        }
        let entry = Entry {
            message: Arc::clone(message),
            delivery: DeliveryId(0),
            packet_id: None,
            qos,
            retain: message.retain && receiver.retain_as_published,
            dup: false,
            state: if delivering.gate_all {
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
            None => self.enqueue_qos0(&mut session, entry),
            Some(slot) => self.enqueue_kept(&mut session, entry, slot, delivering, turn),
        };
        if queued {
            let gated = delivering.gate_all || (session.durable && qos == QoS::ExactlyOnce);
            if let Some(wake) = session.wake() {
                if gated && self.persistence.waits() {
                    turn.wake_at_commit(wake);
                } else {
                    turn.wake(wake);
                }
            }
        }
        if slot.is_some() && !(queued && place.is_some()) && message.slots.len() > 1 {
            self.persistence.release(message.id);
        }
        handle.settle_counts(&mut session, turn);
        drop(session);
        if std::mem::take(&mut delivering.forget) {
            self.forget_later(handle);
        }
        true
    }

    pub(super) fn enqueue_qos0(&self, session: &mut Session, mut entry: Entry) -> bool {
        if session.life.connected().is_none() && !session.limits.queue_qos0 {
            return false;
        }
        let reason = if self.is_over_memory() {
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
        session: &mut Session,
        mut entry: Entry,
        slot: u32,
        delivering: &mut Delivering<'_>,
        turn: &mut Turn,
    ) -> bool {
        if session.life.is_ended() {
            self.metrics.messages.dropped.add(DropReason::SessionEnded, 1);
            return false;
        }
        let durable = session.durable;
        let promised = session.outlives() && session.refuses();
        if !durable && !promised && self.is_over_memory() {
            self.metrics.messages.dropped.add(DropReason::MemoryLimit, 1);
            return false;
        }
        match session.room_for(entry.message.size()) {
            Room::Yes => {}
            Room::AfterDropping if self.drop_oldest(session, turn) => {}
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
            delivering.durable += 1;
            delivering.hold &=
                entry.qos == QoS::AtLeastOnce && session.is_answering(turn.now.instant);
        } else if entry.message.slots.len() > 1 {
            // Not the store's business: its reference is given back at once.
            self.persistence.release(entry.message.id);
        }
        traced::queued(&entry, &session.client_id);
        session.enqueue(entry, self.persistence.committed(), self.is_over_memory());
        self.settle_refused(session, turn);
        if durable && session.is_forgettable() {
            delivering.forget = true;
        }
        true
    }

    /// False: nothing that waits may be dropped, so the new message finds no room.
    pub(super) fn drop_oldest(&self, session: &mut Session, turn: &mut Turn) -> bool {
        while session.room_for(0) == Room::AfterDropping {
            match session.drop_oldest() {
                Some(Ok(entry)) => {
                    traced::ended(&entry, End::Dropped(DropReason::QueueFull.as_str()));
                    self.settle(&entry, turn);
                }
                Some(Err(delivery)) => turn.write(Op::Drop(delivery)),
                None => return false,
            }
            self.metrics.messages.dropped.add(DropReason::QueueFull, 1);
        }
        true
    }

    /// True if queues hold more payload in memory than they may.
    pub(super) fn is_over_memory(&self) -> bool {
        self.memory.load(Ordering::Relaxed) > self.settings.max_memory
    }
}
