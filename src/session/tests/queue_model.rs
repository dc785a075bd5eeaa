//! The queue and its packet identifiers, compared with a plain list and a table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::message::{IdList, QueuedId};

/// The inflight window of the client.
const WINDOW: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Publish(QoS),
    /// Commits everything that was submitted.
    Commit,
    Send,
    /// Acknowledges one of those in flight, by its position.
    Acknowledge(usize),
    /// PUBREC without PUBCOMP.
    Receive(usize),
    Reconnect,
    /// The connection is lost before it has submitted its changes.
    ReconnectWithoutSubmitting,
    Leave,
    Forget,
    PageArrives,
    DropOldest,
    /// The next packet identifier is one that waits or is in flight.
    ComeRound(usize),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Publish(QoS::AtLeastOnce)),
        4 => Just(Step::Publish(QoS::ExactlyOnce)),
        4 => Just(Step::Commit),
        5 => Just(Step::Send),
        5 => (0usize..WINDOW).prop_map(Step::Acknowledge),
        2 => (0usize..WINDOW).prop_map(Step::Receive),
        1 => Just(Step::Reconnect),
        1 => Just(Step::ReconnectWithoutSubmitting),
        1 => Just(Step::Leave),
        2 => Just(Step::Forget),
        4 => Just(Step::PageArrives),
        1 => Just(Step::DropOldest),
        2 => any::<usize>().prop_map(Step::ComeRound),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..300)
}

#[derive(Debug, Clone, Copy)]
struct Row {
    qos: QoS,
    packet_id: PacketId,
    received: bool,
}

struct Change {
    delivery: u64,
    packet_id: PacketId,
    committed: Arc<RowCommit>,
}

/// The session, a table as its disk, and the expected state.
struct World {
    session: Session,
    committed: u64,
    next: u64,
    uncommitted: Vec<(u64, Arc<Message>)>,
    changes: Vec<Change>,
    rows: BTreeMap<u64, Row>,
    page: Option<Page>,
    /// In the order in which they were sent.
    in_flight: Vec<u64>,
    /// Every delivery that is not acknowledged, in order.
    model: VecDeque<u64>,
    /// Packet identifiers of sent deliveries, and whether PUBREC was sent.
    sent_as: BTreeMap<u64, (PacketId, bool)>,
    /// The last delivery that an earlier process may have sent.
    perhaps_sent: u64,
}

impl World {
    fn new() -> Self {
        let mut session = session(LIMITS);
        attach(&mut session, WINDOW);
        Self {
            session,
            committed: 1,
            next: 1,
            uncommitted: Vec::new(),
            changes: Vec::new(),
            rows: BTreeMap::new(),
            page: None,
            in_flight: Vec::new(),
            model: VecDeque::new(),
            sent_as: BTreeMap::new(),
            perhaps_sent: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(qos) => {
                let message = enqueue(&mut self.session, self.next, *qos, self.committed);
                self.model.push_back(self.next);
                self.uncommitted.push((self.next, message));
                self.next += 1;
            }
            Step::Commit => self.commit(),
            Step::Send => self.send(),
            Step::Acknowledge(at) => self.acknowledge(*at),
            Step::Receive(at) => {
                if let Some(id) = self.in_flight.get(*at).copied() {
                    self.receive(id);
                }
            }
            Step::Reconnect => self.reconnect(),
            Step::ReconnectWithoutSubmitting => {
                self.changes.clear();
                self.reconnect();
            }
            Step::Leave => {
                self.session.detach(WallMillis(1));
                self.in_flight.clear();
            }
            Step::Forget => {
                if self.session.life.connected().is_none() {
                    self.session.evict(self.committed);
                }
            }
            Step::PageArrives => self.page_arrives(),
            Step::DropOldest => self.drop_oldest(),
            Step::ComeRound(at) => {
                if let Some(id) = self.model.get(at % self.model.len().max(1)) {
                    let row = self.rows.get(id).map(|row| row.packet_id);
                    self.session.next_packet_id = row.unwrap_or(PacketId::FIRST);
                }
            }
            Step::Crash => self.crash(),
        }
        assert_eq!(self.session.backlog(), self.model.len());
    }

    fn reconnect(&mut self) {
        attach(&mut self.session, WINDOW);
        self.in_flight.clear();
    }

