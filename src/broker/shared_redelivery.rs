//! Redelivers messages of shared subscriptions to another member of the group when the session
//! of the first member ends (v5, 4.8.2).
//!
//! A row is moved to the other session after the end of the first session was submitted. A
//! restart finds rows that were not moved.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::{Broker, Publication, SessionHandle, Step, traced};
use crate::message::{
    CommitNo, DeliveryId, End, IdList, QueuedId, RowCommit, SessionId, SlotState, SubscriptionIds,
    WakeCause,
};
use crate::protocol::QoS;
use crate::router::{Receiver, Routes};
use crate::session::{DeliveryState, Entry, Home, Room, Session};
use crate::store::{Op, PageReply, PageRequest, PagedDelivery};
use crate::telemetry::{DropReason, Label};

/// The most rows and bytes that are read back at once.
const PAGE: usize = 1000;
const PAGE_BYTES: u64 = 1 << 20;

/// Rows of ended sessions that have not been handled yet.
#[derive(Debug, Default)]
pub(super) struct SharedRedelivery {
    /// Ids, and the last delivery that their session may have sent.
    lists: Mutex<VecDeque<(IdList, DeliveryId)>>,
    /// A page is being read.
    is_reading: AtomicBool,
    /// Deliveries that no member may get before a commit: of their message, or of the deletion
    /// of their row.
    uncommitted: Mutex<Vec<Entry>>,
}

/// The result of offering a delivery to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// The member gets it.
    Taken,
    /// The member cannot get it.
    Refused,
    /// No member may get it before its message is committed.
    TooEarly,
    /// The member does not store it, so it may get it only after the row is deleted.
    WithoutRow,
}

impl SharedRedelivery {
    pub(super) fn add(&self, ids: IdList, sent_up_to: DeliveryId) {
        if !ids.is_empty() {
            self.lists.lock().push_back((ids, sent_up_to));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lists.lock().is_empty() && self.uncommitted.lock().is_empty()
    }

    /// Takes the deliveries whose commit is done, or whose message was refused.
    fn take_decided(&self, committed: CommitNo) -> Vec<Entry> {
        let mut uncommitted = self.uncommitted.lock();
        let is_decided = |entry: &mut Entry| {
            if let Some(removed) = &entry.row_change {
                return removed.is_committed(committed);
            }
            let durability = &entry.message.durability;
            durability.may_acknowledge(committed) || durability.is_refused()
        };
        uncommitted.extract_if(.., is_decided).collect()
    }

    fn take_page(&self) -> Option<(Vec<QueuedId>, DeliveryId)> {
        let mut lists = self.lists.lock();
        let (ids, sent_up_to) = lists.front_mut()?;
        let page = (ids.take_page(PAGE, PAGE_BYTES), *sent_up_to);
        if ids.is_empty() {
            lists.pop_front();
        }
        Some(page)
    }
}

impl Broker {
    fn next_member(
        &self,
        entry: &Entry,
        tried: &[SessionId],
    ) -> Option<Receiver<Arc<SessionHandle>>> {
        self.other_member(entry.share.as_ref(), entry.message.topic(), tried)
    }

    /// Gives deliveries of an ended session to other members of their shared subscriptions.
    /// Returns those that no member may get or has room for. Deliveries that must wait for a
    /// commit are kept until then.
    pub(super) fn hand_over(&self, entries: Vec<Entry>, step: &mut Step) -> Vec<Entry> {
        entries.into_iter().filter_map(|entry| self.hand_over_one(entry, step)).collect()
    }

    /// Returns the delivery if no member has taken it.
    fn hand_over_one(&self, entry: Entry, step: &mut Step) -> Option<Entry> {
        if entry.may_move() { self.offer(entry, step) } else { Some(entry) }
    }

    /// Gives a delivery that its session may not receive any more to another member of its
    /// shared subscription. Returns it if no member may get it or has room for it.
    pub(super) fn hand_on(&self, entry: Entry, step: &mut Step) -> Option<Entry> {
        let is_unsent = entry.share.is_some() && entry.qos == QoS::AtMostOnce;
        if is_unsent || entry.may_move() { self.offer(entry, step) } else { Some(entry) }
    }

