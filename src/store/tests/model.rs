//! Random operations against a naive model, with restarts and crashes in between, for each
//! storage engine.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Bit sets of the sessions that receive it and of those that acknowledge before the
    /// commit, and the packet identifier of a QoS 2 publisher.
    Publish {
        receivers: u64,
        early: u64,
        incoming: Option<u16>,
    },
    /// Acknowledges the n-th existing delivery.
    Acknowledge(usize),
    Received(usize),
    Drop(usize),
    /// A bridge refuses the n-th delivery.
    DeadLetter(usize),
    /// Removes the n-th dead letter.
    RemoveDeadLetter(usize),
    RemoveIncoming(u16),
    Session(u64),
    EndSession(u64),
    Subscribe(u64, u8),
    Unsubscribe(u64, u8),
    Retain(u8, u8),
    Unretain(u8),
    Commit,
    /// Reopens with what was committed only.
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u64..8, 0u64..8, prop::option::weighted(0.3, 1u16..4))
            .prop_map(|(receivers, early, incoming)| Step::Publish { receivers, early, incoming }),
        5 => any::<prop::sample::Index>().prop_map(|i| Step::Acknowledge(i.index(1000))),
        2 => any::<prop::sample::Index>().prop_map(|i| Step::Received(i.index(1000))),
        2 => any::<prop::sample::Index>().prop_map(|i| Step::Drop(i.index(1000))),
        3 => any::<prop::sample::Index>().prop_map(|i| Step::DeadLetter(i.index(1000))),
        1 => any::<prop::sample::Index>().prop_map(|i| Step::RemoveDeadLetter(i.index(1000))),
        2 => (1u16..4).prop_map(Step::RemoveIncoming),
        2 => (1u64..4).prop_map(Step::Session),
        1 => (1u64..4).prop_map(Step::EndSession),
        2 => (1u64..4, 0u8..3).prop_map(|(s, f)| Step::Subscribe(s, f)),
        1 => (1u64..4, 0u8..3).prop_map(|(s, f)| Step::Unsubscribe(s, f)),
        2 => (0u8..3, 1u8..9).prop_map(|(t, p)| Step::Retain(t, p)),
        1 => (0u8..3).prop_map(Step::Unretain),
        4 => Just(Step::Commit),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// The expected contents of the file. Session 3 publishes all QoS 2 messages.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    sessions: BTreeSet<u64>,
    subscriptions: BTreeSet<(u64, u8)>,
    incoming: BTreeSet<u16>,
    retained: BTreeMap<u8, u8>,
    /// Delivery to (session, message, received).
    deliveries: BTreeMap<u64, (u64, u64, bool)>,
    /// Of two bridges, each with the messages that it has refused: the last three.
    letters: [Vec<u64>; 2],
}

impl Model {
    fn end_session(&mut self, id: u64) {
        self.sessions.remove(&id);
        self.subscriptions.retain(|(session, _)| *session != id);
        if id == 3 {
            self.incoming.clear();
        }
    }

    /// A start removes rows without a session.
    fn restart(&mut self) {
        let sessions = self.sessions.clone();
        self.deliveries.retain(|_, (session, ..)| sessions.contains(session));
        self.subscriptions.retain(|(session, _)| sessions.contains(session));
        if !sessions.contains(&3) {
            self.incoming.clear();
        }
    }
}

/// The storage of an engine, which survives reopening.
trait Disk: Default {
    fn open(&self) -> (Store, Recovered);
    /// The numbers of messages and deliveries.
    fn rows(&self) -> (usize, usize);
}

struct Sqlite(tempfile::TempDir);

impl Default for Sqlite {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Disk for Sqlite {
    fn open(&self) -> (Store, Recovered) {
        // Only the process crashes in this test, so nothing needs to be synced.
        let durability = DurabilityMode::Commit;
        let config = StoreConfig { durability, reserve_size: 0, ..config(self.0.path()) };
        Store::open_stepped(&config, Arc::default()).unwrap()
    }

    fn rows(&self) -> (usize, usize) {
        let rows = |table| usize::try_from(count(self.0.path(), table)).unwrap();
        (rows("message"), rows("delivery"))
    }
}

#[derive(Default)]
struct Memory(memory_engine::Rows);

impl Disk for Memory {
    fn open(&self) -> (Store, Recovered) {
        Store::stepped(&StoreConfig::at("nowhere"), memory_engine::open(&self.0), Arc::default())
    }