    fn commit(&mut self) {
        self.committed += 1;
        for (id, message) in self.uncommitted.drain(..) {
            if message.durability.take(self.committed)
                && let Some(slot) = message.slots[0].to_write()
            {
                let row = Row { qos: slot.qos, packet_id: slot.packet_id, received: false };
                self.rows.insert(id, row);
            }
        }
        for Change { delivery, packet_id, committed } in self.changes.drain(..) {
            committed.take(self.committed);
            if let Some(row) = self.rows.get_mut(&delivery) {
                row.packet_id = packet_id;
            }
        }
    }

    fn send(&mut self) {
        while let Ok(next) = next(&mut self.session, self.committed) {
            let id = match next {
                Outgoing::Publish(entry) => self.published(&entry),
                Outgoing::Release(packet_id) => {
                    let of =
                        |(_, as_what): &(&u64, &(PacketId, bool))| **as_what == (packet_id, true);
                    *self.sent_as.iter().find(of).unwrap().0
                }
                Outgoing::Renumber { delivery, packet_id, change } => {
                    let delivery = delivery.0;
                    self.changes.push(Change { delivery, packet_id, committed: change });
                    continue;
                }
                other => panic!("{other:?}"),
            };
            // In order, without omission.
            let due = self.model.iter().find(|id| !self.in_flight.contains(id));
            assert_eq!(Some(&id), due);
            self.in_flight.push(id);
        }
        let ids: BTreeSet<_> = self.in_flight.iter().map(|id| self.sent_as[id].0.get()).collect();
        assert_eq!(ids.len(), self.in_flight.len(), "each id is in flight once [MQTT-2.2.1-3]");
        if self.page.is_none() {
            self.page = self.session.next_page(|| u64::MAX);
        }
    }

    fn published(&mut self, entry: &Entry) -> u64 {
        let (id, packet_id) = (entry.delivery.0, entry.packet_id.unwrap());
        if entry.qos == QoS::ExactlyOnce {
            assert_eq!(self.rows[&id].packet_id, packet_id, "a crash would give it another id");
        }
        let before = self.sent_as.insert(id, (packet_id, false));
        assert!(
            before.is_none_or(|before| before == (packet_id, false)),
            "a repeat has its packet id, and none follows PUBREC"
        );
        assert_eq!(entry.dup, before.is_some() || id <= self.perhaps_sent);
        id
    }

    fn acknowledge(&mut self, at: usize) {
        let Some(id) = self.in_flight.get(at).copied() else { return };
        let packet_id = self.sent_as[&id].0;
        let now = Instant::now();
        let receipt = match self.session.window.get_mut(packet_id).unwrap().qos {
            QoS::ExactlyOnce => {
                self.receive(id);
                self.session.pubcomp(packet_id, now)
            }
            _ => self.session.puback(packet_id, now),
        };
        assert!(matches!(receipt, Receipt::Done(entry) if entry.delivery.0 == id));
        self.in_flight.retain(|other| *other != id);
        self.remove(id);
    }

    fn receive(&mut self, id: u64) {
        let (packet_id, received) = self.sent_as.get_mut(&id).unwrap();
        match self.session.pubrec(*packet_id, false, Instant::now()) {
            Receipt::Release(_) => {
                *received = true;
                self.rows.get_mut(&id).unwrap().received = true;
            }
            Receipt::OutOfPlace => {}
            other => panic!("{other:?}"),
        }
    }

    fn remove(&mut self, id: u64) {
        self.model.retain(|other| *other != id);
        self.rows.remove(&id);
        self.sent_as.remove(&id);
        for (_, message) in self.uncommitted.extract_if(.., |(other, _)| *other == id) {
            message.slots[0].acknowledge();
        }
    }

    fn drop_oldest(&mut self) {
        let id = match self.session.drop_oldest() {
            Some(Ok(entry)) => entry.delivery.0,
            Some(Err(delivery)) => delivery.0,
            None => {
                let of_page = self.page.iter().flat_map(|page| &page.ids).map(|queued| queued.id.0);
                let of_page: Vec<u64> = of_page.collect();
                let perhaps =
                    |id: &u64| *id <= self.perhaps_sent && self.rows[id].qos == QoS::ExactlyOnce;
                let spared = |id: &u64| of_page.contains(id) || perhaps(id);
                let mut rest = self.model.iter().filter(|id| !self.sent_as.contains_key(id));
                return assert!(rest.all(spared), "everything else has been sent");
            }
        };
        assert!(!self.sent_as.contains_key(&id), "its receiver may hold {id}");
        self.remove(id);
    }

