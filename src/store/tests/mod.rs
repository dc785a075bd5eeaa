//! Tests on real files.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used
)]

mod batches;
mod counted;
mod dead_letters;
mod dead_letters_full;
mod displaced;
mod files;
mod full;
mod memory_engine;
mod migration;
mod model;
mod recovery;
mod threads;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use super::*;
use crate::message::{
    ChangeNo, CommitNo, DeliveryId, IncomingId, Message, MessageHead, MessageId, QueuedId,
    SessionId, SessionWake, SlotState, Waiter, Wake, WakeCause, WallMillis,
};
use crate::protocol::{PacketId, QoS, SubscriptionOptions, Version};

/// A store that commits only when it is stepped.
fn stepped(directory: &Path) -> (Store, Recovered) {
    Store::open_stepped(&config(directory), Arc::default()).unwrap()
}

/// A store with its threads; poisoning fails the test.
fn threaded(directory: &Path) -> (Store, Recovered) {
    let hook = Box::new(|reason: &str| panic!("poisoned: {reason}"));
    Store::open(&config(directory), Arc::default(), hook).unwrap()
}

fn config(directory: &Path) -> StoreConfig {
    StoreConfig { reserve_size: 1 << 16, ..StoreConfig::at(directory.join("data/ferrymq.db")) }
}

/// A message with deliveries to `receivers`: (session, delivery, packet identifier).
fn message_to(id: u64, payload: &[u8], receivers: &[(u64, u64, u16)]) -> Arc<Message> {
    message(id, payload, receivers, None, None)
}

fn message(
    id: u64,
    payload: &[u8],
    receivers: &[(u64, u64, u16)],
    incoming: Option<(u64, u16)>,
    publisher: Option<Arc<Wake>>,
) -> Arc<Message> {
    let head = MessageHead {
        id: MessageId(id),
        qos: if incoming.is_some() { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
        retain: false,
        published_at: WallMillis(1_700_000_000_000),
        expires_at: None,
    };
    let mut message = Message::new(head, "a/topic", &[38, 0], payload, receivers.len(), publisher);
    message.incoming = incoming.map(|(session, id)| IncomingId {
        session: SessionId(session),
        packet_id: packet_id(id),
        change: next_change(),
    });
    for (slot, (session, delivery, packet)) in message.slots.iter().zip(receivers) {
        slot.fill(SlotState {
            session: SessionId(*session),
            delivery: DeliveryId(*delivery),
            packet_id: packet_id(*packet),
            qos: head.qos,
            retain: false,
        });
    }
    Arc::new(message)
}

fn packet_id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

/// Change numbers, ascending in the order of the calls.
fn next_change() -> ChangeNo {
    static LAST: AtomicU64 = AtomicU64::new(0);
    ChangeNo(LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

fn state(change: Change) -> Op {
    Op::State(next_change(), change)
}

fn waiter_of(wake: &Arc<Wake>) -> Waiter {
    let session = Arc::new(SessionWake::of(Arc::clone(wake)));
    Waiter { session, cause: WakeCause::Direct }
}

fn session(id: u64, client_id: &str) -> Op {
    state(Change::Session(Box::new(session_record(id, client_id))))
}

fn session_record(id: u64, client_id: &str) -> SessionRecord {
    SessionRecord {
        id: SessionId(id),
        client_id: client_id.into(),
        owner: None,
        version: Version::V5,
        expiry: u32::MAX,
        disconnected_at: Some(WallMillis(5)),
        sent_up_to: DeliveryId(3),
        will: None,
    }
}

fn submit(store: &Store, ops: Vec<Op>) -> CommitNo {
    store.submit(&mut Submission { ops, ..Submission::default() }).unwrap()
}

/// Submits and commits.
fn commit(store: &Store, ops: Vec<Op>) {
    let number = submit(store, ops);
    assert!(store.step(true).unwrap() >= number);
}

fn page(store: &Store, ids: &[QueuedId]) -> Vec<PagedDelivery> {
    let (sender, receiver) = channel();
    let reply = PageReply(Box::new(move |result| sender.send(result).unwrap()));
    store.page(PageRequest { ids: ids.to_vec(), ledger: crate::memory::Ledger::default(), reply });
    receiver.recv().unwrap().unwrap()
}

/// All dead letters, with the beginnings of their payloads.
fn dead_letters(store: &Store) -> Vec<StoredDeadLetter> {
    let query = DeadLetterQuery {
        limit: 100_000,
        properties: true,
        payload: 64,
        payloads: 1 << 24,
        ..DeadLetterQuery::default()
    };
    dead_letter_page(store, query).letters
}

fn dead_letter_page(store: &Store, query: DeadLetterQuery) -> DeadLetterPage {
    let (sender, receiver) = channel();
    let reply = DeadLetterReply(Box::new(move |result| sender.send(result).unwrap()));
    store.dead_letters(DeadLetterRequest { query, reply });
    receiver.recv().unwrap().unwrap()
}

/// The end of a delivery of `message` as a dead letter of a bridge that keeps `keep` of them.
fn dead_letter(bridge: &str, message: &Arc<Message>, delivery: u64, keep: u32) -> Op {
    Op::DeadLetter(Box::new(DeadLetter {
        bridge: bridge.into(),
        message: Arc::clone(message),
        delivery: Some(DeliveryId(delivery)),
        remote_topic: Some("over/there".into()),
        qos: QoS::AtLeastOnce,
        retain: false,
        failed_at: WallMillis(1_700_000_000_500),
        reason: Some(0x87),
        detail: "not authorized".into(),
        keep,
    }))
}

fn queue_ids(recovered: &mut Recovered, session: usize) -> Vec<QueuedId> {
    let session = &mut recovered.sessions[session];
    let mut ids = session.queue.take_front(usize::MAX);
    ids.extend(session.sent.take_front(usize::MAX));
    ids.sort_by_key(|queued| queued.id);
    ids
}

/// The number of rows of a table, read as `sqlite3` would.
fn count(directory: &Path, table: &str) -> i64 {
    let connection = rusqlite::Connection::open(directory.join("data/ferrymq.db")).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}
