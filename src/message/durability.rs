//! Decides, with one atomic per message, between the store that writes a message and the
//! receivers that complete it.
//!
//! ```text
//!            take(n)                 commit n done
//!   PENDING ---------> TAKEN(n)  - - - - - - - - -> on disk
//!      |                  |
//!      | complete()       | complete(): the loser deletes what was written
//!      v                  v
//!   COMPLETED            COMPLETED
//! ```
//! `take` is a compare-and-swap by the store's writer before it inserts. `complete` is one by
//! the task that handles the last acknowledgement of the message.
//!
//! A full disk adds two states after TAKEN or PENDING: REFUSED, which is final, and PARKED,
//! from which the writer takes the message again when there is room.
//!
//! Within a batch, deletes run after inserts, so the delete of a taken message finds its row.
//! For a message with several receivers each `Slot` has a flag. It is set before `is_taken` is
//! read, and read after `take`: either the writer sees the flag, or the acknowledging side
//! sees that the message was taken. A message that is completed when its batch is rolled back
//! is not refused, and a refused message is never completed.

use super::DeliveryId;
use crate::primitives::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::protocol::{PacketId, QoS};

/// The number of a batch. `committed` reaches it when its COMMIT has returned.
pub type CommitNo = u64;

const PENDING: u64 = 0;
const COMPLETED: u64 = u64::MAX;
const REFUSED: u64 = u64::MAX - 1;
const PARKED: u64 = u64::MAX - 2;
/// Batches are numbered from 2. What was on disk at the start counts as commit 1.
const STORED: u64 = 1;

/// The state of a message between memory and disk.
#[derive(Debug, Default)]
pub struct Durability(AtomicU64);

impl Durability {
    /// The writer takes the message into batch `commit`. False: the message is complete, and
    /// nothing has to be written (write elision).
    pub fn take(&self, commit: CommitNo) -> bool {
        let take = |state| matches!(state, PENDING | PARKED).then_some(commit);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    /// All durable receivers have acknowledged. True: the writer had taken the message, so its
    /// row has to be deleted. False: it was never written.
    pub fn complete(&self) -> bool {
        // A refused message stays refused. Its publisher may not have been told yet, and the
        // drop of a refused delivery must not turn it into a success.
        let complete = |state| (state != REFUSED).then_some(COMPLETED);
        let (Ok(before) | Err(before)) =
            self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, complete);
        is_commit(before)
    }

    /// The batch with the message was rolled back, because the disk is full.
    pub fn refuse(&self) {
        // If all receivers have acknowledged meanwhile, nothing is lost, so it is not refused.
        let refuse = |state| (state != COMPLETED).then_some(REFUSED);
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse);
    }

    /// The batch with the message was rolled back, because the disk is full, and its publisher
    /// waits for room.
    pub fn park(&self) {
        let park = |state| (!matches!(state, COMPLETED | REFUSED)).then_some(PARKED);
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, park);
    }

    /// Refuses the message if it is parked. False: it is not parked, or taken again.
    pub fn refuse_parked(&self) -> bool {
        self.0.compare_exchange(PARKED, REFUSED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// True if the message waits for room on the disk.
    pub fn is_parked(&self) -> bool {
        self.0.load(Ordering::Acquire) == PARKED
    }

    /// The message was read back from disk.
    pub fn mark_stored(&self) {
        self.0.store(STORED, Ordering::SeqCst);
    }

    /// True if it is open whether the message will be on disk: it has not been taken, or waits
    /// for room.
    pub fn is_undecided(&self) -> bool {
        matches!(self.0.load(Ordering::SeqCst), PENDING | PARKED)
    }

    /// True if the writer has taken the message, so that its rows may exist.
    pub fn is_taken(&self) -> bool {
        is_commit(self.0.load(Ordering::SeqCst))
    }

    /// True if its rows are on disk, given the last commit.
    pub fn is_on_disk(&self, committed: CommitNo) -> bool {
        let state = self.0.load(Ordering::Acquire);
        is_commit(state) && state <= committed
    }

    /// True if the publisher may be acknowledged: the message is on disk, or all receivers
    /// have acknowledged it.
    pub fn may_acknowledge(&self, committed: CommitNo) -> bool {
        match self.0.load(Ordering::Acquire) {
            PENDING | REFUSED | PARKED => false,
            COMPLETED => true,
            commit => commit <= committed,
        }
    }

    /// True if the disk refused the message.
    pub fn is_refused(&self) -> bool {
        self.0.load(Ordering::Acquire) == REFUSED
    }
}

/// True if the state is the number of a batch.
fn is_commit(state: u64) -> bool {
    !matches!(state, PENDING | COMPLETED | REFUSED | PARKED)
}

/// Flags besides the packet identifier in [`Slot`]'s packed word.
const QOS_2: u32 = 1 << 16;
const RETAIN: u32 = 1 << 17;

/// One receiver of a message at QoS 1 or 2. Filled under the session's lock before the message
/// is submitted to the store.
#[derive(Debug, Default)]
pub struct Slot {
    session: AtomicU64,
    delivery: AtomicU64,
    packet_id: AtomicU32,
    acknowledged: AtomicBool,
}

/// The content of a filled slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotState {
    /// The receiving durable session.
    pub session: super::SessionId,
    /// The delivery's id, which is the key of its row.
    pub delivery: DeliveryId,
    /// Drawn when the delivery is queued, and kept until it is acknowledged.
    pub packet_id: PacketId,
    /// The smaller of the publisher's and the subscription's QoS.
    pub qos: QoS,
    /// The RETAIN flag that the receiver sees.
    pub retain: bool,
}