    fn offer(&self, mut entry: Entry, step: &mut Step) -> Option<Entry> {
        if !entry.message.durability.is_refused() {
            let (mut tried, mut goes_without_row) = (Vec::new(), false);
            // Ended and full members are not selected, so few members refuse.
            while let Some(receiver) = self.next_member(&entry, &tried) {
                match self.give(&entry, &receiver, step) {
                    Given::Taken => return None,
                    Given::Refused => tried.push(receiver.session),
                    Given::TooEarly => {
                        self.shared_redelivery.uncommitted.lock().push(entry);
                        return None;
                    }
                    // A member that stores it is preferred.
                    Given::WithoutRow => {
                        goes_without_row = true;
                        tried.push(receiver.session);
                    }
                }
            }
            if goes_without_row {
                entry.row_change = self.complete_first(&entry, step);
                entry.home = Home::Memory;
                if entry.row_change.is_none() {
                    return self.offer(entry, step);
                }
                self.shared_redelivery.uncommitted.lock().push(entry);
                return None;
            }
        }
        Some(entry)
    }

    /// Continues with deliveries whose commit was awaited.
    pub(super) fn hand_over_decided(&self, step: &mut Step) {
        let decided = self.shared_redelivery.take_decided(self.persistence.committed());
        if !decided.is_empty() {
            let dropped = self.hand_over(decided, step);
            self.drop_entries(&dropped, step);
        }
    }

    fn give(
        &self,
        entry: &Entry,
        receiver: &Receiver<Arc<SessionHandle>>,
        step: &mut Step,
    ) -> Given {
        let handle = &receiver.handle;
        let mut session = handle.lock();
        if session.life.is_ended() || !self.has_room_in(handle, &mut session, entry, step) {
            return Given::Refused;
        }
        let message = &entry.message;
        let awaits_commit = entry.state == DeliveryState::AwaitingCommit
            && !message.durability.may_acknowledge(self.persistence.committed());
        // If it may have been sent at QoS 1, another member must not get it at QoS 2.
        let may_rise = !entry.may_have_been_sent() && !entry.dup && entry.qos > QoS::AtMostOnce;
        let most = if may_rise { message.qos } else { entry.qos };
        let qos = most.min(receiver.qos);
        let keeps_row = session.durable && qos > QoS::AtMostOnce;
        // If the row still existed after a crash, the delivery would be sent again.
        let is_once = qos != QoS::AtLeastOnce && self.persistence.waits();
        if entry.home != Home::Memory && !keeps_row && is_once {
            return Given::WithoutRow;
        }
        if session.durable && entry.home == Home::Memory && qos > QoS::AtMostOnce {
            if awaits_commit {
                // After a crash its publisher may resend it, and the copy would not be
                // detected.
                return Given::TooEarly;
            }
            drop(session);
            self.publish_copy(entry, qos, receiver, step);
            return Given::Taken;
        }
        let mut moved = Entry {
            qos,
            retain: message.retain && receiver.retain_as_published,
            dup: false,
            state: if awaits_commit { DeliveryState::AwaitingCommit } else { DeliveryState::Ready },
            packet_id: None,
            home: Home::Memory,
            row_change: None,
            share: receiver.share.clone(),
            identifiers: receiver.identifiers.clone(),
            ..entry.clone()
        };
        if qos > QoS::AtMostOnce {
            moved.packet_id = Some(session.draw_packet_id());
            moved.delivery = self.ids.delivery();
            if session.durable && entry.home != Home::Memory {
                self.move_row(entry, &mut moved, &session, step);
            }
        }
        let waits = awaits_commit || moved.row_change.is_some();
        self.enqueue_moved(handle, &mut session, moved, step);
        if waits {
            step.wake_at_commit(handle.session_wake(), WakeCause::Direct);
        } else if let Some(wake) = session.wake() {
            step.wake(wake, WakeCause::Direct);
        }
        let keeps_row = session.durable && entry.home != Home::Memory && qos > QoS::AtMostOnce;
        drop(session);
        traced::ended(entry, End::Dropped(DropReason::SessionEnded.as_str()));
        if !keeps_row {
            self.complete(entry, step);
        }
        Given::Taken
    }

    fn enqueue_moved(
        &self,
        handle: &Arc<SessionHandle>,
        session: &mut Session,
        moved: Entry,
        step: &mut Step,
    ) {
        if moved.qos == QoS::AtMostOnce {
            self.enqueue_qos0(handle, session, moved);
            return;
        }
        traced::queued(&moved, &session.client_id);
        let spill = session.durable && self.has_to_spill(handle, moved.size());
        session.enqueue(moved, self.persistence.committed(), spill);
        self.complete_refused(session, step);
        if session.durable && session.life.connected().is_none() {
            self.evict_later(handle);
        }
    }