    fn rows(&self) -> (usize, usize) {
        let tables = self.0.lock();
        (tables.messages.len(), tables.deliveries.len())
    }
}

struct Run<D> {
    disk: D,
    store: Store,
    /// The state as the broker sees it, and as a crash would leave it.
    now: Model,
    committed: Model,
    ops: Vec<Op>,
    next: u64,
    /// Messages of the open batch, whose deliveries are acknowledged in memory.
    open: BTreeMap<u64, Arc<Message>>,
}

impl<D: Disk> Run<D> {
    fn new() -> Self {
        let disk = D::default();
        let (store, _) = disk.open();
        let (now, committed) = Default::default();
        Self { disk, store, now, committed, ops: Vec::new(), next: 1, open: BTreeMap::new() }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Publish { receivers, early, incoming } => {
                self.publish(receivers, early, incoming);
            }
            Step::Acknowledge(index) => self.acknowledge(index),
            Step::Received(index) => {
                if let Some(id) = self.nth(index) {
                    self.now.deliveries.get_mut(&id).unwrap().2 = true;
                    self.ops.push(Op::Received(DeliveryId(id)));
                }
            }
            Step::Drop(index) => {
                // Only deliveries on disk can be dropped without being read.
                let id = self.nth(index).filter(|id| self.committed.deliveries.contains_key(id));
                if let Some(id) = id {
                    self.now.deliveries.remove(&id);
                    self.ops.push(Op::Drop(DeliveryId(id)));
                }
            }
            Step::DeadLetter(index) => self.dead_letter(index),
            Step::RemoveDeadLetter(index) => self.remove_dead_letter(index),
            Step::RemoveIncoming(id) => {
                self.now.incoming.remove(&id);
                self.ops.push(state(Change::CloseIncoming(SessionId(3), packet_id(id))));
            }
            Step::Session(id) => {
                self.now.sessions.insert(id);
                self.ops.push(session(id, &format!("client {id}")));
            }
            // Session ids are reused here, but not in the broker, so the end of a session gets
            // its own batch.
            Step::EndSession(id) => {
                self.commit();
                self.now.end_session(id);
                self.ops.push(state(Change::EndSession(SessionId(id))));
                self.commit();
            }
            Step::Subscribe(..) | Step::Unsubscribe(..) | Step::Retain(..) | Step::Unretain(_) => {
                self.state(&step);
            }
            Step::Commit => self.commit(),
            Step::Crash => self.reopen(),
            Step::Restart => {
                self.commit();
                self.store.shutdown(std::time::Duration::from_secs(5)).unwrap();
                self.reopen();
            }
        }
    }

    fn state(&mut self, step: &Step) {
        match *step {
            Step::Subscribe(id, filter) => {
                self.now.subscriptions.insert((id, filter));
                let options = SubscriptionOptions::default();
                let record = SubscriptionRecord {
                    filter: filter.to_string().into(),
                    options,
                    identifier: None,
                };
                self.ops.push(state(Change::Subscribe(SessionId(id), Box::new(record))));
            }
            Step::Unsubscribe(id, filter) => {
                self.now.subscriptions.remove(&(id, filter));
                self.ops.push(state(Change::Unsubscribe(SessionId(id), filter.to_string().into())));
            }
            Step::Retain(topic, payload) => {
                self.now.retained.insert(topic, payload);
                let record = Arc::new(RetainedRecord {
                    topic: topic.to_string().into(),
                    properties: Vec::new(),
                    payload: vec![payload],
                    qos: QoS::AtLeastOnce,
                    published_at: WallMillis(1),
                    expires_at: None,
                });
                self.ops.push(state(Change::Retain(record, None)));
            }
            Step::Unretain(topic) => {
                self.now.retained.remove(&topic);
                self.ops.push(state(Change::Unretain(topic.to_string().into())));
            }
            _ => {}
        }
    }

    /// `receivers` and `early` are bit sets of sessions.
    fn publish(&mut self, receivers: u64, early: u64, incoming: Option<u16>) {
        let id = self.next;
        let to: Vec<(u64, u64, u16)> = (1..=3)
            .filter(|session| {
                receivers >> (session - 1) & 1 == 1 && self.now.sessions.contains(session)
            })
            .map(|session| (session, id * 4 + session, u16::try_from(id).unwrap()))
            .collect();
        self.next += 1;
        let incoming = incoming.filter(|_| self.now.sessions.contains(&3));
        let one = message(id, &id.to_be_bytes(), &to, incoming.map(|id| (3, id)), None);
        if to.len() > 1 {
            self.store.add_references(MessageId(id), u32::try_from(to.len()).unwrap());
        }
        self.now.incoming.extend(incoming);
        self.ops.push(Op::Message(Arc::clone(&one)));
        self.open.insert(id, one);
        for (session, delivery, _) in &to {
            self.now.deliveries.insert(*delivery, (*session, id, false));
        }
        for (session, delivery, _) in to {
            if early >> (session - 1) & 1 == 1 {
                self.acknowledge_id(delivery);
            }
        }
    }

    fn nth(&self, index: usize) -> Option<u64> {
        let count = self.now.deliveries.len();
        if count == 0 { None } else { self.now.deliveries.keys().nth(index % count).copied() }
    }

    fn acknowledge(&mut self, index: usize) {
        if let Some(id) = self.nth(index) {
            self.acknowledge_id(id);
        }
    }