    fn page_arrives(&mut self) {
        let Some(page) = self.page.take() else { return };
        let entries: Vec<Entry> =
            page.ids.iter().map(|queued| self.entry_of_row(queued.id.0)).collect();
        self.session.paged(entries);
    }

    fn entry_of_row(&self, id: u64) -> Entry {
        let Row { qos, packet_id, received } = self.rows[&id];
        let head = MessageHead {
            id: MessageId(id),
            qos,
            retain: false,
            published_at: WallMillis(0),
            expires_at: None,
        };
        let delivery = DeliveryId(id);
        Entry {
            message: Arc::new(Message::stored(head, "t", &[], b"payload")),
            delivery,
            packet_id: Some(packet_id),
            qos,
            retain: false,
            dup: delivery <= self.session.sent_up_to,
            state: self.session.state_of_row(delivery, qos, received),
            home: Home::Row,
            row_change: None,
            share: None,
            identifiers: SubscriptionIds::default(),
        }
    }

    /// Only committed rows remain, and it is unknown what was sent.
    fn crash(&mut self) {
        self.uncommitted.clear();
        self.changes.clear();
        self.page = None;
        self.in_flight.clear();
        self.model = self.rows.keys().copied().collect();
        self.perhaps_sent = self.rows.keys().last().copied().unwrap_or(0);
        let rows = &self.rows;
        // At QoS 1 a delivery is sent before it is committed. All that is known is that it may
        // have been sent, which does not fix its packet identifier.
        self.sent_as.retain(|id, (packet_id, _)| {
            rows.get(id).is_some_and(|row| {
                assert!(row.qos == QoS::AtLeastOnce || row.packet_id == *packet_id);
                row.qos == QoS::ExactlyOnce
            })
        });
        let mut session = session(LIMITS);
        session.sent_up_to = DeliveryId(self.perhaps_sent);
        let (mut sent, mut waiting) = (IdList::new(), IdList::new());
        for (id, row) in &self.rows {
            let list = if row.qos == QoS::ExactlyOnce { &mut sent } else { &mut waiting };
            list.push_back(QueuedId { id: DeliveryId(*id), size: 8 });
        }
        let last = self.rows.values().last().map(|row| row.packet_id);
        session.restore(sent, waiting, last, []);
        self.session = session;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_delivery_is_sent_in_order_wherever_it_was_kept(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        // A client that reconnects and acknowledges gets all remaining deliveries.
        world.step(&Step::Commit);
        world.step(&Step::Reconnect);
        while !world.model.is_empty() {
            let before = world.model.len();
            for step in [
                Step::Send, Step::PageArrives, Step::Send, Step::Commit, Step::Send,
                Step::Acknowledge(0), Step::Acknowledge(0),
            ] {
                world.step(&step);
            }
            prop_assert!(world.model.len() < before, "stuck with {before}");
        }
        prop_assert_eq!(world.session.backlog_bytes(), 0);
    }

    /// The first delivery is never acknowledged, while packet identifiers are reused.
    #[test]
    fn a_client_that_never_acknowledges_one_gets_all_the_others(
        qos in prop::sample::select(vec![QoS::AtLeastOnce, QoS::ExactlyOnce]),
        rounds in prop::collection::vec(0usize..6, 20..60),
    ) {
        let mut world = World::new();
        for _ in 0..3 {
            world.step(&Step::Publish(qos));
        }
        world.step(&Step::Commit);
        world.step(&Step::Send);
        for round in rounds {
            world.step(&Step::ComeRound(round));
            world.step(&Step::Publish(qos));
            for step in [Step::Commit, Step::Send, Step::PageArrives, Step::Commit, Step::Send] {
                world.step(&step);
            }
            world.step(&Step::Acknowledge(1));
        }
        for _ in 0..world.model.len() {
            for step in [Step::Send, Step::PageArrives, Step::Send, Step::Commit, Step::Send] {
                world.step(&step);
            }
            world.step(&Step::Acknowledge(1));
        }
        prop_assert_eq!(world.model, [1]);
    }
}
