//! The writer that takes a message, the receivers that settle it, the disk that has no room
//! for it, and the publisher that asks whether it may be acknowledged.

mod common;

use ferrymq_loom::message::durability::{Durability, Slot, SlotState};
use ferrymq_loom::message::{DeliveryId, MessageId, SessionId};
use ferrymq_loom::protocol::{PacketId, QoS};
use ferrymq_loom::references::References;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

use common::explore;

/// The batch into which the writer takes the message; batch 1 is on disk at the start.
const BATCH: u64 = 2;
const NEVER: u64 = u64::MAX / 2;

fn state(delivery: u64) -> SlotState {
    SlotState {
        session: SessionId(delivery),
        delivery: DeliveryId(delivery),
        packet_id: PacketId::FIRST,
        qos: QoS::AtLeastOnce,
        retain: false,
    }
}

/// Runs `act` on a message on its own thread.
fn on_thread<M: Send + Sync + 'static, T: 'static>(
    message: &Arc<M>,
    act: impl FnOnce(&M) -> T + 'static,
) -> thread::JoinHandle<T> {
    let message = Arc::clone(message);
    thread::spawn(move || act(&message))
}

#[test]
fn a_message_is_written_exactly_if_whoever_settles_it_is_told_to_delete_it() {
    explore(|| {
        let message = Arc::new(Durability::default());
        let writer = on_thread(&message, |message| message.take(BATCH));
        let deleted = message.complete();
        let written = writer.join().unwrap();
        assert_eq!(written, deleted);
        assert!(message.may_acknowledge(0), "its receiver has it");
    });
}

#[test]
fn a_publisher_is_acknowledged_only_for_what_is_on_disk_or_with_its_receiver() {
    explore(|| {
        let message = Arc::new(Durability::default());
        let committed = Arc::new(AtomicU64::new(1));
        // 1: rows are on disk, 2: the receiver has the message.
        let safe = Arc::new(AtomicUsize::new(0));
        let (commits, saves) = (Arc::clone(&committed), Arc::clone(&safe));
        let writer = on_thread(&message, move |message| {
            if message.take(BATCH) {
                saves.fetch_or(1, Ordering::SeqCst);
                commits.store(BATCH, Ordering::Release);
            }
        });
        let receives = Arc::clone(&safe);
        let receiver = on_thread(&message, move |message| {
            receives.fetch_or(2, Ordering::SeqCst);
            message.complete();
        });
        if message.may_acknowledge(committed.load(Ordering::Acquire)) {
            assert_ne!(safe.load(Ordering::SeqCst), 0, "acknowledged and absent");
        }
        writer.join().unwrap();
        receiver.join().unwrap();
        assert!(message.may_acknowledge(committed.load(Ordering::Acquire)));
    });
}

#[test]
fn what_is_refused_is_never_acknowledged() {
    explore(|| {
        let message = Arc::new(Durability::default());
        // The batch finds no room and is rolled back.
        let writer = on_thread(&message, |message| {
            if message.take(BATCH) {
                message.refuse();
            }
        });
        let receiver = on_thread(&message, Durability::complete);
        // The batch's number is not reached by this batch, but perhaps by a later one.
        let acknowledged = message.may_acknowledge(1);
        let refused = message.is_refused();
        writer.join().unwrap();
        receiver.join().unwrap();
        assert!(!(acknowledged && message.is_refused()), "acknowledged, then refused");
        assert!(!(refused && message.may_acknowledge(NEVER)), "refused, then acknowledged");
        assert_ne!(message.is_refused(), message.may_acknowledge(NEVER), "one of both");
    });
}

#[test]
fn a_parked_message_is_taken_again_or_refused() {
    explore(|| {
        let message = Arc::new(Durability::default());
        let writer = on_thread(&message, |message| {
            assert!(message.take(BATCH));
            message.park();
            message.take(BATCH + 1)
        });
        let given_up = on_thread(&message, Durability::refuse_parked);
        // The first batch never contains it, although its number is reached.
        let acknowledged = message.is_parked() && message.may_acknowledge(BATCH);
        assert!(!acknowledged);
        let (written, refused) = (writer.join().unwrap(), given_up.join().unwrap());
        assert_ne!(written, refused);
        assert_eq!(message.is_refused(), refused);
        assert_eq!(message.may_acknowledge(BATCH + 1), written);
        assert!(!message.may_acknowledge(BATCH));
    });
}