    /// Sessions 1 and 2 are those of bridges.
    fn dead_letter(&mut self, index: usize) {
        let Some(id) = self.nth(index) else { return };
        let (session, number, _) = self.now.deliveries[&id];
        let Some(letters) = self.now.letters.get_mut(usize::try_from(session).unwrap() - 1) else {
            return;
        };
        letters.push(number);
        letters.drain(..letters.len().saturating_sub(3));
        self.now.deliveries.remove(&id);
        let message = self.open.get(&number).cloned().unwrap_or_else(|| {
            let rows = vec![QueuedId { id: DeliveryId(id), size: 0 }];
            Arc::clone(&page(&self.store, &rows)[0].message)
        });
        self.ops.push(dead_letter(&session.to_string(), &message, id, 3));
    }

    fn remove_dead_letter(&mut self, index: usize) {
        self.commit();
        let letters = dead_letters(&self.store);
        if letters.is_empty() {
            return;
        }
        let letter = &letters[index % letters.len()];
        let bridge = letter.bridge.parse::<usize>().unwrap() - 1;
        let message = u64::from_be_bytes(letter.payload[..].try_into().unwrap());
        self.now.letters[bridge].retain(|it| *it != message);
        self.ops.push(Op::RemoveDeadLetters(vec![letter.id, 1_000_000]));
    }

    /// Does what the broker does at a PUBACK.
    fn acknowledge_id(&mut self, id: u64) {
        let (session, message, _) = self.now.deliveries.remove(&id).unwrap();
        let last = self.store.release(MessageId(message));
        let mut written = true;
        if let Some(open) = self.open.get(&message) {
            let slot =
                open.slots.iter().find(|s| s.to_write().is_some_and(|s| s.session.0 == session));
            slot.unwrap().acknowledge();
            written = if last { open.durability.complete() } else { open.durability.is_taken() };
        }
        if written {
            let message = last.then_some(MessageId(message));
            self.ops.push(Op::Delete { delivery: DeliveryId(id), message });
        }
    }

    fn commit(&mut self) {
        commit(&self.store, std::mem::take(&mut self.ops));
        self.open.clear();
        self.committed = self.now.clone();
        self.check_rows();
    }

    /// Checks that there is no message without a delivery, and no delivery without a message.
    fn check_rows(&self) {
        let messages: BTreeSet<u64> =
            self.now.deliveries.values().map(|(_, message, _)| *message).collect();
        assert_eq!(self.disk.rows(), (messages.len(), self.now.deliveries.len()));
    }

    fn reopen(&mut self) {
        self.ops.clear();
        self.open.clear();
        // The lock must be released before it is taken again.
        self.store = Memory::default().open().0;
        let (store, recovered) = self.disk.open();
        self.store = store;
        self.committed.restart();
        self.now = self.committed.clone();
        self.compare(recovered);
        // Deliveries of ended sessions are deleted with the next batch.
        self.commit();
        assert_eq!(self.store.references().len(), shared(&self.now));
    }

    fn compare(&self, mut recovered: Recovered) {
        let mut found = Model::default();
        for index in 0..recovered.sessions.len() {
            let queue = queue_ids(&mut recovered, index);
            let session = &recovered.sessions[index];
            let id = session.record.id.0;
            found.sessions.insert(id);
            found.subscriptions.extend(
                session
                    .subscriptions
                    .iter()
                    .map(|record| (id, record.filter.parse::<u8>().unwrap())),
            );
            found.incoming.extend(session.incoming.iter().map(|id| id.get()));
            let page = page(&self.store, &queue);
            assert_eq!(page.len(), queue.len());
            for delivery in page {
                let message = delivery.message.id.0;
                assert_eq!(delivery.message.payload(), message.to_be_bytes());
                assert_eq!(u64::from(delivery.packet_id.get()), message);
                found.deliveries.insert(delivery.delivery.0, (id, message, delivery.received));
            }
            assert_eq!(
                session.last_packet_id.map(|id| u64::from(id.get())),
                queue.last().map(|entry| entry.id.0 / 4)
            );
        }
        let retained = recovered.retained.iter();
        found.retained =
            retained.map(|record| (record.topic.parse().unwrap(), record.payload[0])).collect();
        for letter in dead_letters(&self.store) {
            let bridge = letter.bridge.parse::<usize>().unwrap() - 1;
            found.letters[bridge].push(u64::from_be_bytes(letter.payload[..].try_into().unwrap()));
        }
        assert_eq!(found, self.now);
    }
}

/// The number of messages with more than one delivery.
fn shared(model: &Model) -> usize {
    let mut counts = BTreeMap::<u64, u32>::new();
    model.deliveries.values().for_each(|(_, message, _)| *counts.entry(*message).or_default() += 1);
    counts.values().filter(|count| **count > 1).count()
}

fn play<D: Disk>(steps: Vec<Step>) {
    let mut run = Run::<D>::new();
    run.apply(Step::Session(1));
    run.apply(Step::Session(2));
    run.apply(Step::Session(3));
    for step in steps {
        run.apply(step);
    }
    run.apply(Step::Restart);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn a_restart_finds_what_a_naive_model_expects(steps in prop::collection::vec(step(), 1..80)) {
        play::<Sqlite>(steps);
    }

    #[test]
    fn so_it_does_with_an_engine_in_memory(steps in prop::collection::vec(step(), 1..80)) {
        play::<Memory>(steps);
    }
}
