//! One delivery in a session's queue or inflight window.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crate::message::{CommitNo, DeliveryId, Message, RowCommit, SubscriptionIds};
use crate::protocol::{PacketId, QoS};

/// Where a delivery is stored besides memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// Not stored: QoS 0, or a session that is not durable.
    Memory,
    /// In this slot of its message, until the store writes or elides the message.
    Slot(u32),
    /// In a row from which it was read back.
    Row,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Must not be sent before its message, and any change of its row, are committed: see the
    /// QoS 2 table in `ARCHITECTURE.md`.
    AwaitingCommit,
    /// May be sent, and was not sent as far as is known.
    Ready,
    /// Was sent at least once, by this process or before. It is completed even if it expires
    /// [MQTT-3.3.2-5].
    Sent,
    /// PUBREC was received: only PUBREL may be sent from now on [MQTT-4.3.3-7].
    Received,
}

/// A delivery: a message on its way to one session.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Shared with all other receivers.
    pub message: Arc<Message>,
    /// Its identifier, which is the order of the queue and the key of its row.
    pub delivery: DeliveryId,
    /// Drawn when it is queued; absent for QoS 0.
    pub packet_id: Option<PacketId>,
    /// The smaller QoS of publisher and subscription.
    pub qos: QoS,
    /// The RETAIN flag that the receiver sees.
    pub retain: bool,
    /// May have been sent before, as far as is known. After a crash this is set for many that
    /// were not.
    pub dup: bool,
    /// Its state.
    pub state: DeliveryState,
    /// See [`Home`].
    pub home: Home,
    /// A change of its row after the row was first written.
    pub row_change: Option<Arc<RowCommit>>,
    /// The full name of its shared subscription, if any: `$share/GROUP/FILTER`.
    pub share: Option<Arc<str>>,
    /// v5 Subscription Identifiers of the matching subscriptions.
    pub identifiers: SubscriptionIds,
}

impl Entry {
    /// True if its receiver may have it, so that it must be neither dropped nor refused.
    pub fn may_have_been_sent(&self) -> bool {
        matches!(self.state, DeliveryState::Sent | DeliveryState::Received)
    }

    /// True if another member of its shared subscription may get it when the session ends (v5,
    /// 4.8.2): at QoS 1 even if it was sent, at QoS 2 only if it was certainly not sent, at
    /// QoS 0 never.
    pub fn may_move(&self) -> bool {
        self.share.is_some()
            && match self.qos {
                QoS::AtMostOnce => false,
                QoS::AtLeastOnce => true,
                QoS::ExactlyOnce => !self.may_have_been_sent() && !self.dup,
            }
    }

    /// The bytes that count against the queue's limit.
    pub fn size(&self) -> u64 {
        self.message.size() as u64
    }

    /// True if its row is on disk, so that it may be evicted from memory.
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

    /// True if its row is as in memory, or will be written that way.
    pub fn is_row_committed(&self, committed: CommitNo) -> bool {
        self.row_change.as_ref().is_none_or(|change| change.is_committed(committed))
    }

    /// True if the change of its row will never be committed: its operation was dropped, and
    /// no batch has taken it.
    pub(super) fn has_lost_row_change(&self) -> bool {
        self.row_change.as_ref().is_some_and(|change| {
            let is_alone = Arc::strong_count(change) == 1;
            // The last other holder may have been the batch that took it.
            fence(Ordering::Acquire);
            is_alone && !change.is_taken()
        })
    }
}