#[test]
fn a_receiver_that_settles_what_is_parked_leaves_nothing_to_write_or_to_refuse() {
    explore(|| {
        let message = Arc::new(Durability::default());
        let writer = on_thread(&message, |message| {
            if !message.take(BATCH) {
                return 0;
            }
            message.park();
            u64::from(message.take(BATCH + 1))
        });
        let deleted = message.complete();
        let rows = writer.join().unwrap();
        assert!(message.may_acknowledge(0) && !message.is_refused());
        // A row that was rolled back may be deleted without effect, but none may stay.
        assert!(rows == 0 || deleted, "a row stays for ever");
    });
}

/// A message with two receivers: what the writer inserts, and what is deleted.
#[derive(Default)]
struct Ledger {
    inserted: [AtomicUsize; 2],
    deleted: [AtomicUsize; 2],
    message_inserted: AtomicUsize,
    message_deleted: AtomicUsize,
    lasts: AtomicUsize,
}

struct Message {
    durability: Durability,
    slots: [Slot; 2],
    references: References,
    ledger: Ledger,
}

const ID: MessageId = MessageId(7);

impl Message {
    fn delivered() -> Arc<Self> {
        let message = Self {
            durability: Durability::default(),
            slots: [Slot::default(), Slot::default()],
            references: References::default(),
            ledger: Ledger::default(),
        };
        message.references.add(ID, 2);
        message.slots[0].fill(state(1));
        message.slots[1].fill(state(2));
        Arc::new(message)
    }

    /// The writer's batch.
    fn write(&self) {
        if !self.durability.take(BATCH) {
            return;
        }
        self.ledger.message_inserted.fetch_add(1, Ordering::SeqCst);
        for (slot, inserted) in self.slots.iter().zip(&self.ledger.inserted) {
            if slot.to_write().is_some() {
                inserted.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// As `Broker::complete_slot`.
    fn settle(&self, receiver: usize) {
        self.slots[receiver].acknowledge();
        if self.references.release(ID) {
            self.ledger.lasts.fetch_add(1, Ordering::SeqCst);
            if self.durability.complete() {
                self.ledger.deleted[receiver].fetch_add(1, Ordering::SeqCst);
                self.ledger.message_deleted.fetch_add(1, Ordering::SeqCst);
            }
        } else if self.durability.is_taken() {
            self.ledger.deleted[receiver].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The same, with the check before the acknowledgement.
    fn settle_in_the_wrong_order(&self, receiver: usize) {
        let taken = self.durability.is_taken();
        self.slots[receiver].acknowledge();
        if self.references.release(ID) {
            self.ledger.lasts.fetch_add(1, Ordering::SeqCst);
            if self.durability.complete() {
                self.ledger.deleted[receiver].fetch_add(1, Ordering::SeqCst);
                self.ledger.message_deleted.fetch_add(1, Ordering::SeqCst);
            }
        } else if taken {
            self.ledger.deleted[receiver].fetch_add(1, Ordering::SeqCst);
        }
    }

    fn nothing_stays(&self) {
        let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        let ledger = &self.ledger;
        assert_eq!(load(&ledger.lasts), 1, "one of them is the last");
        assert_eq!(load(&ledger.message_inserted), load(&ledger.message_deleted));
        for (inserted, deleted) in ledger.inserted.iter().zip(&ledger.deleted) {
            assert!(load(inserted) <= load(deleted), "a delivery's row stays for ever");
        }
        assert!(self.references.is_empty());
    }
}

fn two_receivers(settle: fn(&Message, usize)) {
    explore(move || {
        let message = Message::delivered();
        let writer = on_thread(&message, Message::write);
        let other = on_thread(&message, move |message| settle(message, 1));
        settle(&message, 0);
        writer.join().unwrap();
        other.join().unwrap();
        message.nothing_stays();
    });
}

#[test]
fn every_row_of_a_message_with_two_receivers_is_deleted() {
    two_receivers(Message::settle);
}

#[test]
#[should_panic(expected = "a delivery's row stays for ever")]
fn asking_whether_it_was_taken_before_acknowledging_is_noticed() {
    two_receivers(Message::settle_in_the_wrong_order);
}
