//! One delivery in a session's queue or window.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use smallvec::SmallVec;

use crate::message::{CommitNo, DeliveryId, Message, RowCommit};
use crate::protocol::{PacketId, QoS};

/// Where a delivery is kept besides memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// Nowhere: QoS 0, or a session that is not durable.
    Memory,
    /// In this slot of its message, until the store takes or elides it.
    Slot(u32),
    /// In a row that was read back.
    Row,
}

/// How far one delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Must not be sent before its message, and a change to its row if there is one,
    /// are committed: see the QoS 2 table of the design.
    AwaitingCommit,
    /// May be sent, and was not, as far as is known.
    Ready,
    /// Was sent at least once, by this process or before: it is completed, whatever
    /// expires [MQTT-3.3.2-5].
    Sent,
    /// PUBREC has come: only PUBREL is to be sent from now on [MQTT-4.3.3-7].
    Received,
}

/// A message on its way to one session.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Shared with all other receivers.
    pub message: Arc<Message>,
    /// The order of the queue; the key of the row if there is one.
    pub delivery: DeliveryId,
    /// Drawn when it was queued; absent for QoS 0.
    pub packet_id: Option<PacketId>,
    /// The smaller of the publisher's and the subscription's.
    pub qos: QoS,
    /// The RETAIN flag that the receiver is to see.
    pub retain: bool,
    /// May have been sent before, for all that is known: after a crash that is true
    /// of many that were not.
    pub dup: bool,
    /// How far it has come.
    pub state: DeliveryState,
    /// See [`Home`].
    pub home: Home,
    /// A change to its row after the row was first written.
    pub row_change: Option<Arc<RowCommit>>,
    /// The shared subscription that it came through, in full: `$share/GROUP/FILTER`.
    pub share: Option<Arc<str>>,
    /// v5 Subscription Identifiers of the subscriptions that it matched.
    pub identifiers: SmallVec<[u32; 1]>,
}

impl Entry {
    /// True if its receiver may hold it, so that it is neither dropped nor refused.
    pub fn may_have_been_sent(&self) -> bool {
        matches!(self.state, DeliveryState::Sent | DeliveryState::Received)
    }

    /// True if another member of its shared subscription may get it when the session
    /// ends (v5, 4.8.2): at QoS 1 it should, also if it was sent; at QoS 2 it must not
    /// if it may have been sent. QoS 0 promises nothing.
    pub fn may_move(&self) -> bool {
        self.share.is_some()
            && match self.qos {
                QoS::AtMostOnce => false,
                QoS::AtLeastOnce => true,
                QoS::ExactlyOnce => !self.may_have_been_sent() && !self.dup,
            }
    }

    /// What counts against the queue's limit.
    pub fn size(&self) -> u64 {
        self.message.size() as u64
    }

    /// True if its row is on disk, so that memory may forget it.
    pub fn is_on_disk(&self, committed: CommitNo) -> bool {
        if !self.is_row_committed(committed) {
            return false;
        }
        match self.home {
            Home::Memory => false,
            Home::Slot(_) => self.message.durability.is_on_disk(committed),
            Home::Row => true,
        }
    }

    /// True if its row stands as memory has it, or will be written so.
    pub fn is_row_committed(&self, committed: CommitNo) -> bool {
        self.row_change.as_ref().is_none_or(|change| change.is_committed(committed))
    }

    /// True if the change to its row went away with whoever was to write it: nobody else
    /// holds it, and no batch has taken it.
    pub(super) fn has_lost_row_change(&self) -> bool {
        self.row_change.as_ref().is_some_and(|change| {
            let is_alone = Arc::strong_count(change) == 1;
            // Who held it last may have been the batch that took it.
            fence(Ordering::Acquire);
            is_alone && !change.is_taken()
        })
    }
}