    /// True if the member has room, which its overflow policy may make.
    fn has_room_in(
        &self,
        handle: &SessionHandle,
        session: &mut Session,
        entry: &Entry,
        step: &mut Step,
    ) -> bool {
        let has_memory = session.durable || self.may_hold(handle, entry.size());
        has_memory
            && match session.room_for(entry.message.size()) {
                Room::Yes => true,
                Room::AfterDropping => self.drop_oldest(session, step),
                Room::No => false,
            }
    }

    /// Moves the row to the other session, and fills the slot, in case the row is not written
    /// yet.
    fn move_row(&self, entry: &Entry, moved: &mut Entry, session: &Session, step: &mut Step) {
        let (Some(packet_id), Some(share)) = (moved.packet_id, moved.share.clone()) else { return };
        let (delivery, qos, retain) = (moved.delivery, moved.qos, moved.retain);
        let to = SlotState { session: session.id, delivery, packet_id, qos, retain };
        if let Home::Slot(slot) = entry.home
            && let Some(slot) = entry.message.slots.get(slot as usize)
        {
            slot.fill(to);
        }
        if qos == QoS::ExactlyOnce && self.persistence.waits() {
            moved.state = DeliveryState::AwaitingCommit;
        }
        let change = Arc::new(RowCommit::default());
        moved.home = entry.home;
        moved.row_change = Some(Arc::clone(&change));
        step.write(Op::Move { delivery: entry.delivery, to, share, change });
    }

    /// Publishes a delivery that is only in memory again, for a durable session.
    fn publish_copy(
        &self,
        entry: &Entry,
        qos: QoS,
        receiver: &Receiver<Arc<SessionHandle>>,
        step: &mut Step,
    ) {
        let message = &entry.message;
        let publication = Publication {
            topic: message.topic(),
            properties: message.all_properties(),
            payload: message.payload(),
            qos,
            retain: message.retain,
            expires_at: message.expires_at,
            is_copy: true,
        };
        let mut routes = Routes::new();
        routes.receivers.push(receiver.clone());
        let message = self.message_of(&publication, &routes, None, step);
        self.deliver_at_once(message, &routes, step);
        traced::ended(entry, End::Dropped(DropReason::SessionEnded.as_str()));
        self.complete(entry, step);
    }

    /// Reads the next rows of ended sessions, and gives them to other members or drops them.
    pub(super) fn hand_over_rows(self: &Arc<Self>) {
        if self.shared_redelivery.is_reading.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some((ids, sent_up_to)) = self.shared_redelivery.take_page() else {
            self.shared_redelivery.is_reading.store(false, Ordering::Release);
            return;
        };
        let broker = Arc::downgrade(self);
        let reply = PageReply(Box::new(move |answer| {
            let Some(broker) = broker.upgrade() else { return };
            // An error means that the store is poisoned. The next start finds the rows again.
            broker.rows_arrived(answer.unwrap_or_default(), sent_up_to);
            broker.shared_redelivery.is_reading.store(false, Ordering::Release);
        }));
        self.persistence.page(PageRequest { ids, ledger: self.metrics.messages.memory, reply });
    }

    fn rows_arrived(&self, mut rows: Vec<PagedDelivery>, sent_up_to: DeliveryId) {
        let mut step = Step::new(self);
        self.resume_traces(&mut rows, step.now);
        let entries = rows.into_iter().map(|row| left_over(row, sent_up_to)).collect();
        let dropped = self.hand_over(entries, &mut step);
        self.drop_entries(&dropped, &mut step);
        step.submit_or_log(self);
    }
}

/// The delivery of a row of an ended session.
fn left_over(row: PagedDelivery, sent_up_to: DeliveryId) -> Entry {
    let perhaps = row.delivery <= sent_up_to;
    Entry {
        message: row.message,
        delivery: row.delivery,
        packet_id: Some(row.packet_id),
        qos: row.qos,
        retain: row.retain,
        dup: perhaps,
        state: match (row.received, perhaps) {
            (true, _) => DeliveryState::Received,
            (false, true) => DeliveryState::Sent,
            (false, false) => DeliveryState::Ready,
        },
        home: Home::Row,
        row_change: None,
        share: row.share,
        identifiers: SubscriptionIds::default(),
    }
}