impl Slot {
    /// Fills the slot, because the receiving session is durable and its delivery must be
    /// written.
    pub fn fill(&self, state: SlotState) {
        self.session.store(state.session.0, Ordering::Relaxed);
        let qos = if state.qos == QoS::ExactlyOnce { QOS_2 } else { 0 };
        let retain = if state.retain { RETAIN } else { 0 };
        self.packet_id.store(u32::from(state.packet_id.get()) | qos | retain, Ordering::Relaxed);
        self.delivery.store(state.delivery.0, Ordering::Release);
    }

    /// Sets another packet identifier, also for a writer that has not taken the message yet.
    /// The slot must be filled.
    pub fn renumber(&self, packet_id: PacketId) {
        let flags = self.packet_id.load(Ordering::Relaxed) & !0xFFFF;
        self.packet_id.store(u32::from(packet_id.get()) | flags, Ordering::Relaxed);
    }

    /// The receiver has acknowledged. The caller must read [`Durability::is_taken`]
    /// *afterwards*. If the message was taken, it queues a delete; if not, the writer will see
    /// this flag.
    pub fn acknowledge(&self) {
        self.acknowledged.store(true, Ordering::SeqCst);
    }

    /// The delivery to write. `None`: the receiver is not durable, or has acknowledged. To be
    /// called after [`Durability::take`].
    pub fn to_write(&self) -> Option<SlotState> {
        let delivery = self.delivery.load(Ordering::Acquire);
        if delivery == 0 || self.acknowledged.load(Ordering::SeqCst) {
            return None;
        }
        let packed = self.packet_id.load(Ordering::Relaxed);
        let packet_id = PacketId::new(u16::try_from(packed & 0xFFFF).ok()?)?;
        Some(SlotState {
            session: super::SessionId(self.session.load(Ordering::Relaxed)),
            delivery: DeliveryId(delivery),
            packet_id,
            qos: if packed & QOS_2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce },
            retain: packed & RETAIN != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_settled_before_the_write_is_never_taken() {
        let durability = Durability::default();
        assert!(!durability.complete());
        assert!(!durability.take(7));
        assert!(durability.may_acknowledge(0));
        assert!(!durability.is_on_disk(100));
    }

    #[test]
    fn a_message_taken_first_leaves_a_row_to_delete() {
        let durability = Durability::default();
        assert!(durability.take(7));
        assert!(!durability.may_acknowledge(6));
        assert!(durability.may_acknowledge(7));
        assert!(durability.complete());
        assert!(durability.may_acknowledge(6), "its last receiver has it");
    }

    #[test]
    fn a_refused_message_is_never_acknowledged() {
        let durability = Durability::default();
        assert!(durability.take(7));
        durability.refuse();
        assert!(!durability.may_acknowledge(100));
        assert!(durability.is_refused());
    }

    #[test]
    fn giving_up_a_refused_delivery_does_not_acknowledge_it() {
        let durability = Durability::default();
        durability.refuse();
        assert!(!durability.complete());
        assert!(durability.is_refused() && !durability.may_acknowledge(100));
    }

    #[test]
    fn a_parked_message_is_acknowledged_by_its_later_commit_alone() {
        let durability = Durability::default();
        assert!(durability.take(7));
        durability.park();
        assert!(!durability.may_acknowledge(7) && !durability.is_on_disk(7));
        assert!(!durability.is_taken() && durability.is_parked());
        assert!(durability.is_undecided());
        assert!(durability.take(9));
        assert!(!durability.is_undecided());
        assert!(!durability.refuse_parked());
        assert!(!durability.may_acknowledge(8) && durability.may_acknowledge(9));
        durability.park();
        assert!(durability.refuse_parked());
        assert!(!durability.take(10));
    }

    #[test]
    fn what_every_receiver_has_is_not_refused() {
        let durability = Durability::default();
        assert!(durability.take(7));
        durability.complete();
        durability.refuse();
        assert!(!durability.is_refused());
        assert!(durability.may_acknowledge(0));
    }

    #[test]
    fn an_acknowledged_slot_is_not_written() {
        let slot = Slot::default();
        assert_eq!(slot.to_write(), None, "an empty slot is no durable receiver");
        let state = SlotState {
            session: crate::message::SessionId(3),
            delivery: DeliveryId(9),
            packet_id: PacketId::new(65_535).unwrap(),
            qos: QoS::ExactlyOnce,
            retain: true,
        };
        slot.fill(state);
        assert_eq!(slot.to_write(), Some(state));
        let packet_id = PacketId::new(1).unwrap();
        slot.renumber(packet_id);
        assert_eq!(slot.to_write(), Some(SlotState { packet_id, ..state }));
        slot.acknowledge();
        assert_eq!(slot.to_write(), None);
    }
}
